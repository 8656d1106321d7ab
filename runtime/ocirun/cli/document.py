"""A document that an option or an argument names: a file, or standard input."""

from __future__ import annotations

import os

from ocirun._base import jsonio
from ocirun.errors import HostError, UsageError


def read_document(path: str, name: str) -> bytes:
    """Return all of a file of any kind; - is standard input.

    name   of the option or argument, for messages
    Raises HostError, UsageError.
    """
    fd = 0
    try:
        if path != "-":
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            raw = jsonio.contents(fd)
        finally:
            if fd:
                os.close(fd)
    except ValueError:
        raise UsageError(f"{name}: the path holds a NUL character") from None
    except OSError as error:
        raise HostError.from_os(f"read {path}", error, call="read") from None
    if len(raw) > jsonio.SIZE_LIMIT:
        raise UsageError(f"{name}: {path} has more than {jsonio.SIZE_LIMIT >> 20} MiB")
    return raw
