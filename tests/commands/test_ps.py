"""The rows of ps that belong to a container, and how ps is run."""

from __future__ import annotations

import os
import shutil

import pytest

from ocirun.cli.commands.ps import rows, run_ps
from ocirun.errors import HostError, OcirunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

FULL = """\
UID        PID  PPID  C STIME TTY          TIME CMD
root         1     0  0 10:00 ?        00:00:01 /sbin/init
root        42     1  0 10:00 ?        00:00:00 sh -c 1 2 3

app       4242    42  0 10:00 ?        00:00:00 sleep 42
"""

needs_ps = pytest.mark.skipif(shutil.which("ps") is None, reason="no ps on this host")


def test_rows_are_chosen_by_pid() -> None:
    lines = FULL.split("\n")
    assert rows(FULL, [42, 4242]) == f"{lines[0]}\n{lines[2]}\n{lines[4]}\n"
    assert rows(FULL, [4242]) == f"{lines[0]}\n{lines[4]}\n"
    assert rows(FULL, []) == f"{lines[0]}\n"


def test_pid_as_the_only_column() -> None:
    assert rows("  PID\n    1\n   42\n", {42}) == "  PID\n   42\n"


@pytest.mark.parametrize("text", ["", "COMMAND\ninit\n", "PPID\n1\n"])
def test_no_column_of_pids(text: str) -> None:
    with pytest.raises(HostError, match="no column PID") as caught:
        rows(text, [1])
    assert "pid" in caught.value.remedy


@pytest.mark.parametrize("line", ["sh", "sh -c", "a -1"])
def test_free_text_before_the_pid(line: str) -> None:
    with pytest.raises(HostError, match="no number in its column PID"):
        rows(f"COMMAND PID\n{line}\n", [1])


@needs_ps
def test_ps_runs() -> None:
    own = os.getpid()
    assert str(own) in rows(run_ps(["-e", "-o", "pid,comm"]), [own])


@needs_ps
def test_ps_that_fails_is_quoted() -> None:
    with pytest.raises(OcirunError, match=r"ps ended with status 1: .*ption"):
        run_ps(["--no-such-option"])


def test_ps_gets_no_shell_and_no_ignored_signals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ps"
    program.write_text(
        '#!/bin/sh\nprintf "%s|" "$@"\nsed -n "s/^SigIgn:\\t//p" /proc/$$/status\ncat\n', encoding="ascii"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"relative:{tmp_path}:{os.environ['PATH']}")
    words, _, ignored = run_ps(["-o", "$(id)", "a b"]).rpartition("|")
    assert words == "-o|$(id)|a b"
    assert int(ignored, 16) & (1 << 12 | 1 << 24) == 0


def test_much_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ps"
    program.write_text("#!/bin/sh\nhead -c 300000 /dev/zero >&2\nhead -c 300000 /dev/zero\n", encoding="ascii")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert len(run_ps([])) == 300000


def test_host_without_ps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match=r"^ps cannot be run on this host$"):
        run_ps([])
