"""A group of its own, below the container's, for one program more in it: what counts, limits and ends that alone."""

from __future__ import annotations

import os

from .._base import procfile
from ..host.unified import HERE
from .driver import V1, V2
from .paths import UNIFIED, Group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from .driver import Driver

# The controllers by which a program is counted, limited or ended.  In the others it is in the container's own group.
OWN = frozenset(("memory", "cpu", "cpuacct", "pids", "freezer", UNIFIED))


def new_name() -> str:
    """Return a name for a group that nobody else uses."""
    return f"exec-{os.urandom(8).hex()}"


def driver_below(cgroup: Driver, name: str, *, without: Collection[str] = ()) -> Driver | None:
    """Return the driver for groups `name` below those of a container; None where there can be none.

    cgroup    of the container, from its record
    without   controllers in which the program stays in the container's group
    Touches nothing.
    """
    if cgroup.kind == V2:
        (top,) = cgroup.groups
        # A group of a threaded subtree cannot hold a process of its own.
        if not _may_make(top) or procfile.text(f"{top.path}/cgroup.type", 4096).strip() != "domain":
            return None
        from .drivers.v2 import V2Driver

        on = procfile.text(f"{top.path}/cgroup.subtree_control", 4096).split()
        return V2Driver([_below(top, name, (UNIFIED, *on))])
    if cgroup.kind != V1:
        return None
    groups = [
        _below(top, name, top.controllers)
        for top in cgroup.groups
        if OWN.intersection(top.controllers) and not set(without).intersection(top.controllers) and _may_make(top)
    ]
    if not groups:
        return None
    from .drivers.v1 import V1Driver

    return V1Driver(groups)


def _below(top: Group, name: str, controllers: tuple[str, ...]) -> Group:
    return Group(controllers, top.mount, top.device, f"{top.below}/{name}".lstrip("/"))


def _may_make(group: Group) -> bool:
    return HERE.may_make(group.path)
