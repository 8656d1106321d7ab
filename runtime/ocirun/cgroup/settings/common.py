"""What the blocks of ``linux.resources`` have in common on cgroup v1 and v2.  Pure.

Ranges are the kernel's (kernel/sched/core.c, kernel/cgroup/pids.c and rdma.c
of Linux 6.18): there a bad value is only EINVAL.
"""

from __future__ import annotations

from ..._base.jsonio import pointer_token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from .translation import Translation

SHARES = (2, 262144)
# Microseconds: 1 ms to 1 s, and MAX_BW of kernel/sched/sched.h.
PERIOD = (1000, 1_000_000)
QUOTA = (1000, (1 << 44) - 1)
# PID_MAX_LIMIT on 64-bit machines.  The kernel refuses more, and more tasks there cannot be.
_PIDS_MAX = 1 << 22
_UNSET = (1 << 64) - 1
_INT_MAX = (1 << 31) - 1
_SIZE_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_CPU_LIST = frozenset("0123456789,-:/ ")


def memory_numbers(block: Mapping[str, Any], result: Translation) -> tuple[int, int, int] | None:
    """Return (limit, limit of memory and swap together, reservation), 0 for unset; None where one is below -1."""
    limit, swap = block.get("limit") or 0, block.get("swap") or 0
    reservation = block.get("reservation") or 0
    for key, value in (("limit", limit), ("swap", swap), ("reservation", reservation)):
        if value < -1:
            result.problem(
                f"memory/{key}", f"{value} is below -1, which is no limit", expected="-1 or more", found=value
            )
            return None
    if swap > 0 and limit <= 0:
        result.problem("memory/swap", "memory and swap together are limited, but memory/limit is not set")
    elif 0 < swap < limit:
        result.problem(
            "memory/swap",
            f"{swap} is less than memory/limit, {limit}: it is the sum of memory and swap",
            expected=f"at least {limit}",
            found=swap,
        )
    return limit, swap, reservation


def swappiness_of(block: Mapping[str, Any]) -> int | None:
    """Return ``memory.swappiness``, None for unset: engines written in Go send an unsigned -1 for that."""
    swappiness = block.get("swappiness")
    return None if swappiness in (-1, _UNSET) else swappiness


def memory_ignored(block: Mapping[str, Any], result: Translation) -> None:
    """Warn of settings that the kernel has given up."""
    if block.get("kernel"):
        result.warn("memory/kernel", "is ignored: the kernel has no separate limit for its own memory any more")
    if block.get("useHierarchy") is False:
        result.warn("memory/useHierarchy", "is ignored: memory is always counted for groups above too (Linux 5.11)")


def burst_fits(burst: int, quota: int, result: Translation) -> bool:
    """Return whether ``cpu.burst`` is not above the quota, and in the kernel's range; else a problem is added."""
    if 0 < quota < burst:
        result.problem("cpu/burst", f"{burst} is above cpu/quota, {quota}", expected=f"at most {quota}", found=burst)
        return False
    return not result.outside("cpu/burst", burst, 0, QUOTA[1], "microseconds")


def cpu_sets(block: Mapping[str, Any], result: Translation) -> None:
    """Translate ``cpu.cpus`` and ``cpu.mems``: lists of processors and memory nodes."""
    for key in ("cpus", "mems"):
        text = block.get(key) or ""
        if not text:
            continue
        if not text.strip() or not (_CPU_LIST.issuperset(text) or text == "all"):
            result.problem(
                f"cpu/{key}", f"{text[:60]!a} is not a list of numbers", expected="such as 0-3,7", found=text
            )
        else:
            result.add("cpuset", f"cpuset.{key}", text, f"cpu/{key}")


def cpu_file(result: Translation, file: str, value: str, at: str) -> None:
    """Add a file that not every kernel has: idle since 5.15, real-time groups and bandwidth by configuration."""
    if not result.available("cpu", "") or result.available("cpu", file):
        result.add("cpu", file, value, at, lifts=value == "0")
    elif value != "0":
        result.problem(at, f"this kernel has no {file}", found=value)


def pids(block: Mapping[str, Any], result: Translation) -> None:
    """Translate ``pids``: tasks; 0 allows no fork, below 0 is no limit."""
    limit = block.get("limit")
    if limit is not None:
        value = str(limit) if 0 <= limit <= _PIDS_MAX else "max"
        result.add("pids", "pids.max", value, "pids/limit", lifts=value == "max")


def huge_pages(block: Sequence[Mapping[str, Any]], result: Translation, end: str) -> None:
    """Translate ``hugepageLimits``: bytes of each page size, in use and, where the kernel counts them, reserved.

    end   of the file's name, behind the size
    """
    for index, entry in enumerate(block):
        at = f"hugepageLimits/{index}"
        size = page_size(entry.get("pageSize") or "")
        if not size:
            found = entry.get("pageSize")
            result.problem(
                f"{at}/pageSize", f"{str(found)[:40]!a} is not a page size", expected="such as 2MB", found=found
            )
            continue
        if not result.available("hugetlb", ""):
            result.missing("hugetlb", at)
            continue
        if not result.available("hugetlb", f"hugetlb.{size}.{end}"):
            result.problem(f"{at}/pageSize", f"this host has no huge pages of {size}", found=entry["pageSize"])
            continue
        for file in (f"hugetlb.{size}.{end}", f"hugetlb.{size}.rsvd.{end}"):
            if result.available("hugetlb", file):
                result.add("hugetlb", file, str(entry.get("limit") or 0), f"{at}/limit")


def page_size(text: str) -> str:
    """Return a page size in the form of the kernel's file names (``2048KB`` is ``2MB``), or "" for what is none."""
    digits, unit = text[:-2], text[-2:-1]
    if not text.endswith("B") or unit not in _SIZE_UNITS or not (digits.isascii() and digits.isdigit()):
        return ""
    if digits.startswith("0") or len(digits) > 12:
        return ""
    size = int(digits) * _SIZE_UNITS[unit]
    if size & (size - 1):
        return ""
    for name, factor in reversed(_SIZE_UNITS.items()):
        if size >= factor:
            return f"{size // factor}{name}B"
    return ""


def rdma(block: Mapping[str, Mapping[str, Any]], result: Translation) -> None:
    """Translate ``rdma``: handles and objects of each RDMA device."""
    for name, limits in block.items():
        at = f"rdma/{pointer_token(name)}"
        if not result.one_word(at, name, "the name of an RDMA device"):
            continue
        words = []
        for key, word in (("hcaHandles", "hca_handle"), ("hcaObjects", "hca_object")):
            value = (limits or {}).get(key)
            if value is not None and not result.outside(f"{at}/{key}", value, 0, _INT_MAX):
                words.append(f"{word}={value}")
        if words:
            result.add("rdma", "rdma.max", f"{name} {' '.join(words)}", at)
        elif not limits:
            result.problem(at, "sets neither hcaHandles nor hcaObjects", expected="at least one of the two")
