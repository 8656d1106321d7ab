"""Times runs when it is asked to: by the API of ocirun, of peers by `subprocess`, of commands; maybe in another world.

    agent.py JOB

JOB is JSON; its first line on standard output answers it, and each further line a request on standard input.

ways     name -> its `how`, a key of HOW, and what that function takes
package  a directory to import ocirun from, "" for what the interpreter has
heap     bytes that this process has filled
busy     threads that compute while a run is timed
mounts   how many tmpfs are mounted more than there were, below `directory`
v2       whether /sys/fs/cgroup is to be one cgroup v2 hierarchy
group    the name of the cgroups to be removed at the end

For `mounts` and `v2` it needs a mount namespace of its own.

The answer: ``missing``, way -> why it is not there; ``mounts``, how many there are; ``controllers`` of cgroup v2;
``python``, the version.  A request: ``way``; if `threads` shall do it `times` together, these.  Its answer: seconds,
or an object with what ``failed``.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from bench import runtimes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Way = Callable[[str], None]  # is given the id of the container

CGROUPS = "/sys/fs/cgroup"
ENABLED = f"{CGROUPS}/cgroup.subtree_control"
MNT_DETACH = 2
POOL = 4  # containers made ahead
SETTLE = 0.02  # seconds until all busy threads are at it
AFTER: list[Callable[[], None]] = []  # what is done after each request, not timed
CLOSE: list[Callable[[], None]] = []  # and at the end


class MissingError(Exception):
    """A way that is not there, and why."""


class Busy:
    """Threads that compute while they are let."""

    def __init__(self, count: int) -> None:
        self._on = False
        self._gate = threading.Event()
        self._count = count
        for _ in range(count):
            threading.Thread(target=self._compute, daemon=True).start()

    def __enter__(self) -> None:
        if self._count:
            self._on = True
            self._gate.set()
            time.sleep(SETTLE)

    def __exit__(self, *_: object) -> None:
        self._on = False
        self._gate.clear()

    def _compute(self) -> None:
        while self._gate.wait():
            while self._on:
                for _ in range(1000):
                    pass


def fresh(root: str, bundle: str) -> Way:
    """`ocirun.run`."""
    import ocirun

    def once(container_id: str) -> None:
        assert ocirun.run(bundle, root=root, container_id=container_id).ok

    return once


def prepared(root: str, bundle: str) -> Way:
    """The second and later runs of a prepared container."""
    import ocirun

    ready = ocirun.Prepared(bundle, root=root)

    def once(container_id: str) -> None:
        assert ready.run(container_id=container_id).ok

    return once


def pool(root: str, bundle: str) -> Way:
    """Runs in containers that were made ahead.  What it makes for later must not fall on those whose turn is next."""
    import ocirun

    if not hasattr(ocirun, "Pool"):
        raise MissingError("there is no ocirun.Pool")
    made = ocirun.Pool(ocirun.Prepared(bundle, root=root), POOL)

    def once(_: str) -> None:
        assert made.run().ok

    def full() -> None:
        end = time.monotonic() + runtimes.LIMIT
        while made.ready < POOL and time.monotonic() < end:
            time.sleep(0.001)

    full()
    AFTER.append(full)
    CLOSE.append(made.close)
    return once


def sandlock(rootfs: str, words: list[str]) -> Way:
    """A sandbox that is made once and used again."""
    from sandlock import Sandbox

    box = Sandbox(chroot=rootfs, fs_readable=["/"])

    def once(_: str) -> None:
        assert box.run(words).success

    return once


def captured(words: list[str]) -> Way:
    """A program by `subprocess`, its output kept, as Python programs do; the id is its last word."""

    def once(container_id: str) -> None:
        whole = [*words, container_id]
        subprocess.run(whole, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=runtimes.LIMIT)

    return once


def plain(words: list[str]) -> Way:
    """A program by `subprocess` and no more: no stream is read."""

    def once(_: str) -> None:
        subprocess.run(words, check=True)

    return once


def command(words: list[str]) -> Way:
    """A command as the other measures time it."""
    runtimes.become_subreaper()

    def once(_: str) -> None:
        runtimes.timed(words)

    return once


HOW: dict[str, Callable[..., Way]] = {
    "fresh": fresh,
    "prepared": prepared,
    "pool": pool,
    "sandlock": sandlock,
    "captured": captured,
    "plain": plain,
    "command": command,
}


def prepare(job: dict[str, Any]) -> tuple[dict[str, Way], dict[str, Any]]:
    """The ways that are there, and the answer to the job."""
    if job["package"]:
        sys.path.insert(0, job["package"])
    for number in range(job["mounts"]):
        where = f"{job['directory']}/{number}"
        os.makedirs(where, exist_ok=True)
        _mount("tmpfs", where)
    if job["v2"]:
        _call("umount2", CGROUPS.encode(), MNT_DETACH)
        _mount("cgroup2", CGROUPS)
    ways, missing = {}, {}
    for name, way in job["ways"].items():
        how = way.pop("how")
        try:
            ways[name] = HOW[how](**way)
        except MissingError as error:
            missing[name] = str(error)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        mounts = len(file.readlines())
    answer = {"missing": missing, "mounts": mounts, "python": platform.python_version()}
    return ways, {**answer, "controllers": _words(f"{CGROUPS}/cgroup.controllers") if job["v2"] else []}


def _mount(kind: str, where: str) -> None:
    _call("mount", kind.encode(), where.encode(), kind.encode(), ctypes.c_ulong(0), None)


def _call(name: str, *args: Any) -> None:
    if getattr(runtimes.libc(), name)(*args):
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


def _words(path: str) -> list[str]:
    with open(path, encoding="ascii") as file:
        return file.read().split()


def seconds(way: Way, number: int, *, times: int = 1, threads: int = 1) -> float:
    """How long some runs take, by this thread or by some together."""

    def many(part: int) -> None:
        for each in range(times // threads):
            way(f"api-{number}-{part}-{each}")

    start = time.perf_counter()
    if threads == 1:
        many(0)
    else:
        with ThreadPoolExecutor(threads) as parts:
            list(parts.map(many, range(threads)))
    return time.perf_counter() - start


def main() -> int:
    """Do the job."""
    job = json.loads(sys.argv[1])
    heap = bytearray(job["heap"])
    for page in range(0, len(heap), 4096):
        heap[page] = 1
    ways, answer = prepare(job)
    enabled = _words(ENABLED) if job["v2"] else []
    busy = Busy(job["busy"])
    told: Any
    print(json.dumps(answer), flush=True)
    for number, line in enumerate(sys.stdin):
        request = json.loads(line)
        way = ways[request.pop("way")]
        try:
            with busy:
                told = seconds(way, number, **request)
        except (AssertionError, OSError, subprocess.SubprocessError, runtimes.Failed) as error:
            told = {"failed": f"{type(error).__name__}: {error} {getattr(error, 'stderr', '') or ''}"}
        for settle in AFTER:
            settle()
        print(json.dumps(told), flush=True)
    for close in CLOSE:
        close()
    if job["v2"]:
        runtimes.remove_cgroups(job["group"])
        # The root of the hierarchy is the host's, and runtimes enable there what they use.
        for controller in set(_words(ENABLED)) - set(enabled):
            with open(ENABLED, "w", encoding="ascii") as file:
                file.write(f"-{controller}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
