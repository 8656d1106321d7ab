"""Intel RDT: the resctrl group of the container, what is written to it, who joins it.

Source: runtime-spec config-linux.md "IntelRdt"; Documentation/filesystems/resctrl.rst of Linux 6.18.
"""

from __future__ import annotations

from ..errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .builder import Builder

PLACE = "/linux/intelRdt"


def make_group(builder: Builder) -> None:
    """Make or check the group, and the monitoring group.  Raises UnsupportedError where resctrl is not mounted."""
    block = builder.linux["intelRdt"]
    lines = schemata(block)
    builder.host(
        "make_rdt_group",
        f"{PLACE}/closID" if block.get("closID") else PLACE,
        path=group(builder),
        schemata=lines,
        # A class of service that somebody else set up is named alone.
        existing=1 if block.get("closID") and not lines else 0,
    )
    if block.get("enableMonitoring"):
        builder.host("make_rdt_group", f"{PLACE}/enableMonitoring", path=monitor(builder), schemata=[], existing=0)


def join(builder: Builder) -> None:
    """Make the process a task of the groups: of the monitoring group second, as that is below the other."""
    builder.host("join_rdt_group", PLACE, path=group(builder))
    if builder.linux["intelRdt"].get("enableMonitoring"):
        builder.host("join_rdt_group", f"{PLACE}/enableMonitoring", path=monitor(builder))


def group(builder: Builder) -> str:
    """Return the directory of the group.  Raises UnsupportedError."""
    return directory(builder.facts.resctrl, builder.linux["intelRdt"], builder.request.container_id)


def directory(top: str, block: Mapping[str, Any], container_id: str) -> str:
    """Return ``closID`` below `top`, where resctrl is mounted; `top` itself for "/"; by default the container's id.

    Raises UnsupportedError where it is not mounted.
    """
    if not top:
        raise UnsupportedError(
            f"{PLACE}: there is no resctrl file system",
            pointer=PLACE,
            remedy="mount it: `mount -t resctrl resctrl /sys/fs/resctrl`; the processor must have RDT or the like",
        )
    name = block.get("closID") or container_id
    return top if name == "/" else f"{top}/{name}"


def monitor(builder: Builder) -> str:
    """Return the directory of the monitoring group."""
    return f"{group(builder)}/mon_groups/{builder.request.container_id}"


def schemata(block: Mapping[str, Any]) -> list[str]:
    """Return the lines for the file ``schemata``, in the order in which the spec combines them."""
    cache, bandwidth = block.get("l3CacheSchema") or "", block.get("memBwSchema") or ""
    lines = [line for line in cache.split("\n") if line and not (bandwidth and line.startswith("MB:"))]
    if bandwidth:
        lines.append(bandwidth)
    return lines + list(block.get("schemata") or ())
