"""The measures of the Python API: beside the peers started by subprocess, from a large process, prepared, from threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from . import runtimes
from .measures import MILLISECONDS, REST, Series

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .runtimes import Place

WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inprocess.py")
INTERPRETER = os.path.join(runtimes.CHECKOUT, ".venv", "bin", "python")
HEAP = 4 << 30
CONTAINERS = 100


def _work(place: Place, how: str, runs: int, *, rest: float = 0.0, heap: int = 0, rounds: int = 0) -> dict[str, Any]:
    there = [runtime for runtime in place.runtimes if runtime.name != "beside"]
    job = {
        "how": how,
        "runs": runs,
        "rest": rest,
        "heap": heap,
        "rounds": rounds,
        "roots": {runtime.name: runtime.root for runtime in there},
        # A cgroup of their own, as each is to make and to remove it.
        "bundles": {runtime.name: place.bundle(f"api-{runtime.name}", "/bin/true", cgroup="") for runtime in there},
        "programs": {runtime.name: runtime.program for runtime in there if runtime.name != "ocirun"},
    }
    python = INTERPRETER if os.path.exists(INTERPRETER) else sys.executable
    done = subprocess.run(
        [python, WORKER, json.dumps(job)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise runtimes.Failed(f"the Python program failed:\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _series(name: str, seconds: dict[str, list[float]], *, rest: float = 0.0) -> Series:
    series = Series(name, rest=rest)
    series.values = {way: [one * MILLISECONDS for one in values] for way, values in seconds.items()}
    return series


def api(place: Place, runs: int) -> list[Series]:
    """`ocirun.run` of true, beside the peers by `subprocess.run`."""
    return [_series("run from Python", _work(place, "fresh", runs, rest=rest), rest=rest) for rest in (0.0, REST)]


def prepared(place: Place, runs: int) -> list[Series]:
    """The second and later runs of a prepared container."""
    return [
        _series("run from Python, prepared", _work(place, "prepared", runs, rest=rest), rest=rest)
        for rest in (0.0, REST)
    ]


def heap(place: Place, runs: int) -> list[Series]:
    """`ocirun.run` from a small and from a large process, in turn."""
    found = {0: {}, HEAP: {}}  # type: dict[int, dict[str, list[float]]]
    for _ in range(2):
        for size, seconds in found.items():
            for way, values in _work(place, "fresh", max(2, runs // 2), heap=size).items():
                seconds.setdefault(way, []).extend(values)
    return [_series(f"run from Python, heap of {size >> 30} GiB", seconds) for size, seconds in found.items()]


def threads(place: Place, runs: int) -> list[Series]:
    """Many containers from two threads."""
    seconds = _work(place, "together", CONTAINERS, rounds=max(1, runs // 10))
    return [_series(f"{CONTAINERS} containers from 2 threads", seconds)]
