"""The programs of docs/callers.md run, as they stand there, each as a process of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

from .tour import END, PYTHON, ROOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

PAGE = (ROOT / "docs" / "callers.md").read_text(encoding="utf-8")
#: What each program says, in the order of the page.
SAID = ["True\n", "3\n", "[0, 1, 2]\n"]


def blocks() -> list[str]:
    return re.findall(rf"^{PYTHON}(.*?)^{END}", PAGE, re.DOTALL | re.MULTILINE)


def test_blocks_are_found() -> None:
    assert len(blocks()) == len(SAID)


@pytest.mark.parametrize("number", range(len(SAID)))
def test_programs(number: int, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    subprocess.run([sys.executable, str(ROOT / "bundles" / "make"), "hello"], check=True, capture_output=True)
    shutil.copytree(ROOT / "bundles" / "hello", tmp_path / "bundle", symlinks=True)
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", blocks()[number]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "runtime")},
        timeout=120,
        check=False,
    )
    assert (result.stdout, result.stderr) == (SAID[number], "")


def test_tests_that_are_named_are_there() -> None:
    named = re.findall(r"`(tests/[\w/.]+)`", PAGE)
    assert len(named) > 8 and all((ROOT / name).is_file() for name in named if name.endswith(".py"))
