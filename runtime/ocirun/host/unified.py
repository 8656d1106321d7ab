"""Facts about the cgroup v2 hierarchy of this host: what a group at some place could have, and whether we may make it.

Source: Documentation/admin-guide/cgroup-v2.rst of the kernel, "Organizing
Processes and Threads", "Controlling Controllers" and "Delegation".
"""

from __future__ import annotations

import os

from .._base import procfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .cgroups import Layout

_SIZE = 1 << 16  # bytes of a file; none of these is longer
_DELEGATE = "/sys/kernel/cgroup/delegate"
# For a kernel without that file (before 4.15), says config-linux.md of the runtime specification.
_DELEGATED = ("cgroup.procs", "cgroup.subtree_control", "cgroup.threads")


class Reach:
    """What a new group can have.

    controllers   in the order of the kernel
    enable        (absolute path of a group above, controllers to switch on there for those below), from the top
    """

    __slots__ = ("controllers", "enable")

    def __init__(self, controllers: list[str], enable: list[tuple[str, list[str]]]) -> None:
        self.controllers = controllers
        self.enable = enable


class Groups:
    """What can be asked about the groups of a hierarchy, each by its absolute path."""

    def exists(self, path: str) -> bool:
        """Return whether there is such a group."""
        return _exists(path)

    def controllers(self, path: str) -> list[str]:
        """Return what could be switched on there for the groups below, in the order of the kernel."""
        return _words(f"{path}/cgroup.controllers")

    def enabled(self, path: str) -> list[str]:
        """Return what is switched on there for the groups below."""
        return _words(f"{path}/cgroup.subtree_control")

    def may_enable(self, path: str) -> bool:
        """Return whether we may switch more on."""
        return _may_enable(path)

    def may_make(self, path: str) -> bool:
        """Return whether we may make groups there."""
        return _access(path, os.W_OK | os.X_OK)

    def may_move(self, path: str) -> bool:
        """Return whether we may move processes between the groups below."""
        return _access(f"{path}/cgroup.procs", os.W_OK)


HERE = Groups()


def reach(top: str, below: str, groups: Groups = HERE) -> Reach:
    """Return the controllers for the group `below` the mount point `top`, and what must be done for them.

    A group above that is not ours to change, or that holds processes ("no
    internal processes"), gives what is switched on in it already.
    """
    path = top
    enable: list[tuple[str, list[str]]] = []
    have = groups.controllers(path)
    names = below.split("/")
    for index, name in enumerate(names):
        if index and not groups.exists(path):
            rest = [f"{top}/{'/'.join(names[:end])}" for end in range(index, len(names))]
            return Reach(have, enable + [(level, have) for level in rest if have])
        on = groups.enabled(path)
        missing = [controller for controller in have if controller not in on]
        if missing and groups.may_enable(path):
            enable.append((path, missing))
        else:
            have = [controller for controller in have if controller in on]
        path = f"{path}/{name}"
    return Reach(have, enable)


def may_join(layout: Layout, below: str, groups: Groups = HERE) -> bool:
    """Return whether we may make the group and move processes from our own group there.

    For that the kernel wants write access to ``cgroup.procs`` of the nearest
    group above both (cgroup_attach_permissions).
    """
    mount = layout.unified
    if mount is None or mount.readonly:
        return False
    names = below.split("/")
    nearest = f"{mount.path}/{below}"
    while len(nearest) > len(mount.path) and not groups.exists(nearest):
        nearest = nearest.rpartition("/")[0]
    own = layout.own_below("")
    if own is None:
        return False
    common = mount.path
    for mine, wanted in zip(own.split("/"), names, strict=False):
        if not mine or mine != wanted:
            break
        common = f"{common}/{mine}"
    return groups.may_make(nearest) and groups.may_move(common)


def delegated_files() -> tuple[str, ...]:
    """Return the files of a group that belong to the one to whom it is given."""
    text = procfile.text(_DELEGATE, _SIZE)
    return tuple(text.split()) if text else _DELEGATED


def file_names(top: str, controller: str) -> frozenset[str]:
    """Return names of the files that a controller gives to groups directly below `top`; empty where no group has it."""
    prefix = f"{controller}."
    for group in procfile.directories(top):
        found = frozenset(name for name in procfile.names(group) if name.startswith(prefix))
        # Pressure and, for cpu, the statistics are there without the controller.
        if any(not name.endswith((".pressure", ".stat", ".stat.local")) for name in found):
            return found
    return frozenset()


def _may_enable(path: str) -> bool:
    if not _access(f"{path}/cgroup.subtree_control", os.W_OK):
        return False
    # The root of the hierarchy has no type and may hold processes.
    kind = procfile.text(f"{path}/cgroup.type", _SIZE)
    return not kind or (kind.strip() == "domain" and not procfile.text(f"{path}/cgroup.procs", _SIZE))


def _access(path: str, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _exists(path: str) -> bool:
    return procfile.exists(path)


def _words(path: str) -> list[str]:
    return procfile.text(path, _SIZE).split()
