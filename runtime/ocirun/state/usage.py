"""What a container has used, kept beside its state: read before its cgroup goes, as that takes the numbers along."""

from __future__ import annotations

import os

from .._base import jsonio, procfile
from . import store

FILE = "usage.json"
_OOM_KILLS = "oom-kills"


class Usage:
    """What a container has used so far.

    memory_peak    the most memory it had at one time, in bytes, caches included
    oom_kills      how many of its processes the kernel has killed for lack of memory
    cpu_seconds    processor time of all its processes
    pids_peak      the most processes and threads at one time (Linux 6.1 and newer)
    Each is None where nobody counts: without a cgroup, or where the kernel does not tell.
    """

    __slots__ = ("cpu_seconds", "memory_peak", "oom_kills", "pids_peak")

    def __init__(self, used: dict[str, int]) -> None:
        self.memory_peak = used.get("memory_peak_bytes")
        self.oom_kills = used.get("oom_kills")
        self.cpu_seconds = used["cpu_ns"] / 1e9 if "cpu_ns" in used else None
        self.pids_peak = used.get("pids_peak")

    def record(self) -> dict[str, int | float]:
        """Return what is known, by the names of the state document."""
        values = {
            "memoryPeak": self.memory_peak,
            "oomKills": self.oom_kills,
            "cpuSeconds": self.cpu_seconds,
            "pidsPeak": self.pids_peak,
        }
        return {name: value for name, value in values.items() if value is not None}

    def __repr__(self) -> str:
        return f"<Usage {' '.join(f'{name}={value}' for name, value in self.record().items())}>"


def save(directory: int, used: dict[str, int]) -> None:
    """Keep what a cgroup driver's `usage` said; an empty answer never replaces a better one.  OSError as it comes."""
    if used:
        store.write_file(directory, FILE, jsonio.dumps(used).encode())


def add_oom_kills(directory: int, count: int) -> None:
    """Count processes that were killed in a group that goes: one byte each, as that needs no lock.

    OSError as it comes.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(_OOM_KILLS, flags, 0o600, dir_fd=directory)
    try:
        os.write(fd, b"." * count)
    finally:
        os.close(fd)


def with_ended(directory: int, used: dict[str, int]) -> dict[str, int]:
    """Return what a cgroup driver's `usage` said, with what groups have counted that are gone."""
    if "oom_kills" in used:
        try:
            used = {**used, "oom_kills": used["oom_kills"] + os.stat(_OOM_KILLS, dir_fd=directory).st_size}
        except OSError as error:
            return procfile.unanswered(error, _OOM_KILLS, used)
    return used


def load(directory: int) -> dict[str, int]:
    """Return what was kept, {} if nothing was."""
    try:
        values = jsonio.loads(store.read_file(directory, FILE))
    except OSError as error:
        return procfile.unanswered(error, FILE, {})
    except jsonio.JsonError:
        return {}
    if not isinstance(values, dict) or not all(type(value) is int for value in values.values()):
        return {}
    return values
