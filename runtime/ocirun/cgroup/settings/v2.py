"""The blocks of ``linux.resources`` for cgroup v2, one function each.  Pure.

What has no counterpart on v2 is a problem, as config-linux.md demands of a
conversion that is impossible.  Documentation/admin-guide/cgroup-v2.rst of the
kernel describes the files.
"""

from __future__ import annotations

from . import common
from .translation import UNIFIED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from .translation import Translation

# Files of the group itself that act on processes and are no limits.
_NO_LIMITS = ("cgroup.procs", "cgroup.threads", "cgroup.kill", "cgroup.freeze", "cgroup.subtree_control")


def memory(block: Mapping[str, Any], result: Translation) -> None:
    """Translate ``memory``: bytes, -1 for no limit; swap is counted apart from memory here."""
    numbers = common.memory_numbers(block, result)
    if numbers is None:
        return
    limit, swap, reservation = numbers
    if limit == -1 and not swap:
        # A limit from before would hold memory and swap down.
        swap = -1
    if limit:
        result.add("memory", "memory.max", _maximum(limit), "memory/limit", lifts=limit < 0)
    if swap:
        _swap(limit, swap, result)
    if reservation:
        value = _maximum(reservation)
        result.add("memory", "memory.low", value, "memory/reservation", lifts=reservation < 0)
    if common.swappiness_of(block) is not None:
        _without("memory/swappiness", block["swappiness"], result)
    if block.get("disableOOMKiller"):
        _without("memory/disableOOMKiller", True, result)
    if block.get("kernelTCP"):
        result.warn("memory/kernelTCP", "is ignored: cgroup v2 has no separate limit for buffers of TCP")
    common.memory_ignored(block, result)


def _swap(limit: int, swap: int, result: Translation) -> None:
    value = "max" if swap < 0 else str(max(swap - limit, 0))
    if not result.available("memory", "") or result.available("memory", "memory.swap.max"):
        result.add("memory", "memory.swap.max", value, "memory/swap", lifts=swap < 0)
    elif value not in ("max", "0"):
        result.problem("memory/swap", "this kernel does not account swap", expected="absent, or swapaccount=1 at boot")


def _maximum(value: int) -> str:
    return "max" if value < 0 else str(value)


def _without(at: str, value: object, result: Translation) -> None:
    """Add a problem: v2 has nothing of the kind."""
    result.problem(at, "has no counterpart on cgroup v2, which this host has", expected="absent", found=value)


def cpu(block: Mapping[str, Any], result: Translation) -> None:
    """Translate ``cpu``: shares, bandwidth in microseconds, CPU and node lists."""
    shares, idle = block.get("shares") or 0, block.get("idle")
    if idle is not None and result.outside("cpu/idle", idle, 0, 1):
        idle = None
    # The weight of an idle group cannot be written, so idle goes off first and on last.
    if idle == 0:
        common.cpu_file(result, "cpu.idle", "0", "cpu/idle")
    if shares:
        result.add("cpu", "cpu.weight", str(weight(shares)), "cpu/shares")
    _bandwidth(block, result)
    if idle == 1:
        common.cpu_file(result, "cpu.idle", "1", "cpu/idle")
    for key in ("realtimeRuntime", "realtimePeriod"):
        if block.get(key):
            _without(f"cpu/{key}", block[key], result)
    common.cpu_sets(block, result)


def weight(shares: int) -> int:
    """Return ``cpu.weight`` (1 to 10000) for ``cpu.shares`` (2 to 262144),
    where 1024 is 100 as both are the default.
    """
    if shares <= common.SHARES[0]:
        return 1
    if shares >= common.SHARES[1]:
        return 10000
    from math import ceil, log2

    power = log2(shares)
    return ceil(10 ** ((power * power + 125 * power) / 612 - 7 / 34))


def _bandwidth(block: Mapping[str, Any], result: Translation) -> None:
    quota, period, burst = block.get("quota") or 0, block.get("period") or 0, block.get("burst")
    if period and result.outside("cpu/period", period, *common.PERIOD, "microseconds"):
        return
    if quota > 0 and result.outside("cpu/quota", quota, *common.QUOTA, "microseconds"):
        return
    if quota or period:
        # A word alone leaves the period as it is (cpu_max_write).
        words = [str(quota) if quota > 0 else "max", *([str(period)] if period else ())]
        at = "cpu/quota" if quota else "cpu/period"
        result.add("cpu", "cpu.max", " ".join(words), at, lifts=quota < 0 and not period)
    if burst is not None and common.burst_fits(burst, quota, result):
        common.cpu_file(result, "cpu.max.burst", str(burst), "cpu/burst")


def hugepages(block: Sequence[Mapping[str, Any]], result: Translation) -> None:
    """Translate ``hugepageLimits``."""
    common.huge_pages(block, result, "max")


def network(block: Mapping[str, Any], result: Translation) -> None:
    """Refuse ``network``: v2 has neither net_cls nor net_prio."""
    if block.get("classID"):
        _without("network/classID", block["classID"], result)
    for index, entry in enumerate(block.get("priorities") or ()):
        _without(f"network/priorities/{index}", entry.get("name"), result)


def block_io(block: Any, result: Translation) -> None:
    """Translate ``blockIO``, which few configs have."""
    from . import block_io_v2

    block_io_v2.block_io(block, result)


def unified(block: Mapping[str, str], result: Translation) -> None:
    """Translate ``unified``: file and text as they are, one write for each line; last, as it overrides the rest."""
    from ..._base.jsonio import pointer_token

    for file, text in block.items():
        controller, at = file.partition(".")[0], f"unified/{pointer_token(file)}"
        if file in _NO_LIMITS:
            result.problem(
                at, f"{file} acts on processes and is no limit", expected="a file of a controller", found=text
            )
            continue
        if controller == "cgroup":
            controller = UNIFIED
        elif not result.available(controller, ""):
            result.missing(controller, at)
            continue
        for line in text.split("\n"):
            if line.strip():
                result.add(controller, file, line, at)


BLOCKS: dict[str, Callable[[Any, Translation], None]] = {
    "memory": memory,
    "cpu": cpu,
    "pids": common.pids,
    "blockIO": block_io,
    "hugepageLimits": hugepages,
    "network": network,
    "rdma": common.rdma,
}
