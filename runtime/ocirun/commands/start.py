"""`start` from another process than `create`: one byte into the fifo, then wait for execve."""

from __future__ import annotations

import os
from errno import ENXIO

from ..errors import ConfigError, HostError, Problem, StateDamagedError, StateError
from ..state import record as records
from ..state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..state.record import Progress, Record

_RUNNING = "cannot start an already running container"
_STOPPED = "cannot start a container that has stopped"


def refuse(status: str) -> None:
    """Raise StateError for every status but created, in words that engines match."""
    if status == records.PAUSED:
        raise StateError("cannot start a container in the paused state", status=status)
    if status == records.RUNNING:
        raise StateError(_RUNNING, status=status)
    if status != records.CREATED:
        raise StateError(_STOPPED, status=status)


def start(record: Record, directory: int) -> None:
    """Let the init process go on until the program runs; tell the service manager, and run the poststart hooks.

    Raises ConfigError where config.json names no program; StateError when somebody else starts it or it has died;
    ProgramError, HookError when the program or a hook fails.
    """
    if not record.has_program:
        problem = Problem("/process", "is missing: there is nothing to run", expected="an object")
        raise ConfigError([problem], path="config.json")
    from ..execute.streams import notify

    # What cannot be read is found before the program runs.
    hooks = []
    if "poststart" in record.hooks:
        from ..execute.hooks import late_hooks

        hooks = late_hooks.saved(record, directory, "poststart")
    listener = notify.in_start(directory)
    _let_go(record, directory)
    if listener is not None:
        try:
            notify.wait_started(listener, record)
        except OSError as error:
            raise HostError.from_os("the program runs, but NOTIFY_SOCKET is not told", error) from None
    if hooks:
        from ..execute.hooks import late_hooks

        late_hooks.run_all(record, hooks, records.RUNNING)


def _let_go(record: Record, directory: int) -> None:
    import fcntl

    try:
        fifo = os.open("start", os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        raise StateError(_RUNNING, status=records.RUNNING) from None
    except OSError as error:
        if error.errno == ENXIO:  # nobody reads, so init is gone, or its program runs
            raise _late(record) from None
        raise HostError.from_os("start fifo", error, call="open") from None
    try:
        if os.fstat(fifo).st_mode & 0o170000 != 0o010000:
            # Nobody would ever close its other end.
            raise StateDamagedError("start: is no fifo", remedy=store.remedy())
        try:
            fcntl.flock(fifo, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateError(_RUNNING, status=records.RUNNING) from None
        if records.load_progress(directory).phase != records.PHASE_CREATED:
            raise StateError(_RUNNING, status=records.RUNNING)
        # A fifo put in the place of that one may have another reader; so the death of init is waited for as well.
        init = records.open_init(record)
        if init < 0:
            raise _late(record)
        try:
            try:
                os.write(fifo, b"s")
            except BrokenPipeError:
                raise _late(record) from None
            except OSError as error:
                raise HostError.from_os("start fifo", error, call="write") from None
            progress = _outcome(fifo, init, directory)
        finally:
            os.close(init)
    finally:
        os.close(fifo)
    if progress.phase == records.PHASE_RUNNING:
        return
    from ..execute import report

    index, op = record.late_op(progress.index)
    raise report.from_progress(op, index, progress, -9 if progress.phase != records.PHASE_FAILED else 1)


def _late(record: Record) -> StateError:
    """Return the error of a fifo that nobody reads."""
    if records.is_alive(record):
        return StateError(_RUNNING, status=records.RUNNING)
    return StateError(_STOPPED, status=records.STOPPED)


def _outcome(fifo: int, init: int, directory: int) -> Progress:
    """Return what the init process has written when it has closed its end of the fifo: at execve, or at its death.

    Nothing has failed but what is told there; so what fails here is no failed start.
    """
    import select

    waiter = select.poll()
    waiter.register(fifo, 0)
    waiter.register(init, select.POLLIN)
    try:
        while not waiter.poll():
            pass
        return records.load_progress(directory)
    except (OSError, HostError) as error:
        failure = error if isinstance(error, HostError) else HostError.from_os("wait for it", error, call="poll")
        failure.message = f"the program was let go, and whether it runs is not known: {failure.message}"
        failure.remedy = "see `state`"
        raise failure from None
