"""What a container uses, and when its memory runs out, as the events of ``runc events``."""

from __future__ import annotations

import os
import select
import time

from ..errors import StateError
from ..host import resctrl
from ..plan import rdt
from ..state import record as records
from ..state import saved, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..cgroup.driver import Driver
    from ..state.record import Record

    Groups = tuple[str, str, str]

# poll(2) takes milliseconds as an int.
_POLL_MAX = (1 << 31) - 1


def data(driver: Driver, groups: Groups | None = None) -> dict[str, Any]:
    """Return the ``data`` of a stats event.

    groups   the container's groups of resctrl, see `rdt_groups`
    """
    found = resctrl.usage(*groups) if groups else {}
    # Network interfaces are not ours, and runc prints this of them.
    return {**driver.usage_now(), "intel_rdt": found, "network_interfaces": None}


def rdt_groups(record: Record, root: str) -> Groups | None:
    """Return the arguments of `resctrl.figures` for a container; None for one without `linux.intelRdt`.

    root   the state root
    Raises ContainerNotFoundError when it is removed meanwhile.
    """
    top = resctrl.mount_point()
    if not top:
        return None
    directory = store.open_container(root, record.container_id)
    try:
        config = saved.config(directory, record.bundle)
    finally:
        os.close(directory)
    block = (config.get("linux") or {}).get("intelRdt")
    if block is None:
        return None
    group = rdt.directory(top, block, record.container_id)
    monitored = f"{group}/mon_groups/{record.container_id}" if block.get("enableMonitoring") else group
    return top, group, monitored


def watch(record: Record, root: str, cgroup: Driver, interval: float) -> Iterator[dict[str, Any]]:
    """Yield `events` of a container; the driver is closed at the end.

    root   the state root
    Raises StateError when it has stopped, HostError, UnsupportedError; all with the first event.
    """
    pidfd = records.open_init(record)
    if pidfd < 0:
        text = f"container with id {record.container_id} is not running"
        raise StateError(text, status=records.STOPPED).about(record.container_id, root)
    try:
        with cgroup:
            yield from events(record.container_id, cgroup, pidfd, interval, rdt_groups(record, root))
    finally:
        os.close(pidfd)


def events(
    container_id: str, driver: Driver, pidfd: int, interval: float, groups: Groups | None = None
) -> Iterator[dict[str, Any]]:
    """Yield events until the container's first process ends.

    pidfd      of that process; the caller closes it
    interval   seconds from one stats event to the next; the first comes after the first interval
    groups     as of `data`
    Raises HostError, UnsupportedError for a container without a cgroup.
    """
    data(driver, groups)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    watch = driver.watch()
    try:
        if watch is not None:
            poll.register(watch.fileno(), watch.events)
        due = time.monotonic() + interval
        while True:
            left = max(due - time.monotonic(), 0) * 1000
            ready = [fd for fd, _ in poll.poll(min(int(left) + 1, _POLL_MAX))]
            # Both come at once when the OOM killer ends the container.
            if watch is not None and watch.happened():
                yield {"type": "oom", "id": container_id}
            if watch is not None and watch.ended:
                # poll(2) would say so again and again.
                poll.unregister(watch.fileno())
                watch.close()
                watch = None
            if pidfd in ready:
                return
            if time.monotonic() >= due:
                yield {"type": "stats", "id": container_id, "data": data(driver, groups)}
                # Not from `due` on: a reader that is slow must not get a burst afterwards.
                due = time.monotonic() + interval
    finally:
        if watch is not None:
            watch.close()
