"""Where the config comes from: a file, or standard input."""

from __future__ import annotations

from .._base import jsonio
from ..config import load
from ..errors import HostError


def file(path: str, *, bundle: str) -> bytes:
    """Return the bytes of a regular file; `bundle` as of config.load.read.  Raises HostError, ConfigError."""
    return load.read(path, bundle=bundle)


def standard_input() -> bytes:
    """Return what is on standard input, one byte more than the limit at most.  Raises HostError."""
    try:
        return jsonio.contents(0)
    except OSError as error:
        raise HostError.from_os("read standard input", error, call="read") from None
