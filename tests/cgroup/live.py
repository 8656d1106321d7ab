"""What the live tests share: a parent group of their own in every hierarchy, and processes to put there."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ocirun.cgroup import choose
from ocirun.cgroup.drivers.v1 import V1Driver
from ocirun.cgroup.drivers.v2 import V2Driver
from ocirun.cgroup.settings import translate
from ocirun.host import cgroups
from ocirun.host.cgroups import Layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, TypeVar

    from ocirun.cgroup import driver as drivers

    AnyDriver = TypeVar("AnyDriver", bound=drivers.Driver)

LAYOUT = cgroups.read_layout()
needs_v1 = pytest.mark.skipif(
    os.geteuid() != 0 or "freezer" not in LAYOUT.mounts, reason="needs root and cgroup v1 hierarchies"
)

# A subreaper that ignores SIGCHLD: the kernel reaps for it.
_REAPER = """
import ctypes, os, signal, sys
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
if os.fork() == 0:
    for fd in sys.argv[2:]:
        os.write(int(fd), b"0")
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.write(1, b"\\n")
    os.execvp("busybox", ["busybox", "sh", "-c", "exec 2>/dev/null; " + sys.argv[1]])
signal.pause()
"""


def unified() -> Layout | None:
    """The v2 hierarchy alone, as if there were no other; None without one."""
    if LAYOUT.unified is None:
        return None
    return Layout({}, {"": LAYOUT.own.get("", "/")}, LAYOUT.unified)


needs_v2 = pytest.mark.skipif(os.geteuid() != 0 or unified() is None, reason="needs root and a cgroup v2 hierarchy")


class Lab:
    """Drivers and processes of one test; everything is below ``/ocirun-test-PID-N`` and goes at the end."""

    count = 0

    def __init__(self, layout: Layout = LAYOUT) -> None:
        Lab.count += 1
        self.layout = layout
        self.top = f"/ocirun-test-{os.getpid()}-{Lab.count}"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.drivers: list[drivers.Driver] = []

    def driver(self, name: str = "box", *, ready: bool = False) -> V1Driver:
        """A driver for the group `name` below the top; `ready`: its directories are made."""
        chosen = choose.new_driver(self.layout, cgroups_path=f"{self.top}/{name}", container_id="box")
        assert isinstance(chosen, V1Driver)
        return self._keep(chosen, ready)

    def driver_v2(self, name: str = "box", *, ready: bool = False) -> V2Driver:
        """As `driver`, for a lab of the v2 hierarchy."""
        chosen = choose.new_driver(self.layout, cgroups_path=f"{self.top}/{name}", container_id="box")
        assert isinstance(chosen, V2Driver)
        return self._keep(chosen, ready)

    def _keep(self, chosen: AnyDriver, ready: bool) -> AnyDriver:
        self.drivers.append(chosen)
        if ready:
            chosen.check()
            chosen.prepare()
        return chosen

    def again(self, other: drivers.Driver, *, kind: str = "v1") -> drivers.Driver:
        """The driver as a later command gets it from the saved state."""
        chosen = choose.recorded_driver(other.record())
        assert chosen.kind == kind
        self.drivers.append(chosen)
        return chosen

    def apply(self, box: drivers.Driver, resources: dict[str, Any], *, devices: bool = False) -> None:
        """Write resources to the group."""
        made, _ = translate.translate(box.kind, resources, available=box.available, devices=devices)
        box.apply(made)

    def start(self, box: drivers.Driver | None, script: str) -> subprocess.Popen[bytes]:
        """A shell that joins the group before it runs the script; without a group, a decoy."""
        files = joined(box)
        # The subshells' $0 and the like do not matter; `echo 0` is one write, as the helper's.
        join = "".join(f"echo 0 >&{fd}; exec {fd}>&-; " for fd in files)
        process = subprocess.Popen(
            ["busybox", "sh", "-c", f"{join} echo; {script}"], pass_fds=files, stdout=subprocess.PIPE
        )
        for fd in files:
            os.close(fd)
        assert process.stdout is not None
        process.stdout.readline()
        self.processes.append(process)
        return process

    def start_bomb(self, box: drivers.Driver, script: str) -> subprocess.Popen[bytes]:
        """Run a script in the group, of whose processes the dead vanish at once, and so do not fill pids.max.

        Returns their reaper, which is not in the group.
        """
        files = joined(box)
        arguments = [sys.executable, "-I", "-c", _REAPER, script, *map(str, files)]
        process = subprocess.Popen(arguments, pass_fds=files, stdout=subprocess.PIPE)
        for fd in files:
            os.close(fd)
        assert process.stdout is not None
        process.stdout.readline()
        self.processes.append(process)
        return process

    def clean(self) -> None:
        """Kill what is left, then remove all groups."""
        whole = choose.new_driver(self.layout, cgroups_path=self.top, container_id="box")
        for used in self.drivers:
            used.close()
        whole.prepared = True
        whole.kill(9, wait=10.0)
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
        whole.remove(kill=True)
        for _, path in whole.directories():
            assert not os.path.exists(path)


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A lab that leaves no group, process or descriptor behind."""
    yield from _lab(LAYOUT)


@pytest.fixture
def lab_v2() -> Iterator[Lab]:
    """The same in the v2 hierarchy."""
    layout = unified()
    assert layout is not None
    yield from _lab(layout)


def _lab(layout: Layout) -> Iterator[Lab]:
    before = sorted(os.listdir("/proc/self/fd"))
    made = Lab(layout)
    try:
        yield made
    finally:
        made.clean()
    assert sorted(os.listdir("/proc/self/fd")) == before


def joined(box: drivers.Driver | None) -> list[int]:
    """The files by which a process joins, whether or not the driver needs them for that."""
    if box is None:
        return []
    names = [name for name, _ in box.joined_by_child()] + (["unified"] if box.clones else [])
    return [box.open_join(name) for name in names]


def alive(process: subprocess.Popen[bytes]) -> bool:
    """The process has not ended."""
    return process.poll() is None


def memberships(pid: int) -> dict[str, str]:
    """Controller -> cgroup of a process."""
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
        return cgroups.parse_own(file.read())


def make_below(box: drivers.Driver, below: str) -> None:
    """Make groups below the driver's, in every hierarchy, as root in a container could."""
    for name, path in box.directories():
        here = path
        for part in below.split("/"):
            here = f"{here}/{part}"
            os.mkdir(here)
            if name == "cpuset":
                for file in ("cpuset.cpus", "cpuset.mems"):
                    put(f"{here}/{file}", get(f"{os.path.dirname(here)}/{file}"))


def move(box: drivers.Driver, below: str, pid: int) -> None:
    """Move a process to a group below the driver's, in every hierarchy."""
    for _, path in box.directories():
        put(f"{path}/{below}/cgroup.procs", str(pid))


def put(path: str, text: str) -> None:
    """Write a file in one call."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def get(path: str) -> str:
    """A file's text."""
    with open(path, encoding="utf-8") as file:
        return file.read().strip()
