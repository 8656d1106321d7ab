"""Small files of /proc, and their like: one system call each to open, read and close.

Python's file objects ask the kernel three more questions about each file, and a command reads several.

An errno is looked at here before it becomes a fact: only some say that a thing is not there.  Out of memory or of
descriptors says nothing of it, and is an error.
"""

from __future__ import annotations

import os
from errno import EACCES, EINVAL, EIO, EISDIR, ELOOP, ENODATA, ENODEV, ENOENT, ENOTDIR, ENXIO, EOPNOTSUPP, EPERM, ESRCH

from ..errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")

_PAGE = 4096

# There is no such file, process or group (any more).
GONE = (ENOENT, ESRCH, ENODEV, ENOTDIR)
# There, and without an answer for us.
_SILENT = (EPERM, EIO, ENXIO, EACCES, EISDIR, EINVAL, ELOOP, ENODATA, EOPNOTSUPP)


def open_into(held: list[int], path: str, flags: int = 0) -> None:
    """Open a file for reading, and add its descriptor to `held`.  Raises OSError.

    In one step of the interpreter: between two, a signal handler may raise, and what has no name yet is lost.
    """
    held.extend(map(os.open, (path,), (os.O_RDONLY | os.O_CLOEXEC | flags,)))


def read(path: str, size: int = _PAGE) -> bytes:
    """Return the first `size` bytes of a file.  Raises OSError.

    A file of /proc that is no longer than a page comes whole in one read(2).
    """
    held: list[int] = []
    try:
        open_into(held, path)
        return os.read(held[0], size)
    finally:
        for fd in held:
            os.close(fd)


def text(path: str, size: int = _PAGE) -> str:
    """Return the same as text; "" for a file that is not there or has no answer for us.  Raises HostError.

    size   more than a page is read to the end, as files with many lines come in parts; a file that is longer than
           that is an error, as half of it would be taken for the whole
    """
    try:
        return (read(path) if size <= _PAGE else _all(path, size)).decode("utf-8", "replace")[:size]
    except OSError as error:
        return unanswered(error, path, "")


def _all(path: str, size: int) -> bytes:
    held: list[int] = []
    try:
        open_into(held, path)
        parts = []
        left = size + 1
        while left > 0 and (part := os.read(held[0], left)):
            parts.append(part)
            left -= len(part)
        if left <= 0:
            raise HostError(f"{path}: is longer than {size} bytes, the most that is read of it")
        return b"".join(parts)
    finally:
        for fd in held:
            os.close(fd)


def stat_or_close(fd: int) -> os.stat_result:
    """Return what fstat(2) says of a descriptor that was just opened; where it fails, close that.  Raises OSError."""
    try:
        return os.fstat(fd)
    except OSError:
        os.close(fd)
        raise


def names(path: str) -> list[str]:
    """Return the names in a directory, sorted; none where there is no directory for us.  Raises HostError."""
    try:
        return sorted(os.listdir(path))
    except OSError as error:
        return unanswered(error, path, [])


def directories(path: str) -> list[str]:
    """Return the paths of the directories in one, sorted; none where there is no directory for us.
    Raises HostError.
    """
    try:
        with os.scandir(path) as entries:
            return sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError as error:
        return unanswered(error, path, [])


def exists(path: str) -> bool:
    """Return whether there is such a file.  Raises HostError where that cannot be told."""
    try:
        os.stat(path)
    except OSError as error:
        if error.errno in GONE:
            return False
        raise HostError.from_os(path, error, call="stat") from None
    return True


def unanswered(error: OSError, what: str, otherwise: T) -> T:
    """Return `otherwise` where an error says that there is no answer for us.  Raises HostError for any other."""
    if error.errno in GONE or error.errno in _SILENT:
        return otherwise
    raise HostError.from_os(f"read {what}", error, call="read") from None
