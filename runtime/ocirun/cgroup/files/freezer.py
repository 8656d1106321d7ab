"""The v1 freezer: stop all processes of a group at once, and let them go on.

Source: Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst.  The kernel
freezes in the background; reading ``freezer.state`` moves FREEZING on to
FROZEN once every task has stopped.
"""

from __future__ import annotations

import errno
import os
import time

from ...errors import HostError
from . import tree

FREEZE_LIMIT = 10.0
_PAUSE = 0.0005
_PAUSE_MAX = 0.02
# A task that waits for a frozen one (vfork) can keep a group FREEZING; a short thaw lets it through.
_RETRY_AFTER = 0.25


def state(fd: int) -> str:
    """Return THAWED, FREEZING or FROZEN, by this group or one above;
    "" in the root, which has no state, and if it is gone.
    """
    try:
        return tree.read_file(fd, "freezer.state")
    except OSError as error:
        if error.errno in tree.GONE:
            return ""
        raise


def freeze(fd: int, path: str, *, limit: float = FREEZE_LIMIT) -> None:
    """Freeze the group and all below it.

    fd, path   the group's directory, and its name for messages
    limit      seconds to try; then the group is thawed and HostError raised
    """
    start = time.monotonic()
    again = start + _RETRY_AFTER
    pause = _PAUSE
    try:
        tree.write_file(fd, "freezer.state", "FROZEN")
        while state(fd) != "FROZEN":
            now = time.monotonic()
            if now - start > limit:
                raise HostError(
                    f"cgroup {path} cannot be frozen: some process did not stop within {limit:g} s",
                    call="write",
                    errno=errno.EBUSY,
                )
            if now > again:
                tree.write_file(fd, "freezer.state", "THAWED")
                again = now + _RETRY_AFTER
            time.sleep(pause)
            pause = min(pause * 2, _PAUSE_MAX)
            tree.write_file(fd, "freezer.state", "FROZEN")
    except BaseException as error:
        try:
            tree.write_file(fd, "freezer.state", "THAWED")
        except OSError:
            pass
        if isinstance(error, OSError):
            raise HostError.from_os(f"freeze cgroup {path}", error, call="write") from error
        raise


def thaw(fd: int) -> bool:
    """Let the processes of the group go on; False where a group above keeps them frozen."""
    tree.write_file(fd, "freezer.state", "THAWED")
    return state(fd) == "THAWED"


def thaw_all(fd: int) -> bool:
    """Thaw the group and every group below it, which its own processes may have frozen; answer as `thaw`."""
    thawed = True
    for directory in tree.walk(fd):
        try:
            if tree.read_file(directory, "freezer.self_freezing") == "1":
                tree.write_file(directory, "freezer.state", "THAWED")
            if directory == fd:
                thawed = state(fd) == "THAWED"
        except OSError as error:
            if error.errno not in tree.GONE:
                raise
    return thawed


def frozen_ancestor(fd: int, path: str) -> str:
    """Return the path of the group nearest above that is frozen itself, or "".

    fd, path   a group's directory; neither is changed
    """
    here = os.dup(fd)
    try:
        while True:
            path = path.rpartition("/")[0]
            up = os.open("..", tree.DIRECTORY, dir_fd=here)
            os.close(here)
            here = up
            if tree.read_file(here, "freezer.self_freezing") == "1":
                return path
    except OSError as error:
        if error.errno not in tree.GONE:
            raise HostError.from_os("look for a frozen group", error, call="read") from None
        # The root has no freezer files.
        return ""
    finally:
        os.close(here)
