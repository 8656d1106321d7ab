"""Rules on ``linux.netDevices``."""

from __future__ import annotations

from ..._base.jsonio import pointer_token
from . import namespaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..report import Report

#: Bytes of an interface name without the NUL, IFNAMSIZ - 1.
NAME_LIMIT = 15

PLACE = "/linux/netDevices"


def check(linux: dict[str, Any], report: Report) -> None:
    """Add what is wrong with the names of network devices."""
    if not report.sound(PLACE):
        return
    devices = linux["netDevices"]
    if not namespaces.given(linux, "network", report):
        report.add(PLACE, "needs a network namespace", expected="an entry of type network in linux.namespaces")
    seen: dict[str, str] = {}
    for host, device in devices.items():
        pointer = f"{PLACE}/{pointer_token(host)}"
        if not valid(host):
            report.add(pointer, f"{host!a} cannot be the name of a network device", expected="a name", found=host)
        name = device.get("name") or host
        if name != host and not (valid(name) and name.count("%") == name.count("%d") < 2):
            report.wrong(f"{pointer}/name", "the name of a network device", name)
        # The kernel chooses the number in place of %d.
        if name in seen and "%" not in name:
            text = f"is the name of {seen[name]!a} already"
            report.add(f"{pointer}/name", text, expected="each name once", found=name)
        seen[name] = host


def valid(name: str) -> bool:
    """Return whether the kernel takes `name` for a network device, dev_valid_name() of net/core/dev.c."""
    if name in ("", ".", "..") or len(name.encode()) > NAME_LIMIT:
        return False
    return not any(character in "/:" or character.isspace() for character in name)
