"""The end of a container: processes, cgroup, mounts of the host, state directory, poststop hooks."""

from __future__ import annotations

import os
import time

from ..errors import HostError, StateDamagedError
from ..state import record as records
from ..state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..cgroup.driver import Driver
    from ..state.record import Record

_KILL_LIMIT = 10.0


def destroy(root: str, record: Record, cgroup: Driver, directory: int) -> list[str]:
    """Take away all that `create` made.  The state directory goes last, so an interrupted run can be repeated.

    directory   the container's, locked
    Returns the warnings of failed poststop hooks.  Raises HostError when a process will not die.
    """
    pending, unread = _poststop(record, directory)
    _kill(record, cgroup)
    cgroup.remove(kill=True)
    records.reap_init(record)
    if record.rdt:
        from . import rdt

        rdt.remove(record.rdt)
    if record.host_mounts is not None:
        from . import hostmounts

        hostmounts.remove(record.rootfs, record.host_mounts)
    store.remove(root, record.container_id)
    if not pending:
        return unread
    from . import late_hooks

    return late_hooks.warnings(record, pending)


def _kill(record: Record, cgroup: Driver) -> None:
    """SIGKILL to init, and wait until it is gone; a frozen one is thawed."""
    pidfd = records.open_init(record)
    if pidfd < 0:
        return
    import _signal
    import select

    try:
        try:
            _signal.pidfd_send_signal(pidfd, 9)
        except ProcessLookupError:
            return
        if cgroup.frozen():
            cgroup.thaw()
        waiter = select.poll()
        waiter.register(pidfd, select.POLLIN)
        end = time.monotonic() + _KILL_LIMIT
        while not waiter.poll(int(max(0.0, end - time.monotonic()) * 1000)):
            if time.monotonic() >= end:
                raise HostError(
                    f"process {record.pid} does not end within {_KILL_LIMIT:.0f} s of SIGKILL",
                    remedy="it may wait for a device or a file system; try again when that has answered",
                )
    finally:
        os.close(pidfd)


def _poststop(record: Record, directory: int) -> tuple[list[tuple[str, int, dict[str, Any]]], list[str]]:
    """The poststop hooks, read while the saved config is still there; or a warning that it is of no use."""
    if "poststop" not in record.hooks:
        return [], []
    from . import late_hooks

    try:
        return late_hooks.saved(record, directory, "poststop"), []
    except StateDamagedError as error:
        return [], [f"poststop hooks are not run: {error.message}"]


def destroy_damaged(root: str, container_id: str) -> list[str]:
    """Remove a container whose state.json is of no use: by the copy that its directory holds beside it."""
    from ..cgroup import driver

    directory = store.open_container(root, container_id)
    try:
        store.lock(directory)
        spare = records.load_spare(directory)
        if spare is not None:
            return destroy(root, spare, driver.from_record(spare.cgroup), directory)
    finally:
        os.close(directory)
    # Without the copy nothing was made yet: it is older than the cgroup and the process.
    store.remove(root, container_id)
    return [f"the state of {container_id} was damaged, and nothing else is known of it"]
