"""A process that was started in a container and goes on while its starter does other things."""

from __future__ import annotations

import os
import time
from _thread import RLock

from .._base.boundary import methods_raise_ocirun_errors
from ..errors import HostError, OcirunError, UsageError, stays_here
from ..state import exit_status
from ..state.usage import Usage
from . import deadline
from . import outcome as outcomes
from .outcome import Outcome
from .pipes import Conversation
from .program_run import resources_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import IO, Any, Never

    from ..execute.session import Session
    from .pipes import Pipes
    from .tree import Tree


@methods_raise_ocirun_errors
class Process:
    """A child of this process in a container; made by `Container.popen`.

    pid      as the host numbers it
    stdin, stdout, stderr   files, where PIPE was asked for, else None; of str with `text`, else of bytes

    It must be waited for: until then its end leaves a dead process behind, on which the end of the container
    waits in turn, unless the handle that started it deletes the container.  As a context manager it is killed, if
    it still runs, and waited for, and its files are closed.
    With it ends all that it has started, see `Container.run`.
    """

    __slots__ = (
        *("_began", "_cpu_time", "_ended", "_late", "_limited", "_lock", "_parent", "_pidfd", "_pipes", "_problem"),
        *("_seconds", "_talk", "_tree", "_used", "pid", "stderr", "stdin", "stdout"),
    )

    def __init__(
        self,
        session: Session,
        tree: Tree,
        pipes: Pipes,
        *,
        timeout: float | None = None,
        cpu_time: float | None = None,
    ) -> None:
        self._began = time.monotonic()
        self._lock = RLock()
        self._late, self._seconds, self._limited = "", 0.0, resources_of(session)
        self._cpu_time = cpu_time
        self._problem: OcirunError | None = None
        self.pid = session.helper.pid
        self._parent = os.getpid()
        # The session closes its own.
        self._pidfd = os.dup(session.helper.pidfd)
        self._ended: int | None = None
        self._tree = tree
        self._used: dict[str, int] = {}
        self._pipes = pipes
        self.stdin: IO[Any] | None
        self.stdout: IO[Any] | None
        self.stderr: IO[Any] | None
        self.stdin, self.stdout, self.stderr = pipes.files()
        self._talk: Conversation | None = None
        try:
            deadline.keep(self._pidfd, timeout=timeout, cpu_time=cpu_time, counter=tree.counter(), over=self._end_for)
        except BaseException:
            os.close(self._pidfd)
            self._pidfd = -1
            raise

    def _end_for(self, limit: str, pidfd: int) -> None:
        """Kill it for a limit that is over, in the thread that keeps it."""
        with self._lock:
            if self._pidfd < 0 or exit_status.has_ended(pidfd):
                return
            self._late = limit
            try:
                self.kill()
            except OcirunError as error:
                self._problem = error

    def fileno(self) -> int:
        """Return a pidfd, ready for reading when the process has ended; -1 once that was waited for."""
        return self._pidfd

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait until it has ended.

        timeout   seconds, None for no limit
        Returns the exit code, 128 plus the signal if one ended it; None if somebody else has waited for it.
        Raises TimeoutError, HostError where something that it has started does not end, UsageError in a process that
        was forked off since: it is no child of that.
        """
        self._refuse_elsewhere()
        if self._pidfd >= 0:
            exit_status.wait(self._pidfd, timeout, what="process")
            with self._lock:
                self._take_end()
        if self._problem is not None:
            raise self._problem
        return self._ended if self._ended is None or self._ended >= 0 else 128 - self._ended

    def _take_end(self) -> None:
        if self._pidfd < 0:  # by another thread
            return
        self._seconds = time.monotonic() - self._began
        self._ended = exit_status.ended(self._pidfd, keep=False)
        os.close(self._pidfd)
        self._pidfd = -1
        self._used = self._tree.remove()

    def detach(self) -> list[IO[bytes] | None]:
        """Give its files away, of bytes, as files without a buffer: for an event loop."""
        self.stdin = self.stdout = self.stderr = None
        return self._pipes.detach()

    def outcome(self, timeout: float | None = None) -> Outcome:
        """Wait until it has ended, and return what became of it.

        timeout   of waiting, as of `wait`
        The outcome has the limit that has ended it, and what it and all that it has started have used; `seconds` is
        until its end was waited for, and its output what `communicate` has read.
        Raises TimeoutError; HostError as `wait`, and where somebody else has waited for it.
        """
        self.wait(timeout)
        ended, used = self._ended, self._used
        if ended is None:
            raise HostError(
                "how the process has ended is not known: somebody else has waited for it",
                remedy="ignore no SIGCHLD, and wait for no other children than one's own",
            )
        limit = self._late
        if not limit and self._cpu_time is not None and used.get("cpu_ns", 0) >= self._cpu_time * 1e9:
            limit = outcomes.CPU
        none: Any = "" if self._pipes.encoding else b""
        said = self._talk.said() if self._talk is not None else (None, None)
        return Outcome(
            ended=ended,
            limit=limit or (outcomes.limit_of(ended, used, self._limited) if ended else ""),
            seconds=self._seconds,
            stdout=none if said[0] is None else said[0],
            stderr=none if said[1] is None else said[1],
            stdout_cut=False,
            stderr_cut=False,
            usage=used,
        )

    def poll(self) -> int | None:
        """Return the same as `wait` if it has ended, else None."""
        try:
            return self.wait(0)
        except TimeoutError:
            return None

    def communicate(self, input: bytes | str | None = None, timeout: float | None = None) -> tuple[Any, Any]:
        """Write what it is to read, read its output to the end, wait for it.

        input     for a stdin that is PIPE; the file is closed behind it
        timeout   seconds; after a TimeoutError another call goes on where this one has stopped
        Returns what has come of stdout and stderr, None for one that is no PIPE.  The end is that of the process:
        whoever else holds a pipe is not waited for.  Raises UsageError, TimeoutError, HostError.
        """
        self._refuse_elsewhere()
        if self._talk is None:
            if input is not None and self.stdin is None:
                raise UsageError("input: stdin is no PIPE")
            self._talk = Conversation(self._pipes, input)
        self._talk.go_on(self._pidfd, timeout)
        self.wait()
        return self._talk.said()

    def _refuse_elsewhere(self) -> None:
        if self._parent != os.getpid():
            # Whose threads may have held our lock as this process was forked off.
            raise UsageError(f"process {self.pid} was started by another process", remedy="do that there")

    def usage(self) -> Usage:
        """Return what it and all that it has started have used so far, also once it was waited for; each figure is None
        where it has no group of its own.  Raises HostError.
        """
        self._refuse_elsewhere()
        with self._lock:
            return Usage(self._used if self._pidfd < 0 else self._tree.usage())

    def kill(self, signal: int = 9) -> None:
        """Send it a signal; SIGKILL goes to all that it has started, too.  Nothing happens if it has ended.

        Raises HostError.
        """
        import _signal

        self._refuse_elsewhere()
        try:
            with self._lock:
                if self._pidfd < 0:
                    return
                if signal == _signal.SIGKILL:
                    self._tree.kill()
                _signal.pidfd_send_signal(self._pidfd, signal)
        except ProcessLookupError:
            return
        except OSError as error:
            raise HostError.from_os(f"kill {self.pid}", error, call="pidfd_send_signal") from None

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._parent != os.getpid():
            return  # the block is that of the process this one was forked off
        self.kill()
        try:
            self.wait()
        finally:
            self._pipes.close()

    def __reduce__(self) -> Never:
        """Raise UsageError."""
        raise stays_here("a Process", "its pid can be sent")

    def __repr__(self) -> str:
        return f"<Process pid={self.pid}{'' if self._pidfd >= 0 else f' ended={self._ended}'}>"
