"""Small plans that the helper carries out until the kernel refuses something, and then once more without that."""

from __future__ import annotations

import os

from ..errors import HostError
from ..execute import host_side, report, spawn
from ..plan.ops import INIT, Op, Plan
from ..state.record import PHASE_FAILED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    # What the runtime does at a barrier, with the helper and the descriptor that it sent, or -1.
    Act = Callable[[spawn.Helper, int], None]

# Slots that an attempt may fill: more than any has.
_SLOTS = ["plan", "progress", "sync", "mount", "target", "root", "master", "slave", "console"]


class Failure:
    """Where an attempt ended.

    call, errno   the refused system call and its errno; "" and 0 for a helper that was killed
    signal        what killed the helper, or 0
    words         the whole of it for people
    remedy        what usually helps
    """

    __slots__ = ("call", "errno", "remedy", "signal", "words")

    def __init__(self, call: str, errno: int, words: str, *, signal: int = 0, remedy: str = "") -> None:
        self.call = call
        self.errno = errno
        self.words = words
        self.signal = signal
        self.remedy = remedy

    @classmethod
    def of(cls, error: HostError) -> Failure:
        """Return the failure that an error of ours tells."""
        return cls(error.call, error.errno, error.message, remedy=error.remedy)


class Step:
    """One thing to try.

    name    what it is
    ops     the helper's operations
    acts    what the runtime does at the barriers among them, in their order
    after   names of steps without which it cannot be tried
    """

    __slots__ = ("acts", "after", "name", "ops")

    def __init__(self, name: str, ops: Sequence[Op], *, acts: Sequence[Act] = (), after: Sequence[str] = ()) -> None:
        self.name = name
        self.ops = list(ops)
        self.acts = list(acts)
        self.after = frozenset(after)


def op(name: str, /, **args: Any) -> Op:
    """Return an operation of the helper, without a place in a config."""
    return Op(name, INIT, "", args)


def run(steps: Sequence[Step], *, flags: int = 0) -> dict[str, Failure | None]:
    """Try steps in their order, all in one process if none is refused; the failure of each, None for success.

    A step that is refused is left out, and the others are tried again in a new process.  Those that cannot be tried
    without one that was refused are not in the result.

    flags   CLONE_NEW* of the namespaces in which they are tried
    Raises HostError where the process itself cannot be made.
    """
    found: dict[str, Failure | None] = {}
    while True:
        failed = {name for name, failure in found.items() if failure is not None}
        left = [step for step in steps if step.name not in failed]
        left = [step for step in left if not _lacks(step, left)]
        if not left:
            return found
        place, failure = _once(left, flags)
        for step in left[:place]:
            found.setdefault(step.name, None)
        if failure is None:
            return found
        found[left[place].name] = failure


def _lacks(step: Step, left: list[Step]) -> bool:
    return not step.after <= {other.name for other in left}


def _once(steps: list[Step], flags: int) -> tuple[int, Failure | None]:
    """Return (number of the step that failed, its failure), or (number of steps, None).  Raises HostError."""
    ops: list[Op] = []
    ends = []
    for step in steps:
        ops += step.ops
        ends.append(len(ops))
    plan = Plan(ops, list(_SLOTS), 3, [], [])
    acts = iter([act for step in steps for act in step.acts])
    helper = host_side.start(plan, {}, flags=flags)
    try:
        while (heard := helper.hear()) is not None:
            failure = _act(next(acts, None), helper, heard[2])
            if failure is not None:
                return _step_of(heard[0], ends), failure
            helper.answer(heard[0])
        ended = spawn.end(helper.pidfd, grace=spawn.DEATH)
        progress = helper.progress()
    finally:
        helper.close_sync()
        spawn.end(helper.pidfd, grace=1.0)
        helper.close()
    if ended == 0 and progress.phase != PHASE_FAILED:
        return len(steps), None
    error = report.from_plan(plan, progress, ended)
    killed = -ended if ended < 0 and progress.phase != PHASE_FAILED else 0
    failure = Failure(error.call, error.errno, error.message, signal=killed, remedy=error.remedy)
    return _step_of(progress.index, ends), failure


def _act(act: Act | None, helper: spawn.Helper, fd: int) -> Failure | None:
    try:
        if act is not None:
            act(helper, fd)
    except HostError as error:
        if not error.errno and not error.message:
            raise
        return Failure.of(error)
    finally:
        if fd >= 0:
            os.close(fd)
    return None


def _step_of(index: int, ends: list[int]) -> int:
    return next((place for place, end in enumerate(ends) if index < end), len(ends) - 1)
