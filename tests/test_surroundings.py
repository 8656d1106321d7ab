"""What the tests start begins as below a login shell, whoever has started the tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import surroundings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Normalises itself, then shows what a child of it has.
_PARENT = f"""
import subprocess, sys
sys.path.insert(0, {str(Path(surroundings.__file__).parent)!r})
import surroundings
surroundings.make_usual()
subprocess.run(["sh", "-c", sys.argv[1]], check=True)
"""


def child_says(script: str, before: Callable[[], object]) -> str:
    """The output of a child of a process that was started in an unusual way and has put things right."""
    command = [sys.executable, "-c", _PARENT, script]
    return subprocess.run(command, preexec_fn=before, stdout=subprocess.PIPE, text=True, check=True).stdout


def signals() -> None:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1})


def test_signals() -> None:
    said = child_says("grep -E '^Sig(Blk|Ign)' /proc/self/status", signals)
    assert said.split() == ["SigBlk:", "0" * 16, "SigIgn:", "0" * 16]


def test_an_ignored_signal_still_has_no_effect() -> None:
    """As `nohup` and a shell's `&` want: only what is started is not to know of it."""
    script = "kill -INT $PPID; kill -HUP $PPID; sleep 0.05; echo alive"
    assert child_says(script, signals) == "alive\n"


def test_umask() -> None:
    assert child_says("umask", lambda: os.umask(0o77)) == "0022\n"


def test_closed_streams() -> None:
    script = "for n in 0 2; do readlink /proc/self/fd/$n; done"
    assert child_says(script, lambda: [os.close(0), os.close(2)]) == "/dev/null\n" * 2


def test_directory_for_everybody(open_directory: Path) -> None:
    for directory in (open_directory, *open_directory.parents):
        assert directory.stat().st_mode & 0o005 == 0o005
