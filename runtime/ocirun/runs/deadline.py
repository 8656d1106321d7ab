"""Keep the time of a process that goes on beside its starter: in a thread that waits in the kernel until then."""

from __future__ import annotations

import os
import time
from _thread import allocate_lock, start_new_thread
from errno import ENODEV, ENOENT

from ..errors import HostError
from . import outcome as outcomes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable
    from typing import TypeAlias

    # Called with the limit that is over, and a pidfd that is open as long as it is called.
    Over: TypeAlias = Callable[[str, int], None]

# Seconds between two looks at processor time, at least.
_LOOK = 0.01


def keep(pidfd: int, *, timeout: float | None, cpu_time: float | None, counter: str, over: Over) -> LockType | None:
    """Begin to watch a process, which is watched until it has ended.

    pidfd      of the process; it stays the caller's
    timeout    seconds from now
    cpu_time   seconds that `counter`, a file of its group, may come to
    over       called in the thread for the limit that is over, once
    Returns what is locked until nobody watches it any more; None where there is nothing to keep.
    Raises OSError, HostError where there can be no thread.
    """
    end = None if timeout is None or timeout > 2e6 else time.monotonic() + timeout
    if end is None and cpu_time is None:
        return None
    watched = allocate_lock()
    watched.acquire()
    own = os.dup(pidfd)
    try:
        start_new_thread(_watch, (own, end, cpu_time, counter, over, watched))
        return watched
    except BaseException as error:
        os.close(own)
        if isinstance(error, RuntimeError):
            raise HostError(f"timeout, cpu_time: no thread can keep them: {error}") from None
        raise


def _watch(pidfd: int, end: float | None, cpu_time: float | None, counter: str, over: Over, watched: LockType) -> None:
    import select

    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    processors = os.cpu_count() or 1
    try:
        while True:
            wait = None if end is None else end - time.monotonic()
            if wait is not None and wait <= 0:
                return over(outcomes.TIME, pidfd)
            if cpu_time is not None:
                left = cpu_time - _used(counter)
                if left <= 0:
                    return over(outcomes.CPU, pidfd)
                # It cannot be over before the rest is used on all processors at once.
                look = max(_LOOK, left / processors)
                wait = look if wait is None or look < wait else wait
            if poll.poll(None if wait is None else int(min(wait, 2e6) * 1000 + 0.999)):
                return None
    finally:
        os.close(pidfd)
        watched.release()


def _used(counter: str) -> float:
    """Return the seconds of a group: cpuacct.usage is nanoseconds, cpu.stat begins with microseconds."""
    try:
        with open(counter, "rb") as file:
            words = file.read(64).split()
    except OSError as error:
        # It goes with the process, whose end is what is waited for; of what cannot be read nobody says it is enough.
        return 0.0 if error.errno in (ENOENT, ENODEV) else float("inf")
    return int(words[1]) / 1e6 if words[0] == b"usage_usec" else int(words[0]) / 1e9
