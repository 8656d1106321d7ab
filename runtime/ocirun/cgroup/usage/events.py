"""What a container uses just now, in full, from its v1 groups: the ``data`` of a stats event.

The shape and the names are those of runc's ``events`` (its types/events.go),
which monitoring reads; so is what is left out when it is zero.  Sources:
Documentation/admin-guide/cgroup-v1/ of the kernel.
"""

from __future__ import annotations

import os

from ..files import tree
from .v1 import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

_CPUSET = (
    ("cpu_exclusive", "cpuset.cpu_exclusive"),
    ("mem_hardwall", "cpuset.mem_hardwall"),
    ("mem_exclusive", "cpuset.mem_exclusive"),
    ("memory_migrate", "cpuset.memory_migrate"),
    ("memory_spread_page", "cpuset.memory_spread_page"),
    ("memory_spread_slab", "cpuset.memory_spread_slab"),
    ("memory_pressure", "cpuset.memory_pressure"),
    ("sched_load_balance", "cpuset.sched_load_balance"),
    ("sched_relax_domain_level", "cpuset.sched_relax_domain_level"),
)
_MEMORY = (
    ("usage", "memory"),
    ("swap", "memory.memsw"),
    ("kernel", "memory.kmem"),
    ("kernelTCP", "memory.kmem.tcp"),
)
# Result, and the files it can come from, best first: which of them a kernel has depends on its I/O schedulers.
_BLKIO = (
    ("ioServiceBytesRecursive", ("bfq.io_service_bytes", "io_service_bytes", "throttle.io_service_bytes")),
    ("ioServicedRecursive", ("bfq.io_serviced", "io_serviced", "throttle.io_serviced")),
    ("ioQueueRecursive", ("bfq.io_queued", "io_queued")),
    ("ioServiceTimeRecursive", ("bfq.io_service_time", "io_service_time")),
    ("ioWaitTimeRecursive", ("bfq.io_wait_time", "io_wait_time")),
    ("ioMergedRecursive", ("bfq.io_merged", "io_merged")),
    ("ioTimeRecursive", ("bfq.time", "time")),
    ("sectorsRecursive", ("bfq.sectors", "sectors")),
)
_HUGE_START, _HUGE_END = "hugetlb.", ".usage_in_bytes"


class Files:
    """The files of the groups; what is missing reads as empty, or as 0.

    tops   controller -> descriptor of the container's directory
    """

    __slots__ = ("_tops",)

    def __init__(self, tops: Mapping[str, int]) -> None:
        self._tops = tops

    def text(self, name: str) -> str:
        """Return a file, which starts with the name of its controller."""
        top = self._tops.get(name.partition(".")[0])
        return "" if top is None else tree.figure(top, name)

    def number(self, name: str, key: str = "") -> int:
        """Return a number of a file, as `usage.number` finds it."""
        text = self.text(name)
        if not key and text[:1] == "-":
            return -(number(text[1:]) or 0)
        return number(text, key) or 0

    def names(self, controller: str) -> list[str]:
        """Return all files of a controller's group."""
        top = self._tops.get(controller)
        return [] if top is None else tree.files(top)


def read_event(tops: Mapping[str, int]) -> dict[str, Any]:
    """Return what is used now; `tops` as in `Files`.

    Times are in nanoseconds, sizes in bytes.  A memory limit that is not set
    is a number near 2**63, a pids limit that is not set is left out.
    """
    files = Files(tops)
    return {
        "cpu": _cpu(files),
        "cpuset": _cpuset(files),
        "memory": _memory(files),
        "pids": filled({"current": files.number("pids.current"), "limit": max(files.number("pids.max"), 0)}),
        "blkio": filled({name: _blkio(files, sources) for name, sources in _BLKIO}),
        "hugetlb": _hugetlb(files),
        **filled({"misc": named(files.text, "misc")}),
    }


def _cpu(files: Files) -> dict[str, Any]:
    # "cpu user system", one line for each CPU, in nanoseconds (cpuacct_all_seq_show)
    rows = [line.split() for line in files.text("cpuacct.usage_all").split("\n")[1:]]
    # cpuacct.stat counts in USER_HZ.
    tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    usage = filled(
        {
            "total": files.number("cpuacct.usage"),
            "percpu": [int(word) for word in files.text("cpuacct.usage_percpu").split()],
            "percpu_kernel": [int(row[2]) for row in rows if len(row) == 3],
            "percpu_user": [int(row[1]) for row in rows if len(row) == 3],
        }
    )
    usage["kernel"] = files.number("cpuacct.stat", "system") * tick
    usage["user"] = files.number("cpuacct.stat", "user") * tick
    throttling = {
        "periods": files.number("cpu.stat", "nr_periods"),
        "throttledPeriods": files.number("cpu.stat", "nr_throttled"),
        "throttledTime": files.number("cpu.stat", "throttled_time"),
    }
    return {"usage": usage, "throttling": filled(throttling)}


