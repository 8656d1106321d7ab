"""The facts of a host as JSON: written there, read where somebody wants to know what would happen there."""

from __future__ import annotations

import os

from ._base import jsonio, procfile
from .config import load
from .errors import UnsupportedError, UsageError
from .host import cgroups, facts, unified
from .host.facts_file import FORMAT, FactsFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .host.cgroups import Layout


def read(path: str) -> FactsFile:
    """Return the host of a document that `gather` has made, for `explain`.

    Raises HostError when the file cannot be read, UsageError for what is no such document.
    """
    raw = load.read(path)
    try:
        document = jsonio.loads(raw)
    except jsonio.JsonError as error:
        raise UsageError(f"{path}: {error}") from None
    return FactsFile(document, path)


def of_root() -> FactsFile:
    """Return this host as its root would find it, for `explain`, whoever asks.

    Raises HostError.
    """
    document = gather()
    every = (2 << facts.last_capability()) - 1
    document |= {"privileged": True, "permitted": every, "bounding": every, "caller": None}
    layout = facts.cgroup_layout()
    groups = document["cgroups"]
    groups["writable"] = [mount.path for mount in layout.hierarchies() if not mount.readonly]
    for group in groups["unified"].values():
        group.update(mayEnable=True, mayMake=True, mayMove=True)
    return FactsFile(document, "this host")


def gather() -> dict[str, Any]:
    """Return what a plan can depend on, of this host and this process, as `host.stated.Stated` reads it.

    Raises HostError.
    """
    permitted, bounding = facts.own_capabilities()
    privileged = facts.privileged()
    return {
        "format": FORMAT,
        "kernel": os.uname().release,
        "privileged": privileged,
        "permitted": permitted,
        "bounding": bounding,
        "lastCapability": facts.last_capability(),
        "treeNamespace": facts.tree_namespace(),
        "keyrings": facts.has_keyrings(),
        "seccompFlags": facts.seccomp_flags(),
        "hardLimits": {str(number): limit for number, limit in facts.hard_limits().items()},
        "apparmor": facts.apparmor_file(),
        "selinux": facts.selinux(),
        "resctrl": facts.resctrl_mount(),
        "caller": None if privileged else _caller(),
        "systemd": {"system": _systemd(user=False), "user": _systemd(user=True)},
        "cgroups": _cgroups(),
    }


def _caller() -> dict[str, Any]:
    caller = facts.caller()
    return {name: getattr(caller, name) for name in caller.__slots__}


def _systemd(*, user: bool) -> dict[str, Any] | None:
    from .cgroup.drivers import systemd

    try:
        found = systemd.find_manager(user=user)
    except UnsupportedError:
        return None
    return {"version": found.version, "controlGroup": found.control_group}


def _cgroups() -> dict[str, Any]:
    layout = facts.cgroup_layout()
    names = list(layout.mounts)
    groups: dict[str, Any] = {}
    if layout.unified is not None:
        groups = _unified(layout, layout.unified.path)
    if layout.mode == cgroups.V2 and layout.unified is not None:
        names += [name for name in groups[layout.unified.path]["controllers"] if name not in names]
    mountinfo = [line for line in _lines("/proc/self/mountinfo") if " - cgroup" in line]
    return {
        "mountinfo": mountinfo,
        "own": _lines("/proc/self/cgroup"),
        "files": {name: sorted(layout.file_names(name)) for name in names},
        "writable": sorted({path for name in layout.mounts for path in _writable(layout, name)}),
        "unified": groups,
    }


def _unified(layout: Layout, top: str) -> dict[str, Any]:
    """Return the groups of v2 from the top to our own, and those directly below these."""
    found: dict[str, Any] = {}
    for path in [top, *_down(top, layout.own_below("") or "")]:
        for group in (path, *procfile.directories(path)):
            found[group] = {
                "controllers": unified.HERE.controllers(group),
                "enabled": unified.HERE.enabled(group),
                "mayEnable": unified.HERE.may_enable(group),
                "mayMake": unified.HERE.may_make(group),
                "mayMove": unified.HERE.may_move(group),
            }
    return found


def _down(top: str, below: str) -> list[str]:
    names = below.split("/") if below else []
    return ["/".join([top, *names[: end + 1]]) for end in range(len(names))]


def _writable(layout: Layout, controller: str) -> list[str]:
    """Return the top of a hierarchy and the groups down to our own, as far as we may make others in them."""
    mount = layout.mounts[controller]
    paths = [mount.path, *_down(mount.path, layout.own_below(controller) or "")]
    return [path for path in paths if not mount.readonly and cgroups.may_make(path)]


def _lines(path: str) -> list[str]:
    return [line for line in cgroups.text(path).split("\n") if line]
