"""`run`: create, start, and in the foreground forward signals and the terminal until the program ends."""

from __future__ import annotations

import os

from ..errors import ContainerNotFoundError, OcirunError, UsageError
from ..execute import spawn
from . import create as creation
from . import delete as destroy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..cgroup.driver import Driver
    from ..execute.options import CreateOptions
    from ..execute.session import Session
    from ..execute.streams.forwarder import Forwarder
    from ..execute.streams.interrupts import Interrupts
    from ..execute.streams.terminal import Relay
    from ..state.record import Record

_SIGHUP, _SIGINT = 1, 2
_SIGCHLD, _SIGWINCH, _SIGURG = 17, 28, 23
_SIGKILL, _SIGSTOP = 9, 19
# Not forwarded: the child's end is ours to see, the size is copied instead, Go programs use SIGURG among
# themselves; and what reports a fault of this very process.
_KEPT = frozenset((_SIGCHLD, _SIGWINCH, _SIGURG, _SIGKILL, _SIGSTOP, 4, 5, 7, 8, 11, 31))


def run_container(
    container_id: str,
    root: str,
    options: CreateOptions,
    *,
    detach: bool,
    keep: bool,
    no_subreaper: bool,
) -> int:
    """See container.run."""
    if options.learn and detach:
        raise UsageError("learn: cannot be detached: somebody must be there for what the program asks")
    options.foreground = not detach
    if not detach and not no_subreaper:
        from .._native import lib

        lib.ocirun_set_subreaper(1)
    # Until there is a container, signals act on this process: ^C ends a creation that waits for a hook.
    record, session = creation.create(container_id, root, options, keeps_session=True)
    front = Foreground(session)
    try:
        try:
            if not detach:
                front.take_signals()
            front.take_terminal()
            session.start()
            poststart(session, record)
        except BaseException:
            session.close()
            delete(root, container_id)
            raise
        if detach:
            if session.notify is not None:
                from ..execute.streams import notify

                notify.wait_ready(session.notify, session.helper.pidfd, os.environ["NOTIFY_SOCKET"], record.pid)
            return 0
        code = front.wait()
        front.leave_terminal()
        _leave(session, root, container_id, options, keep=keep)
        if session.learning is not None and options.learned is not None:
            options.learned(session.learning.learned())
        return code
    finally:
        front.close()


class Foreground:
    """What this process lends a program that runs in front: its signals and its terminal.

    signals   those taken, or None
    """

    __slots__ = ("_console", "_session", "signals")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._console: Relay | None = None
        self.signals: Forwarder | None = None

    def take_signals(self) -> None:
        """Take over the signals of this process, to pass them on."""
        from ..execute.streams.forwarder import Forwarder

        self.signals = Forwarder(_KEPT)

    def take_terminal(self) -> None:
        """Take over the terminal of a program in front that has one; before that can ask for its size."""
        if self._session.console < 0 or self.signals is None:
            return
        from ..execute.streams import terminal

        self._console = terminal.Relay(self._session.console)

    def wait(self) -> int:
        """Wait until the program ends: its exit code, or 128 plus the signal; detached, pass nothing on meanwhile."""
        if self.signals is None:
            return spawn.exit_code(self._session.helper.pidfd)
        return _wait(self._session, self.signals, self._console)

    def leave_terminal(self) -> None:
        """Give the terminal back as it was."""
        if self._console is not None:
            self._console.close()

    def close(self) -> None:
        """Give back all, and close the session."""
        self.leave_terminal()
        self._session.close()
        if self.signals is not None:
            self.signals.close()


def _leave(session: Session, root: str, container_id: str, options: CreateOptions, *, keep: bool) -> None:
    """Clean up after the program's end: the orphans, and the container unless it is kept.

    The exit status is the program's by now, so what fails here is a warning.
    """
    _reap_orphans()
    if not keep:
        leave(root, container_id, options.warn)
        return
    try:
        _keep_usage(session, root, container_id)
    except (OSError, OcirunError) as error:
        options.warn(f"what the container {container_id} has used is not kept: {error}")


