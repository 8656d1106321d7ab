"""Ctrl-C at a program that has no handler for SIGINT: the third one ends it.  A terminal that was closed ends it too.

The first process of a pid namespace gets no signal that it has no handler for (pid_namespaces(7)), so without this a
person could not leave.
"""

from __future__ import annotations

import _signal
import os

from ..._base import procfile

_SIGHUP, _SIGINT, _SIGKILL = 1, 2, 9
_LAST = 3
_MORE = "\nocirun: the program has no handler for SIGINT; press Ctrl-C once more to kill it\n"
_DONE = "\nocirun: killing the program\n"


class Interrupts:
    """Counts the Ctrl-C of a person, and speaks to that person: on standard error, if it is a terminal.

    pidfd     of the program, or of the first process of a container
    has_init  that process is ocirun's own, and the program is its child
    """

    __slots__ = ("_count", "_has_init", "_pidfd")

    def __init__(self, pidfd: int, *, has_init: bool = False) -> None:
        self._pidfd = pidfd
        self._has_init = has_init
        self._count = 0

    def signalled(self) -> None:
        """Take a SIGINT that has come to this process, and was passed on."""
        if _of_a_person():
            self._pressed()

    def typed(self, data: bytes, master: int) -> None:
        """Take input that goes to the container's terminal, whose master is given."""
        if data.strip(b"\x03"):
            self._count = 0  # somebody works with it
        elif data and _interrupts(master, (self._pid(), self._program())):
            for _ in data:
                self._pressed()

    def _pressed(self) -> None:
        if self._handled():
            self._count = 0
            return
        self._count += 1
        if self._count == _LAST - 1:
            _tell(_MORE)
        elif self._count >= _LAST:
            _tell(_DONE)
            self._kill()

    def hung_up(self) -> None:
        """Do what SIGHUP of a closed terminal does by default, where the first process is kept from it."""
        pid = self._pid()
        if pid and not self._has_init and not _has(pid, ("SigCgt:", "SigIgn:", "SigBlk:"), _SIGHUP):
            self._kill()

    def _kill(self) -> None:
        try:
            _signal.pidfd_send_signal(self._pidfd, _SIGKILL)
        except ProcessLookupError:
            pass

    def _pid(self) -> int:
        """Return the number of the process, 0 where that cannot be told."""
        for line in procfile.text(f"/proc/self/fdinfo/{self._pidfd}").splitlines():
            if line.startswith("Pid:"):
                return max(0, int(line.split()[1]))
        return 0

    def _program(self) -> int:
        """Return the number of the program, 0 where that cannot be told."""
        pid = self._pid()
        if not (self._has_init and pid):
            return pid
        children = procfile.text(f"/proc/{pid}/task/{pid}/children").split()
        return int(children[0]) if children else 0

    def _handled(self) -> bool:
        """Return whether the program has a handler; a program of which nothing is known has one."""
        pid = self._program()
        return not pid or _has(pid, ("SigCgt:",), _SIGINT)


def _has(pid: int, sets: tuple[str, ...], number: int) -> bool:
    """Return whether a signal is in one of these sets of a process; it is, where nothing is known of that."""
    lines = [line.split() for line in procfile.text(f"/proc/{pid}/status").splitlines() if line.startswith(sets)]
    return not lines or any(int(mask, 16) >> (number - 1) & 1 for _, mask in lines)


def _of_a_person() -> bool:
    """Return whether this process is in the foreground of the terminal that its standard error is."""
    try:
        return os.tcgetpgrp(2) == os.getpgrp()
    except OSError:
        return False


def _interrupts(master: int, groups: tuple[int, int]) -> bool:
    """Return whether Ctrl-C there is a signal for one of these groups: a shell's jobs have groups of their own."""
    import termios

    try:
        settings = termios.tcgetattr(master)
        key: object = settings[6][termios.VINTR]
        return bool(settings[3] & termios.ISIG) and key == b"\x03" and os.tcgetpgrp(master) in groups
    except (OSError, termios.error):
        return False


def _tell(text: str) -> None:
    try:
        os.write(2, text.encode("ascii"))
    except OSError:
        pass
