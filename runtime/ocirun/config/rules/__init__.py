"""Rules on a config that need more than one value, one module a subject.

A rule reads only values that the walk found right (``Report.sound``), so it
tests no types.  Modules for parts that most configs lack are imported only
when the part is there: each import costs as much as a hundred values.
"""

from __future__ import annotations

from . import mounts, namespaces, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..report import Report


def check(data: dict[str, Any], report: Report) -> None:
    """Add to `report` what the rules find in `data`: a config that the walk has seen, without optional nulls."""
    process.check(data, report)
    mounts.check(data, report)
    namespaces.check(data, report)
    linux = data.get("linux")
    if not isinstance(linux, dict):
        return
    if linux.get("uidMappings") or linux.get("gidMappings") or namespaces.entry(linux, "user", report):
        from . import ids

        ids.check(data, report)
    if linux.get("sysctl"):
        from .. import sysctl

        sysctl.check(data, report)
    if _needs_resources(linux.get("resources")):
        from . import resources

        resources.check(linux["resources"], report)
    if linux.get("seccomp"):
        from . import seccomp

        seccomp.check(data, report)
    if linux.get("netDevices"):
        from . import netdevices

        netdevices.check(linux, report)
    if linux.get("intelRdt") or linux.get("memoryPolicy") or linux.get("personality"):
        from . import seldom

        seldom.check(linux, report)


def _needs_resources(resources: object) -> bool:
    """Return whether there is anything that rules/resources.py looks at;
    most configs have only memory, cpu and pids.
    """
    if not isinstance(resources, dict):
        return False
    cpu = resources.get("cpu")
    if isinstance(cpu, dict) and cpu.get("burst"):
        return True
    return any(resources.get(key) for key in ("blockIO", "hugepageLimits", "unified"))
