"""Drivers that take more than a line to choose, for `driver.choose`."""

from __future__ import annotations

from . import driver, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..host.cgroups import Layout, Mount
    from .driver import Driver
    from .drivers.systemd import SystemdDriver
    from .systemd.unit import Manager


def in_unit(
    layout: Layout,
    manager: Manager,
    cgroups_path: str,
    container_id: str,
    annotations: Mapping[str, str],
    *,
    rootless: bool,
) -> SystemdDriver:
    """The driver for a unit, and in it the one for the files of its cgroup."""
    from .drivers.systemd import SystemdDriver
    from .settings import systemd
    from .systemd.unit import unit

    wanted = unit(cgroups_path, container_id, manager)
    if layout.mode == "v2" and layout.unified is not None:
        # systemd moves the process, so whether we may is no question.
        inner = _v2(layout, layout.unified, wanted.group, container_id, rootless=rootless)
    else:
        inner = driver.choose(
            layout, cgroups_path=wanted.group, container_id=container_id, rootless=rootless, of_unit=True
        )
    properties = systemd.unit_properties(
        wanted, manager, container_id=container_id, unified=layout.mode == "v2", annotations=annotations
    )
    return SystemdDriver(inner, wanted, version=manager.version, properties=properties)


def unified_group(
    layout: Layout, mount: Mount, cgroups_path: str, container_id: str, *, rootless: bool
) -> Driver | None:
    """The driver for v2; None where a rootless caller may not make the group."""
    made = _v2(layout, mount, cgroups_path, container_id, rootless=rootless)
    return made if not rootless or layout.may_join(made.groups[0].below) else None


def _v2(layout: Layout, mount: Mount, cgroups_path: str, container_id: str, *, rootless: bool) -> Driver:
    from ..host.facts import privileged
    from .drivers.v2 import V2Driver

    below = paths.unified(layout, cgroups_path=cgroups_path, container_id=container_id)
    reach = layout.reach(below)
    group = paths.Group((paths.UNIFIED, *reach.controllers), mount.path, mount.device, below)
    return V2Driver([group], layout=layout, devices=not rootless or privileged(), enabling=reach.enable)
