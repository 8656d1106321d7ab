"""A Python program that runs containers, by the API and by starting the peers: the worker of the measures of `api`.

    inprocess.py JOB       JOB and the answer on standard output are JSON

how       "fresh", "prepared" or "together"
runs      how many, of each way; for "together" in each of `rounds`
rest      seconds before each
heap      bytes that this process has filled
programs  the peers; roots, bundles: of ocirun and of each peer

Run with the interpreter that ocirun is compiled for.  The ways take turns, as everywhere in the benchmark.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

sys.path.insert(
    0, os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "runtime")
)

import ocirun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Way = Callable[[str], None]


def peer(program: str, root: str, bundle: str) -> Way:
    """Run the bundle by another program, as Python programs do."""

    def once(container_id: str) -> None:
        words = [program, "--root", root, "run", "--bundle", bundle, container_id]
        subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=True)

    return once


def own(root: str, bundle: str, *, prepared: bool) -> Way:
    """Run the bundle in this process."""
    if prepared:
        ready = ocirun.Prepared(bundle, root=root)

        def again(container_id: str) -> None:
            assert ready.run(container_id=container_id).ok

        return again

    def once(container_id: str) -> None:
        assert ocirun.run(bundle, root=root, container_id=container_id).ok

    return once


def ways(job: dict[str, Any]) -> dict[str, Way]:
    """The ways to be compared, ours first."""
    found = {"ocirun": own(job["roots"]["ocirun"], job["bundles"]["ocirun"], prepared=job["how"] == "prepared")}
    for name, program in job["programs"].items():
        found[name] = peer(program, job["roots"][name], job["bundles"][name])
    return found


def in_turn(job: dict[str, Any]) -> dict[str, list[float]]:
    """Seconds of each run of each way; one round more to warm up."""
    seconds: dict[str, list[float]] = {}
    compared = ways(job)
    for number in range(job["runs"] + 1):
        for name, way in compared.items():
            if job["rest"]:
                time.sleep(job["rest"])
            start = time.perf_counter()
            way(f"api-{number}")
            if number:
                seconds.setdefault(name, []).append(time.perf_counter() - start)
    return seconds


def together(job: dict[str, Any]) -> dict[str, list[float]]:
    """Seconds for many runs by two threads, for each way; the whole as often as `rounds` says."""
    seconds: dict[str, list[float]] = {}
    compared = ways(job)
    for turn in range(job["rounds"]):
        for name, way in compared.items():
            start = time.perf_counter()
            threads = [
                threading.Thread(target=_many, args=(way, f"t{turn}-{half}", job["runs"] // 2)) for half in range(2)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            seconds.setdefault(name, []).append(time.perf_counter() - start)
    return seconds


def _many(way: Way, name: str, count: int) -> None:
    for number in range(count):
        way(f"{name}-{number}")


def main() -> int:
    """Do the job."""
    job = json.loads(sys.argv[1])
    heap = bytearray(job["heap"])
    for page in range(0, len(heap), 4096):
        heap[page] = 1
    print(json.dumps(together(job) if job["how"] == "together" else in_turn(job)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
