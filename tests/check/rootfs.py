"""Root file systems with programs that are only headers: enough to be looked at."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MACHINES = {"x86_64": 62, "aarch64": 183}
HERE = MACHINES[os.uname().machine]
ELSEWHERE = {62: 183, 183: 62}[HERE]


def elf(machine: int = HERE, loader: str = "", *, wide: bool = True) -> bytes:
    """The first bytes of a program, elf(5): little-endian, with a loader if one is given."""
    path = loader.encode() + b"\0" if loader else b""
    size, entry = (64, 56) if wide else (52, 32)
    ident = b"\x7fELF" + bytes((2 if wide else 1, 1, 1)) + bytes(9)
    words = "<HHIQQQIHHHHHH" if wide else "<HHIIIIIHHHHHH"
    head = ident + struct.pack(words, 2, machine, 1, 0, size, 0, 0, size, entry, 1 if loader else 0, 0, 0, 0)
    if not loader:
        return head.ljust(64, b"\0")
    at = size + entry
    if wide:
        return head + struct.pack("<IIQQQQQQ", 3, 4, at, 0, 0, len(path), len(path), 1) + path
    return head + struct.pack("<IIIIIIII", 3, at, 0, 0, len(path), len(path), 4, 1) + path


def make(rootfs: Path) -> Path:
    """A root file system with /bin/true."""
    (rootfs / "bin").mkdir(parents=True, exist_ok=True)
    put(rootfs / "bin" / "true", elf())
    return rootfs


def put(path: Path, content: bytes, mode: int = 0o755) -> None:
    """A file with a mode, and the directories above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
