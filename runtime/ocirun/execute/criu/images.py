"""The directory of a checkpoint: CRIU's files, and two of ours that say what of the host they lean on.

descriptors.json   what standard input, output and error were, as runc keeps it
ocirun.json        the mounts of the container that are the host's, see `external_mounts`
"""

from __future__ import annotations

import os

from ..._base import jsonio, procfile
from ...errors import HostError, option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..mounts.mountinfo import Mount

DESCRIPTORS = "descriptors.json"
MOUNTS = "ocirun.json"
_INVENTORY = "inventory.img"
_LIMIT = 1 << 20

# CRIU makes these itself, also where the container has them in common with the host.
_OWN = ("proc", "sysfs", "mqueue")


def open_directory(path: str, *, create: bool) -> int:
    """Return a directory of images or of logs.  Raises HostError; one that anybody may write to is refused.

    CRIU follows links in it, and its images are as good as the processes.
    """
    parent, name = os.path.split(path.rstrip("/"))
    how = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    above = -1
    try:
        above = os.open(parent or "/", how)
        if create:
            try:
                os.mkdir(name, 0o700, dir_fd=above)
            except FileExistsError:
                pass
        fd = os.open(name or ".", how, dir_fd=above)
    except OSError as error:
        raise HostError.from_os(path, error, call="open") from None
    finally:
        if above >= 0:
            os.close(above)
    status = os.fstat(fd)
    if status.st_mode & 0o002 or status.st_uid not in (0, os.geteuid()):
        os.close(fd)
        raise HostError(
            f"{path}: belongs to uid {status.st_uid} with mode {status.st_mode & 0o7777:04o}",
            remedy="it must be a directory of the caller's that others cannot write to",
        )
    return fd


def let_in(directory: int, data: dict[str, Any]) -> None:
    """Let the root of the container's user namespace look for names in a directory of images; OSError as it comes.

    CRIU opens some images as that one.  By the group, as the images themselves can be read by everybody who
    gets to them.
    """
    gid = _mapped_root(data)
    if gid >= 0 and not os.fstat(directory).st_mode & 0o011:
        os.fchown(directory, -1, gid)
        os.fchmod(directory, 0o710)


def check_way_in(directory: int, path: str, data: dict[str, Any]) -> None:
    """Raise HostError where `let_in` has not been, or somewhere else."""
    gid = _mapped_root(data)
    status = os.fstat(directory)
    if gid < 0 or status.st_mode & 0o001 or (status.st_gid == gid and status.st_mode & 0o010):
        return
    raise HostError(
        f"{path}: the root of the user namespace cannot look for images in it, and CRIU opens some as that one",
        remedy=f"chgrp {gid} and chmod g+x the directory",
    )


def _mapped_root(data: dict[str, Any]) -> int:
    """Return the host's number of group 0 in the container's new user namespace; -1 without one."""
    for entry in (data.get("linux") or {}).get("gidMappings") or ():
        if entry["containerID"] == 0:
            return int(entry["hostID"])
    return -1


def check_images(directory: int, path: str) -> None:
    """Raise HostError for a directory without a checkpoint."""
    try:
        os.stat(_INVENTORY, dir_fd=directory)
    except FileNotFoundError:
        raise HostError(
            f"{path}: holds no checkpoint: {_INVENTORY} is missing", remedy=f"see {option('image-path')}"
        ) from None
    except OSError as error:
        raise HostError.from_os(f"{path}/{_INVENTORY}", error, call="stat") from None


def save(directory: int, name: str, value: Any) -> None:
    """Write one of our files; OSError as it comes."""
    from ...state import store

    store.write_file(directory, name, jsonio.dumps(value).encode())


def read_image(directory: int, name: str) -> Any:
    """Return one of our files; None without it, or if it is none.  Whoever uses it looks at each value."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError as error:
        return procfile.unanswered(error, name, None)
    try:
        return jsonio.loads(os.read(fd, _LIMIT))
    except OSError as error:
        raise HostError.from_os(f"read {name}", error, call="read") from None
    except jsonio.JsonError:
        return None
    finally:
        os.close(fd)


def external_mounts(inside: list[Mount], host: list[Mount], groups: list[tuple[str, str]]) -> list[dict[str, str]]:
    """Return the mounts of a container that show what is the host's, and where on the host that is.

    inside, host   as the container's init and as we see them
    groups         (name, path) of the container's cgroups
    Returns the mount point inside, the path on the host ("" if it has none), the name of the cgroup that it shows, or
    "", and "yes" for a device that the runtime has made, whose file system is mounted nowhere.
    """
    root = next((mount for mount in reversed(inside) if mount.point == "/"), None)
    devices = {mount.device for mount in host}
    found = []
    whole = {mount.device for mount in inside if mount.root == "/"}
    for mount in inside:
        if mount.fstype == "tmpfs" and mount.device not in devices | whole:
            found.append({"mountpoint": mount.point, "source": "", "cgroup": "", "node": "yes"})
        if mount.point == "/" or mount.device not in devices:
            continue
        if mount.fstype in _OWN and mount.root == "/":
            continue
        if root is not None and mount.device == root.device and _below(mount.root, root.root):
            continue  # a part of the root file system, bound to itself
        source = _path_on_host(mount, host)
        group = next((name for name, path in groups if source and source == path), "")
        found.append({"mountpoint": mount.point, "source": source, "cgroup": group, "node": ""})
    return found


def _below(path: str, top: str) -> bool:
    return path == top or path.startswith(top.rstrip("/") + "/")


def _path_on_host(mount: Mount, host: list[Mount]) -> str:
    for other in reversed(host):
        if other.device == mount.device and _below(mount.root, other.root):
            rest = mount.root[len(other.root.rstrip("/")) :]
            return other.point.rstrip("/") + rest if rest not in ("", "/") else other.point
    return ""
