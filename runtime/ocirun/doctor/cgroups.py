"""Cgroups: which hierarchies there are, and in which of them a container's group can be made.

Asked of the kernel by access(2), and not tried: a group, once made, is a change of the host.
"""

from __future__ import annotations

from ..cgroup import paths
from ..errors import HostError, option
from ..host import cgroups as layouts
from .check import CGROUPS, OK, REFUSED, UNTRIED, Check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.cgroups import Layout
    from .situation import Situation

HIERARCHY = "hierarchy"
GROUPS = "groups"
_WORDS = {layouts.V1: "v1", layouts.V2: "v2", layouts.HYBRID: "v1, and v2 beside it"}
_ID = "ocirun-doctor"
_DEVICES = "devices"


def cgroups(s: Situation, layout: Layout) -> list[Check]:
    """Return the answers about cgroups."""
    if layout.mode == layouts.NONE:
        without = option("cgroup-manager", "disabled")
        remedy = f"`mount -t cgroup2 cgroup2 /sys/fs/cgroup`, as root; or `{without}` for containers without limits"
        return [
            Check(CGROUPS, HIERARCHY, REFUSED, "no cgroup file system is mounted", remedy=remedy),
            Check(CGROUPS, GROUPS, UNTRIED, "there is no hierarchy"),
        ]
    first = Check(CGROUPS, HIERARCHY, OK, f"cgroup {_WORDS[layout.mode]}")
    try:
        groups = _v2(layout, s) if layout.mode == layouts.V2 else _v1(layout, s)
    except HostError as error:
        groups = Check(CGROUPS, GROUPS, REFUSED, error.message, remedy=error.remedy)
    return [first, groups]


def _v1(layout: Layout, s: Situation) -> Check:
    good: list[str] = []
    bad: list[str] = []
    readonly = ""
    for mount in layout.hierarchies():
        name = mount.controllers[0]
        if name.startswith("name="):
            continue
        own = layout.own_below(name)
        if own is not None and layout.writable(name, f"{own}/{_ID}".lstrip("/")):
            good += mount.controllers
        else:
            bad += mount.controllers
            readonly = mount.path if mount.readonly else readonly
    if s.privileged and _DEVICES not in good + bad:
        # By rules for it nearly every config says which devices the container may use.
        remedy = f"mount it, as root: `mount -t cgroup -o {_DEVICES} cgroup DIR`"
        return Check(CGROUPS, GROUPS, REFUSED, f"no hierarchy has the controller {_DEVICES}", remedy=remedy)
    # Who is not root uses those that there are.
    if good and (not bad or not s.privileged):
        return Check(CGROUPS, GROUPS, OK, _list(good) + (f"; not {_list(bad)}" if bad else ""))
    return _refused(f"no group can be made of {_list(bad)}", readonly, s, unified=False)


def _v2(layout: Layout, s: Situation) -> Check:
    mount = layout.mount("")
    below = paths.unified(layout, cgroups_path="", container_id=_ID)
    place = f"{mount.path}/{below}".rpartition("/")[0]
    if mount.readonly or not layout.may_join(below):
        return _refused(f"no group can be made in {place}", mount.path if mount.readonly else "", s, unified=True)
    have = layout.reach(below).controllers
    return Check(CGROUPS, GROUPS, OK, f"{_list(have)}, in {place}")


def _refused(text: str, readonly: str, s: Situation, *, unified: bool) -> Check:
    if readonly:
        remedy = (
            f"`mount -o remount,rw {readonly}`, as root of the host; of an engine, start the outer container with it"
        )
        return Check(CGROUPS, GROUPS, REFUSED, f"{text}: {readonly} is mounted read-only", remedy=remedy)
    if s.privileged:
        return Check(CGROUPS, GROUPS, REFUSED, text)
    if unified:
        scope = "`systemd-run --user --scope -p Delegate=yes ocirun run ...`"
        remedy = f"{scope}, or {option('systemd-cgroup')}: systemd gives a group to its user"
    else:
        remedy = "as root make a directory in each hierarchy, `chown` it to the user, and name it in cgroupsPath"
    return Check(CGROUPS, GROUPS, REFUSED, f"{text}: none is delegated to {s.caller.name}", remedy=remedy)


def _list(names: list[str]) -> str:
    return ", ".join(names) or "no controller"
