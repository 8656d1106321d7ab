"""The few system calls that the harness needs and ``os`` of Python 3.11 does not have."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MS_SHARED = 0x100000
MNT_DETACH = 2
CLONE_NEWNS = 0x20000
CLONE_NEWUTS = 0x4000000
CLONE_NEWIPC = 0x8000000
CLONE_NEWNET = 0x40000000
PR_SET_CHILD_SUBREAPER = 36
SIOCSIFFLAGS = 0x8914
IFF_UP = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(what: str, result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """unshare(2)."""
    _checked("unshare", _libc.unshare(flags))


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2); empty texts are passed as they are, which the kernel takes for "none"."""
    result = _libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())
    _checked(f"mount {target}", result)


def umount(target: str, flags: int = 0) -> None:
    """umount2(2)."""
    _checked(f"umount {target}", _libc.umount2(target.encode(), flags))


def loopback_up() -> None:
    """Set the loopback device of our network namespace up, for whatever runs in this process later."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))


def become_subreaper() -> None:
    """Make orphans of our children our children, so that they are reaped at once and none is lost.

    The first process of a small machine may take seconds to reap one, and an
    unreaped process can keep a pid namespace alive.
    """
    zero = ctypes.c_ulong(0)
    _checked("prctl", _libc.prctl(PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), zero, zero, zero))
