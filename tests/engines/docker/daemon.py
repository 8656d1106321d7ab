"""dockerd on a machine of its own, and the docker command that talks to it."""

from __future__ import annotations

import json
import os
import shutil
import signal

from ..engine import WithRun

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from typing import Any

    from ..machine import Machine
    from ..runtime import Runtime

IMAGE = "bb"
PEER = "runc-itself"  # another name for runc: for BuildKit's sake a link called runc leads to ocirun


class Docker(WithRun):
    """A dockerd whose default runtime is the one under test.

    settings  what is in daemon.json
    """

    command = "docker"
    daemon = "dockerd"
    image = IMAGE

    def __init__(self, machine: Machine, runtime: Runtime, **settings: Any) -> None:
        super().__init__(machine, runtime)
        self.settings: dict[str, Any] = {"default-runtime": runtime.name, **settings}
        if runtime.name != "runc":  # a name that dockerd reserves
            runtimes = self.settings.setdefault("runtimes", {})
            runtimes[runtime.name] = {"path": self.path}
            if runc := shutil.which("runc"):
                runtimes[PEER] = {"path": runc}
            # BuildKit inside dockerd takes whatever is called runc.
            link = f"{machine.store}/usr/local/bin/runc"
            if not os.path.lexists(link):
                os.symlink(runtime.path, link)
        self._daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start dockerd and wait until it answers."""
        self.configure()
        with open(f"{self.machine.store}/dockerd.log", "ab") as log:
            self._daemon = self.machine.spawn("dockerd", stdout=log, stderr=log)
        self.until(lambda: self._alive() and self("version", check=False).code == 0, "dockerd answers", 60)

    def _alive(self) -> bool:
        assert self._daemon is not None
        assert self._daemon.poll() is None, f"dockerd ended\n{self.log()}"
        return True

    @property
    def peer(self) -> str:
        """The name of runc where it can be compared with the runtime under test, or ""."""
        return PEER if PEER in self.settings.get("runtimes", {}) else ""

    def configure(self, **settings: Any) -> None:
        """Write daemon.json, with more settings from now on."""
        self.settings.update(settings)
        self.machine.write("/etc/docker/daemon.json", json.dumps(self.settings))

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End dockerd and wait for it."""
        assert self._daemon is not None
        self.signal(number)
        self._daemon.wait(60)
        self._daemon = None

    def signal(self, number: int) -> None:
        """Send dockerd a signal."""
        pid = self.machine.run("cat", "/run/docker.pid").ok().out
        self.machine.run("kill", f"-{int(number)}", pid.strip()).ok()
