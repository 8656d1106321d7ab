"""Bundles on the machine of the engines, and the runtime called without an engine."""

from __future__ import annotations

import json
import os
import subprocess
import time

from waiting import eventually

from ..machine import LIMIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..machine import Machine, Result

CAPABILITIES = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_SETGID", "CAP_SETUID"]
ALLOWED = [("c", 1, 3), ("c", 1, 5), ("c", 1, 7), ("c", 1, 8), ("c", 1, 9), ("c", 5, 0), ("c", 5, 2), ("c", 136, None)]
SLEEP = ("sleep", "1000")


class Bundle:
    """One bundle, and the container that is made of it.

    path    directory inside and outside
    id      of the container
    config  written by save()
    """

    def __init__(self, path: str, name: str, config: dict[str, Any]) -> None:
        self.path = path
        self.id = name
        self.config = config

    def save(self) -> Bundle:
        """Write config.json."""
        with open(f"{self.path}/config.json", "w", encoding="utf-8") as file:
            json.dump(self.config, file)
        return self

    def process(self, *args: str, **settings: Any) -> str:
        """Write the description of another process like the container's; the path of its file."""
        path = f"{self.path}/process-{time.monotonic_ns()}"
        with open(path, "w", encoding="utf-8") as file:
            json.dump({**self.config["process"], "args": args, **settings}, file)
        return path


class Bare:
    """Calls a runtime on the machine.

    path    program of the runtime
    root    its state root, or "" for its default
    rootfs  root file system of all containers
    ours    True for ocirun
    """

    def __init__(self, machine: Machine, path: str, rootfs: str, root: str) -> None:
        self.machine = machine
        self.path = path
        self.ours = os.path.basename(path) == "ocirun"
        self.root = root
        self.rootfs = rootfs
        self._made: list[Bundle] = []

    def words(self, *words: str) -> list[str]:
        """The command line of a call."""
        return [self.path, *(["--root", self.root] if self.root else []), *words]

    def call(
        self, *words: str, env: Mapping[str, str] | None = None, stdin: bytes = b"", limit: float = LIMIT
    ) -> Result:
        """Call it with nothing in the environment but `env`; the result is not checked."""
        given = [f"{name}={value}" for name, value in (env or {}).items()]
        return self.machine.run("env", "-i", *given, *self.words(*words), stdin=stdin, limit=limit)

    def __call__(self, *words: str, **how: Any) -> Result:
        """Call it; it has to succeed."""
        return self.call(*words, **how).ok()

    def bundle(self, *args: str, terminal: bool = False) -> Bundle:
        """A bundle whose program is `args`; its container is deleted at the end of the test."""
        name = f"calls-{time.monotonic_ns()}"
        path = f"{self.machine.store}/bundles/{name}"
        os.makedirs(path)
        made = Bundle(path, name, config(self.rootfs, f"/calls/{name}", args))
        made.config["process"]["terminal"] = terminal
        self._made.append(made)
        return made

    def running(self, *args: str) -> Bundle:
        """A container that runs a program; its output goes nowhere."""
        made = self.bundle(*args or SLEEP).save()
        self("create", "--bundle", made.path, made.id)
        self("start", made.id)
        return made

    def state(self, bundle: Bundle) -> dict[str, Any]:
        """The state of a container."""
        document = json.loads(self("state", bundle.id).out)
        assert isinstance(document, dict)
        return document

    def until(self, bundle: Bundle, status: str) -> None:
        """Wait for a status."""
        eventually(lambda: self.state(bundle)["status"] == status, f"{bundle.id} is {status}")

    def clear(self) -> None:
        """Delete what is left of all containers."""
        for made in self._made:
            self("delete", "--force", made.id)


def config(rootfs: str, cgroup: str, args: tuple[str, ...]) -> dict[str, Any]:
    """A config.json as a Kubernetes engine writes it."""
    devices: list[dict[str, Any]] = [{"allow": False, "access": "rwm"}]
    for kind, major, minor in ALLOWED:
        rule = {"allow": True, "type": kind, "major": major, "minor": minor, "access": "rwm"}
        devices.append({key: value for key, value in rule.items() if value is not None})
    plain = ["nosuid", "noexec", "nodev"]
    return {
        "ociVersion": "1.0.2-dev",
        "root": {"path": rootfs},
        "hostname": "calls",
        "annotations": {"io.kubernetes.pod.name": "pod", "nerdctl/name": "one two"},
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": list(args),
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES),
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": plain},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*plain, "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": [*plain, "ro"]},
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "resources": {"devices": devices, "memory": {"limit": 128 << 20}},
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")],
        },
    }  # fmt: skip


def unpack(archive: str, where: str) -> str:
    """Unpack the archive of a root file system; its directory."""
    os.makedirs(where)
    subprocess.run(["tar", "-C", where, "-xf", archive], check=True)
    return where
