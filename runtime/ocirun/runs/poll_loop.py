"""Watch a course to its end, in the thread of the caller."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .outcome import Outcome
    from .program_run import Course, Make


def run(course: Course, make: Make, *, stdin: bytes, timeout: float | None) -> Outcome:
    """Begin a course, wait for its end, close it.

    timeout   seconds until it is killed, None for no limit
    """
    try:
        course.begin(make, stdin, timeout)
        return course.outcome()
    finally:
        course.close()
