"""Watch a course with poll(2), in the thread of the caller."""

from __future__ import annotations

from ..errors import HostError
from .course import KILL_LIMIT

# poll(2) takes milliseconds as an int; whoever waits for longer looks again.
_POLL_LIMIT = 86400.0

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .course import Course, Make
    from .outcome import Outcome


def run(course: Course, make: Make, *, stdin: bytes, timeout: float | None) -> Outcome:
    """Begin a course, watch it to its end, close it.

    timeout   seconds until it is killed, None for no limit
    """
    try:
        course.begin(make, stdin, timeout)
        return course.outcome(timed_out=_serve(course, timeout))
    finally:
        course.close()


def _serve(course: Course, timeout: float | None) -> bool:
    """Read the output until the program has ended; True if its time was over first."""
    import select

    waiter = select.poll()
    waiter.register(course.pidfd, select.POLLIN)
    for fd in course.streams:
        waiter.register(fd, select.POLLIN)
    timed_out = False
    while True:
        left = course.left(timeout)
        # Looked at even when the time is over: this process may have been stopped, and the program have ended long ago.
        ready = waiter.poll(None if left is None else max(0, int(min(left, _POLL_LIMIT) * 1000) + 1))
        for fd, _ in ready:
            if fd != course.pidfd and not course.read(fd):
                waiter.unregister(fd)
        if any(fd == course.pidfd for fd, _ in ready):
            return timed_out
        if left is not None and left <= 0:
            if timed_out:
                raise unkillable()
            timed_out, timeout = True, (timeout or 0) - left + KILL_LIMIT
            course.kill()


def unkillable() -> HostError:
    """The error of a program that outlives SIGKILL."""
    return HostError(
        f"the program does not end within {KILL_LIMIT:.0f} s of SIGKILL",
        remedy="it may wait for a device or a file system",
    )
