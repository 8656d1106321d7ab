"""Signals of a foreground run, read from a pipe and passed on to the container.

Only `run` in the foreground uses this: it owns the process.
"""

from __future__ import annotations

import _signal
import os

_LAST = 64


class Forwarder:
    """Catches every signal that can be passed on; ones that came while nobody looked wait in the pipe."""

    __slots__ = ("_old", "_old_wakeup", "_write", "fd")

    def __init__(self, kept: frozenset[int]) -> None:
        self.fd, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._old: dict[int, object] = {}
        # The numbers arrive in the pipe; the handler itself has nothing to do.
        self._old_wakeup = _signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in range(1, _LAST + 1):
            if number in (32, 33) or (number in kept and number not in (17, 28)):
                continue  # 32 and 33 belong to the C library
            try:
                self._old[number] = _signal.signal(number, _ignore)
            except (OSError, ValueError):
                continue

    def take(self) -> list[int]:
        """Return the numbers of the signals that came since the last call, each as often as it came."""
        try:
            return [number for number in os.read(self.fd, 65536) if number != 17]
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
        _signal.set_wakeup_fd(self._old_wakeup)
        for number, handler in self._old.items():
            if handler is not None:
                _signal.signal(number, handler)
        self._old.clear()
        os.close(self.fd)
        os.close(self._write)


def _ignore(number: int, frame: object) -> None:
    """Do nothing: the wake-up descriptor has taken the number already."""
