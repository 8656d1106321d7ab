"""Signals to a container."""

from __future__ import annotations

import os
from _signal import SIGKILL
from errno import ENOENT, ENXIO

from .._base.signals import NUMBERS
from ..errors import HostError, StateError
from ..state import record as records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..cgroup.driver import Driver
    from ..state.record import Record

# Of these runc's init ends before `start`: HUP, INT, QUIT and TERM, and what tells of a fault.
_ENDS = frozenset(
    NUMBERS[name]
    for name in ["HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "SEGV", "TERM", "STKFLT", "SYS"]
)


def send_signal(record: Record, cgroup: Driver, directory: int, signal: int, *, all: bool) -> None:
    """Send a signal to the init process, or to every process of the container.

    directory   the container's
    Raises StateError "container not running" for a stopped one (not with `all`), HostError.
    """
    if signal in _ENDS:
        fifo = _hold_back(directory)
        if fifo >= 0:
            # The helper has them blocked, and the first process of a pid namespace would not get them at all.
            try:
                _send(record, cgroup, SIGKILL, all=all)
            finally:
                os.close(fifo)
            return
    _send(record, cgroup, signal, all=all)


def _hold_back(directory: int) -> int:
    """Keep a container that waits for `start` from it until the descriptor is closed; -1: it does not wait."""
    import fcntl

    try:
        fifo = os.open("start", os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except OSError as error:
        if error.errno in (ENOENT, ENXIO):  # ENXIO: nobody reads it
            return -1
        raise HostError.from_os("start fifo", error, call="open") from None
    try:
        fcntl.flock(fifo, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if records.load_progress(directory).phase == records.PHASE_CREATED:
            held, fifo = fifo, -1
            return held
    except BlockingIOError:  # somebody starts it
        pass
    finally:
        if fifo >= 0:
            os.close(fifo)
    return -1


def _send(record: Record, cgroup: Driver, signal: int, *, all: bool) -> None:
    # The end of init ends all others of its own pid namespace; where that is shared or the host's,
    # killing init alone would leave the rest.
    everyone = all or (signal == SIGKILL and record.shared_pids)
    if everyone and records.may_have_processes(record):
        cgroup.kill(signal)
        moved(record, cgroup, signal)
    if not all:
        _to_init(record, cgroup, signal, may_be_gone=everyone)


def moved(record: Record, cgroup: Driver, signal: int) -> None:
    """Signal those that are in no group of the container: it has none, or they have moved to another one.

    Raises HostError.
    """
    if not records.is_alive(record) or record.pid in cgroup.pids():
        return
    from ..cgroup.files import members
    from ..host import processes

    members.signal_listed(
        lambda: processes.descendants(record.pid), signal, set(), f"the processes of {record.container_id}"
    )


def _to_init(record: Record, cgroup: Driver, signal: int, *, may_be_gone: bool) -> None:
    import _signal

    pidfd = records.open_init(record)
    if pidfd < 0:
        if may_be_gone:
            return
        raise StateError("container not running", status=records.STOPPED)
    try:
        _signal.pidfd_send_signal(pidfd, signal)
        if signal == SIGKILL and cgroup.frozen():
            # On cgroup v1 a frozen process does not even die.
            cgroup.thaw()
    except ProcessLookupError:
        raise StateError("container not running", status=records.STOPPED) from None
    except OSError as error:
        raise HostError.from_os(f"kill {record.pid}", error, call="pidfd_send_signal") from None
    finally:
        os.close(pidfd)
