"""Directories for what is not finished, and the removal of those whose process is gone.

SIGKILL, or the end of the host, leaves such a directory. Its process holds a lock on it (flock(2)), which the kernel
takes back whatever ends the process: so the next one tells what is left from what is being made.
"""

from __future__ import annotations

import os
from errno import EACCES, EEXIST, ELOOP, ENOENT, ENOTDIR

from ..errors import HostError, OcirunError
from ..files.removing import remove
from ..state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LETTERS, _DIGITS = "0123456789abcdef", 16
_TRIES = 16


class Place:
    """A directory with a random name, closed to others.

    name   what it is called in `parent`
    fd     its descriptor, which has the lock; -1 before `make` and after `close`
    """

    __slots__ = ("_parent", "fd", "name")

    def __init__(self, parent: int, prefix: str) -> None:
        self._parent = parent
        self.name = prefix + os.urandom(_DIGITS // 2).hex()
        self.fd = -1

    def make(self) -> None:
        """Make and lock it.  Raises OSError."""
        for _ in range(_TRIES):
            os.mkdir(self.name, 0o700, dir_fd=self._parent)
            try:
                self.fd = os.open(self.name, _DIRECTORY, dir_fd=self._parent)
            except FileNotFoundError:
                continue  # between the two somebody took it for one that is left
            if _locked(self.fd) and not store.is_removed(self.fd):
                return
            self.close()
            self.remove()
        raise OSError(EEXIST, "it is removed as often as it is made", self.name)

    def remove(self) -> None:
        """Remove it, if it has its name still.  Raises OSError."""
        try:
            remove(self._parent, self.name)
        except FileNotFoundError:
            pass

    def close(self) -> None:
        """Give the lock back."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def sweep(
    parent: int, prefix: str, above: str, *, warn: Callable[[str], None], used: Callable[[int], bool] | None = None
) -> None:
    """Remove the places of processes that are gone, as far as they are the caller's own.

    parent   the directory in which they are
    prefix   of their names
    above    path of `parent`, for messages
    warn     called with one line for each that cannot be removed
    used     tells, from the descriptor of one, if it is in use all the same
    Raises OSError where `parent` cannot be read.
    """
    for name in os.listdir(parent):
        if not name.startswith(prefix) or len(name) != len(prefix) + _DIGITS:
            continue
        if not set(name[len(prefix) :]) <= set(_LETTERS):
            continue
        try:
            _sweep_one(parent, name, used)
        except (OSError, OcirunError) as error:
            if error.errno == ENOENT:
                continue  # somebody else was quicker
            told = error if isinstance(error, OcirunError) else HostError.from_os("it cannot be removed", error)
            warn(f"{os.path.join(above, name)} is left of a command that was killed: {told.line()}")


def _sweep_one(parent: int, name: str, used: Callable[[int], bool] | None) -> None:
    try:
        fd = os.open(name, _DIRECTORY, dir_fd=parent)
    except OSError as error:
        if error.errno in (EACCES, ENOTDIR, ELOOP):
            return  # somebody else's, or something else
        raise
    try:
        if os.fstat(fd).st_uid == os.geteuid() and _locked(fd) and not (used is not None and used(fd)):
            remove(parent, name)
    finally:
        os.close(fd)


def _locked(fd: int) -> bool:
    """Lock it until the descriptor is closed; False if somebody else has."""
    import fcntl

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
