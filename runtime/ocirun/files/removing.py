"""Remove trees that others have written, by descriptors: as root, or as the owner of directories that are closed."""

from __future__ import annotations

import os

from ..state import store


def remove(parent: int, name: bytes | str) -> None:
    """Remove what has a name in a directory, with all that is in it.  Raises OSError."""
    try:
        os.unlink(name, dir_fd=parent)
    except IsADirectoryError:
        fd = _opened(name, parent)
        try:
            empty_directory(fd)
        finally:
            os.close(fd)
        os.rmdir(name, dir_fd=parent)


def empty_directory(fd: int) -> None:
    """Remove all that is in a directory.  Raises OSError."""
    # Who may not write to a directory may not move it, see rename(2).
    store.empty_directory(fd, store.open_directory if os.geteuid() == 0 else _opened)


def _opened(name: bytes | str, parent: int) -> int:
    """Open a directory, which its owner may read and change afterwards."""
    if os.geteuid() == 0:
        return store.open_directory(name, parent)
    held = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        path_of_fd = f"/proc/self/fd/{held}"
        os.chmod(path_of_fd, 0o700)
        return os.open(path_of_fd, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(held)
