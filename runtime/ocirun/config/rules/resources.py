"""Rules on ``linux.resources`` that hold for every cgroup version; the arithmetic is in cgroup.translate."""

from __future__ import annotations

from ..._base.jsonio import pointer_token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..report import Report

PLACE = "/linux/resources"


def check(resources: dict[str, Any], report: Report) -> None:
    """Add what is wrong with the resources."""
    for key, rule in (("cpu", _cpu), ("blockIO", _block_io), ("hugepageLimits", _huge_pages), ("unified", _unified)):
        if resources.get(key) and report.sound(f"{PLACE}/{key}"):
            rule(resources[key], report)


def _cpu(cpu: dict[str, Any], report: Report) -> None:
    quota, burst = cpu.get("quota", 0), cpu.get("burst", 0)
    if 0 < quota < burst:
        text = f"is above the quota, {quota}"
        report.add(f"{PLACE}/cpu/burst", text, expected=f"at most {quota}", found=str(burst))


def _block_io(block: dict[str, Any], report: Report) -> None:
    for key in ("weight", "leafWeight"):
        _weight(block, key, f"{PLACE}/blockIO/{key}", report)
        for index, device in enumerate(block.get("weightDevice", ())):
            _weight(device, key, f"{PLACE}/blockIO/weightDevice/{index}/{key}", report)


def _weight(owner: dict[str, Any], key: str, pointer: str, report: Report) -> None:
    if 0 < owner.get(key, 0) < 10:
        report.wrong(pointer, "from 10 to 1000, or 0", owner[key])


def _huge_pages(limits: list[dict[str, Any]], report: Report) -> None:
    first: dict[str, int] = {}
    for index, limit in enumerate(limits):
        pointer, size = f"{PLACE}/hugepageLimits/{index}/pageSize", limit["pageSize"]
        # The form is checked, and no page is near 2**64: more than 20 digits are no size.
        number = int(size[:-2]) if len(size) <= 20 else 3
        if number & (number - 1):
            report.wrong(pointer, "a power of two", size)
        if size in first:
            report.add(pointer, f"{size} is set by entry {first[size]} already", expected="each size once", found=size)
        first.setdefault(size, index)


def _unified(files: dict[str, str], report: Report) -> None:
    for key in files:
        if "/" in key or ".." in key or "." not in key.strip("."):
            text = f"{key!a} is not the name of a cgroup file"
            pointer = f"{PLACE}/unified/{pointer_token(key)}"
            report.add(pointer, text, expected="controller.file, such as memory.high", found=key)
