"""Fixtures: the guest instead of a machine made of namespaces, and the engines on it."""

from __future__ import annotations

import os
import shutil

import pytest
from vm import share

from ...runtime import Runtime
from .guest import Guest, GuestQuiet
from .podman import STAYS, SystemdPodman

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def runtime(request: pytest.FixtureRequest) -> Runtime:
    """The runtime under test, where its documentation says that it is to be."""
    if os.environ.get("OCIRUN_TEST_GUEST") != "1":
        pytest.fail("only for the guest of tests/vm: this changes the whole machine", pytrace=False)
    name = request.config.getoption("--engine-runtime")
    path = f"{os.path.dirname(share.PROGRAM)}/{name}"
    if not os.path.exists(path):
        found = shutil.which(name)
        assert found, f"{name} is not installed here: tests/vm/run --installed ..."
        os.symlink(found, path)
    return Runtime(name, path)


@pytest.fixture(scope="session")
def machine(runtime: Runtime) -> Iterator[Guest]:
    """The guest."""
    with Guest() as made:
        yield made


@pytest.fixture(scope="session")
def engine(machine: Guest, runtime: Runtime, busybox: str) -> SystemdPodman:
    """podman with the images."""
    made = SystemdPodman(machine, runtime)
    made.load(busybox)
    return made


@pytest.fixture(scope="session")
def quiet(engine: SystemdPodman) -> GuestQuiet:
    """What the guest looks like without podman's containers."""
    return GuestQuiet(engine.machine, [f"/run/{engine.runtime.name}"], STAYS, slices=("x.slice",))


@pytest.fixture
def podman(engine: SystemdPodman, quiet: GuestQuiet) -> Iterator[SystemdPodman]:
    """podman of root; afterwards nothing of its containers may be left."""
    yield engine
    quiet.check()
