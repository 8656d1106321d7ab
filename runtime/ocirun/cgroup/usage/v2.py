"""What a container used, and what it uses just now, from its v2 group.

`usage` has the names of `v1.read_usage`, `usage_now` those of runc's stats
events, as `events.read_event` has them for v1.  Source:
Documentation/admin-guide/cgroup-v2.rst of the kernel.
"""

from __future__ import annotations

from ..files import tree
from .events import filled, named, numbers
from .v1 import TOLD, number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# (file, key in the file or "" for the whole text, name of the result, factor)
_USAGE = (
    ("memory.current", "", "memory_bytes", 1),
    ("memory.peak", "", "memory_peak_bytes", 1),  # Linux 5.19
    ("memory.max", "", "memory_limit_bytes", 1),
    ("memory.events", "max", "memory_failures", 1),
    ("memory.events", "oom_kill", "oom_kills", 1),
    ("memory.swap.peak", "", "memory_swap_peak_bytes", 1),  # Linux 6.5
    ("memory.swap.events", "max", "memory_swap_failures", 1),
    ("cpu.stat", "usage_usec", "cpu_ns", 1000),
    ("cpu.stat", "nr_throttled", "cpu_throttled_periods", 1),
    ("cpu.stat", "throttled_usec", "cpu_throttled_ns", 1000),
    ("pids.current", "", "pids", 1),
    ("pids.peak", "", "pids_peak", 1),  # Linux 6.1
    ("pids.max", "", "pids_limit", 1),
    ("pids.events", "max", "pids_failures", 1),
)
# What is told of a program that has ended.
TOLD_FILES = tuple(dict.fromkeys(file for file, _, name, _ in _USAGE if name in TOLD))
# For runc a limit that is not set is the greatest number.
_NO_LIMIT = (1 << 64) - 1
_IO = (
    ("ioServiceBytesRecursive", (("rbytes", "Read"), ("wbytes", "Write"), ("dbytes", "Discard"))),
    ("ioServicedRecursive", (("rios", "Read"), ("wios", "Write"), ("dios", "Discard"))),
)


class _Files:
    """The files of a group; what is missing reads as empty, or as 0."""

    __slots__ = ("_texts", "_top")

    def __init__(self, top: int) -> None:
        self._top = top
        self._texts: dict[str, str] = {}

    def text(self, name: str) -> str:
        if name not in self._texts:
            self._texts[name] = tree.figure(self._top, name)
        return self._texts[name]

    def number(self, name: str, key: str = "") -> int:
        return number(self.text(name), key) or 0

    def limit(self, name: str) -> int:
        value = number(self.text(name))
        return _NO_LIMIT if value == -1 else value or 0

    def names(self) -> list[str]:
        return tree.files(self._top)


def usage(top: int) -> dict[str, int]:
    """Return the figures that this kernel gives, groups below included; limits of -1 are none.

    top   the group's directory
    """
    return usage_from({file: tree.figure(top, file) for file, *_ in _USAGE})


def usage_from(texts: Mapping[str, str]) -> dict[str, int]:
    """Return the same as `usage`, from the texts of files; "" for one that the kernel has not."""
    result = {}
    for file, key, name, factor in _USAGE:
        value = number(texts.get(file, ""), key)
        if value is not None:
            result[name] = value * factor
    return result


def usage_now(top: int) -> dict[str, Any]:
    """Return the ``data`` of a stats event; `top` as in `usage`.

    Times are in nanoseconds, sizes in bytes.  A limit that is not set is
    2**64 - 1, a pids limit that is not set is left out.  Swap is told with
    memory in it, as on v1.
    """
    files = _Files(top)
    return {
        "cpu": _cpu(files),
        "cpuset": filled({name: numbers(files.text(f"cpuset.{name}.effective")) for name in ("cpus", "mems")}),
        "memory": _memory(files),
        "pids": filled({"current": files.number("pids.current"), "limit": max(files.number("pids.max"), 0)}),
        "blkio": _blkio(files),
        "hugetlb": _hugetlb(files),
        **filled({controller: named(files.text, controller) for controller in ("misc", "dmem")}),
    }


