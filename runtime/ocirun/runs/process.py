"""A process that was started in a container and goes on while its starter does other things."""

from __future__ import annotations

import os

from .._base.boundary import methods_raise_ocirun_errors
from ..errors import HostError, UsageError
from ..state import exit_status
from ..state.usage import Usage
from .pipes import Conversation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import IO, Any

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

    __slots__ = ("_code", "_pidfd", "_pipes", "_talk", "_tree", "_used", "pid", "stderr", "stdin", "stdout")

    def __init__(self, session: Session, tree: Tree, pipes: Pipes) -> None:
        self.pid = session.helper.pid
        # The session closes its own.
        self._pidfd = os.dup(session.helper.pidfd)
        self._code: int | None = None
        self._tree = tree
        self._used: dict[str, int] = {}
        self._pipes = pipes
        self.stdin: IO[Any] | None
        self.stdout: IO[Any] | None
        self.stderr: IO[Any] | None
        self.stdin, self.stdout, self.stderr = pipes.files()
        self._talk: Conversation | None = None

    def fileno(self) -> int:
        """Return a pidfd, ready for reading when the process has ended; -1 once that was waited for."""
        return self._pidfd

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait until it has ended.

        timeout   seconds, None for no limit
        Returns the exit code, 128 plus the signal if one ended it; None if somebody else has waited for it.
        Raises TimeoutError, HostError where something that it has started does not end.
        """
        if self._pidfd >= 0:
            exit_status.wait(self._pidfd, timeout, what="process")
            self._code = exit_status.status(self._pidfd, keep=False)
            os.close(self._pidfd)
            self._pidfd = -1
            self._used = self._tree.remove()
        return self._code

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
        if self._talk is None:
            if input is not None and self.stdin is None:
                raise UsageError("input: stdin is no PIPE")
            self._talk = Conversation(self._pipes, input)
        self._talk.go_on(self._pidfd, timeout)
        self.wait()
        return self._talk.said()

    def usage(self) -> Usage:
        """Return what it and all that it has started have used so far, also once it was waited for; each figure is None
        where it has no group of its own.  Raises HostError.
        """
        return Usage(self._used if self._pidfd < 0 else self._tree.usage())

    def kill(self, signal: int = 9) -> None:
        """Send it a signal; SIGKILL goes to all that it has started, too.  Nothing happens if it has ended.

        Raises HostError.
        """
        import _signal

        if self._pidfd < 0:
            return
        try:
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
        self.kill()
        try:
            self.wait()
        finally:
            self._pipes.close()

    def __repr__(self) -> str:
        return f"<Process pid={self.pid}{'' if self._pidfd >= 0 else f' ended={self._code}'}>"
