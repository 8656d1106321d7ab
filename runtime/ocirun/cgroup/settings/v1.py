"""The blocks of ``linux.resources`` for cgroup v1, one function each.  Pure.

Ranges are the kernel's (kernel/sched/core.c, mm/memcontrol-v1.c,
kernel/cgroup/pids.c and rdma.c of Linux 6.18): there a bad value is only EINVAL.
Documentation/admin-guide/cgroup-v1/ describes the files.
"""

from __future__ import annotations

from .common import (
    PERIOD,
    QUOTA,
    SHARES,
    burst_fits,
    cpu_file,
    cpu_sets,
    huge_pages,
    memory_ignored,
    memory_numbers,
    pids,
    rdma,
    swappiness_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from .translation import Translation


def memory(block: Mapping[str, Any], sheet: Translation) -> None:
    """``memory``: bytes, -1 for no limit."""
    numbers = memory_numbers(block, sheet)
    if numbers is None:
        return
    limit, swap, reservation = numbers
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


def _memory_behaviour(block: Mapping[str, Any], sheet: Translation) -> None:
    swappiness = swappiness_of(block)
    if swappiness is not None and not sheet.outside("memory/swappiness", swappiness, 0, 100):
        sheet.add("memory", "memory.swappiness", str(swappiness), "memory/swappiness")
    if block.get("disableOOMKiller"):
        sheet.add("memory", "memory.oom_control", "1", "memory/disableOOMKiller")
    tcp, setting = block.get("kernelTCP") or 0, ("memory", "memory.kmem.tcp.limit_in_bytes")
    if tcp and sheet.available(*setting):
        sheet.add(*setting, str(tcp), "memory/kernelTCP", lifts=tcp < 0)
    elif tcp:
        sheet.warn("memory/kernelTCP", "is ignored: this kernel has no separate limit for buffers of TCP")
    memory_ignored(block, sheet)


def cpu(block: Mapping[str, Any], sheet: Translation) -> None:
    """``cpu``: shares, bandwidth in microseconds, real-time bandwidth, CPU and node lists."""
    shares, idle = block.get("shares") or 0, block.get("idle")
    if idle is not None and sheet.outside("cpu/idle", idle, 0, 1):
        idle = None
    # Shares of an idle group cannot be written, so idle goes off first and on last.
    if idle == 0:
        cpu_file(sheet, "cpu.idle", "0", "cpu/idle")
    if shares and not sheet.outside("cpu/shares", shares, *SHARES):
        sheet.add("cpu", "cpu.shares", str(shares), "cpu/shares")
    _bandwidth(block, sheet)
    if idle == 1:
        cpu_file(sheet, "cpu.idle", "1", "cpu/idle")
    _realtime(block, sheet)
    cpu_sets(block, sheet)


def _bandwidth(block: Mapping[str, Any], sheet: Translation) -> None:
    quota, period, burst = block.get("quota") or 0, block.get("period") or 0, block.get("burst")
    if period and not sheet.outside("cpu/period", period, *PERIOD, "microseconds"):
        sheet.add("cpu", "cpu.cfs_period_us", str(period), "cpu/period")
    if quota < 0:
        sheet.add("cpu", "cpu.cfs_quota_us", "-1", "cpu/quota", lifts=True)
    elif quota and not sheet.outside("cpu/quota", quota, *QUOTA, "microseconds"):
        sheet.add("cpu", "cpu.cfs_quota_us", str(quota), "cpu/quota")
    if burst is not None and burst_fits(burst, quota, sheet):
        cpu_file(sheet, "cpu.cfs_burst_us", str(burst), "cpu/burst")


def _realtime(block: Mapping[str, Any], sheet: Translation) -> None:
    runtime, period = block.get("realtimeRuntime") or 0, block.get("realtimePeriod") or 0
    if 0 < period < runtime:
        message = f"{runtime} is above cpu/realtimePeriod, {period}"
        sheet.problem("cpu/realtimeRuntime", message, expected=f"at most {period}", found=runtime)
        return
    if period:
        cpu_file(sheet, "cpu.rt_period_us", str(period), "cpu/realtimePeriod")
    if runtime:
        cpu_file(sheet, "cpu.rt_runtime_us", str(max(runtime, -1)), "cpu/realtimeRuntime")


def hugepages(block: Sequence[Mapping[str, Any]], sheet: Translation) -> None:
    """``hugepageLimits``."""
    huge_pages(block, sheet, "limit_in_bytes")


def network(block: Mapping[str, Any], sheet: Translation) -> None:
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


def block_io(block: Any, sheet: Translation) -> None:
    """``blockIO``, which few configs have."""
    from . import block_io_v1 as weights

    weights.block_io(block, sheet)


BLOCKS: dict[str, Callable[[Any, Translation], None]] = {
    "memory": memory,
    "cpu": cpu,
    "pids": pids,
    "blockIO": block_io,
    "hugepageLimits": hugepages,
    "network": network,
    "rdma": rdma,
}
