"""Hearing of it when a container runs out of memory.

Sources: Documentation/admin-guide/cgroup-v1/memory.rst, "OOM Control": an
eventfd registered in ``cgroup.event_control`` is raised at each OOM of the
group or of one below, and once more when the group is removed.
Documentation/admin-guide/cgroup-v2.rst: ``memory.events`` counts, in the group
and those below, and a change of it is a notice to poll(2).
"""

from __future__ import annotations

import os
import select

from ...errors import HostError
from ..usage.v1 import number
from . import tree

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class OomWatch:
    """The notice of one v1 group; to be closed.

    directory   descriptor of the group in the memory hierarchy; only used while this is made
    Raises OSError where the kernel does not give such notices.
    """

    __slots__ = ("_control", "_event")

    # What to poll for.
    events = select.POLLIN
    ended = False

    def __init__(self, directory: int) -> None:
        self._control = os.open("memory.oom_control", _FLAGS, dir_fd=directory)
        try:
            self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            try:
                tree.write_file(directory, "cgroup.event_control", f"{self._event} {self._control}")
            except BaseException:
                os.close(self._event)
                raise
        except BaseException:
            os.close(self._control)
            raise

    def fileno(self) -> int:
        """Return the descriptor to poll for `events`."""
        return self._event

    def happened(self) -> bool:
        """Return whether memory ran out since the last call; does not wait."""
        try:
            os.eventfd_read(self._event)
        except BlockingIOError:
            return False
        try:
            # Answers ENODEV once the group is removed, which raises the eventfd as well.
            os.pread(self._control, 1, 0)
        except OSError as error:
            if error.errno in tree.GONE:
                return False
            raise HostError.from_os("memory.oom_control", error, call="read") from None
        return True

    def close(self) -> None:
        """Give the notice up."""
        os.close(self._event)
        os.close(self._control)


class EventsWatch:
    """The notice of a v2 group, as `OomWatch` gives that of a v1 group.

    ended   the group is gone, and the descriptor is to be polled no more
    """

    __slots__ = ("_count", "_fd", "ended")

    events = select.POLLPRI

    def __init__(self, directory: int) -> None:
        self.ended = False
        self._fd = os.open("memory.events", _FLAGS, dir_fd=directory)
        self._count = self._kills()

    def _kills(self) -> int:
        # Reading marks a change as seen.
        return number(os.pread(self._fd, 4096, 0).decode("ascii", "replace"), "oom_kill") or 0

    def fileno(self) -> int:
        """Return the descriptor to poll for `events`."""
        return self._fd

    def happened(self) -> bool:
        """Return whether the OOM killer has killed since the last call; does not wait."""
        try:
            count = self._kills()
        except OSError as error:
            if error.errno not in tree.GONE:
                raise HostError.from_os("memory.events", error, call="read") from None
            self.ended = True
            return False
        before, self._count = self._count, count
        return count > before

    def close(self) -> None:
        """Give the notice up."""
        os.close(self._fd)
