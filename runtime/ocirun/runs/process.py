"""A process that was started in a container and goes on while its starter does other things."""

from __future__ import annotations

import os

from .._base.boundary import methods_raise_ocirun_errors
from ..errors import HostError
from ..state import exit_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from ..execute.session import Session


@methods_raise_ocirun_errors
class Process:
    """A child of this process in a container; made by `Container.popen`.

    pid   as the host numbers it

    It must be waited for: until then its end leaves a dead process behind, on which the end of the container
    waits in turn.  As a context manager it is killed, if it still runs, and waited for.
    """

    __slots__ = ("_code", "_pidfd", "pid")

    def __init__(self, session: Session) -> None:
        self.pid = session.helper.pid
        # The session closes its own.
        self._pidfd = os.dup(session.helper.pidfd)
        self._code: int | None = None

    def fileno(self) -> int:
        """Return a pidfd, ready for reading when the process has ended; -1 once that was waited for."""
        return self._pidfd

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait until it has ended.

        timeout   seconds, None for no limit
        Returns the exit code, 128 plus the signal if one ended it; None if somebody else has waited for it.
        Raises TimeoutError.
        """
        if self._pidfd >= 0:
            exit_status.wait(self._pidfd, timeout, what="process")
            self._code = exit_status.status(self._pidfd, keep=False)
            os.close(self._pidfd)
            self._pidfd = -1
        return self._code

    def kill(self, signal: int = 9) -> None:
        """Send it a signal; nothing happens if it has ended.  Raises HostError."""
        import _signal

        if self._pidfd < 0:
            return
        try:
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
        self.wait()

    def __repr__(self) -> str:
        return f"<Process pid={self.pid}{'' if self._pidfd >= 0 else f' ended={self._code}'}>"
