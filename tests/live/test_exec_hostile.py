"""Inhabitants that lie in wait for the process that joins: nothing of the host is ever in their hands (C04, C06)."""

from __future__ import annotations

import os
import shutil
import stat
import time

import pytest

from . import execs, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .bundles import Bundle
    from .case import Case

SECONDS = 4.0  # for each kind of inhabitant
HELPER = "ocirun-init"


def watched(live: Case, bundle: Bundle, user: str) -> list[list[str]]:
    """Everything that a watcher of that user got hold of while many commands were run: COMM HOW NUMBER DEV INO MODE LINK."""
    shutil.copy(f"{live.session.tools}/peeper", f"{bundle.rootfs}/peeper")
    live.launch(bundle)
    watcher = execs.with_options(live, bundle, ["-d", "--user", user], "/peeper").ok()
    process.eventually(lambda: "ready" in watcher.out, "it watches")
    end = time.monotonic() + SECONDS
    slow = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=setsid,setresuid,capset"]
    slow += ["-e", "inject=setsid,setresuid,capset:delay_enter=20000:delay_exit=20000"]
    strace = slow if shutil.which("strace") else []
    while time.monotonic() < end:
        for prefix in ([], strace):
            for words in (["-u", user, "--cwd", "/tmp"], ["-t"], ["-u", "1000:1000"]):
                argv = [*prefix, *live.argv("exec", *words, bundle.id, "/bin/true")]
                # An attached watcher may hold the program up; how it ends is its own affair.
                process.run(argv, scratch=live.scratch, limit=40)
    lines = {line for line in watcher.out.splitlines()[1:] if line.count(" ") >= 6}
    return [line.split(" ", 6) for line in lines]


def foreign(live: Case, bundle: Bundle, lines: list[list[str]]) -> list[str]:
    """Those lines that name an object which is not the container's."""
    init = live.pid(bundle)
    inside = {os.stat(f"/proc/{init}/root{place}").st_dev for place in ("/proc", "/dev", "/dev/pts", "/dev/shm")}
    image = set()
    for where, _, names in os.walk(bundle.rootfs):
        image.update(
            (item.st_dev, item.st_ino) for item in map(os.lstat, [where, *(f"{where}/{name}" for name in names)])
        )
    found = []
    for comm, how, number, dev, ino, mode, link in lines:
        kind = stat.S_IFMT(int(mode, 8))
        if how in ("ptrace", "mem") or link.startswith(("/memfd:", "pipe:")) or (int(dev), int(ino)) in image:
            continue
        if int(dev) in inside or (how in ("fd", "getfd") and number in ("0", "1", "2")):
            continue
        # Its own end of the sync socket, from which nothing but the runtime's answers come.
        if kind == stat.S_IFSOCK:
            continue
        found.append(" ".join((comm, how, number, dev, ino, mode, link)))
    return found


def tracer(bundle: Bundle) -> None:
    for name in ("bounding", "effective", "permitted"):
        bundle.process["capabilities"][name].append("CAP_SYS_PTRACE")


def test_root_that_may_trace(live: Case) -> None:
    # Without a user namespace CAP_SYS_PTRACE opens even a process that is not dumpable: it must have nothing.
    bundle = live.bundle(execs.IDLE)
    tracer(bundle)
    lines = watched(live, bundle, "0:0")
    assert any(line[0] == HELPER for line in lines), "the watcher must have met the helper"
    assert foreign(live, bundle, lines) == []


@pytest.mark.parametrize("kind", ["same user", "root", "user namespace"])
def test_nobody_else_gets_in(live: Case, kind: str) -> None:
    bundle = live.bundle(execs.IDLE)
    if kind == "user namespace":
        bundle.user_namespace()
        tracer(bundle)
    lines = watched(live, bundle, "1000:1000" if kind == "same user" else "0:0")
    assert [line for line in lines if line[0] == HELPER] == []
    assert foreign(live, bundle, lines) == []
