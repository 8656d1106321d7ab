"""Options and fixtures that all test folders share."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
import rings
import surroundings
import waiting
from hypothesis import HealthCheck, settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

BEGUN = time.monotonic()


def pytest_configure(config: pytest.Config) -> None:
    """Begin in usual surroundings; refuse paths that are not of the ring."""
    surroundings.make_usual()
    # How long an example takes says something about the machine, and nothing of us.
    settings.register_profile("ocirun", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("ocirun")
    wanted = config.getoption("--ring")
    for argument in config.args:
        path = Path(config.invocation_params.dir, argument.partition("::")[0]).resolve()
        if path.exists() and path.is_relative_to(rings.TESTS) and not _belongs(path, wanted):
            found = rings.ring(path)
            raise pytest.UsageError(
                f"{argument} is of the ring {found}, not of {wanted}: ./dev test {found} {argument}"
            )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the files of other rings before they are imported."""
    if not collection_path.is_dir() and not collection_path.name.startswith("test_"):
        return None
    return None if _belongs(collection_path, config.getoption("--ring")) else True


def _belongs(path: Path, wanted: str) -> bool:
    try:
        return rings.belongs(path, wanted)
    except rings.NoRingError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options; pytest looks for them here only."""
    parser.addoption(
        "--ring",
        choices=(*rings.RINGS, rings.ALL),
        default=rings.ALL,
        help="only the tests of a ring, see tests/rings.py (default: all)",
    )
    parser.addoption(
        "--stop-after",
        type=float,
        metavar="SECONDS",
        help="begin no test after so many seconds, and fail; what has failed by then is told as ever",
    )
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


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_setup() -> Iterator[None]:
    """Fail what makes a test's things and hangs; some of it compiles, or unpacks a Debian."""
    with waiting.ended_within(3 * waiting.TEST_LIMIT):
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """Fail a test that hangs where it hangs, and go on with the next one."""
    with waiting.ended_within(waiting.TEST_LIMIT):
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Fail what takes a test's things away and hangs; begin no further test when the time of all is over."""
    with waiting.ended_within(waiting.TEST_LIMIT):
        yield
    limit = item.config.getoption("--stop-after")
    if limit is not None and time.monotonic() - BEGUN > limit:
        item.session.shouldfail = f"--stop-after: {limit:g} s are over, and not all tests have run"


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
