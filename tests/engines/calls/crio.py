"""CRI-O's way with a runtime: conmon creates and executes, everything else is a direct call."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time

from waiting import eventually

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..machine import Result
    from .bare import Bare, Bundle

LIMIT = 60.0
ENVIRONMENT = {"CRI_O_EXTERNAL": "1", "XDG_RUNTIME_DIR": "/run/user/0", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


class FailedError(Exception):
    """conmon tells that the runtime has failed, with what the runtime wrote to standard error."""


class Crio:
    """The part of CRI-O that drives a runtime.

    bare  the runtime for the direct calls
    """

    def __init__(self, bare: Bare) -> None:
        self.bare = bare
        self._store = bare.machine.store

    def call(self, *words: str, stdin: bytes = b"") -> Result:
        """A direct call, whose environment has one variable."""
        return self.bare.call(*words, env={"XDG_RUNTIME_DIR": "/run/user/0"}, stdin=stdin)

    def create(self, bundle: Bundle, *options: str) -> int:
        """Create a container; the pid that conmon tells."""
        bundle.save()
        words = [
            *("-b", bundle.path, "-c", bundle.id, "--exit-dir", f"{bundle.path}/exits"),
            *("-l", f"{bundle.path}/log", "--log-level", "info", "-n", f"k8s_{bundle.id}"),
            *("-P", f"{bundle.path}/conmon-pidfile", "-p", f"{bundle.path}/pidfile"),
            *("--persist-dir", f"{bundle.path}/persist", "-r", self.bare.path),
            *("--runtime-arg", f"--root={self.bare.root}", "--socket-dir-path", f"{self._store}/s"),
            *("--syslog", "-u", bundle.id, *options),
        ]
        for name in (f"{bundle.path}/exits", f"{bundle.path}/persist", f"{self._store}/s"):
            os.makedirs(name, exist_ok=True)
        told, _ = self._conmon(words)
        if told["pid"] == -1:
            raise FailedError(told.get("message", ""))
        with open(f"{bundle.path}/pidfile", encoding="ascii") as file:
            assert file.read() == str(told["pid"])
        return int(told["pid"])

    def exec_sync(self, bundle: Bundle, *args: str, timeout: int = 0) -> tuple[str, str, int]:
        """Execute a program to its end; what it wrote to both outputs, and its status."""
        log = f"{bundle.path}/exec-{time.monotonic_ns()}.log"
        words = [
            *("-c", bundle.id, "-n", f"k8s_{bundle.id}", "-r", self.bare.path, "-p", f"{log}.pid", "-e", "-l", log),
            *("--socket-dir-path", f"{self._store}/s", "--log-level", "info", "--sync"),
            *("--log-global-size-max", str(16 << 20)),
            *(["-t"] if bundle.config["process"]["terminal"] else []),
            *(["-T", str(timeout)] if timeout else []),
            *("--exec-process-spec", bundle.process(*args), "--runtime-arg", f"--root={self.bare.root}"),
        ]
        told, _ = self._conmon(words)
        if told["exit_code"] == -1:
            raise FailedError(told.get("message", ""))
        return (*outputs(log), int(told["exit_code"]))

    def _conmon(self, words: list[str]) -> tuple[Any, int]:
        """Start conmon, let it go on, and read the document that it writes into its pipe; with its status."""
        reader, told = os.pipe()
        begin, writer = os.pipe()
        variables = {**ENVIRONMENT, "_OCI_SYNCPIPE": str(told), "_OCI_STARTPIPE": str(begin)}
        given = [f"{name}={value}" for name, value in variables.items()]
        with open(f"{self._store}/conmon.log", "ab") as log:
            proc = self.bare.machine.spawn(
                "env", "-i", *given, "conmon", *words, stdout=log, stderr=subprocess.STDOUT, pass_fds=(told, begin)
            )
        os.close(told)
        os.close(begin)
        os.write(writer, b"\0")
        try:
            return document(reader), proc.wait(LIMIT)
        finally:
            os.close(writer)
            os.close(reader)

    def status_of(self, bundle: Bundle) -> int:
        """Wait for the file in which conmon tells the exit status of a container."""
        path = f"{bundle.path}/exits/{bundle.id}"
        eventually(lambda: os.path.exists(path), f"conmon writes {path}")
        with open(path, encoding="ascii") as file:
            return int(file.read())


def document(reader: int) -> Any:
    """The first line of a pipe, as JSON."""
    text = b""
    end = time.monotonic() + LIMIT
    while b"\n" not in text:
        assert select.select([reader], [], [], max(0, end - time.monotonic()))[0], f"conmon says nothing but {text!r}"
        part = os.read(reader, 65536)
        if not part:
            break
        text += part
    return json.loads(text)


def outputs(log: str) -> tuple[str, str]:
    """Standard output and error of a log of conmon: each line has a date, a stream, a tag, and the rest."""
    found = {"stdout": "", "stderr": ""}
    with open(log, encoding="utf-8") as file:
        for line in file:
            _, stream, tag, rest = line.split(" ", 3)
            found[stream] += rest.removesuffix("\n") if tag == "P" else rest
    return found["stdout"], found["stderr"]
