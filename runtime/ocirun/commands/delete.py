"""The end of a container: processes, cgroup, mounts of the host, state directory, poststop hooks."""

from __future__ import annotations

import os
import time
from errno import EBUSY

from ..errors import HostError, StateDamagedError
from ..state import record as records
from ..state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..cgroup.driver import Driver
    from ..state.record import Record

_KILL_LIMIT = 10.0


def delete_container(
    root: str, record: Record, cgroup: Driver, directory: int, *, reap: Callable[[], None] | None = None
) -> list[str]:
    """Take away all that `create` made.  The state directory goes last, so an interrupted run can be repeated.

    directory   the container's, locked
    reap        called when all is killed: waits for the caller's own children in the container, as the end of a pid
                namespace waits for all that were in it to be waited for (zap_pid_ns_processes)
    Returns the warnings of failed poststop hooks.  Raises HostError when a process will not die.
    """
    pending, warnings = _poststop(record, directory)
    _kill(record, cgroup, reap)
    warnings += _remove_cgroup(record, cgroup)
    records.reap_init(record)
    if record.rdt or record.host_mounts is not None:
        warnings += _remove_more(record, directory)
    store.remove(root, record.container_id)
    if not pending:
        return warnings
    from ..execute.hooks import late_hooks

    return warnings + late_hooks.warnings(record, pending)


def _remove_cgroup(record: Record, cgroup: Driver) -> list[str]:
    """Remove the cgroup; with processes that are somebody else's it stays, and a warning says so."""
    # The first process is gone, and with it all others of its own pid namespace. A group that was never
    # recorded as ready held at most the helper, which ends with its creator.
    kill = record.shared_pids and cgroup.prepared
    try:
        cgroup.remove(kill=kill)
    except HostError as error:
        if kill or error.errno != EBUSY:
            raise
        return [f"{error.message}, which are not the container's: it is left as it is"]
    return []


def _remove_more(record: Record, directory: int) -> list[str]:
    """Take off what few containers have: groups of resctrl, and mounts in a mount namespace that is not their own.

    What the record says is held against the saved config, as it leads to what others have there too.
    """
    from ..plan.builder import join
    from ..state import saved

    try:
        data = saved.config(directory, record.bundle or "/")
    except StateDamagedError as error:
        return [f"mounts below {record.rootfs} and groups of resctrl are left: {error.message}"]
    from ..execute import rdt
    from ..execute.mounts import hostmounts

    if record.rdt:
        rdt.remove([path for path in record.rdt if path in rdt.groups(data, record.container_id)])
    if record.host_mounts is not None:
        if record.rootfs != join(record.bundle, data["root"]["path"]):
            return [f"mounts below {record.rootfs} are left: the saved config has another root"]
        hostmounts.remove(record.rootfs, record.host_mounts)
    return []


def _kill(record: Record, cgroup: Driver, reap: Callable[[], None] | None) -> None:
    """Send SIGKILL to init, and wait until it is gone; a frozen one is thawed."""
    pidfd = records.open_init(record)
    if pidfd < 0:
        return
    import _signal
    import select

    try:
        if record.shared_pids:
            from . import kill

            kill.moved(record, cgroup, _signal.SIGKILL)
        try:
            _signal.pidfd_send_signal(pidfd, _signal.SIGKILL)
        except ProcessLookupError:
            return
        if cgroup.frozen():
            cgroup.thaw()
        if reap is not None:
            reap()
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
    """Return the poststop hooks, read while the saved config is still there; or a warning that it is of no use."""
    if "poststop" not in record.hooks:
        return [], []
    from ..execute.hooks import late_hooks

    try:
        return late_hooks.saved(record, directory, "poststop"), []
    except StateDamagedError as error:
        return [], [f"poststop hooks are not run: {error.message}"]


def destroy_damaged(root: str, container_id: str) -> list[str]:
    """Remove a container whose state.json is of no use: by the copy that its directory holds beside it."""
    from ..cgroup import choose, driver

    try:
        directory = store.open_container(root, container_id)
    except StateDamagedError:
        store.remove(root, container_id)
        return [f"there was a file in place of the state directory of {container_id}"]
    try:
        store.lock(directory)
        spare = records.load_spare(directory, container_id)
        if spare is None:
            # Without the copy nothing was made yet, as it is older than the cgroup and the process; or both are spoilt.
            store.remove(root, container_id)
            return [f"the state of {container_id} was damaged: nothing else is known of it, nor of its processes"]
        try:
            cgroup, lost = choose.recorded_driver(spare.cgroup), []
        except StateDamagedError as error:
            cgroup, lost = driver.Driver(), [f"its cgroup is left, if it had one: {error.message}"]
        return delete_container(root, spare, cgroup, directory) + lost
    finally:
        os.close(directory)
