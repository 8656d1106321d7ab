"""The processes of a cgroup tree: list them, and signal every one of them.

A pid read from ``cgroup.procs`` may belong to somebody else when the signal is
sent.  So each process is first held by a pidfd, then looked for in the list
again, and signalled through the pidfd: a stranger is never hit.  Sources:
cgroups(7), pidfd_open(2), pidfd_send_signal(2).
"""

from __future__ import annotations

import errno
import os
import time
from _signal import SIGKILL

from ...errors import HostError
from . import freezer, tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Processes held at a time, well below the usual limit of 1024 open files.
_BATCH = 200
# Passes for signals that need not end a process: one that forks at each of them would never be done.
_PASSES = 20
_FREEZE_LIMIT = 1.0
_PAUSE = 0.0005
_PAUSE_MAX = 0.02


def pids(tops: Sequence[int]) -> list[int]:
    """Return processes in the directories `tops` and below, each once.

    The dead that nobody has reaped are not listed by the kernel, and those
    outside our pid namespace are listed as 0, which is left out.
    """
    found: dict[int, None] = {}
    for top in tops:
        for directory in tree.walk(top):
            try:
                text = tree.read_file(directory, "cgroup.procs")
            except OSError as error:
                if error.errno in tree.GONE:
                    continue
                if error.errno == errno.EOPNOTSUPP:  # a threaded group of v2; its domain lists its processes
                    continue
                raise
            for line in text.split():
                if line != "0":
                    found[int(line)] = None
    return list(found)


def kill(tops: Sequence[int], number: int, path: str, *, freezer_top: int = -1, wait: float = 0.0) -> int:
    """Signal every process of the trees `tops`, until a look finds no process that has not got the signal.

    number       the signal; 0 only asks whether there is somebody
    path         the group's name for messages
    freezer_top  the group's directory in the freezer hierarchy, or -1
    wait         SIGKILL only: seconds to wait until all are gone
    Returns the number of processes signalled.  Raises HostError where the
    kernel refuses, or when `wait` is over.
    """
    done: set[int] = set()
    start, pause = time.monotonic(), _PAUSE
    thawed = True
    for turn in _turns(number):
        fresh = _signal_new(tops, number, done, path)
        if number == SIGKILL:
            if turn and fresh and freezer_top >= 0:
                # They fork faster than we kill: nobody forks while frozen.
                _signal_frozen(tops, done, path, freezer_top)
            if freezer_top >= 0 and (fresh or not thawed):
                # A frozen process takes no signal, and its group may have been frozen from inside.
                thawed = freezer.thaw_all(freezer_top)
        if fresh and number:
            continue
        if not wait or number != SIGKILL:
            break
        left = pids(tops)
        if not left:
            break
        if time.monotonic() - start > wait:
            raise _stuck(path, left, wait, "" if thawed else freezer.frozen_ancestor(freezer_top, path))
        time.sleep(pause)
        pause = min(pause * 2, _PAUSE_MAX)
    return len(done)


def _turns(number: int) -> Sequence[int]:
    return range(1 << 31 if number == SIGKILL else _PASSES)


def _signal_new(tops: Sequence[int], number: int, done: set[int], path: str) -> int:
    return signal_listed(lambda: pids(tops), number, done, f"cgroup {path}")


def signal_listed(listed: Callable[[], Sequence[int]], number: int, done: set[int], what: str) -> int:
    """Signal the processes of a list that are not in `done`, and put them there; returns how many.

    listed   lists them, again and again
    what     whose they are, for messages
    """
    from _signal import pidfd_send_signal

    before = len(done)
    fresh = [pid for pid in listed() if pid not in done]
    for first in range(0, len(fresh), _BATCH):
        held = []
        try:
            for pid in fresh[first : first + _BATCH]:
                try:
                    held.append((pid, os.pidfd_open(pid)))
                except ProcessLookupError:
                    pass
            still = set(listed()) if held else ()
            for pid, pidfd in held:
                if pid not in still:
                    continue
                done.add(pid)
                try:
                    pidfd_send_signal(pidfd, number)
                except ProcessLookupError:
                    pass
        except OSError as error:
            raise HostError.from_os(f"signal {number} to {what}", error, call="pidfd_send_signal") from error
        finally:
            for _, pidfd in held:
                os.close(pidfd)
    return len(done) - before


def _signal_frozen(tops: Sequence[int], done: set[int], path: str, freezer_top: int) -> None:
    try:
        freezer.freeze(freezer_top, path, limit=_FREEZE_LIMIT)
    except HostError as error:
        if error.errno != errno.EBUSY:
            raise
        # Something cannot stop just now; the next turn tries again.
        return
    _signal_new(tops, SIGKILL, done, path)


def _stuck(path: str, left: Sequence[int], wait: float, ancestor: str) -> HostError:
    shown = ", ".join(str(pid) for pid in left[:5]) + (", ..." if len(left) > 5 else "")
    return HostError(
        f"cgroup {path} still has {len(left)} processes {wait:g} s after SIGKILL: {shown}",
        call="pidfd_send_signal",
        errno=errno.EBUSY,
        remedy=f"the cgroup {ancestor} is frozen; thaw it" if ancestor else "",
    )
