"""Fixtures of the live tests: the session, one case for each test, the oracle after it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from .case import CHECKOUT, DEFAULT_RUNTIME, Case, Session
from .screen import Screen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def runtime(request: pytest.FixtureRequest) -> str:
    """The program under test."""
    wanted = os.environ.get("OCIRUN_TEST_RUNTIME", "")
    if wanted:
        found = shutil.which(wanted)
        if found is None:
            pytest.fail(f"OCIRUN_TEST_RUNTIME={wanted}: no such program", pytrace=False)
        return os.path.abspath(found)
    if not os.path.exists(DEFAULT_RUNTIME):
        subprocess.run([sys.executable, os.path.join(CHECKOUT, "csrc", "build.py"), "--in-tree"], check=True)
    program: str = request.getfixturevalue("open_program")
    return program


@pytest.fixture(scope="session")
def session(runtime: str) -> Iterator[Session]:
    """Private mounts, tools and image, for all live tests together."""
    if os.geteuid() != 0:
        pytest.skip("live tests need root")
    for program in ("busybox",) if os.environ.get("OCIRUN_TEST_TOOLS") else ("gcc", "busybox"):
        if shutil.which(program) is None:
            pytest.skip(f"live tests need {program}")
    made = Session(runtime)
    yield made
    made.close()


@pytest.fixture
def live(session: Session) -> Iterator[Case]:
    """A case; afterwards its containers are deleted by force, and the oracle is asked."""
    case = Case(session)
    try:
        yield case
        case.remove()
        case.assert_clean()
    finally:
        case.sweep()


@pytest.fixture
def screen(live: Case) -> Iterator[Screen]:
    """A terminal with a shell."""
    shown = Screen(f"{live.dir}/tmux")
    yield shown
    shown("kill-server")
