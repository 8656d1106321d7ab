"""What the tests find and what they give on, wherever the checkout lies and however they were started."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

# Python itself ignores these, and subprocess gives them back to what it starts.
_PYTHONS = {signal.SIGPIPE, signal.SIGXFSZ}
# Everybody may go there, whatever TMPDIR says.
_OPEN = "/var/tmp"


def make_usual() -> None:
    """Let what this process starts begin as below a login shell: no signal ignored or blocked, umask 022, open streams.

    Only tests that say so start something with less. An ignored signal is caught from now on, and goes on having no
    effect here, as `nohup` and a shell's `&` want; but execve(2) makes a caught one a default one.
    """
    for number in signal.valid_signals() - _PYTHONS:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda number, frame: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0o022)
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free.
            assert os.open(os.devnull, os.O_RDWR) == number
            os.set_inheritable(number, True)


def open_directory() -> Path:
    """A new directory that every user can reach; the caller removes it."""
    made = Path(tempfile.mkdtemp(prefix="ocirun-tests-", dir=_OPEN))
    made.chmod(0o755)
    return made
