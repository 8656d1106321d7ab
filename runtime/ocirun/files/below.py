"""Look up a path below a descriptor."""

from __future__ import annotations

import os

from .._native import lib
from ..errors import errno_words

_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH, _IN_ROOT = 1, 2, 4, 8, 16
#: openat2(2): no link on the way, no other mount.
STRICT = _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS | _NO_XDEV
#: openat2(2): links as a process finds them whose root the descriptor is, mounts too.
IN_ROOT = _IN_ROOT | _NO_MAGICLINKS
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
#: The longest path that the kernel takes.
PATH_MAX = 4095
_TRIES = 128
_EAGAIN = 11


def opened(fd: int, path: bytes, flags: int, *, resolve: int = STRICT, mode: int = 0) -> int:
    """Return a descriptor of what a path leads to, close-on-exec.

    path   from the descriptor's directory; b"" is that itself
    mode   of a file that is made
    Raises OSError.
    """
    found = -_EAGAIN
    for _ in range(_TRIES):
        found = lib.ocirun_openat2(fd, path or b".", flags, mode, resolve)
        # EAGAIN: something was renamed on the way, and the kernel cannot say that it did not lead outside.
        if found != -_EAGAIN:
            break
    if found < 0:
        raise OSError(-found, errno_words(-found), *([os.fsdecode(path)] if path else []))
    return found
