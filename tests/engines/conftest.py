"""Fixtures of the engine tests: one machine with the runtime and the images, for all engines in turn."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest
from live.criu import program as working_criu

from . import images
from .machine import Machine
from .modern import tree as newer
from .runtime import provided

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .runtime import Runtime


def need_root() -> None:
    """Skip unless we are root."""
    if os.geteuid() != 0:
        pytest.skip("engine tests need root")


@pytest.fixture(scope="session")
def tree() -> str:
    """The root of a system with newer engines."""
    need_root()
    try:
        return newer.ready()
    except newer.NoTreeError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def system(request: pytest.FixtureRequest) -> str:
    """The root of the system that has the engines; "" for this one."""
    return request.getfixturevalue("tree") if request.config.getoption("--engine-tree") else ""


@pytest.fixture(scope="session")
def runtime(request: pytest.FixtureRequest, system: str) -> Iterator[Runtime]:
    """The runtime under test, where any user can reach it."""
    need_root()
    with provided(request.config.getoption("--engine-runtime"), system) as made:
        yield made


@pytest.fixture
def plain(runtime: Runtime) -> Iterator[Runtime]:
    """The runtime without what `ocirun preload` makes, for one test."""
    if runtime.ours:
        runtime.preload("--remove")
    yield runtime
    if runtime.ours:
        runtime.preload()


@pytest.fixture(scope="session")
def busybox(runtime: Runtime) -> Iterator[str]:
    """The archive of the small root file system."""
    home = tempfile.mkdtemp(prefix="ocirun-engines-", dir="/var/tmp")
    yield images.busybox(f"{home}/busybox.tar")
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def machine(runtime: Runtime) -> Iterator[Machine]:
    """The machine on which one engine after the other is started."""
    with Machine(runtime=runtime) as made:
        yield made


@pytest.fixture(scope="session")
def debian(runtime: Runtime) -> Iterator[str]:
    """The archive of a minimal Debian."""
    if shutil.which("mmdebstrap") is None:
        pytest.skip("needs mmdebstrap")
    home = tempfile.mkdtemp(prefix="ocirun-engines-", dir="/var/tmp")
    yield images.debian(f"{home}/debian.tar")
    shutil.rmtree(home)


@pytest.fixture
def criu(machine: Machine) -> Iterator[str]:
    """A criu that works on this kernel, in the PATH of the machine."""
    if machine.root:
        machine.run("criu", "check").ok()
        yield "/usr/sbin/criu"
        return
    found, why = working_criu()
    if not found:
        pytest.skip(why)
    path = machine.write("/usr/local/bin/criu", f'#!/bin/sh\nexec {found} "$@"\n', 0o755)
    yield path
    os.unlink(machine.store + path)
