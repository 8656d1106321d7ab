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


def memory(block: Mapping[str, Any], result: Translation) -> None:
    """Translate ``memory``: bytes, -1 for no limit."""
    numbers = memory_numbers(block, result)
    if numbers is None:
        return
    limit, swap, reservation = numbers
    if limit == -1 and not swap and result.available("memory", "memory.memsw.limit_in_bytes"):
        # A limit of both from before would hold memory down.
        swap = -1
    swap_setting = ("memory", "memory.memsw.limit_in_bytes", str(swap), "memory/swap")
    if swap and result.available("memory", "") and not result.available(*swap_setting[:2]):
        result.problem("memory/swap", "this kernel does not account swap", expected="absent, or swapaccount=1 at boot")
        swap = 0
    if swap == -1:
        result.add(*swap_setting, lifts=True)
    if limit:
        result.add("memory", "memory.limit_in_bytes", str(limit), "memory/limit", lifts=limit < 0)
    if swap > 0:
        result.add(*swap_setting)
    if reservation:
        file = "memory.soft_limit_in_bytes"
        result.add("memory", file, str(reservation), "memory/reservation", lifts=reservation < 0)
    _memory_behaviour(block, result)


def _memory_behaviour(block: Mapping[str, Any], result: Translation) -> None:
    swappiness = swappiness_of(block)
    if swappiness is not None and not result.outside("memory/swappiness", swappiness, 0, 100):
        result.add("memory", "memory.swappiness", str(swappiness), "memory/swappiness")
    if block.get("disableOOMKiller"):
        result.add("memory", "memory.oom_control", "1", "memory/disableOOMKiller")
    tcp, setting = block.get("kernelTCP") or 0, ("memory", "memory.kmem.tcp.limit_in_bytes")
    if tcp and result.available(*setting):
        result.add(*setting, str(tcp), "memory/kernelTCP", lifts=tcp < 0)
    elif tcp:
        result.warn("memory/kernelTCP", "is ignored: this kernel has no separate limit for buffers of TCP")
    memory_ignored(block, result)


def cpu(block: Mapping[str, Any], result: Translation) -> None:
    """Translate ``cpu``: shares, bandwidth in microseconds, real-time bandwidth, CPU and node lists."""
    shares, idle = block.get("shares") or 0, block.get("idle")
    if idle is not None and result.outside("cpu/idle", idle, 0, 1):
        idle = None
    # Shares of an idle group cannot be written, so idle goes off first and on last.
    if idle == 0:
        cpu_file(result, "cpu.idle", "0", "cpu/idle")
    if shares and not result.outside("cpu/shares", shares, *SHARES):
        result.add("cpu", "cpu.shares", str(shares), "cpu/shares")
    _bandwidth(block, result)
    if idle == 1:
        cpu_file(result, "cpu.idle", "1", "cpu/idle")
    _realtime(block, result)
    cpu_sets(block, result)


def _bandwidth(block: Mapping[str, Any], result: Translation) -> None:
    quota, period, burst = block.get("quota") or 0, block.get("period") or 0, block.get("burst")
    if period and not result.outside("cpu/period", period, *PERIOD, "microseconds"):
        result.add("cpu", "cpu.cfs_period_us", str(period), "cpu/period")
    if quota < 0:
        result.add("cpu", "cpu.cfs_quota_us", "-1", "cpu/quota", lifts=True)
    elif quota and not result.outside("cpu/quota", quota, *QUOTA, "microseconds"):
        result.add("cpu", "cpu.cfs_quota_us", str(quota), "cpu/quota")
    if burst is not None and burst_fits(burst, quota, result):
        cpu_file(result, "cpu.cfs_burst_us", str(burst), "cpu/burst")


def _realtime(block: Mapping[str, Any], result: Translation) -> None:
    runtime, period = block.get("realtimeRuntime") or 0, block.get("realtimePeriod") or 0
    if 0 < period < runtime:
        message = f"{runtime} is above cpu/realtimePeriod, {period}"
        result.problem("cpu/realtimeRuntime", message, expected=f"at most {period}", found=runtime)
        return
    if period:
        cpu_file(result, "cpu.rt_period_us", str(period), "cpu/realtimePeriod")
    if runtime:
        cpu_file(result, "cpu.rt_runtime_us", str(max(runtime, -1)), "cpu/realtimeRuntime")


def hugepages(block: Sequence[Mapping[str, Any]], result: Translation) -> None:
    """Translate ``hugepageLimits``."""
    huge_pages(block, result, "limit_in_bytes")


def network(block: Mapping[str, Any], result: Translation) -> None:
    """Translate ``network``: the class of packets and their priority on each interface."""
    class_id = block.get("classID") or 0
    if class_id and not result.outside("network/classID", class_id, 0, (1 << 32) - 1):
        result.add("net_cls", "net_cls.classid", str(class_id), "network/classID")
    for index, entry in enumerate(block.get("priorities") or ()):
        at, name, priority = f"network/priorities/{index}", entry.get("name") or "", entry.get("priority") or 0
        # IFNAMSIZ counts a NUL.
        if len(name.encode("utf-8", "surrogateescape")) > 15 or name in (".", ".."):
            result.problem(f"{at}/name", f"{name[:40]!a} is not the name of a network interface", found=name)
        elif result.one_word(f"{at}/name", name, "the name of a network interface") and not result.outside(
            f"{at}/priority", priority, 0, (1 << 32) - 1
        ):
            result.add("net_prio", "net_prio.ifpriomap", f"{name} {priority}", at)


def block_io(block: Any, result: Translation) -> None:
    """Translate ``blockIO``, which few configs have."""
    from . import block_io_v1 as weights

    weights.block_io(block, result)


def unified(_block: Mapping[str, str], result: Translation) -> None:
    """Refuse ``unified``."""
    result.problem("unified", "is for cgroup v2, and the container's groups are on v1", expected="absent")


BLOCKS: dict[str, Callable[[Any, Translation], None]] = {
    "memory": memory,
    "cpu": cpu,
    "pids": pids,
    "blockIO": block_io,
    "hugepageLimits": hugepages,
    "network": network,
    "rdma": rdma,
}