def _cpuset(files: Files) -> dict[str, Any]:
    lists = filled({name: numbers(files.text(f"cpuset.{name}")) for name in ("cpus", "mems")})
    return {**lists, **{name: files.number(file) for name, file in _CPUSET}}


def numbers(text: str) -> list[int]:
    """Return the numbers of a list as the kernel writes it, such as ``0-2,5`` (bitmap_print_to_pagebuf)."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first.isdigit() and (last.isdigit() or not dash):
            found.extend(range(int(first), int(last or first) + 1))
    return found


def _memory(files: Files) -> dict[str, Any]:
    raw: dict[str, int] = {}
    for line in files.text("memory.stat").split("\n"):
        name, _, value = line.partition(" ")
        if value.isdigit():
            raw[name] = int(value)
    result = filled({"cache": raw.get("cache", 0)})
    for name, prefix in _MEMORY:
        entry = {"limit": files.number(f"{prefix}.limit_in_bytes")}
        entry |= filled(
            {
                "usage": files.number(f"{prefix}.usage_in_bytes"),
                "max": files.number(f"{prefix}.max_usage_in_bytes"),
            }
        )
        entry["failcnt"] = files.number(f"{prefix}.failcnt")
        result[name] = entry
    return {**result, **filled({"raw": dict(sorted(raw.items()))})}


def _blkio(files: Files, sources: tuple[str, ...]) -> list[dict[str, Any]]:
    for source in sources:
        entries = devices(files.text(f"blkio.{source}_recursive"))
        if entries:
            return entries
    return []


def devices(text: str) -> list[dict[str, Any]]:
    """Return the lines ``MAJOR:MINOR [OPERATION] VALUE`` of a blkio file; its totals are left out."""
    entries = []
    for line in text.split("\n"):
        words = line.replace(":", " ").split()
        if len(words) in (3, 4) and all(word.isdigit() for word in (*words[:2], words[-1])):
            operation = words[2] if len(words) == 4 else ""
            entry = {"major": int(words[0]), "minor": int(words[1]), "op": operation, "value": int(words[-1])}
            entries.append(filled(entry))
    return entries


def _hugetlb(files: Files) -> dict[str, Any]:
    result = {}
    for name in files.names("hugetlb"):
        size = name[len(_HUGE_START) : -len(_HUGE_END)]
        # Those of other controllers are here too where they are mounted together.
        if not name.startswith(_HUGE_START) or not name.endswith(_HUGE_END) or "." in size:
            continue
        start = f"{_HUGE_START}{size}"
        entry = {"usage": files.number(name), "max": files.number(f"{start}.max_usage_in_bytes")}
        result[size] = {**filled(entry), "failcnt": files.number(f"{start}.failcnt")}
    return result


def named(text: Callable[[str], str], controller: str) -> dict[str, Any]:
    """Return what is used of each resource that a controller has by name: of ``misc`` and, on v2, ``dmem``.

    text   returns the content of a file, "" for one that is not there
    Files: ``NAME VALUE`` in current, max and (misc, Linux 6.11) peak; ``NAME.max COUNT`` in misc.events (Linux 5.16).
    """
    found = {}
    columns = {column: _pairs(text(f"{controller}.{column}")) for column in ("current", "max", "peak", "events")}
    for name, used in columns["current"].items():
        entry = {"usage": used, "limit": columns["max"].get(name, -1), "max": columns["peak"].get(name, 0)}
        entry["failcnt"] = columns["events"].get(f"{name}.max", 0)
        if entry["limit"] < 0:
            del entry["limit"]
        found[name] = {"usage": used, **filled(entry)}
    return found


def _pairs(text: str) -> dict[str, int]:
    """Return lines ``NAME VALUE`` with a number; "max" is -1."""
    pairs = (line.rpartition(" ")[::2] for line in text.split("\n"))
    return {name: value for name, word in pairs if name and (value := number(word)) is not None}


def filled(entries: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is zero or empty, as ``omitempty`` of Go's encoding/json does."""
    return {name: value for name, value in entries.items() if value}
