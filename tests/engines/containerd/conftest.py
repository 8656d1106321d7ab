"""One containerd for all tests of this folder; after each test it has to be as it was."""

from __future__ import annotations

import shutil

import pytest

from ..leaks import Quiet
from .cri import Client
from .daemon import Containerd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..machine import Machine
    from ..runtime import Runtime

#: What containerd itself starts and makes, and the parents of cgroups, which stay.
STAYS = (" containerd", "cgroup /default", "cgroup /k8s.io", "cgroup /pods", "cgroup /a")


@pytest.fixture(scope="package")
def daemon(machine: Machine, runtime: Runtime, busybox: str) -> Iterator[Containerd]:
    """A running containerd that has the images."""
    for program in ("containerd", "ctr"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    made = Containerd(machine, runtime)
    made.start()
    made.load(busybox)
    yield made
    made.stop()


@pytest.fixture(scope="package")
def quiet(daemon: Containerd) -> Quiet:
    """What the machine looks like without containers."""
    daemon.run("true").ok()
    roots = ("/run/containerd/runc/default", "/run/containerd/runc/k8s.io", "/run/handler/k8s.io", "/run/other/default")
    return Quiet(daemon.machine, roots, STAYS)


@pytest.fixture
def ctr(daemon: Containerd, quiet: Quiet) -> Iterator[Containerd]:
    """The daemon, for ctr; afterwards its containers are removed, and nothing of them may be left."""
    yield daemon
    for name in daemon("tasks", "ls", "-q").words:
        daemon("tasks", "kill", "-s", "KILL", "-a", name, check=False)
        daemon("tasks", "rm", "-f", name, check=False)
    for name in daemon("containers", "ls", "-q").words:
        daemon("containers", "rm", name)
    quiet.check()


@pytest.fixture
def cri(daemon: Containerd, quiet: Quiet) -> Iterator[Client]:
    """A client of the CRI plugin; afterwards its pods are removed, and nothing of them may be left."""
    with Client(f"/proc/{daemon.machine.pid}/root/run/containerd/containerd.sock") as client:
        yield client
        client.clear()
    quiet.check()
