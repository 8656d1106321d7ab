"""Cheap facts about this host and this process, read when asked."""

from __future__ import annotations

import os
from errno import ENOENT, ENOTDIR

from .._base import procfile
from .._base.rights import own_capabilities as own_capabilities
from .._base.rights import privileged as privileged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .cgroups import Layout
    from .users import Caller

CAP_SETGID = 6


def last_capability() -> int:
    """Return the highest capability number of the kernel (Linux 3.2: /proc/sys/kernel/cap_last_cap)."""
    text = procfile.text("/proc/sys/kernel/cap_last_cap").strip()
    return int(text) if text.isdigit() else 40  # CAP_CHECKPOINT_RESTORE, Linux 5.9: below our kernel floor


# What may change of this process and of its view of the host.
_SEEN = ("/proc/self/status", "/proc/self/uid_map", "/proc/self/cgroup", "/proc/self/mountinfo")
_SEEN_SIZE = 1 << 18


def seen(path: str) -> list[object] | None:
    """Return what the facts are read from, and a file beside, as plain values: where they are equal, so are the facts.

    In one call without the interpreter, which beside busy threads is waited for after each.
    path   the file, whose bytes come first
    Returns None where something cannot be read whole; that is told by whoever reads the facts.
    """
    from .._native import ffi, lib

    paths = [path, *_SEEN]
    buffer, lengths = ffi.new_allocator(should_clear_after_alloc=False)("char[]", _SEEN_SIZE), ffi.new("int64_t[5]")
    lib.ocirun_read_files(os.fsencode("\0".join(paths)), len(paths), buffer, _SEEN_SIZE, lengths)
    texts, at = [], 0
    for length in lengths:
        if length < 0:
            return None
        texts.append(bytes(ffi.buffer(buffer + at, length)))
        at += length
    if at == _SEEN_SIZE:
        return None
    # The rest of the status changes all the time.
    rights = [line for line in texts[1].split(b"\n") if line.startswith((b"CapPrm:", b"CapBnd:", b"Uid:"))]
    return [texts[0], rights, *texts[2:], environment(), hard_limits()]


def may_search(path: str, uid: int, gid: int) -> bool:
    """Return whether a user without capabilities may search the directories above `path`, as far as their modes tell.

    True where one is missing, which whoever uses the path says. False where nobody knows: with the caller's own
    rights no right is wanting.
    """
    above = set()
    for way in {path, os.path.realpath(path)}:
        while (way := os.path.dirname(way)) not in above:
            above.add(way)
    try:
        return all(_searches(os.stat(directory), uid, gid) for directory in above)
    except OSError as error:
        return error.errno in (ENOENT, ENOTDIR)


def _searches(directory: os.stat_result, uid: int, gid: int) -> bool:
    """Decide by the class that the user is in, as the kernel does."""
    bit = 0o100 if directory.st_uid == uid else 0o010 if directory.st_gid == gid else 0o001
    return bool(directory.st_mode & bit)


def hard_limits() -> dict[int, int]:
    """Return the hard resource limits of this process by number (getrlimit(2)), infinity as 2**64 - 1."""
    import resource

    limits = {}
    for number in range(16):
        hard = resource.getrlimit(number)[1]
        limits[number] = hard if hard >= 0 else 2**64 - 1
    return limits


def seccomp_flags() -> int:
    """Return the flags of seccomp(2) that the kernel knows, as a mask;
    -1 without filters, or where we may not use them.
    """
    from .._native import lib

    if lib.ocirun_seccomp_flag(0) != 1:
        return -1
    mask = 0
    for bit in range(6):
        # WAIT_KILLABLE_RECV, the last one, is only known together with NEW_LISTENER.
        if lib.ocirun_seccomp_flag(1 << bit | (8 if bit == 5 else 0)) == 1:
            mask |= 1 << bit
    return mask


def tree_namespace() -> bool:
    """Return whether open_tree(2) makes a mount namespace of one tree alone (OPEN_TREE_NAMESPACE, Linux 7.0)."""
    from .._native import lib

    return bool(lib.ocirun_knows_tree_namespace())


def has_keyrings() -> bool:
    """Return whether the kernel has the key retention service."""
    return procfile.exists("/proc/keys")


def apparmor_file() -> str:
    """Return the file below /proc/PID that takes an AppArmor profile, "" where AppArmor is off."""
    from . import security

    return security.apparmor_file()


def selinux() -> bool:
    """Return whether SELinux is on."""
    from . import security

    return security.selinux()


def resctrl_mount() -> str:
    """Return where resctrl is mounted, or ""."""
    from . import resctrl

    return resctrl.mount_point()


def caller() -> Caller:
    """Return the facts about a caller that is not root of the host."""
    from . import users

    return users.caller()


def environment() -> tuple[str, ...]:
    """Return the environment of this process as ``KEY=value``, undecodable bytes as surrogates."""
    return tuple(os.fsdecode(key + b"=" + value) for key, value in os.environb.items())


def cgroup_layout() -> Layout:
    """Return the cgroup hierarchies of this host."""
    from .cgroups import read_layout

    return read_layout()
