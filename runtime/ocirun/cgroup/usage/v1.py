"""What a container used, from its v1 groups: the answer to "why did it stop"."""

from __future__ import annotations

from ..files import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Mapping

# (controller, file, key in the file or "" for the whole text, name of the result)
_SOURCES = (
    ("memory", "memory.usage_in_bytes", "", "memory_bytes"),
    ("memory", "memory.max_usage_in_bytes", "", "memory_peak_bytes"),
    ("memory", "memory.limit_in_bytes", "", "memory_limit_bytes"),
    ("memory", "memory.failcnt", "", "memory_failures"),
    ("memory", "memory.memsw.max_usage_in_bytes", "", "memory_swap_peak_bytes"),
    ("memory", "memory.memsw.failcnt", "", "memory_swap_failures"),
    ("memory", "memory.oom_control", "under_oom", "under_oom"),
    ("cpuacct", "cpuacct.usage", "", "cpu_ns"),
    ("cpu", "cpu.stat", "nr_throttled", "cpu_throttled_periods"),
    ("cpu", "cpu.stat", "throttled_time", "cpu_throttled_ns"),
    ("pids", "pids.current", "", "pids"),
    ("pids", "pids.peak", "", "pids_peak"),
    ("pids", "pids.max", "", "pids_limit"),
    ("pids", "pids.events", "max", "pids_failures"),
)


def read_usage(tops: Mapping[str, int]) -> dict[str, int]:
    """Return the figures that this kernel gives; what it does not give is left out.

    tops   controller -> descriptor of the container's directory
    Names end in their unit; ``pids_limit`` is -1 for none, and
    ``memory_limit_bytes`` is a number near 2**63 for none.  ``oom_kills``
    counts processes that the OOM killer ended, in groups below too (Linux
    4.13; on v1 each group counts only its own).  Failures are times that a
    limit was hit: the one of memory, or that of memory and swap together; Linux
    6.18 was seen to leave both at 0.
    """
    texts = {place: tree.figure(tops[place[0]], place[1]) for place in files(tops)}
    result = from_texts(texts)
    if "memory" in tops:
        counts = [number(tree.figure(fd, "memory.oom_control"), "oom_kill") for fd in tree.walk(tops["memory"])]
        if any(count is not None for count in counts):
            result["oom_kills"] = sum(count or 0 for count in counts)
    return result


# What is told of a program that has ended; the rest is of interest while a container is there.
TOLD = frozenset(("memory_peak_bytes", "cpu_ns", "pids_peak", "pids_failures", "oom_kills", "under_oom"))


def files(controllers: Container[str], names: Container[str] | None = None) -> list[tuple[str, str]]:
    """Return (controller, file) of each file that is read for these controllers.

    names   of the figures, None for all
    """
    wanted = [source for source in _SOURCES if names is None or source[3] in names]
    return list(dict.fromkeys((controller, file) for controller, file, _, _ in wanted if controller in controllers))


def from_texts(texts: Mapping[tuple[str, str], str]) -> dict[str, int]:
    """Return the figures in the texts of files; ``oom_kills`` is that of the group without those below."""
    result: dict[str, int] = {}
    for controller, file, key, name in _SOURCES:
        value = number(texts.get((controller, file), ""), key)
        if value is not None:
            result[name] = value
    kills = number(texts.get(("memory", "memory.oom_control"), ""), "oom_kill")
    if kills is not None:
        result["oom_kills"] = kills
    return result


def number(text: str, key: str = "") -> int | None:
    """Return a number from a cgroup file: its whole text ("max" is -1), or the value of a line ``KEY VALUE``."""
    if not key:
        return -1 if text == "max" else int(text) if text.isdigit() else None
    for line in text.split("\n"):
        name, _, value = line.partition(" ")
        if name == key and value.isdigit():
            return int(value)
    return None
