"""The layers below the one that a container writes to, seen as the overlay shows them."""

from __future__ import annotations

import os
from errno import ELOOP, ENODATA, ENOENT, ENOTDIR, ENOTSUP, EXDEV

from .below import DIRECTORY, opened

_FORMAT, _DIRECTORY, _CHARACTER = 0o170000, 0o040000, 0o020000


def is_whiteout(status: os.stat_result) -> bool:
    """Return whether an entry of a layer says that a name was removed."""
    return status.st_mode & _FORMAT == _CHARACTER and status.st_rdev == 0


def is_opaque(fd: int, attribute: str) -> bool:
    """Return whether a directory of a layer hides the one below it.  Raises OSError."""
    try:
        return os.getxattr(fd, attribute) == b"y"
    except OSError as error:
        if error.errno in (ENODATA, ENOTSUP):
            return False
        raise


class Layers:
    """Directories one over the other.

    fds      the topmost first; the last one is the root file system of the image
    opaque   the extended attribute of a directory that hides the one below
    """

    __slots__ = ("fds", "opaque")

    def __init__(self, fds: list[int], opaque: str) -> None:
        self.fds = fds
        self.opaque = opaque

    def directory(self, path: bytes) -> Merged:
        """Return a directory, which is empty where there is none.  Raises OSError."""
        if len(self.fds) == 1:
            return Merged(_opened(self.fds[0], path), self.opaque)
        found = Merged([os.dup(fd) for fd in self.fds], self.opaque)
        for name in path.split(b"/") if path else ():
            try:
                inner = found.directory(name)
            finally:
                found.close()
            found = inner
        return found


def _opened(fd: int, path: bytes) -> list[int]:
    try:
        return [opened(fd, path, DIRECTORY)]
    except OSError as error:
        if error.errno in (ENOENT, ENOTDIR, ELOOP, EXDEV):
            return []
        raise


class Merged:
    """One directory of all layers.  `close` is due."""

    __slots__ = ("_fds", "_opaque")

    def __init__(self, fds: list[int], opaque: str) -> None:
        self._fds = fds
        self._opaque = opaque

    def __bool__(self) -> bool:
        return bool(self._fds)

    def close(self) -> None:
        """Close its descriptors."""
        while self._fds:
            os.close(self._fds.pop())

    def status(self, name: bytes) -> os.stat_result | None:
        """Return what has a name, None for nothing.  Raises OSError."""
        for fd in self._fds:
            try:
                found = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                continue
            return None if is_whiteout(found) else found
        return None

    def names(self) -> list[bytes]:
        """Return the names of all that is there.  Raises OSError."""
        found = dict.fromkeys(os.fsencode(name) for fd in self._fds for name in os.listdir(fd))
        if len(self._fds) == 1:
            return [*found]
        return [name for name in found if self.status(name) is not None]

    def directory(self, name: bytes) -> Merged:
        """Return a directory in it.  Raises OSError."""
        inner = Merged([], self._opaque)
        try:
            for fd in self._fds:
                try:
                    found = os.stat(name, dir_fd=fd, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if found.st_mode & _FORMAT != _DIRECTORY:
                    break
                inner._fds += _opened(fd, name)
                if is_opaque(inner._fds[-1], self._opaque):
                    break
        except BaseException:
            inner.close()
            raise
        return inner
