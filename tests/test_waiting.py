"""What waits ends, and says what it has waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import waiting

HANGS = """
import os, signal, threading
def test_hangs():
    if "GUARD" in os.environ:
        os.kill(os.getppid(), signal.SIGALRM)  # as the clock of timeout(1) does
    try:
        threading.Event().wait()
    except Exception:
        pass
def test_next():
    pass
"""
# As conftest.py does it for all tests, with less time.
SHORT = f"""
import sys
sys.path.insert(0, {str(Path(waiting.__file__).parent)!r})
import pytest, waiting
@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call():
    with waiting.ended_within(0.2):
        yield
"""


def pytest_on(where: Path, *words: str) -> list[str]:
    (where / "test_it.py").write_text(HANGS)
    (where / "pytest.ini").write_text("[pytest]\n")
    return [*words, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(where / "test_it.py")]


def test_what_comes_is_given() -> None:
    answers = iter(["", "", "here"])
    assert waiting.eventually(lambda: next(answers), "it", pause=0) == "here"


def test_what_does_not_come_is_named() -> None:
    with pytest.raises(AssertionError, match=r"^not within 0\.01 s: it is there$"):
        waiting.eventually(lambda: False, "it is there", 0.01 / waiting.PATIENCE)
    with pytest.raises(AssertionError, match=r"said late$"):
        waiting.eventually(lambda: False, lambda: "said late", 0)


def test_what_is_done_meanwhile_may_end_it() -> None:
    with pytest.raises(ZeroDivisionError):
        waiting.eventually(lambda: False, "it", meanwhile=lambda: 1 // 0)


def test_a_block_that_hangs_ends() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(waiting.TooLongError), waiting.ended_within(0.01):
        threading.Event().wait()
    assert signal.getsignal(signal.SIGALRM) is before


def test_a_test_that_hangs_is_named_and_the_next_one_runs(tmp_path: Path) -> None:
    command = pytest_on(tmp_path)
    (tmp_path / "conftest.py").write_text(SHORT)
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "1 failed, 1 passed" in result.stdout, result.stdout + result.stderr
    assert "TooLongError: not ended within" in result.stdout


def test_when_the_time_of_all_is_over_what_failed_is_told(tmp_path: Path) -> None:
    command = pytest_on(tmp_path, "env", f"PYTHONPATH={Path(waiting.__file__).parent}")
    (tmp_path / "test_it.py").write_text("def test_fails():\n    assert not 1\ndef test_next():\n    pass\n")
    result = subprocess.run(
        [*command, "-p", "conftest", "--stop-after", "0"], capture_output=True, text=True, timeout=120, check=False
    )
    assert "assert not 1" in result.stdout, result.stdout + result.stderr
    assert "--stop-after: 0 s are over, and not all tests have run" in result.stdout
    assert "1 failed" in result.stdout
    assert "passed" not in result.stdout
    assert result.returncode == pytest.ExitCode.TESTS_FAILED


def test_the_guard_of_ci_shows_where_it_hangs(tmp_path: Path) -> None:
    """timeout(1) starts a shell that becomes pytest."""
    words = (Path(__file__).parents[1] / ".ci" / "run").read_text().splitlines()[-1].split()
    guard = words[words.index("timeout") : words.index("sh")]
    result = subprocess.run(
        pytest_on(tmp_path, *guard, "sh", "-c", 'exec "$@"', "sh"),
        capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "GUARD": "1"},
        cwd=tmp_path,  # for what SIGABRT may write
    )  # fmt: skip
    assert "Fatal Python error: Aborted" in result.stderr
    assert "in test_hangs" in result.stderr
    assert result.returncode == 124
