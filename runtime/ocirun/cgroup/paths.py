"""Which directory of which hierarchy is the container's cgroup.  Pure: nothing is looked up here."""

from __future__ import annotations

from ..errors import ConfigError, HostError, Problem, StateDamagedError
from .settings.translation import UNIFIED as UNIFIED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..host.cgroups import Layout, Mount

POINTER = "/linux/cgroupsPath"
_NAME_MAX = 255
_PATH_MAX = 4095


class Group:
    """The container's cgroup in one hierarchy; a value.

    name         the first controller of the hierarchy, or "name=NAME": the key of this group
    controllers  all of them
    mount        where the hierarchy is mounted
    device       "MAJOR:MINOR" of its file system, to know it again; "" when unknown
    below        the group's path below the mount point, such as "a/b"; never with "..", and empty only for the one in
                 which a process is that has left the container's
    """

    __slots__ = ("below", "controllers", "device", "mount", "name")

    def __init__(self, controllers: tuple[str, ...], mount: str, device: str, below: str) -> None:
        self.name = controllers[0]
        self.controllers = controllers
        self.mount = mount
        self.device = device
        self.below = below

    @property
    def path(self) -> str:
        """The absolute path of the directory."""
        return f"{self.mount}/{self.below}" if self.below else self.mount

    def record(self) -> dict[str, Any]:
        """Return the group as plain values."""
        return {
            "controllers": list(self.controllers),
            "mount": self.mount,
            "device": self.device,
            "below": self.below,
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Group) and self.record() == other.record()

    def __hash__(self) -> int:
        return hash((self.mount, self.below))

    def __repr__(self) -> str:
        return f"Group({self.name!r}, {self.path!r})"


class Hierarchy:
    """What a container is shown of one hierarchy, for mounts of type ``cgroup``.

    name     name of the directory for it, that of the host's mount point: ``memory``, ``cpu,cpuacct``
    options  mount options that ask the kernel for this hierarchy
    path     the container's own directory on the host
    links    further names for the directory: each controller that is mounted with others
    """

    __slots__ = ("links", "name", "options", "path")

    def __init__(self, group: Group) -> None:
        self.name = group.mount.rstrip("/").rpartition("/")[2]
        self.options = group.controllers
        self.path = group.path
        self.links = tuple(name for name in group.controllers if name != self.name and "=" not in name)


def parts(cgroups_path: str, container_id: str) -> tuple[bool, list[str]]:
    """Return ``cgroupsPath`` as (is absolute, names of the directories).

    Unset or empty: the container's id, relative.  Raises ConfigError for a
    path that climbs, names nothing, or cannot be a cgroup: the kernel refuses
    newlines (cgroup_mkdir), since /proc/PID/cgroup could not be read any more.
    """
    text = cgroups_path or container_id
    if "\0" in text or "\n" in text:
        raise _refuse(text, "holds a NUL or a newline")
    names = [name for name in text.split("/") if name not in ("", ".")]
    if ".." in names:
        raise _refuse(text, "climbs with '..'", expected="a path without ..")
    if not names:
        raise _refuse(text, "is the root of the cgroup hierarchies, which holds everybody's processes")
    sizes = [len(name.encode("utf-8", "surrogateescape")) for name in names]
    if max(sizes) > _NAME_MAX or sum(sizes) + len(sizes) > _PATH_MAX // 2:
        raise _refuse(text, "is too long for a cgroup", expected="at most 255 bytes a name, 2047 in all")
    return text.startswith("/"), names


