"""Mounts of a container that has no mount namespace of its own: they are the host's, and ours to take off."""

from __future__ import annotations

import os

from ..._native import lib
from ...errors import HostError, errno_words
from . import mountinfo

_MNT_DETACH = 2
_UMOUNT_NOFOLLOW = 8
# ENOENT, EINVAL: it went with one that was taken off before it.
_NO_MOUNT = (2, 22)


def below(rootfs: str) -> list[tuple[int, str]]:
    """Return (mount id, mount point) of all mounts below a directory of this mount namespace, oldest first."""
    prefix = os.path.realpath(rootfs) + "/"
    return [(mount.number, mount.point) for mount in mountinfo.mounts() if mount.point.startswith(prefix)]


def ids_below(rootfs: str) -> list[int]:
    """Return the ids of the mounts below a directory."""
    return [mount_id for mount_id, _ in below(rootfs)]


def remove(rootfs: str, keep: list[int]) -> None:
    """Take off every mount below `rootfs` that is not in `keep`, newest first.  Raises HostError."""
    for mount_id, point in reversed(below(rootfs)):
        if mount_id not in keep:
            result = lib.ocirun_umount(os.fsencode(point), _MNT_DETACH | _UMOUNT_NOFOLLOW)
            if result < 0 and -result not in _NO_MOUNT:
                what = f"unmount {point}: {errno_words(-result)}"
                raise HostError(what, call="umount2", errno=-result)
