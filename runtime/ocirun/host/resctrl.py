"""Where resctrl, the kernel's interface to Intel RDT and its like, is mounted, and what it says of a group."""

from __future__ import annotations

from .._base import procfile
from .cgroups import unescape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def mount_point(mountinfo: str = "/proc/self/mountinfo") -> str:
    """Return the first place where all of a resctrl file system can be seen, "" if there is none.

    mountinfo   a file as proc_pid_mountinfo(5) describes it
    """
    with open(mountinfo, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields = line.split()
            if fields[fields.index("-") + 1] == "resctrl" and fields[3] == "/":
                return unescape(fields[4])
    return ""


def usage(top: str, group: str, monitored: str) -> dict[str, Any]:
    """Return what resctrl says of a group, with the names that runc has in its events;
    parts that there are not are left out.

    top         where resctrl is mounted
    group       directory of the group
    monitored   directory whose use is told: that of the group, or of a monitoring group in it
    Source: Documentation/filesystems/resctrl.rst.
    """
    found: dict[str, Any] = {}
    for resource, prefix in (("L3", "l3_cache"), ("MB", "mem_bw")):
        about = _about(f"{top}/info/{resource}")
        if about:
            found[f"{prefix}_info"] = about
            found[f"{prefix}_schema_root"] = _line(top, resource)
            found[f"{prefix}_schema"] = _line(group, resource)
    bandwidth, occupancy = [], []
    for domain in procfile.names(f"{monitored}/mon_data"):
        values = {name: _number(f"{monitored}/mon_data/{domain}/{name}") for name in _EVENTS}
        if values["llc_occupancy"] is not None:
            occupancy.append({"llc_occupancy": values.pop("llc_occupancy")})
        if values["mbm_total_bytes"] is not None:
            bandwidth.append({name: values[name] or 0 for name in _EVENTS[:2]})
    if bandwidth:
        found["mbm_stats"] = bandwidth
    if occupancy:
        found["cmt_stats"] = occupancy
    return found


_EVENTS = ("mbm_total_bytes", "mbm_local_bytes", "llc_occupancy")
_FACTS = ("cbm_mask", "min_cbm_bits", "bandwidth_gran", "delay_linear", "min_bandwidth", "num_closids")


def _about(directory: str) -> dict[str, Any]:
    """Return what a directory below ``info`` tells: a bit mask as its text, all else as numbers."""
    found: dict[str, Any] = {}
    for name in _FACTS:
        value = _text(f"{directory}/{name}") if name == "cbm_mask" else _number(f"{directory}/{name}")
        if value not in (None, ""):
            found[name] = value
    return found


def _line(group: str, resource: str) -> str:
    lines = [line.strip() for line in _text(f"{group}/schemata").splitlines()]
    return next((line for line in lines if line.startswith(f"{resource}:")), "")


def _number(path: str) -> int | None:
    """Return a number in a file; None for none: "Unavailable", or "Error", as resctrl says."""
    text = _text(path)
    return int(text) if text.isascii() and text.isdigit() else None


def _text(path: str) -> str:
    return procfile.text(path, 1 << 16).strip()
