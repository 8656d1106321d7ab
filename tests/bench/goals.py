"""What ocirun is to reach beside others: at most so many times what they take."""

from __future__ import annotations

from typing import NamedTuple

from .api import BUSY, FRESH, POOL, PREPARED
from .hosts import FEW_MOUNTS, MANY_MOUNTS, PIP, PRELOADED, V2
from .measures import COMMANDS, LIST, LIST_QUIET, MOUNTS, PYTHON, REST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .measures import Series

NEVER = 0.0  # no rest
BOTH = (NEVER, REST)


class Number(NamedTuple):
    """Which median: of whom, in which series."""

    who: str
    series: str
    rest: float = NEVER
    group: str = COMMANDS


class Goal(NamedTuple):
    """At most `most` times `theirs`."""

    ours: Number
    theirs: Number
    most: float


def _beside(series: str, ours: str, theirs: str, most: float, rest: float, group: str) -> Goal:
    return Goal(Number(ours, series, rest, group), Number(theirs, series, rest, group), most)


def _all() -> Iterator[Goal]:
    for rest, most in ((NEVER, 1.0), (REST, 0.6)):
        yield _beside("run", "ocirun", "crun", most, rest, COMMANDS)
    for rest, most in ((NEVER, 1.0), (REST, 0.6)):
        yield _beside(V2, "ocirun", "crun", most, rest, COMMANDS)
    for series in ("exec", "state", "start", "kill", "delete"):
        for rest in BOTH:
            yield _beside(series, "ocirun", "crun", 1.0, rest, COMMANDS)
    for series in (LIST, LIST_QUIET, f"run with {MOUNTS} mounts"):
        yield _beside(series, "ocirun", "crun", 1.0, NEVER, COMMANDS)
    for rest in BOTH:
        yield _beside("run", FRESH, "crun", 0.35, rest, PYTHON)
        yield _beside("run", PREPARED, "bwrap", 0.6, rest, PYTHON)
        yield _beside("run", PREPARED, "sandlock", 0.9, rest, PYTHON)
        yield _beside("run", POOL, "subprocess", 1.2, rest, PYTHON)
    yield _beside(f"run, busy threads: {BUSY[-1]}", FRESH, "bwrap", 2.0, NEVER, PYTHON)
    for who, group in (("ocirun", COMMANDS), (FRESH, PYTHON), (PREPARED, PYTHON)):
        yield Goal(Number(who, MANY_MOUNTS, group=group), Number(who, FEW_MOUNTS, group=group), 1.15)
    for series in ("run", "state"):
        for rest in BOTH:
            yield Goal(
                Number("ocirun", f"{series}, {PIP}", rest), Number("ocirun", f"{series}, {PRELOADED}", rest), 1.1
            )


ALL = tuple(_all())


def median(results: list[Series], number: Number) -> float | None:
    """The median in the results, None where it was not measured."""
    for series in results:
        if (series.name, series.rest, series.group) == (number.series, number.rest, number.group):
            return series.median(number.who)
    return None


def reached(results: list[Series], goal: Goal) -> tuple[float | None, float | None, float | None]:
    """Our median, theirs, and how many times theirs ours is; None where one was not measured."""
    ours, theirs = median(results, goal.ours), median(results, goal.theirs)
    return ours, theirs, ours / theirs if ours is not None and theirs else None


def told(goal: Goal) -> tuple[str, str]:
    """What a goal is about, and who is compared with whom."""
    rest = f", after {goal.ours.rest * 1000:.0f} ms" if goal.ours.rest else ""
    if goal.ours.who == goal.theirs.who:
        return f"{goal.ours.series}{rest}", f"{goal.ours.who} / {goal.theirs.series}"
    return f"{goal.ours.series}{rest}", f"{goal.ours.who} / {goal.theirs.who}"
