"""One dockerd for all tests of this folder; after each test it has to be as it was."""

from __future__ import annotations

import shutil

import pytest

from ..leaks import Quiet
from .daemon import IMAGE, Docker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..machine import Machine
    from ..runtime import Runtime

#: What dockerd itself starts, mounts and makes.
STAYS = (
    " dockerd",
    " containerd --config",
    "mount /run/docker/netns/default",
    "mount /var/lib/docker/300000",
    "/docker/above",
    "/docker/buildkit",
)


@pytest.fixture(scope="package")
def daemon(machine: Machine, runtime: Runtime, busybox: str) -> Iterator[Docker]:
    """A running dockerd that has the image."""
    for program in ("dockerd", "containerd", "docker"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    made = Docker(machine, runtime)
    made.start()
    with open(busybox, "rb") as file:
        made("import", "-", IMAGE, stdin=file.read())
    yield made
    made.stop()


@pytest.fixture(scope="package")
def quiet(daemon: Docker) -> Quiet:
    """What the machine looks like without containers."""
    daemon.run("true").ok()
    states = [
        "/run/docker/runtime-runc/moby",
        "/run/docker/runtime-runc/moby-300000.300000",
        f"/run/{daemon.runtime.name}",
    ]
    return Quiet(daemon.machine, states, STAYS)


@pytest.fixture
def docker(daemon: Docker, quiet: Quiet) -> Iterator[Docker]:
    """The daemon; afterwards its containers are removed, and nothing of them may be left."""
    yield daemon
    if names := daemon("ps", "-aq").words:
        daemon("rm", "-f", "-v", *names)
    quiet.check()
