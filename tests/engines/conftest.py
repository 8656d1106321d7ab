"""Fixtures of the engine tests: one machine with the runtime and the images, for all engines in turn."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from live.criu import program as working_criu

from . import images
from .machine import Machine
from .runtime import chosen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .runtime import Runtime

HERE = os.path.dirname(os.path.abspath(__file__))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder starts real containers."""
    for item in items:
        if str(item.path).startswith(HERE):
            item.add_marker(pytest.mark.live)


@pytest.fixture(scope="session")
def runtime(request: pytest.FixtureRequest) -> Iterator[Runtime]:
    """The runtime under test, where any user can reach it."""
    if os.geteuid() != 0:
        pytest.skip("engine tests need root")
    home = Path(tempfile.mkdtemp(prefix="ocirun-engines-", dir="/var/tmp"))
    yield chosen(request.config.getoption("--engine-runtime"), home)
    shutil.rmtree(home)


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
    with Machine() as made:
        os.symlink(runtime.path, f"{made.store}/usr/local/bin/{runtime.name}")
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
    found, why = working_criu()
    if not found:
        pytest.skip(why)
    path = machine.write("/usr/local/bin/criu", f'#!/bin/sh\nexec {found} "$@"\n', 0o755)
    yield path
    os.unlink(machine.store + path)
