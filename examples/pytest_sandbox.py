"""A fixture of pytest: `sandboxed` runs a program in a container of its own, with limits.

    python3 examples/pytest_sandbox.py ROOTFS [ARGUMENTS OF PYTEST...]

or, with this directory in PYTHONPATH, `pytest -p pytest_sandbox --sandbox-rootfs ROOTFS`.  A test says

    def test_it(sandboxed):
        assert sandboxed("wc -c", stdin=b"four").stdout == b"4\\n"
        assert sandboxed("cat /given", files={"/given": b"x"}, check=False).ok
"""

from __future__ import annotations

import sys
from typing import Any, Protocol

import pytest

import ocirun


class Sandboxed(Protocol):
    def __call__(self, script: str, *, check: bool = True, timeout: float = 10.0, **terms: Any) -> ocirun.Outcome:
        """Run a script of the shell; the others are parameters of `Prepared.run`, and `check` fails the test."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for the root file system."""
    parser.addoption("--sandbox-rootfs", help="directory with the root file system of `sandboxed`")


@pytest.fixture(scope="session")
def sandbox_prepared(request: pytest.FixtureRequest) -> ocirun.Prepared:
    """Read and plan the config once for all tests; a conftest.py may have its own."""
    rootfs = request.config.getoption("--sandbox-rootfs")
    if not rootfs:
        pytest.fail("sandboxed needs --sandbox-rootfs")
    return ocirun.Prepared(config=ocirun.sandbox(rootfs, ["sh"], disk=16 << 20, missing="leave out"))


@pytest.fixture
def sandboxed(sandbox_prepared: ocirun.Prepared) -> Sandboxed:
    """Give the test a function that runs scripts, each in a new container with a root that is thrown away."""

    def run(script: str, *, check: bool = True, timeout: float = 10.0, **terms: Any) -> ocirun.Outcome:
        return sandbox_prepared.run(args=["sh", "-c", script], check=check, timeout=timeout, **terms)

    return run


if __name__ == "__main__":
    sys.exit(pytest.main(["--sandbox-rootfs", *sys.argv[1:]], plugins=[sys.modules["__main__"]]))
