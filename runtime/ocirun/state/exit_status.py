"""The end of a container's first process: a descriptor to wait at, and how it ended."""

from __future__ import annotations

import os

from .._base import parameters
from ..errors import StateError
from . import record as records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .record import Record


def open_pidfd(record: Record) -> int:
    """Return a pidfd of the first process, also of one that has ended and that nobody has waited for;
    -1 when it is gone.

    It is ready for reading as soon as the process has ended.  The caller closes it.
    Raises StateError for a container that is still being created.
    """
    if record.pid <= 0:
        raise StateError("the container is being created", status=records.CREATING)
    return records.open_init(record, ended=True)


def wait(pidfd: int, timeout: float | None, *, what: str = "container") -> None:
    """Wait until the process of a pidfd has ended.  Raises TimeoutError after `timeout` seconds."""
    import select

    timeout = parameters.seconds("timeout", timeout)
    waiter = select.poll()
    waiter.register(pidfd, select.POLLIN)
    # poll(2) takes milliseconds as an int: what is more than its 24 days is no limit.
    endless = timeout is None or timeout > 2e6
    if not waiter.poll(None if timeout is None or endless else max(0, int(timeout * 1000 + 0.999))):
        raise TimeoutError(f"the {what} has not ended within {timeout} s")


def has_ended(pidfd: int) -> bool:
    """Return whether the process of a pidfd has ended."""
    try:
        wait(pidfd, 0)
    except TimeoutError:
        return False
    return True


def status(pidfd: int, *, keep: bool = True) -> int | None:
    """Return the exit code of an ended process, or 128 plus the signal that ended it.

    None where the kernel does not tell us: only the parent may ask, and only until somebody has waited for it.
    keep   the process stays there, to be asked again
    """
    found = ended(pidfd, keep=keep)
    return found if found is None or found >= 0 else 128 - found


def ended(pidfd: int, *, keep: bool = True) -> int | None:
    """Return the same, but minus the signal that ended it."""
    try:
        info = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG | (os.WNOWAIT if keep else 0))
    except ChildProcessError:
        return None
    if info is None:
        return None
    return info.si_status if info.si_code == os.CLD_EXITED else -info.si_status


class Detached:
    """A child of this process that nobody waits for: without us its end would leave a dead process behind.

    pidfd   of it; is closed here
    """

    __slots__ = ("_parent", "_pidfd")

    def __init__(self, pidfd: int) -> None:
        self._pidfd = pidfd
        self._parent = os.getpid()

    def fileno(self) -> int:
        """Return the pidfd, -1 when it has ended: then it was reaped here."""
        try:
            self.wait(0)
        except TimeoutError:
            pass
        return self._pidfd

    def wait(self, timeout: float | None) -> None:
        """Wait until it has ended, and reap it; in a process that was forked off since it is no child, and left.

        Raises TimeoutError after `timeout` seconds.
        """
        if self._pidfd < 0 or self._parent != os.getpid():
            return
        wait(self._pidfd, timeout, what="process")
        ended(self._pidfd, keep=False)
        os.close(self._pidfd)
        self._pidfd = -1
