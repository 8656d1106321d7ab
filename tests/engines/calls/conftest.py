"""The runtime on the machine of the engines, called directly; after each test nothing may be left."""

from __future__ import annotations

import shutil

import pytest

from ..leaks import Quiet
from .bare import Bare, unpack
from .crio import Crio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..machine import Machine
    from ..runtime import Runtime

ROOT = "/run/calls"


@pytest.fixture(scope="package")
def rootfs(machine: Machine, busybox: str) -> str:
    """The root file system of all containers."""
    return unpack(busybox, f"{machine.store}/calls-rootfs")


@pytest.fixture(scope="package")
def quiet(machine: Machine, runtime: Runtime, rootfs: str) -> Quiet:
    """What the machine looks like without containers."""
    first = Bare(machine, f"/usr/local/bin/{runtime.name}", rootfs, ROOT)
    first("run", "--bundle", first.bundle("true").save().path, "first")
    return Quiet(machine, (ROOT, f"/run/{runtime.name}"), ("cgroup /calls", "cgroup /conmon"))


@pytest.fixture
def bare(machine: Machine, runtime: Runtime, rootfs: str, quiet: Quiet) -> Iterator[Bare]:
    """The runtime under test with a state root of its own."""
    made = Bare(machine, f"/usr/local/bin/{runtime.name}", rootfs, ROOT)
    yield made
    made.clear()
    quiet.check()


@pytest.fixture
def crio(bare: Bare) -> Crio:
    """What CRI-O does with the runtime."""
    if shutil.which("conmon") is None:
        pytest.skip("needs conmon")
    return Crio(bare)