def groups(layout: Layout, *, cgroups_path: str, container_id: str, only_writable: bool = False) -> list[Group]:
    """Return the container's group in every v1 hierarchy that has a controller, and in systemd's own.

    An absolute path is relative to the mount points, any other to our own
    cgroup in each hierarchy, so that limits put on the runtime hold for the
    container too.
    only_writable   leave out hierarchies in which we may not make the group
    """
    absolute, names = parts(cgroups_path, container_id)
    found: list[Group] = []
    for mount in layout.hierarchies():
        name = mount.controllers[0]
        if name.startswith("name=") and name != "name=systemd":
            continue
        below = "/".join(names)
        if not absolute:
            own = layout.own_below(name)
            if own is None:
                if only_writable:
                    continue
                raise _lost(mount, layout.own.get(name, ""))
            below = f"{own}/{below}".lstrip("/")
        if not only_writable or layout.writable(name, below):
            found.append(Group(mount.controllers, mount.path, mount.device, below))
    return found


def beside(layout: Layout, *, cgroups_path: str, container_id: str, only_writable: bool = False) -> list[Group]:
    """Return the container's group in a v2 hierarchy that is there besides those of v1,
    where systemd and BPF programs look.

    None where that is read-only, or does not show our own group.
    only_writable   none where we may not put a process there
    """
    mount = layout.unified
    if layout.mode != "hybrid" or mount is None or mount.readonly:
        return []
    absolute, names = parts(cgroups_path, container_id)
    own = "" if absolute else layout.own_below("")
    if own is None:
        return []
    below = f"{own}/{'/'.join(names)}".lstrip("/")
    if only_writable and not layout.may_join(below):
        return []
    return [Group((UNIFIED,), mount.path, mount.device, below)]


def unified(layout: Layout, *, cgroups_path: str, container_id: str) -> str:
    """Return where the container's group is below the mount point of the v2 hierarchy.

    An absolute path is relative to the mount point, any other to the group
    above our own: ours has a process, us, and so can have no controllers for
    groups below ("no internal processes" of cgroup-v2.rst).
    """
    absolute, names = parts(cgroups_path, container_id)
    if absolute or layout.unified is None:
        return "/".join(names)
    own = layout.own_below("")
    if own is None:
        raise _lost(layout.unified, layout.own.get("", ""))
    return "/".join([*filter(None, own.split("/")[:-1]), *names])


_NO_NAMES = frozenset(("", ".", ".."))


def group_from_record(record: Any) -> Group:
    """Return a Group from what `Group.record` gave.
    Raises StateDamagedError where it could lead out of a hierarchy.
    """
    try:
        controllers, mount = record["controllers"], record["mount"]
        device, below = record["device"], record["below"]
        texts = "\0".join([*controllers, mount, device, below])
    except (TypeError, KeyError):
        raise _damaged(record) from None
    if not controllers or not device or texts.count("\0") != len(controllers) + 2:
        raise _damaged(record)
    if not mount.startswith("/") or ".." in mount.split("/") or not _NO_NAMES.isdisjoint(below.split("/")):
        raise _damaged(record)
    return Group(tuple(controllers), mount, device, below)


def owner_from_record(record: Any, names: set[str]) -> tuple[dict[str, int], str]:
    """Return (name of a group -> inode, mark) of a driver's record;
    of an older one none, and then the path alone tells.

    names   of the groups whose inodes must be known
    Raises StateDamagedError.
    """
    inodes, mark = record.get("inodes", {}), record.get("mark", "")
    good = isinstance(mark, str) and isinstance(inodes, dict) and all(type(one) is int for one in inodes.values())
    if not good or (inodes and names and set(inodes) != names):
        raise StateDamagedError("the saved state does not tell which cgroups are the container's")
    return inodes, mark


def _damaged(record: object) -> StateDamagedError:
    return StateDamagedError(f"the saved state names no usable cgroup: {str(record)[:200]!a}")


def _refuse(text: str, what: str, *, expected: str = "") -> ConfigError:
    shown = text if len(text) <= 80 else text[:80] + "..."
    return ConfigError([Problem(POINTER, f"{shown!a} {what}", expected=expected, found=text)])


def _lost(mount: Mount, own: str) -> HostError:
    return HostError(
        f"our own cgroup {own!a} is not visible at {mount.path}, so there is no place for a relative cgroupsPath",
        pointer=POINTER,
        remedy="give an absolute cgroupsPath",
    )
