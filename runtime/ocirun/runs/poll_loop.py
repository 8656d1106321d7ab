"""Watch a course to its end, in the thread of the caller."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .outcome import Outcome
    from .program_run import Factory, ProgramRun


def watch(program_run: ProgramRun, make: Factory, *, stdin: bytes, timeout: float | None) -> Outcome:
    """Begin a program_run, wait for its end, close it.

    timeout   seconds until it is killed, None for no limit
    """
    try:
        program_run.begin(make, stdin, timeout)
        return program_run.outcome()
    finally:
        program_run.close()