def _cpu(files: _Files) -> dict[str, Any]:
    stat = {key: files.number("cpu.stat", key) for key in ("usage_usec", "user_usec", "system_usec", "throttled_usec")}
    used = filled({"total": stat["usage_usec"] * 1000})
    used |= {"kernel": stat["system_usec"] * 1000, "user": stat["user_usec"] * 1000}
    throttling = {
        "periods": files.number("cpu.stat", "nr_periods"),
        "throttledPeriods": files.number("cpu.stat", "nr_throttled"),
        "throttledTime": stat["throttled_usec"] * 1000,
    }
    return {"usage": used, "throttling": filled(throttling), **_pressure(files, "cpu")}


def _memory(files: _Files) -> dict[str, Any]:
    raw: dict[str, int] = {}
    for line in files.text("memory.stat").split("\n"):
        name, _, value = line.partition(" ")
        if value.isdigit():
            raw[name] = int(value)
    memory = _entry(files, "memory", files.number("memory.events", "max"))
    swap = _entry(files, "memory.swap", files.number("memory.swap.events", "max"))
    if "usage" in memory:
        swap["usage"] = swap.get("usage", 0) + memory["usage"]
    if _NO_LIMIT not in (swap["limit"], memory["limit"]):
        swap["limit"] += memory["limit"]
    empty = {"limit": 0, "failcnt": 0}
    kernel = {**filled({"usage": raw.get("kernel", 0)}), **empty}
    result = {**filled({"cache": raw.get("file", 0)}), "usage": memory, "swap": swap, "kernel": kernel}
    return {**result, "kernelTCP": empty, **filled({"raw": dict(sorted(raw.items()))}), **_pressure(files, "memory")}


def _entry(files: _Files, prefix: str, failures: int) -> dict[str, int]:
    entry = {"limit": files.limit(f"{prefix}.max")}
    entry |= filled({"usage": files.number(f"{prefix}.current"), "max": files.number(f"{prefix}.peak")})
    return {**entry, "failcnt": failures}


def _blkio(files: _Files) -> dict[str, Any]:
    """Read io.stat: ``MAJOR:MINOR key=value ...``, one line for each device."""
    lines = []
    for line in files.text("io.stat").split("\n"):
        numbers_, *words = line.split() or [""]
        major, _, minor = numbers_.partition(":")
        values = dict(word.partition("=")[::2] for word in words)
        if major.isdigit() and minor.isdigit():
            lines.append((int(major), int(minor), values))
    result: dict[str, Any] = {}
    for name, keys in _IO:
        result[name] = [
            filled({"major": major, "minor": minor, "op": operation, "value": int(values[key])})
            for major, minor, values in lines
            for key, operation in keys
            if values.get(key, "").isdigit()
        ]
    result["cost"] = _cost(lines)
    return {**filled(result), **_pressure(files, "io")}


def _cost(lines: list[tuple[int, int, dict[str, str]]]) -> list[dict[str, int]]:
    """Return what io.cost has counted for each device, in microseconds of the device's time (block/blk-iocost.c):
    ``cost.usage``, ``wait`` for budget, ``indebt`` and ``indelay``; nothing where it is off.
    """
    found = []
    for major, minor, values in lines:
        costs = {key[5:]: int(value) for key, value in values.items() if key.startswith("cost.") and value.isdigit()}
        if costs:
            found.append({"major": major, "minor": minor, **costs})
    return found


def _hugetlb(files: _Files) -> dict[str, Any]:
    result = {}
    for name in files.names():
        size = name.removeprefix("hugetlb.").removesuffix(".current")
        if name == f"hugetlb.{size}.current" and "." not in size:
            entry = filled({"usage": files.number(name)})
            result[size] = {**entry, "failcnt": files.number(f"hugetlb.{size}.events", "max")}
    return result


def _pressure(files: _Files, controller: str) -> dict[str, Any]:
    """Return how long tasks waited (Documentation/accounting/psi.rst), as ``psi``;
    nothing where the kernel does not count.
    """
    found: dict[str, Any] = {}
    for line in files.text(f"{controller}.pressure").split("\n"):
        kind, *words = line.split() or [""]
        values = dict(word.partition("=")[::2] for word in words)
        if kind in ("some", "full") and values:
            found[kind] = {key: int(text) if key == "total" else float(text) for key, text in values.items()}
    return {"psi": found} if found else {}
