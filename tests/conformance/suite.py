"""Runs the checks on one runtime, each on a bench of its own."""

from __future__ import annotations

import time
import traceback

from . import checks, sentences
from .bench import Bench, Place
from .registry import CHECKS, Skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from .registry import Check

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


class Verdict:
    """What came of one requirement: id, result (passed, failed, skipped), and why it is not "passed"."""

    __slots__ = ("id", "reason", "result", "seconds")

    def __init__(self, id: str, result: str, reason: str = "", seconds: float = 0.0) -> None:
        self.id = id
        self.result = result
        self.reason = reason
        self.seconds = seconds


def wanted(only: Sequence[str]) -> list[Check]:
    """The checks of the given ids; a text matches an id as a whole, or its first words between dots.  No text: all."""
    assert checks.__all__, "nothing is tried"
    if not only:
        return list(CHECKS)
    return [
        check
        for check in CHECKS
        if any(one == text or one.startswith(text + ".") for one in check.ids for text in only)
    ]  # fmt: skip


def run(
    words: Sequence[str], only: Sequence[str] = (), told: Callable[[Verdict], None] | None = None
) -> dict[str, Any]:
    """Try a runtime; gives what `report` prints and writes as JSON.

    The calling process goes into namespaces of its own for good.
    """
    started = time.monotonic()
    place = Place(words)
    verdicts: list[Verdict] = []
    try:
        for check in wanted(only):
            for verdict in _try(place, check):
                verdicts.append(verdict)
                if told:
                    told(verdict)
    finally:
        place.close()
    order = list(sentences.read())
    verdicts.sort(key=lambda verdict: order.index(verdict.id))
    return {
        "specification": sentences.VERSION,
        "runtime": {"command": list(words), "name": place.name, "version": place.shown},
        "machine": place.machine,
        "seconds": round(time.monotonic() - started, 1),
        "results": [
            {"id": one.id, "result": one.result, "reason": one.reason, "seconds": round(one.seconds, 3)}
            for one in verdicts
        ],
    }


def _try(place: Place, check: Check) -> list[Verdict]:
    started = time.monotonic()
    bench = Bench(place)
    result, reason = PASSED, ""
    try:
        check.function(bench)
    except Skip as skip:
        result, reason = SKIPPED, str(skip)
    except AssertionError as error:
        result, reason = FAILED, str(error) or _where(error)
    except Exception as error:  # A check that cannot read what the runtime did has found a fault of the runtime.
        result, reason = FAILED, f"{type(error).__name__}: {error} ({_where(error)})"
    finally:
        bench.remove()
        bench.sweep()
    seconds = time.monotonic() - started
    return [Verdict(one, result, reason, seconds / len(check.ids)) for one in check.ids]


def _where(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename.rpartition('/')[2]}:{frame.lineno}: {frame.line}"
