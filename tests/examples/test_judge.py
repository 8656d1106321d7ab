"""examples/judge.py: each verdict, and programs that mean harm."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .conftest import ENVIRONMENT, EXAMPLES, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

judge = load("judge").judge
CASES = [(b"1 2\n", b"3\n"), (b"20 22\n", b"42\n")]
GOOD = b"read -r a b; echo $((a + b))"


@pytest.mark.parametrize(
    ("program", "name", "case", "detail"),
    [
        (GOOD, "AC", 2, ""),
        (b"echo 3", "WA", 2, ""),
        (b"while :; do :; done", "TLE", 1, "cpu"),
        (b"sleep 100", "TLE", 1, "time"),
        (b"x=aaaaaaaa; while :; do x=$x$x; done", "MLE", 1, "memory"),
        (b"exit 3", "RE", 1, "done.exit_code=3"),
        (b"kill -SEGV $$", "RE", 1, "done.exit_code=None"),
        (b"while :; do echo 3333333333333333333333; done", "RE", 1, "output"),
        (b"cat /dev/zero >/fill", "RE", 1, "disk"),
    ],
)
def test_verdicts(rootfs: str, program: bytes, name: str, case: int, detail: str) -> None:
    assert judge(rootfs, "sh", program, CASES) == (name, case, detail)


def test_what_does_not_compile(rootfs: str) -> None:
    verdict = judge(rootfs, "sh", b"if fi", CASES)
    assert verdict[:2] == ("CE", 0)
    assert "syntax error" in verdict[2]


@pytest.mark.parametrize("other", ["ln -s /etc /work", "echo x >/work", "true"])
def test_a_compiler_that_leaves_something_else(rootfs: str, monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    """One that obeys its source, such as make: what was /work is bound into the runs, and must not lead to the host."""
    compiler = ["sh", "-c", f"cd /; rm -r /work; {other}"]
    monkeypatch.setitem(judge.__globals__["LANGUAGES"], "sh", ("main.sh", compiler, ["sh", "-c", "cat hostname"]))
    assert judge(rootfs, "sh", b"", CASES).name == "CE"


def test_a_fork_bomb(rootfs: str) -> None:
    assert judge(rootfs, "sh", b"b() { b | b & b; }; b", CASES).name in {"RE", "TLE", "MLE"}
    assert judge(rootfs, "sh", GOOD, CASES).name == "AC"


def test_a_run_sees_nothing_of_the_one_before(rootfs: str) -> None:
    program = b"[ -e /work/x -o -e /tmp/x ] && exit 1; echo >/tmp/x; echo >/work/x; " + GOOD
    assert judge(rootfs, "sh", program, CASES).name == "AC"
    assert judge(rootfs, "sh", b"echo 'echo 3' >/work/main.sh; " + GOOD, CASES).name == "AC"


def test_the_program(rootfs: str, tmp_path: Path) -> None:
    for number, (given, expected) in enumerate(CASES):
        (tmp_path / f"{number}.in").write_bytes(given)
        (tmp_path / f"{number}.out").write_bytes(expected)
    (tmp_path / "sum").write_bytes(GOOD)
    ran = subprocess.run(
        [sys.executable, EXAMPLES / "judge.py", rootfs, "sh", tmp_path / "sum", tmp_path],
        env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (ran.stdout, ran.stderr) == ("AC 2 \n", "")


def test_each_example_is_short() -> None:
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text().splitlines()) < 60, path
