"""The measures of what few others have: a running container that is changed, and a run that is watched."""

from __future__ import annotations

import json

from . import runtimes
from .measures import MILLISECONDS, Series, turns, without_first

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .runtimes import Place, Runtime

ADD, REMOVE, UPDATE = "mounts add", "mounts remove", "update of two limits"
LEARN, TRACE = "run --learn, no filter", "run --trace FILE.otlp.json"
MORE = "more than runs"  # their table
_NAME = "c-changed"


def running(place: Place, runs: int) -> list[Series]:
    """`mounts` and `update` of a container that runs."""
    mounts = f"{place.top}/mounts.json"
    with open(mounts, "w", encoding="ascii") as file:
        json.dump([{"destination": "/m/added", "type": "tmpfs", "source": "tmpfs", "options": ["size=4k"]}], file)
    for runtime in place.runtimes:
        bundle = place.bundle(f"changed-{runtime.name}", "/bin/sleep", "1000")  # each in a group of its own
        runtime.call("run", "--detach", "--bundle", bundle, _NAME)
    adding = ("mounts", "add", _NAME, mounts), ("mounts", "remove", _NAME, mounts)
    limits = ("update", "--pids-limit", "100", "--cpu-share", "512", _NAME)
    found = [
        *_steps(place, runs, dict(zip((ADD, REMOVE), adding, strict=True)), _able(place, adding)),
        *_steps(place, runs, {UPDATE: limits}, place.runtimes),
    ]
    for runtime in place.runtimes:
        runtime.clear()
    return found


def _able(place: Place, steps: Sequence[Sequence[str]]) -> list[Runtime]:
    """The runtimes that have these commands; who has not is noted."""
    able = []
    for runtime in place.runtimes:
        try:
            for step in steps:
                runtime.call(*step)
        except runtimes.Failed:
            if runtime.name in runtimes.OWN:
                raise
            place.note(f"{runtime.name} has no `{steps[0][0]} {steps[0][1]}`")
        else:
            able.append(runtime)
    return able


def _steps(place: Place, runs: int, steps: dict[str, Sequence[str]], chosen: Sequence[Runtime]) -> list[Series]:
    found = {name: Series(name, group=MORE) for name in steps}

    def once(runtime: Runtime) -> None:
        for name, words in steps.items():
            found[name].add(runtime, runtime.call(*words) * MILLISECONDS)

    turns(place, chosen, runs, 0.0, once)
    return [without_first(series) for series in found.values()]


def watched(place: Place, runs: int) -> list[Series]:
    """`run` with what tells about it, which ocirun alone has; beside "run" it shows what that costs."""
    bundle = place.bundle("true", "/bin/true")
    own = [runtime for runtime in place.runtimes if runtime.name in runtimes.OWN]
    ways: dict[str, Callable[[str], tuple[str, ...]]] = {
        LEARN: lambda name: ("run", "--learn", f"{place.top}/learnt-{name}.json", "--bundle", bundle, _NAME),
        TRACE: lambda name: ("run", "--trace", f"{place.top}/{name}.otlp.json", "--bundle", bundle, _NAME),
    }
    found = []
    for name, words in ways.items():
        series = Series(name, group=MORE)
        turns(
            place, own, runs, 0.0,
            lambda runtime, words=words, series=series: series.add(  # type: ignore[misc]
                runtime, runtime.call(*words(runtime.name)) * MILLISECONDS
            ),
        )  # fmt: skip
        found.append(without_first(series))
    return found
