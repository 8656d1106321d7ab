"""Small files of /proc, and their like: one system call each to open, read and close.

Python's file objects ask the kernel three more questions about each file, and a command reads several.
"""

from __future__ import annotations

import os

_PAGE = 4096


def read(path: str, size: int = _PAGE) -> bytes:
    """The first `size` bytes of a file.  Raises OSError.

    A file of /proc that is no longer than a page comes whole in one read(2).
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, size)
    finally:
        os.close(fd)


def text(path: str, size: int = _PAGE) -> str:
    """The same as text; "" for a file that cannot be read."""
    try:
        return read(path, size).decode("utf-8", "replace")
    except OSError:
        return ""
