"""What all containers of a state root use: samples, and the rates between two of them."""

from __future__ import annotations

import os
import time

from ...container import Container
from ...containers import list_ids
from ...errors import ContainerNotFoundError, OcirunError, StateError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# A limit that is not set is a number near 2**63 or 2**64, or left out.
_NO_LIMIT = 1 << 60


class Row:
    """One container at one moment.  What is not counted, or of a container that does not run, is None.

    id, status    as in its state
    pid           of its first process, 0 when it has stopped
    cpu           processor time since the sample before, in percent of one processor; None in the first sample
    cpu_seconds   processor time since its start
    memory        bytes in use without the file cache that the kernel would give up first
    memory_limit  bytes, None without a limit
    pids, pids_limit       processes and threads
    read, written          bytes from and to block devices since its start
    read_rate, write_rate  bytes a second since the sample before; None in the first
    io_cost       time of block devices by io.cost since its start, in seconds
    io_cost_share          the same since the sample before, in percent of one device's time
    device_memory memory of devices in bytes (the controller dmem)
    misc          what is used by name of the controller misc
    """

    __slots__ = (
        "cpu",
        "cpu_seconds",
        "device_memory",
        "id",
        "io_cost",
        "io_cost_share",
        "memory",
        "memory_limit",
        "misc",
        "pid",
        "pids",
        "pids_limit",
        "read",
        "read_rate",
        "status",
        "write_rate",
        "written",
    )

    def __init__(self, container_id: str, status: str, pid: int, stats: Mapping[str, Any] | None) -> None:
        self.id = container_id
        self.status = status
        self.pid = pid
        self.cpu: float | None = None
        self.cpu_seconds: float | None = None
        self.memory: int | None = None
        self.memory_limit: int | None = None
        self.pids: int | None = None
        self.pids_limit: int | None = None
        self.read: int | None = None
        self.written: int | None = None
        self.read_rate: float | None = None
        self.write_rate: float | None = None
        self.io_cost: float | None = None
        self.io_cost_share: float | None = None
        self.device_memory: int | None = None
        self.misc: dict[str, int] = {}
        if stats is not None:
            self._fill(stats)

    def _fill(self, stats: Mapping[str, Any]) -> None:
        usage = (stats.get("cpu") or {}).get("usage") or {}
        # What is zero is left out of statistics.
        self.cpu_seconds = usage.get("total", 0) / 1e9
        memory = stats.get("memory") or {}
        amount = memory.get("usage") or {}
        limit = amount.get("limit") or 0
        if limit:  # else nobody counts memory
            raw = memory.get("raw") or {}
            idle = raw.get("total_inactive_file", raw.get("inactive_file", 0))
            self.memory = max(amount.get("usage", 0) - idle, 0)
        self.memory_limit = limit if 0 < limit < _NO_LIMIT else None
        pids = stats.get("pids") or {}
        self.pids = pids.get("current", 0)
        limit = pids.get("limit") or 0
        self.pids_limit = limit if 0 < limit < _NO_LIMIT else None
        blocks = (stats.get("blkio") or {}).get("ioServiceBytesRecursive") or ()
        self.read = _sum(blocks, "read")
        self.written = _sum(blocks, "write")
        if costs := (stats.get("blkio") or {}).get("cost"):
            self.io_cost = sum(entry.get("usage", 0) for entry in costs) / 1e6
        if regions := stats.get("dmem"):
            self.device_memory = sum(entry["usage"] for entry in regions.values())
        self.misc = {name: entry["usage"] for name, entry in (stats.get("misc") or {}).items()}

    def compare(self, before: Row, seconds: float) -> None:
        """Set what is a rate, from a sample that is `seconds` older."""
        if self.cpu_seconds is not None and before.cpu_seconds is not None:
            self.cpu = max(self.cpu_seconds - before.cpu_seconds, 0.0) / seconds * 100
        if self.read is not None and before.read is not None:
            self.read_rate = max(self.read - before.read, 0) / seconds
        if self.written is not None and before.written is not None:
            self.write_rate = max(self.written - before.written, 0) / seconds
        if self.io_cost is not None and before.io_cost is not None:
            self.io_cost_share = max(self.io_cost - before.io_cost, 0.0) / seconds * 100

    def record(self) -> dict[str, Any]:
        """Return the row as plain values, the form of ``ocirun top --json``."""
        return {
            "id": self.id,
            "status": self.status,
            "pid": self.pid,
            "cpuPercent": self.cpu,
            "cpuSeconds": self.cpu_seconds,
            "memory": self.memory,
            "memoryLimit": self.memory_limit,
            "pids": self.pids,
            "pidsLimit": self.pids_limit,
            "ioRead": self.read,
            "ioWritten": self.written,
            "ioReadRate": self.read_rate,
            "ioWriteRate": self.write_rate,
            "ioCostPercent": self.io_cost_share,
            "deviceMemory": self.device_memory,
            "misc": self.misc,
        }


class Sampler:
    """Samples of all containers of a root; each remembers the one before it."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._before: dict[tuple[str, int], Row] = {}
        self._moment = 0.0

    def sample(self) -> list[Row]:
        """Return all containers now, in the order of their ids.

        One that vanishes meanwhile is left out; one with a damaged state has the status ``damaged``.
        Raises HostError when the root cannot be read.
        """
        now = time.monotonic()
        rows = [row for row in map(self._row, list_ids(self._root)) if row is not None]
        for row in rows:
            before = self._before.get((row.id, row.pid))
            if before is not None and now > self._moment:
                row.compare(before, now - self._moment)
        # By the process too: a new container may have the id of one that has gone.
        self._before = {(row.id, row.pid): row for row in rows}
        self._moment = now
        return rows

    def _row(self, container_id: str) -> Row | None:
        try:
            container = Container.load(container_id, root=self._root)
            status = container.status()
            return Row(container_id, status, 0 if status == "stopped" else container.pid, _stats(container, status))
        except ContainerNotFoundError:
            return None
        except OcirunError as error:
            return Row(container_id, "damaged" if error.code == "state-damaged" else "unknown", 0, None)


def _stats(container: Container, status: str) -> dict[str, Any] | None:
    if status not in ("created", "running", "paused"):
        return None
    try:
        return container.stats()
    except (UnsupportedError, StateError):
        return None  # it has no cgroup, or has stopped meanwhile


def _sum(entries: Any, operation: str) -> int:
    """Return the bytes of all devices; the kernel's words for the operations differ in their case."""
    return sum(entry.get("value", 0) for entry in entries if str(entry.get("op", "")).lower() == operation)


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))
