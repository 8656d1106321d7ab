"""The end of a container: processes, cgroup, mounts of the host, state directory, poststop hooks."""

from __future__ import annotations

import os
import time

from ..config import load
from ..errors import ConfigError, HookError, HostError
from ..host import facts as host
from ..state import record as records
from ..state import store
from . import hooks, hostmounts

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
    pending = _poststop(record, directory)
    _kill(record, cgroup)
    cgroup.remove(kill=True)
    records.reap_init(record)
    if record.host_mounts is not None:
        hostmounts.remove(record.rootfs, record.host_mounts)
    store.remove(root, record.container_id)
    return [warning for hook in pending for warning in _run_late(record, hook)]


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


def _poststop(record: Record, directory: int) -> list[tuple[str, int, dict[str, Any]]]:
    """The poststop hooks, read while the saved config is still there."""
    if "poststop" not in record.hooks:
        return []
    return _saved_hooks(record, directory, "poststop")


def _saved_hooks(record: Record, directory: int, kind: str) -> list[tuple[str, int, dict[str, Any]]]:
    try:
        config = load.from_bytes(store.read_file(directory, "config.json"), bundle=record.bundle, path="config.json")
    except (OSError, ConfigError):
        return []
    saved: Any = config.data
    entries = (saved.get("hooks") or {}).get(kind) or ()
    return [(kind, index, hook) for index, hook in enumerate(entries)]


def run_hooks(record: Record, directory: int, kind: str, status: str) -> None:
    """Run the saved config's hooks of a kind.  Raises HookError at the first that fails."""
    for hook in _saved_hooks(record, directory, kind):
        _run(record, hook, status)


def _run(record: Record, entry: tuple[str, int, dict[str, Any]], status: str) -> None:
    kind, index, hook = entry
    args = {
        "kind": kind,
        "index": index,
        "path": hook["path"],
        "args": list(hook.get("args") or [hook["path"]]),
        "env": hook.get("env"),
        "timeout": hook.get("timeout") or 0,
        "status": status,
    }
    pid = record.pid if status == records.RUNNING else 0
    state = hooks.state_json(record.container_id, status, pid, record.bundle, record.annotations)
    hooks.run(
        args,
        pointer=f"/hooks/{kind}/{index}",
        index=-1,
        state=state,
        cwd=record.bundle if os.path.isdir(record.bundle) else "/",
        environ=list(host.environment()),
    )


def _run_late(record: Record, entry: tuple[str, int, dict[str, Any]]) -> list[str]:
    try:
        _run(record, entry, records.STOPPED)
    except (HookError, HostError) as error:
        return [error.message]
    return []


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
