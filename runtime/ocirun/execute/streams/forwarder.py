"""Signals of a foreground run, read from a pipe and passed on to the container.

Only `run` in the foreground uses this: it owns the process.
"""

from __future__ import annotations

import _signal
import os

from ..._native import ffi, lib

# 32 and 33 belong to the C library.
_ALL = (1 << 64) - 1 & ~(1 << 31 | 1 << 32)
_SIGCHLD, _SIGWINCH = 17, 28


class Forwarder:
    """Catches every signal that can be passed on; ones that came while nobody looked wait in the pipe."""

    __slots__ = ("_before", "_write", "fd")

    def __init__(self, kept: frozenset[int]) -> None:
        self.fd, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        which = _ALL
        for number in kept - {_SIGCHLD, _SIGWINCH}:
            which &= ~(1 << number - 1)
        # In C, as sixty calls of the interpreter's take longer than what they do.
        self._before = ffi.new("char[]", lib.ocirun_taken_size())
        lib.ocirun_take_signals(self._write, which, self._before)

    def take(self) -> list[int]:
        """Return the numbers of the signals that came since the last call, each as often as it came."""
        try:
            return [number for number in os.read(self.fd, 65536) if number != _SIGCHLD]
        except BlockingIOError:
            return []

    def peek(self) -> list[int]:
        """Return the same as `take`, but they stay."""
        numbers = self.take()
        if numbers:
            os.write(self._write, bytes(numbers))
        return numbers

    @staticmethod
    def forward(pidfd: int, number: int) -> None:
        """Send a signal on; a process that has just ended is no error."""
        try:
            _signal.pidfd_send_signal(pidfd, number)
        except OSError:
            pass

    def close(self) -> None:
        """Put the old handlers back."""
        lib.ocirun_give_signals_back(self._before)
        os.close(self.fd)
        os.close(self._write)
