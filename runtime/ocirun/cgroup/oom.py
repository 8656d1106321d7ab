"""Hearing of it when a container runs out of memory.

Source: Documentation/admin-guide/cgroup-v1/memory.rst, "OOM Control": an
eventfd registered in ``cgroup.event_control`` is raised at each OOM of the
group or of one below, and once more when the group is removed.
"""

from __future__ import annotations

import os

from . import tree

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class OomWatch:
    """The notice of one v1 group; to be closed.

    directory   descriptor of the group in the memory hierarchy; only used while this is made
    Raises OSError where the kernel does not give such notices.
    """

    __slots__ = ("_control", "_event")

    def __init__(self, directory: int) -> None:
        self._control = os.open("memory.oom_control", _FLAGS, dir_fd=directory)
        try:
            self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            try:
                tree.write(directory, "cgroup.event_control", f"{self._event} {self._control}")
            except BaseException:
                os.close(self._event)
                raise
        except BaseException:
            os.close(self._control)
            raise

    def fileno(self) -> int:
        """The descriptor to poll for input."""
        return self._event

    def happened(self) -> bool:
        """Memory ran out since the last call; does not wait."""
        try:
            os.eventfd_read(self._event)
        except BlockingIOError:
            return False
        try:
            # Answers ENODEV once the group is removed, which raises the eventfd as well.
            os.pread(self._control, 1, 0)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Give the notice up."""
        os.close(self._event)
        os.close(self._control)
