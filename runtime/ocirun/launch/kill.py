"""Signals to a container."""

from __future__ import annotations

import os

from ..errors import HostError, StateError
from ..state import record as records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..cgroup.driver import Driver
    from ..state.record import Record

SIGKILL = 9


def send(record: Record, cgroup: Driver, signal: int, *, all: bool) -> None:
    """Send a signal to the init process, or to every process of the container.

    Raises StateError "container not running" for a stopped one (not with `all`), HostError.
    """
    # The end of init ends all others of its own pid namespace; where that is shared or the host's,
    # killing init alone would leave the rest.
    everyone = all or (signal == SIGKILL and record.shared_pids)
    if everyone and records.may_have_processes(record):
        cgroup.kill(signal)
    if not all:
        _to_init(record, cgroup, signal, may_be_gone=everyone)


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
