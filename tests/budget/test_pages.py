"""The pages that a command is known to write to are asked for at once, when the preloaded interpreter goes on."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from .command import CHECKOUT, LAUNCHER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

PAGE = 4096


@pytest.fixture(autouse=True)
def preloaded(built: None) -> None:
    if not list(CHECKOUT.glob("build/cpython-*/_preload.*")):
        pytest.skip("this interpreter has no shared library")


def asked(where: Path, *words: str) -> tuple[int, list[str], str]:
    """How many pages a command asks for at once, in which calls, and the rest of its calls."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    output = where / "strace"
    subprocess.run(
        ["strace", "-e", "signal=none", "-o", str(output), str(LAUNCHER), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=60,
    )
    text = output.read_text(errors="replace")
    calls = re.findall(r"^madvise\(0x[0-9a-f]+, (\d+), (?:MADV_POPULATE_WRITE|0x17[^)]*)\) += 0$", text, re.MULTILINE)
    return sum(map(int, calls)) // PAGE, calls, text


def test_they_are_asked_for_before_anything_else(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    pages, calls, text = asked(tmp_path, "--root", str(tmp_path / "root"), "list")
    assert 0 < len(calls) < 256
    assert pages > 100, "no command gets along with less"
    lines = text.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("madvise("))
    assert lines[first - 1].startswith("set_robust_list("), "after what a thread has in the kernel"


def test_a_command_that_makes_a_process_asks_for_more(tmp_path: Path) -> None:
    few, _, _ = asked(tmp_path, "create", "--help")
    fewer, _, _ = asked(tmp_path, "state", "--help")
    assert 0 < fewer < few < 4 * fewer
