"""Descriptors for the way back: a creation that runs out of them must still be able to undo what it has done."""

from __future__ import annotations

import os

from ..errors import HostError

# Removing a state directory or a cgroup takes four at a time, a module that words an error two. What is held for the
# plan is given back before that.
_COUNT = 5


class Reserve:
    """A few descriptors of nothing, held from before the first effect, and closed when something fails."""

    __slots__ = ("_fds",)

    def __init__(self) -> None:
        self._fds: list[int] = []

    def fill(self) -> None:
        """Take them.  Raises HostError where there are not so many."""
        try:
            self._fds.append(os.open("/", os.O_PATH | os.O_CLOEXEC))
            while len(self._fds) < _COUNT:
                self._fds.append(os.dup(self._fds[0]))
        except OSError as error:
            self.free()
            raise HostError.from_os(
                f"{_COUNT} descriptors for the case that something fails",
                error,
                call="dup",
                remedy="raise the limit on open files, see `ulimit -n`",
            ) from None

    def free(self) -> None:
        """Give them back; again is no error."""
        while self._fds:
            os.close(self._fds.pop())