def leave(root: str, container_id: str, warn: Callable[[str], None]) -> None:
    """Delete a container of which the program has ended; what fails of that is a warning."""
    try:
        for warning in delete(root, container_id):
            warn(warning)
    except (OSError, OcirunError) as error:
        warn(f"the container {container_id} is not deleted: {error}")


def delete(root: str, container_id: str) -> list[str]:
    """Delete a container that this process has made; one that is gone already is fine.  Returns warnings."""
    from ..cgroup import choose
    from ..state import record as records

    directory = _locked(root, container_id)
    if directory < 0:
        return []
    try:
        record = records.load(directory, container_id)
        return destroy.delete_container(root, record, choose.recorded_driver(record.cgroup), directory)
    finally:
        os.close(directory)


def remove(root: str, record: Record, cgroup: Driver) -> list[str]:
    """Do the same as `delete`, for a caller that has kept what the state says."""
    directory = _locked(root, record.container_id)
    if directory < 0:
        return []
    try:
        return destroy.delete_container(root, record, cgroup, directory)
    finally:
        os.close(directory)


def _keep_usage(session: Session, root: str, container_id: str) -> None:
    """Keep what the program used, for `state`: a cgroup of systemd goes when it is empty."""
    from ..state import store, usage

    try:
        directory = store.open_container(root, container_id)
    except ContainerNotFoundError:
        return
    try:
        usage.save(directory, session.cgroup.usage())
    finally:
        os.close(directory)


def _locked(root: str, container_id: str) -> int:
    """Return the container's directory, locked; -1 when somebody else has deleted it."""
    from ..state import store

    try:
        directory = store.open_container(root, container_id)
    except ContainerNotFoundError:
        return -1
    removed = True
    try:
        store.lock(directory)
        removed = store.is_removed(directory)
    finally:
        if removed:
            os.close(directory)
    return -1 if removed else directory


def poststart(session: Session, record: Record) -> None:
    """Run the poststart hooks of a program that this process has started.  Raises HookError."""
    if "poststart" not in record.hooks:
        return
    for index in session.hook_numbers("poststart"):
        session.run_hook(index)


def _wait(session: Session, signals: Forwarder, console: Relay | None) -> int:
    import select

    pidfd = session.helper.pidfd
    listener = session.notify.fileno() if session.notify is not None else -1
    waiter = select.poll()
    if listener >= 0:
        waiter.register(listener, select.POLLIN)
    waiter.register(pidfd, select.POLLIN)
    waiter.register(signals.fd, select.POLLIN)
    interrupts = None
    asked = session.learning.listener if session.learning is not None else -1
    if asked >= 0:
        waiter.register(asked, select.POLLIN)
    if console is not None:
        interrupts = _interrupts(session)
        console.watch(interrupts)
        console.register(waiter)
    while True:
        ready = dict(waiter.poll())
        if console is not None:
            console.serve(ready, waiter)
        if asked in ready and session.learning is not None and not session.learning.serve():
            waiter.unregister(asked)
            asked = -1
        if listener in ready:
            from ..execute.streams import notify

            if notify.take(session.notify):
                # From now on we are the service's main process, as we end with the container.
                notify.send(os.environ["NOTIFY_SOCKET"], os.getpid())
        if signals.fd in ready:
            for number in signals.take():
                if number == _SIGWINCH:
                    if console is not None:
                        console.resize()
                    continue
                signals.forward(pidfd, number)
                if number == _SIGINT:
                    interrupts = interrupts or _interrupts(session)
                    interrupts.signalled()
                elif number == _SIGHUP and console is not None:
                    console.look()
        if console is not None and console.hung_up:
            # As with the terminal of a login: who reads it meets its end, and jobs in front get SIGHUP.
            console.leave(waiter)
            session.hang_up()
            console = None
            if interrupts is not None:
                interrupts.hung_up()
        if pidfd in ready:
            if console is not None:
                console.drain()
            ended = spawn.reap(pidfd)
            return ended if ended >= 0 else 128 - ended


def _interrupts(session: Session) -> Interrupts:
    from ..execute.streams.interrupts import Interrupts

    has_init = any(op.name == "fork_program" for op in session.plan.ops)
    return Interrupts(session.helper.pidfd, has_init=has_init)


def _reap_orphans() -> None:
    """Reap what the container left behind, and this process has inherited as a subreaper."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
