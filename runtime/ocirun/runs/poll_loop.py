"""Watch a course to its end, in the thread of the caller."""

from __future__ import annotations

from ..execute import host_side

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .outcome import Outcome
    from .program_run import Factory, ProgramRun


def watch(program_run: ProgramRun, make: Factory) -> Outcome:
    """Begin a program_run, hand out what it writes, wait for its end, close it."""
    on_output = program_run.terms.on_output
    try:
        turn = program_run.begin(make, streamed=on_output is not None)
        while turn == host_side.OUTPUT and on_output is not None:
            for name, piece in program_run.take():
                on_output(name, piece)
            turn = program_run.go_on()
        if on_output is not None:
            for name, piece in program_run.take_last():
                on_output(name, piece)
        return program_run.outcome()
    finally:
        program_run.close()
