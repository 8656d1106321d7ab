"""The blocks of ``linux.resources`` for cgroup v1, one function each.  Pure.

Ranges are the kernel's (kernel/sched/core.c, mm/memcontrol-v1.c,
kernel/cgroup/pids.c and rdma.c of Linux 6.18): there a bad value is only EINVAL.
Documentation/admin-guide/cgroup-v1/ describes the files.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from .translate import Sheet

_SHARES = (2, 262144)
# Microseconds: 1 ms to 1 s, and MAX_BW of kernel/sched/sched.h.
_PERIOD = (1000, 1_000_000)
_QUOTA = (1000, (1 << 44) - 1)
# PID_MAX_LIMIT on 64-bit machines.  The kernel refuses more, and more tasks there cannot be.
_PIDS_MAX = 1 << 22
_UNSET = (1 << 64) - 1
_INT_MAX = (1 << 31) - 1
_SIZE_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_CPU_LIST = frozenset("0123456789,-:/ ")


def memory(block: Mapping[str, Any], sheet: Sheet) -> None:
    """``memory``: bytes, -1 for no limit."""
    limit, swap = block.get("limit") or 0, block.get("swap") or 0
    reservation = block.get("reservation") or 0
    for key, value in (("limit", limit), ("swap", swap), ("reservation", reservation)):
        if value < -1:
            sheet.problem(
                f"memory/{key}", f"{value} is below -1, which is no limit", expected="-1 or more", found=value
            )
            return
    if swap > 0 and limit <= 0:
        sheet.problem("memory/swap", "memory and swap together are limited, but memory/limit is not set")
    elif 0 < swap < limit:
        sheet.problem(
            "memory/swap",
            f"{swap} is less than memory/limit, {limit}: it is the sum of memory and swap",
            expected=f"at least {limit}",
            found=swap,
        )
    if limit == -1 and not swap and sheet.available("memory", "memory.memsw.limit_in_bytes"):
        # A limit of both from before would hold memory down.
        swap = -1
    swap_setting = ("memory", "memory.memsw.limit_in_bytes", str(swap), "memory/swap")
    if swap and sheet.available("memory", "") and not sheet.available(*swap_setting[:2]):
        sheet.problem("memory/swap", "this kernel does not account swap", expected="absent, or swapaccount=1 at boot")
        swap = 0
    if swap == -1:
        sheet.add(*swap_setting, lifts=True)
    if limit:
        sheet.add("memory", "memory.limit_in_bytes", str(limit), "memory/limit", lifts=limit < 0)
    if swap > 0:
        sheet.add(*swap_setting)
    if reservation:
        file = "memory.soft_limit_in_bytes"
        sheet.add("memory", file, str(reservation), "memory/reservation", lifts=reservation < 0)
    _memory_behaviour(block, sheet)


def _memory_behaviour(block: Mapping[str, Any], sheet: Sheet) -> None:
    swappiness = block.get("swappiness")
    # Engines written in Go send an unsigned -1 for "unset".
    if (
        swappiness is not None
        and swappiness not in (-1, _UNSET)
        and not sheet.outside("memory/swappiness", swappiness, 0, 100)
    ):
        sheet.add("memory", "memory.swappiness", str(swappiness), "memory/swappiness")
    if block.get("disableOOMKiller"):
        sheet.add("memory", "memory.oom_control", "1", "memory/disableOOMKiller")
    for key in ("kernel", "kernelTCP"):
        if block.get(key):
            sheet.warn(f"memory/{key}", "is ignored: the kernel has no separate limit for its own memory any more")
    if block.get("useHierarchy") is False:
        sheet.warn("memory/useHierarchy", "is ignored: memory is always counted for groups above too (Linux 5.11)")


def cpu(block: Mapping[str, Any], sheet: Sheet) -> None:
    """``cpu``: shares, bandwidth in microseconds, real-time bandwidth, CPU and node lists."""
    shares, idle = block.get("shares") or 0, block.get("idle")
    if idle is not None and sheet.outside("cpu/idle", idle, 0, 1):
        idle = None
    # Shares of an idle group cannot be written, so idle goes off first and on last.
    if idle == 0:
        _cpu_file(sheet, "cpu.idle", "0", "cpu/idle")
    if shares and not sheet.outside("cpu/shares", shares, *_SHARES):
        sheet.add("cpu", "cpu.shares", str(shares), "cpu/shares")
    _bandwidth(block, sheet)
    if idle == 1:
        _cpu_file(sheet, "cpu.idle", "1", "cpu/idle")
    _realtime(block, sheet)
    for key in ("cpus", "mems"):
        text = block.get(key) or ""
        if not text:
            continue
        if not text.strip() or not (_CPU_LIST.issuperset(text) or text == "all"):
            sheet.problem(f"cpu/{key}", f"{text[:60]!a} is not a list of numbers", expected="such as 0-3,7", found=text)
        else:
            sheet.add("cpuset", f"cpuset.{key}", text, f"cpu/{key}")


def _bandwidth(block: Mapping[str, Any], sheet: Sheet) -> None:
    quota, period, burst = block.get("quota") or 0, block.get("period") or 0, block.get("burst")
    if period and not sheet.outside("cpu/period", period, *_PERIOD, "microseconds"):
        sheet.add("cpu", "cpu.cfs_period_us", str(period), "cpu/period")
    if quota < 0:
        sheet.add("cpu", "cpu.cfs_quota_us", "-1", "cpu/quota", lifts=True)
    elif quota and not sheet.outside("cpu/quota", quota, *_QUOTA, "microseconds"):
        sheet.add("cpu", "cpu.cfs_quota_us", str(quota), "cpu/quota")
    if burst is None:
        return
    if 0 < quota < burst:
        sheet.problem("cpu/burst", f"{burst} is above cpu/quota, {quota}", expected=f"at most {quota}", found=burst)
    elif not sheet.outside("cpu/burst", burst, 0, _QUOTA[1], "microseconds"):
        _cpu_file(sheet, "cpu.cfs_burst_us", str(burst), "cpu/burst")


def _realtime(block: Mapping[str, Any], sheet: Sheet) -> None:
    runtime, period = block.get("realtimeRuntime") or 0, block.get("realtimePeriod") or 0
    if 0 < period < runtime:
        message = f"{runtime} is above cpu/realtimePeriod, {period}"
        sheet.problem("cpu/realtimeRuntime", message, expected=f"at most {period}", found=runtime)
        return
    if period:
        _cpu_file(sheet, "cpu.rt_period_us", str(period), "cpu/realtimePeriod")
    if runtime:
        _cpu_file(sheet, "cpu.rt_runtime_us", str(max(runtime, -1)), "cpu/realtimeRuntime")


def _cpu_file(sheet: Sheet, file: str, value: str, at: str) -> None:
    """A file that not every kernel has: idle since 5.15, real-time groups and bandwidth by configuration."""
    if not sheet.available("cpu", "") or sheet.available("cpu", file):
        sheet.add("cpu", file, value, at, lifts=value == "0")
    elif value != "0":
        sheet.problem(at, f"this kernel has no {file}", found=value)


def pids(block: Mapping[str, Any], sheet: Sheet) -> None:
    """``pids``: tasks; 0 allows no fork, below 0 is no limit."""
    limit = block.get("limit")
    if limit is not None:
        value = str(limit) if 0 <= limit <= _PIDS_MAX else "max"
        sheet.add("pids", "pids.max", value, "pids/limit", lifts=value == "max")


def hugepages(block: Sequence[Mapping[str, Any]], sheet: Sheet) -> None:
    """``hugepageLimits``: bytes of each page size, both in use and, where the kernel counts them, reserved."""
    for index, entry in enumerate(block):
        at = f"hugepageLimits/{index}"
        size = page_size(entry.get("pageSize") or "")
        if not size:
            found = entry.get("pageSize")
            sheet.problem(
                f"{at}/pageSize", f"{str(found)[:40]!a} is not a page size", expected="such as 2MB", found=found
            )
            continue
        if not sheet.available("hugetlb", ""):
            sheet.missing("hugetlb", at)
            continue
        if not sheet.available("hugetlb", f"hugetlb.{size}.limit_in_bytes"):
            sheet.problem(f"{at}/pageSize", f"this host has no huge pages of {size}", found=entry["pageSize"])
            continue
        for file in (f"hugetlb.{size}.limit_in_bytes", f"hugetlb.{size}.rsvd.limit_in_bytes"):
            if sheet.available("hugetlb", file):
                sheet.add("hugetlb", file, str(entry.get("limit") or 0), f"{at}/limit")


def page_size(text: str) -> str:
    """A page size in the form of the kernel's file names (``2048KB`` is ``2MB``), or "" for what is none."""
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


