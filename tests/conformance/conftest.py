"""The suite as part of the tests: one run of it on ocirun, and parts of it on other programs."""

from __future__ import annotations

import functools
import json
import os
import shlex
import shutil
import subprocess
import sys

import pytest
from live import bundles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
CHECKOUT = os.path.dirname(os.path.dirname(HERE))
OCIRUN = f"{CHECKOUT}/build/bin/ocirun"


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The programs for containers, compiled once for all runs of the suite."""
    if os.environ.get("OCIRUN_TEST_TOOLS"):
        return os.environ["OCIRUN_TEST_TOOLS"]
    if shutil.which("gcc") is None:
        pytest.skip("the suite needs gcc")
    path = tmp_path_factory.mktemp("tools")
    bundles.build_tools(str(path))
    return str(path)


def _suite(tools: str, words: Sequence[str], only: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    if os.geteuid() != 0:
        pytest.skip("containers need root")
    for program in ("busybox", "ip"):
        if shutil.which(program) is None:
            pytest.skip(f"the suite needs {program}")
    command = [sys.executable, "-m", "conformance", "--runtime", shlex.join(words), "--json", "-"]
    done = subprocess.run(
        [*command, *(["--only", *only] if only else [])],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": f"{CHECKOUT}/tests", "OCIRUN_TEST_TOOLS": tools},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return {one["id"]: one for one in json.loads(done.stdout)["results"]}


@pytest.fixture(scope="session")
def suite(tools: str) -> Callable[..., dict[str, dict[str, Any]]]:
    """Runs the suite on a program; gives the results by id."""
    return functools.partial(_suite, tools)


@pytest.fixture(scope="session")
def ocirun(tools: str) -> dict[str, dict[str, Any]]:
    """The whole suite on ocirun, once."""
    return _suite(tools, [OCIRUN])
