"""A program that was started in a container, with all that it has started."""

from __future__ import annotations

import time
from _signal import SIGKILL

from ..cgroup.driver import V1
from ..cgroup.files import members
from ..errors import HostError
from ..execute.exec_session import ExecSession
from ..host import processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..cgroup.driver import Driver
    from ..execute.session import Session
    from ..state.stored import StoredContainer


def own_of(session: Session) -> Driver | None:
    """Return the driver of the group of a program's own, None where it has none."""
    return session.own if isinstance(session, ExecSession) else None


def keep_oom_kills(container: StoredContainer, own: Driver | None, found: dict[str, int]) -> None:
    """Keep for the container's usage what goes with a group of v1, whose counter is that of no group above."""
    if own is not None and own.kind == V1 and found.get("oom_kills"):
        container.keep_oom_kills(found["oom_kills"])


# How long killed processes may take to end, in seconds.
_LIMIT = 5.0


def kill_descendants(pid: int) -> None:
    """Send SIGKILL to all descendants of a process.

    Those of a keeper are all that the program has started; else those are found that have not lost their parents.
    Raises HostError.
    """
    done: set[int] = set()
    while members.signal_listed(lambda: processes.descendants(pid)[1:], SIGKILL, done, f"process {pid}"):
        pass


def end_descendants(pid: int) -> None:
    """Kill all descendants of a keeper, and wait for their end.  Raises HostError."""
    end = time.monotonic() + _LIMIT
    while left := processes.descendants(pid)[1:]:
        kill_descendants(pid)
        if time.monotonic() > end:
            raise HostError(f"{len(left)} processes are still there {_LIMIT:.0f} s after SIGKILL")
        time.sleep(0.001)


class Tree:
    """A program and all that it has started, by the group of its own."""

    __slots__ = ("_container", "_own", "_pid")

    def __init__(self, session: Session, container: StoredContainer | None = None) -> None:
        """Take the group over from the session, which goes."""
        self._own = own_of(session)
        self._container = container
        self._pid = session.helper.pid
        if self._own is not None:
            session.adopt_groups()
            session.side.commit()

    def counter(self) -> str:
        """Return the path of the file that counts its processor time, "" where there is none."""
        return "" if self._own is None else self._own.processor_file() or ""

    def kill(self) -> None:
        """Send SIGKILL to all of it.  Raises HostError."""
        if self._own is not None:
            self._own.kill(SIGKILL)
            self._own.close()
        else:
            kill_descendants(self._pid)

    def usage(self) -> dict[str, int]:
        """Return what it has used.  Raises HostError."""
        if self._own is None:
            return {}
        found = self._own.usage()
        self._own.close()
        return found

    def remove(self) -> dict[str, int]:
        """End what is left of it, and remove the group; returns what it has used.  Raises HostError."""
        if self._own is None:
            return {}
        found = self.usage()
        self._own.remove(kill=True)
        if self._container is not None:
            keep_oom_kills(self._container, self._own, found)
        return found