def network(block: Mapping[str, Any], sheet: Sheet) -> None:
    """``network``: the class of packets and their priority on each interface."""
    class_id = block.get("classID") or 0
    if class_id and not sheet.outside("network/classID", class_id, 0, (1 << 32) - 1):
        sheet.add("net_cls", "net_cls.classid", str(class_id), "network/classID")
    for index, entry in enumerate(block.get("priorities") or ()):
        at, name, priority = f"network/priorities/{index}", entry.get("name") or "", entry.get("priority") or 0
        # IFNAMSIZ counts a NUL.
        if len(name.encode("utf-8", "surrogateescape")) > 15 or name in (".", ".."):
            sheet.problem(f"{at}/name", f"{name[:40]!a} is not the name of a network interface", found=name)
        elif sheet.one_word(f"{at}/name", name, "the name of a network interface") and not sheet.outside(
            f"{at}/priority", priority, 0, (1 << 32) - 1
        ):
            sheet.add("net_prio", "net_prio.ifpriomap", f"{name} {priority}", at)


def rdma(block: Mapping[str, Mapping[str, Any]], sheet: Sheet) -> None:
    """``rdma``: handles and objects of each RDMA device."""
    for name, limits in block.items():
        at = "rdma/" + name.replace("~", "~0").replace("/", "~1")
        if not sheet.one_word(at, name, "the name of an RDMA device"):
            continue
        words = []
        for key, word in (("hcaHandles", "hca_handle"), ("hcaObjects", "hca_object")):
            value = (limits or {}).get(key)
            if value is not None and not sheet.outside(f"{at}/{key}", value, 0, _INT_MAX):
                words.append(f"{word}={value}")
        if words:
            sheet.add("rdma", "rdma.max", f"{name} {' '.join(words)}", at)
        elif not limits:
            sheet.problem(at, "sets neither hcaHandles nor hcaObjects", expected="at least one of the two")


def block_io(block: Any, sheet: Sheet) -> None:
    """``blockIO``, which few configs have."""
    from . import block_io as weights

    weights.block_io(block, sheet)


BLOCKS: dict[str, Callable[[Any, Sheet], None]] = {
    "memory": memory,
    "cpu": cpu,
    "pids": pids,
    "blockIO": block_io,
    "hugepageLimits": hugepages,
    "network": network,
    "rdma": rdma,
}
