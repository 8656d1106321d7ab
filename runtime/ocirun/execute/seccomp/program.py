"""A seccomp filter in the form that the kernel takes."""

from __future__ import annotations


class Program:
    """A compiled filter.

    code      the instructions
    unknown   names of system calls that the library does not know, which have been left out
    """

    __slots__ = ("code", "unknown")

    def __init__(self, code: bytes, unknown: list[str]) -> None:
        self.code = code
        self.unknown = unknown
