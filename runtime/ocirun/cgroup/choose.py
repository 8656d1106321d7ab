"""Choose the cgroup driver: for a new container from facts and options, later from its record."""

from __future__ import annotations

from ..errors import StateDamagedError, UnsupportedError, option
from . import paths
from .driver import NONE, SYSTEMD, V1, Driver
from .settings.translation import V2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..host.cgroups import Layout, Mount
    from .drivers.cgroupfs import Cgroupfs
    from .drivers.systemd import SystemdDriver
    from .paths import Group
    from .systemd.unit import Manager


def new_driver(
    layout: Layout,
    *,
    cgroups_path: str = "",
    container_id: str,
    manager: Manager | None = None,
    annotations: Mapping[str, str] | None = None,
    rootless: bool = False,
    disabled: bool = False,
    of_unit: bool = False,
) -> Driver:
    """Return the driver for a new container.

    cgroups_path   ``linux.cgroupsPath``, or ""
    manager        the instance of systemd that is to make the cgroup; None to make it ourselves
    annotations    of config.json; those of systemd's properties are read
    rootless       use only the hierarchies in which we may make groups, be it none; device rules need the
                   rights of the host's root
    disabled       the caller asked for no cgroup (``--cgroup-manager disabled``)
    of_unit        for the files of a unit: on a host with v2 besides v1 systemd has its group in v2 itself
    Raises ConfigError for a bad path, UnsupportedError where the host has not what is asked.
    """
    from ..host.facts import privileged

    if disabled:
        return Driver()
    if manager is not None:
        return _in_unit(layout, manager, cgroups_path, container_id, annotations or {}, rootless=rootless)
    if layout.mode in ("v1", "hybrid"):
        groups = paths.groups(layout, cgroups_path=cgroups_path, container_id=container_id, only_writable=rootless)
        if groups:
            from .drivers.v1 import V1Driver

            if not of_unit:
                groups += paths.beside(
                    layout, cgroups_path=cgroups_path, container_id=container_id, only_writable=rootless
                )
            return V1Driver(groups, layout=layout, devices=not rootless or privileged())
    if layout.mode == "v2" and layout.unified is not None:
        made = _unified_group(layout, layout.unified, cgroups_path, container_id, rootless=rootless)
        if made is not None:
            return made
    if rootless and not cgroups_path:
        return Driver()
    if layout.mode == "none":
        raise UnsupportedError(
            f"{paths.POINTER}: no cgroup file system is mounted",
            pointer=paths.POINTER,
            remedy=f"mount one, or give `{option('cgroup-manager', 'disabled')}` for a container without a cgroup",
        )
    raise UnsupportedError(
        f"{paths.POINTER}: {cgroups_path!a}: we may not make it in any hierarchy",
        pointer=paths.POINTER,
        remedy="leave it out, or have the directories given to this user",
    )


def recorded_driver(record: Any) -> Driver:
    """Return the driver that `record` describes.  Raises StateDamagedError for anything it never wrote."""
    kind = record.get("driver") if isinstance(record, dict) else None
    if kind == NONE:
        return Driver()
    if kind == SYSTEMD:
        from .drivers import systemd

        return systemd.from_record(record, recorded_driver)
    if kind not in (V1, V2):
        raise StateDamagedError(f"the saved state names no known cgroup driver: {kind!a}")
    groups, found = record.get("groups"), record.get("found")
    if not isinstance(groups, list) or not groups or not _is_texts(found):
        raise StateDamagedError("the saved state names no cgroups")
    if kind == V2 and len(groups) != 1:
        raise StateDamagedError("the saved state names more than one cgroup v2")
    driver = _grouped(kind, [paths.group_from_record(group) for group in groups])
    # Not looked at yet means not made yet: whatever is there is somebody else's.
    driver.checked = record.get("checked") is True
    driver.found = set(found) if driver.checked else {group.name for group in driver.groups}
    driver.prepared = record.get("prepared") is True
    names = {group.name for group in driver.groups} if driver.prepared else set()
    driver.inodes, driver.mark = paths.owner_from_record(record, names)
    return driver


def _grouped(kind: str, groups: list[Group]) -> Cgroupfs:
    if kind == V2:
        from .drivers.v2 import V2Driver

        return V2Driver(groups)
    from .drivers.v1 import V1Driver

    return V1Driver(groups)


def _in_unit(
    layout: Layout,
    manager: Manager,
    cgroups_path: str,
    container_id: str,
    annotations: Mapping[str, str],
    *,
    rootless: bool,
) -> SystemdDriver:
    """Return the driver for a unit, and in it the one for the files of its cgroup."""
    from .drivers.systemd import SystemdDriver
    from .settings import systemd
    from .systemd.unit import unit

    wanted = unit(cgroups_path, container_id, manager)
    if layout.mode == "v2" and layout.unified is not None:
        # systemd moves the process, so whether we may is no question.
        inner = _v2(layout, layout.unified, wanted.group, container_id, rootless=rootless)
    else:
        inner = new_driver(
            layout, cgroups_path=wanted.group, container_id=container_id, rootless=rootless, of_unit=True
        )
    properties = systemd.unit_properties(
        wanted, manager, container_id=container_id, unified=layout.mode == "v2", annotations=annotations
    )
    return SystemdDriver(inner, wanted, version=manager.version, properties=properties)


def _unified_group(
    layout: Layout, mount: Mount, cgroups_path: str, container_id: str, *, rootless: bool
) -> Driver | None:
    """Return the driver for v2; None where a rootless caller may not make the group."""
    made = _v2(layout, mount, cgroups_path, container_id, rootless=rootless)
    return made if not rootless or layout.may_join(made.groups[0].below) else None


def _v2(layout: Layout, mount: Mount, cgroups_path: str, container_id: str, *, rootless: bool) -> Driver:
    from ..host.facts import privileged
    from .drivers.v2 import V2Driver

    below = paths.unified(layout, cgroups_path=cgroups_path, container_id=container_id)
    reach = layout.reach(below)
    group = paths.Group((paths.UNIFIED, *reach.controllers), mount.path, mount.device, below)
    return V2Driver([group], layout=layout, devices=not rootless or privileged(), enabling=reach.enable)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)
