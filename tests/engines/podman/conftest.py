"""podman with its images for all tests of this folder; after each test nothing may be left."""

from __future__ import annotations

import pytest

from ..leaks import Quiet
from .engine import Podman, missing, state_roots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..machine import Machine
    from ..runtime import Runtime

#: What podman makes once and keeps.
STAYS = (
    "/var/lib/containers/",
    "cgroup /libpod_parent",
    "mount /run/netns",
    "mount /run/user",
    "aardvark",
    "mount /home/ada/",
)


@pytest.fixture(scope="package")
def engine(machine: Machine, runtime: Runtime, busybox: str) -> Podman:
    """podman with the images."""
    if program := missing():
        pytest.skip(f"needs {program}")
    made = Podman(machine, runtime)
    made.load(busybox)
    return made


@pytest.fixture(scope="package")
def quiet(engine: Podman) -> Quiet:
    """What the machine looks like without containers."""
    engine.run("true").ok()
    return Quiet(engine.machine, state_roots(engine.runtime), STAYS)


@pytest.fixture
def podman(engine: Podman, quiet: Quiet) -> Iterator[Podman]:
    """podman; afterwards its containers and pods are removed, and nothing of them may be left."""
    yield engine
    if engine("pod", "ls", "-q").words:
        engine("pod", "rm", "-a", "-f", "-t", "0")
    if engine("ps", "-aq").words:
        engine("rm", "-a", "-f", "-t", "0")
    quiet.check()
