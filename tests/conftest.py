"""Options and marks that all test folders share."""

from __future__ import annotations

import shutil

import pytest
import surroundings
from hypothesis import HealthCheck, settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks, so that a misspelt one is an error under --strict-markers; begin in usual surroundings."""
    surroundings.make_usual()
    # How long an example takes says something about the machine, and nothing of us.
    settings.register_profile("ocirun", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("ocirun")
    config.addinivalue_line("markers", "live: starts real containers; needs root, Linux, gcc and busybox")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options; pytest looks for them here only."""
    parser.addoption(
        "--engine-runtime",
        default="ocirun",
        help="tests/engines: run the engines with this runtime, a name or a path (default: ocirun from this checkout)",
    )
    parser.addoption(
        "--engine-tree",
        action="store_true",
        help="tests/engines: run all engines of the newer Debian of tests/engines/modern, not this machine's",
    )
    parser.addoption(
        "--engine-load",
        action="store_true",
        help="tests/engines: as many containers as on a busy server, with runc beside ocirun",
    )


@pytest.fixture(scope="session")
def open_program() -> Iterator[str]:
    """ocirun that every user can start: the checkout's program, or one installed elsewhere if the checkout is closed."""
    from install import everybody

    if everybody.is_open():
        yield str(everybody.PROGRAM)
        return
    home = surroundings.open_directory()
    try:
        yield str(everybody.install(home))
    finally:
        shutil.rmtree(home)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user can reach, which those of tmp_path are not, with a path short enough for sockets."""
    made = surroundings.open_directory()
    yield made
    shutil.rmtree(made)
