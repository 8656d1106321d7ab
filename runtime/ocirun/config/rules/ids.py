"""Rules on id mappings and on the ids that they have to cover."""

from __future__ import annotations

import os

from . import namespaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..report import Report

#: Lines that a map may have, UID_GID_MAP_MAX_EXTENTS of Linux 4.15 and later.
LINES = 340

#: Bytes; what /proc/PID/uid_map takes in one write has to be less.
PAGE = os.sysconf("SC_PAGE_SIZE")

#: The largest id there is a use for; one more would mean "no change" to the kernel.
LAST = 0xFFFFFFFE

KINDS = (("uidMappings", "uid"), ("gidMappings", "gid"))


def check(data: dict[str, Any], report: Report) -> None:
    """Add what is wrong with the mappings of the user namespace and the ids of the process."""
    linux = data["linux"]
    if not report.sound("/linux/namespaces"):
        return
    user = namespaces.entry(linux, "user", report)
    for key, kind in KINDS:
        if not report.sound(f"/linux/{key}"):
            continue
        lines = linux.get(key, [])
        if user is None:
            if lines:
                text = "needs a user namespace"
                report.add(f"/linux/{key}", text, expected="an entry of type user in linux.namespaces")
        elif user.get("path"):
            if lines:
                # containerd and CRI-O send both; the namespace that is joined has its map already.
                report.warn(f"/linux/{key}", "is ignored: the user namespace that is joined has its own")
        elif not lines:
            report.add(f"/linux/{key}", "is required for a new user namespace", expected="at least one mapping")
        elif mapping(lines, f"/linux/{key}", report):
            _covered(lines, kind, data, report)


def mapping(lines: list[dict[str, int]], pointer: str, report: Report) -> bool:
    """Add what is wrong with one map; True if it is right.

    Source: user_namespaces(7): neither side of a map may name an id twice.
    """
    if len(lines) > LINES:
        report.add(pointer, f"has {len(lines)} mappings, the kernel takes {LINES}", expected=f"at most {LINES}")
        return False
    # The text has to come in one write(2) of less than a page, map_write() of kernel/user_namespace.c.
    size = sum(len(f"{line['containerID']} {line['hostID']} {line['size']}\n") for line in lines)
    if size >= PAGE:
        text = f"is a text of {size} bytes for the kernel, which takes {PAGE - 1}"
        report.add(pointer, text, expected="fewer mappings, or ones of more ids each", found=str(size))
        return False
    right = True
    for key in ("containerID", "hostID"):
        spans = sorted((line[key], line["size"], index) for index, line in enumerate(lines))
        end = 0
        for start, size, index in spans:
            place = f"{pointer}/{index}"
            if start + size - 1 > LAST:
                report.add(f"{place}/size", f"goes beyond the last id, {LAST}", expected=f"at most {LAST - start + 1}")
                right = False
            if start < end:
                report.add(f"{place}/{key}", "overlaps another mapping", expected="each id once", found=str(start))
                right = False
            end = max(end, start + size)
    return right


def _covered(lines: list[dict[str, int]], kind: str, data: dict[str, Any], report: Report) -> None:
    """Check that the ids of the process exist in its user namespace, or the calls that set them fail with EINVAL."""
    if "process" not in data or not report.sound("/process/user"):
        return
    user = data["process"].get("user") or {}
    wanted = [(f"/process/user/{kind}", user.get(kind, 0))]
    if kind == "gid":
        extra = enumerate(user.get("additionalGids", ()))
        wanted += [(f"/process/user/additionalGids/{index}", gid) for index, gid in extra]
    for pointer, number in wanted:
        if not any(line["containerID"] <= number < line["containerID"] + line["size"] for line in lines):
            text = f"{number} is not mapped in the user namespace"
            report.add(pointer, text, expected=f"an id that linux.{kind}Mappings covers", found=str(number))
