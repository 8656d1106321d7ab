"""The devices of a container in a user namespace: made outside of it, where no path leads to them."""

from __future__ import annotations

import os
from errno import EPERM

from ..._native import lib
from ...errors import HostError
from ...plan.constants import MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID
from ..spawn import checked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_WHAT = "a tmpfs for devices"


def make_nodes(pid: int, nodes: list[list[Any]], context: str | None) -> int:
    """Return a descriptor of a mount with a node named by its number for each of `nodes`.

    pid    a process in the user namespace whose ids are meant
    nodes  pointer, path, mode with type, major, minor, uid and gid of each
    Raises HostError.
    """
    attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC
    mount = checked(lib.ocirun_tmpfs(attributes, os.fsencode(context or "")), _WHAT, "fsmount")
    try:
        users, groups = _map(pid, "uid_map"), _map(pid, "gid_map")
        for number, (pointer, path, mode, major, minor, uid, gid) in enumerate(nodes):
            owner = _outside(users, uid, "uid", path, pointer), _outside(groups, gid, "gid", path, pointer)
            _node(mount, str(number), mode, os.makedev(major, minor), owner, path, pointer)
    except BaseException:
        os.close(mount)
        raise
    return mount


def _node(mount: int, name: str, mode: int, device: int, owner: tuple[int, int], path: str, pointer: str) -> None:
    call = "mknodat"
    try:
        os.mknod(name, mode, device, dir_fd=mount)
        call = "fchownat"
        os.chown(name, *owner, dir_fd=mount, follow_symlinks=False)
        call = "fchmodat"
        os.chmod(name, mode & 0o7777, dir_fd=mount)  # whatever the umask is
    except OSError as error:
        remedy = "the runtime must be allowed to make this device: CAP_MKNOD, and its own device cgroup"
        remedy = remedy if error.errno == EPERM else ""
        raise HostError.from_os(f"make the device {path}", error, call=call, pointer=pointer, remedy=remedy) from None


def _map(pid: int, name: str) -> list[tuple[int, int, int]]:
    with open(f"/proc/{pid}/{name}", encoding="ascii") as file:
        lines = [line.split() for line in file]
    return [(int(inside), int(outside), int(size)) for inside, outside, size in lines]


def _outside(lines: list[tuple[int, int, int]], number: int, key: str, path: str, pointer: str) -> int:
    """Return the id on the host for one in the container."""
    for inside, outside, size in lines:
        if inside <= number < inside + size:
            return outside + number - inside
    raise HostError(
        f"make the device {path}: {key} {number} is not mapped in the user namespace",
        pointer=f"{pointer}/{key}" if pointer else "",
        remedy=f"leave {key} out, or map the id",
    )
