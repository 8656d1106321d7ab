"""Rules on ``linux.namespaces`` and on what needs one of them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..report import Report

#: Bytes that sethostname(2) and setdomainname(2) take, __NEW_UTS_LEN of linux/utsname.h.
NAME_LIMIT = 64

#: Clocks of a time namespace, time_namespaces(7).
CLOCKS = ("monotonic", "boottime")


def entry(linux: dict[str, Any], kind: str, report: Report) -> dict[str, Any] | None:
    """Return the entry of type `kind` in linux.namespaces; None if there is none or the list is not sound."""
    if report.sound("/linux/namespaces"):
        for namespace in linux.get("namespaces", ()):
            if namespace["type"] == kind:
                found: dict[str, Any] = namespace
                return found
    return None


def given(linux: dict[str, Any], kind: str, report: Report) -> bool:
    """Return whether there is an entry of type `kind`; also True if the list is not sound and so says nothing."""
    return not report.sound("/linux/namespaces") or entry(linux, kind, report) is not None


def check(data: dict[str, Any], report: Report) -> None:
    """Add what is wrong with namespaces, the names of the uts one and the clocks of the time one."""
    if not report.sound("/linux/namespaces"):
        return
    linux = data.get("linux", {})
    if linux.get("namespaces"):
        _namespaces(linux["namespaces"], report)
    for key in ("hostname", "domainname"):
        if data.get(key) and report.sound(f"/{key}"):
            _name(key, data[key], linux, report)
    if linux.get("timeOffsets") and report.sound("/linux/timeOffsets"):
        _clocks(linux, report)


def _namespaces(namespaces: list[dict[str, Any]], report: Report) -> None:
    first: dict[str, int] = {}
    for index, namespace in enumerate(namespaces):
        kind = namespace["type"]
        if kind in first:
            text = f"{kind} is given by entry {first[kind]} already"
            report.add(f"/linux/namespaces/{index}/type", text, expected="each type once", found=kind)
        else:
            first[kind] = index


def _name(key: str, value: str, linux: dict[str, Any], report: Report) -> None:
    if entry(linux, "uts", report) is None:
        report.add(f"/{key}", "needs a uts namespace", expected="an entry of type uts in linux.namespaces", found=value)
    size = len(value.encode())
    if size > NAME_LIMIT:
        text = f"has {size} bytes, the kernel takes {NAME_LIMIT}"
        report.add(f"/{key}", text, expected=f"at most {NAME_LIMIT} bytes", found=f"{size} bytes")


def _clocks(linux: dict[str, Any], report: Report) -> None:
    namespace = entry(linux, "time", report)
    if namespace is None or namespace.get("path"):
        # Offsets can be written only until the first process enters, time_namespaces(7).
        report.add(
            "/linux/timeOffsets",
            "needs a new time namespace",
            expected="an entry of type time without a path in linux.namespaces",
        )
    for clock in linux["timeOffsets"]:
        if clock not in CLOCKS:
            report.add("/linux/timeOffsets", f"{clock!a} is not a clock", expected=" or ".join(CLOCKS), found=clock)
