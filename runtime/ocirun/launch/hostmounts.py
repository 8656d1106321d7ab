"""Mounts of a container that has no mount namespace of its own: they are the host's, and ours to take off."""

from __future__ import annotations

import os

from .._native import lib

_MNT_DETACH = 2
_UMOUNT_NOFOLLOW = 8


def below(rootfs: str) -> list[tuple[int, str]]:
    """(mount id, mount point) of all mounts below a directory of this mount namespace, oldest first."""
    prefix = os.fsencode(os.path.realpath(rootfs)) + b"/"
    found = []
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            fields = line.split(b" ", 5)
            point = fields[4].replace(b"\\040", b" ").replace(b"\\011", b"\t").replace(b"\\012", b"\n")
            point = point.replace(b"\\134", b"\\")
            if point.startswith(prefix):
                found.append((int(fields[0]), os.fsdecode(point)))
    return found


def ids_below(rootfs: str) -> list[int]:
    """The ids of the mounts below a directory."""
    return [mount_id for mount_id, _ in below(rootfs)]


def remove(rootfs: str, keep: list[int]) -> None:
    """Take off every mount below `rootfs` that is not in `keep`, newest first."""
    for mount_id, point in reversed(below(rootfs)):
        if mount_id not in keep:
            lib.ocirun_umount(os.fsencode(point), _MNT_DETACH | _UMOUNT_NOFOLLOW)
