"""`start` from another process than `create`: one byte into the fifo, then wait for execve."""

from __future__ import annotations

import os

from ..errors import HostError, StateError
from ..state import record as records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..state.record import Record

_RUNNING = "cannot start an already running container"


def start(record: Record, directory: int) -> None:
    """Let the init process go on, and return when the program has been executed.

    Raises StateError when somebody else starts it or it has died; ProgramError, HookError when the
    program or a startContainer hook fails.
    """
    import fcntl

    try:
        fifo = os.open("start", os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        raise StateError(_RUNNING, status=records.RUNNING) from None
    except OSError as error:
        if error.errno == 6:  # ENXIO: nobody reads, so init is gone, or its program runs
            raise _late(record) from None
        raise HostError.from_os("start fifo", error, call="open") from None
    try:
        try:
            fcntl.flock(fifo, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateError(_RUNNING, status=records.RUNNING) from None
        if records.load_progress(directory).phase != records.PHASE_CREATED:
            raise StateError(_RUNNING, status=records.RUNNING)
        try:
            os.write(fifo, b"s")
        except BrokenPipeError:
            raise _late(record) from None
        except OSError as error:
            raise HostError.from_os("start fifo", error, call="write") from None
        _wait_until_closed(fifo)
    finally:
        os.close(fifo)
    # From here on nothing has failed but what the helper says has.  The fifo stays: nobody reads it any more.
    progress = records.load_progress(directory)
    if progress.phase == records.PHASE_RUNNING:
        return
    from . import report

    index, op = record.late_op(progress.index)
    raise report.from_progress(op, index, progress, -9 if progress.phase != records.PHASE_FAILED else 1)


def _late(record: Record) -> StateError:
    """The error of a fifo that nobody reads."""
    if records.is_alive(record):
        return StateError(_RUNNING, status=records.RUNNING)
    return StateError("cannot start a container that has stopped", status=records.STOPPED)


def _wait_until_closed(fifo: int) -> None:
    """The init process is the fifo's only reader; its end closes at execve, as at its death."""
    import select

    waiter = select.poll()
    waiter.register(fifo, 0)
    try:
        while not waiter.poll():
            pass
    except OSError as error:
        raise HostError.from_os(
            "the program was let go, and whether it runs is not known",
            error,
            call="poll",
            remedy="see `state`",
        ) from None
