"""What is measured: each measure takes a place and a number of runs, and gives series of numbers."""

from __future__ import annotations

import os
import shutil
import stat
import statistics
import subprocess
import sys
import time

from profiles import engine_profile

from . import runtimes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol, TypeVar

    from .runtimes import Place, Runtime

    class Named(Protocol):
        """What takes turns."""

        @property
        def name(self) -> str: ...

    Item = TypeVar("Item", bound=Named)

REST = 0.2  # seconds
CONTAINERS = 1000
LIST, LIST_QUIET = f"list of {CONTAINERS}", f"list --quiet of {CONTAINERS}"
MOUNTS = 1000
TRIES = 5
LEAST, MOST = 12, 28  # 4 KiB to 256 MiB, as powers of two
MILLISECONDS = 1000.0
COMMANDS, PYTHON = "commands", "from Python"


class Series:
    """The numbers of one measure for each runtime, or each way from Python.

    name     what was measured, such as ``create``
    rest     seconds of rest before each run
    unit     ms or KiB
    group    its table: COMMANDS or PYTHON
    values   name of the runtime -> its numbers, in order; none if it could not do it
    """

    def __init__(self, name: str, *, rest: float = 0.0, unit: str = "ms", group: str = COMMANDS) -> None:
        self.name = name
        self.rest = rest
        self.unit = unit
        self.group = group
        self.values: dict[str, list[float]] = {}

    def add(self, runtime: Named, value: float) -> None:
        """Add one number."""
        self.values.setdefault(runtime.name, []).append(value)

    def median(self, name: str) -> float | None:
        """The median for a runtime, None without numbers."""
        values = self.values.get(name)
        return statistics.median(values) if values else None

    def ratio(self, name: str) -> float | None:
        """How many times as much as ocirun it takes."""
        own, other = self.median("ocirun"), self.median(name)
        return other / own if own and other is not None else None


def turns(place: Place, items: Sequence[Item], runs: int, rest: float, once: Callable[[Item], None]) -> None:
    """Call `once` for each item in turn, another one first each time; one round more to warm up.

    A peer that fails is left out from then on, and noted.  Ours may not fail.
    """
    left = list(items)
    for number in range(runs + 1):
        shift = number % len(left)
        for item in left[shift:] + left[:shift]:
            if rest:
                time.sleep(rest)
            try:
                once(item)
            except runtimes.Failed as error:
                if item.name in runtimes.OWN:
                    raise
                place.failed(item.name, f"{item.name} left out from round {number} of {runs} on: {error}")
                left.remove(item)


def _simple(name: str, place: Place, runs: int, rest: float, once: Callable[[Runtime], float]) -> Series:
    """A measure of one number of milliseconds."""
    series = Series(name, rest=rest)
    turns(place, place.runtimes, runs, rest, lambda runtime: series.add(runtime, once(runtime) * MILLISECONDS))
    return without_first(series)


def _both(name: str, place: Place, runs: int, once: Callable[[Runtime], float]) -> list[Series]:
    """The same, back to back and with rests."""
    return [_simple(name, place, runs, rest, once) for rest in (0.0, REST)]


def without_first(series: Series) -> Series:
    """The series without the round that was there to warm up."""
    series.values = {name: values[1:] for name, values in series.values.items() if len(values) > 1}
    return series


def run(place: Place, runs: int) -> list[Series]:
    """`run` of a program that ends at once."""
    bundle = place.bundle("true", "/bin/true")
    return _both("run", place, runs, lambda runtime: runtime.call("run", "--bundle", bundle, "c-true"))


def commands(place: Place, runs: int) -> list[Series]:
    """create, state, start, exec, kill and delete, one by one, of a program that waits to be killed."""
    bundle = place.bundle("sleep", "/bin/sleep", "1000")
    found: list[Series] = []
    steps = (
        ("create", "create", "--bundle", bundle, "c"),
        ("state", "state", "c"),
        ("start", "start", "c"),
        ("exec", "exec", "c", "/bin/true"),
        ("kill", "kill", "c", "KILL"),
        ("delete", "delete", "c"),
    )
    for rest in (0.0, REST):
        series = {step[0]: Series(step[0], rest=rest) for step in steps}

        def once(runtime: Runtime, series: dict[str, Series] = series, rest: float = rest) -> None:
            for name, *words in steps:
                if rest and name != "create":  # before which turns() rests
                    time.sleep(rest)
                series[name].add(runtime, runtime.call(*words) * MILLISECONDS)
                if name == "kill":
                    runtimes.reap_all()

        turns(place, place.runtimes, runs, rest, once)
        measured = [without_first(one) for one in series.values()]
        found += [*measured, _sum("create + start + delete", [series[name] for name in ("create", "start", "delete")])]
    return found


def _sum(name: str, parts: list[Series]) -> Series:
    """The sums of what was measured in the same round."""
    series = Series(name, rest=parts[0].rest)
    for runtime in parts[-1].values:
        rounds = zip(*(part.values[runtime] for part in parts), strict=False)  # a peer may have failed in between
        series.values[runtime] = [sum(values) for values in rounds]
    return series


def listing(place: Place, runs: int) -> list[Series]:
    """`list` of many stopped containers: copies of the state of one."""
    bundle = place.bundle("listed", "/bin/sleep", "1000")
    for runtime in place.runtimes:
        runtime.call("create", "--bundle", bundle, "original")
        runtime.call("kill", "original", "KILL")
        runtimes.reap_all()
        for number in range(CONTAINERS - 1):
            _copy_state(f"{runtime.root}/original", f"{runtime.root}/copy{number:04}", f"copy{number:04}")
    found = [
        _simple(name, place, max(3, runs // 4), 0.0, lambda runtime, words=words: runtime.call(*words))
        for name, words in ((LIST, ("list",)), (LIST_QUIET, ("list", "--quiet")))
    ]
    for runtime in place.runtimes:
        for number in range(CONTAINERS - 1):
            shutil.rmtree(f"{runtime.root}/copy{number:04}", ignore_errors=True)  # gone if the runtime failed
        runtime.call("delete", "--force", "original", check=False)
    return found


def _copy_state(source: str, target: str, name: str) -> None:
    os.mkdir(target, 0o711)
    for entry in os.scandir(source):
        if entry.is_symlink():
            text = os.readlink(entry.path)
            os.symlink(text.replace('"original"', f'"{name}"'), f"{target}/{entry.name}")
        if not stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
            continue
        with open(entry.path, "rb") as file:
            content = file.read()
        with open(f"{target}/{entry.name}", "wb") as file:
            file.write(content.replace(b'"original"', f'"{name}"'.encode()))


def many_mounts(place: Place, runs: int) -> list[Series]:
    """`run` of a config with many tmpfs mounts."""
    mounts = [
        {"destination": f"/m/{number}", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "size=4k"]}
        for number in range(MOUNTS)
    ]
    bundle = place.bundle("mounts", "/bin/true", mounts=mounts)
    return [
        _simple(
            f"run with {MOUNTS} mounts",
            place,
            max(3, runs // 4),
            0.0,
            lambda runtime: runtime.call("run", "--bundle", bundle, "c-mounts"),
        )
    ]


def filtered(place: Place, runs: int) -> list[Series]:
    """`run` under an engine's seccomp profile: compiled before, and compiled anew."""
    bundle = place.bundle("filtered", "/bin/true", seccomp=engine_profile())
    found = []
    for name, cold in (("run with a filter", False), ("run with a new filter", True)):

        def once(runtime: Runtime, cold: bool = cold) -> float:
            if cold:
                for cache in runtimes.CACHES:
                    shutil.rmtree(f"{runtime.root}/{cache}", ignore_errors=True)
            return runtime.call("run", "--bundle", bundle, "c-filtered")

        found.append(_simple(name, place, max(3, runs // 2), 0.0, once))
    return found


def memory(place: Place, runs: int) -> list[Series]:
    """Peak memory of the largest process of `run`."""
    bundle = place.bundle("memory", "/bin/true")
    series = Series("peak memory of run", unit="KiB")
    scale = _busybox_scale()

    def once(runtime: Runtime) -> None:
        series.add(runtime, _peak(runtime.words("run", "--bundle", bundle, "c-memory"))[0] / scale)

    turns(place, place.runtimes, max(3, runs // 4), 0.0, once)
    return [without_first(series)]


def _peak(words: list[str]) -> tuple[float, str]:
    """The ru_maxrss of a command as busybox shows it, and the command's output.

    A child's ru_maxrss starts with the memory of the process that forked it, so that must be a small one.
    """
    words = [runtimes.BUSYBOX, "time", "-v", *words]
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=runtimes.LIMIT
        )
    except subprocess.SubprocessError as error:
        raise runtimes.Failed(f"{error}") from error
    line = next(line for line in done.stderr.splitlines() if "Maximum resident set size" in line)
    return float(line.rpartition(":")[2]), done.stdout


def _busybox_scale() -> int:
    """What busybox multiplies KiB with: some versions take the number for pages."""
    code = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    shown, own = _peak([sys.executable, "-I", "-S", "-c", code])
    return round(shown / float(own))


def limit(place: Place, runs: int) -> list[Series]:
    """The lowest memory limit, a power of two, at which `run` of true works five times of five."""
    series = Series("lowest memory limit", unit="KiB")
    for runtime in place.runtimes:
        low, high = LEAST, MOST  # works at high, not below low
        while low < high:
            middle = (low + high) // 2
            if _works(place, runtime, 1 << middle):
                high = middle
            else:
                low = middle + 1
        series.add(runtime, (1 << high) / 1024)
    return [series]


def _works(place: Place, runtime: Runtime, size: int) -> bool:
    bundle = place.bundle("limit", "/bin/true", resources={"memory": {"limit": size}})
    for _ in range(TRIES):
        try:
            done = subprocess.run(
                runtime.words("run", "--bundle", bundle, "c-limit"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
                timeout=20,
            )
            good = done.returncode == 0
        except subprocess.TimeoutExpired:
            good = False
        if not good:
            runtime.call("delete", "--force", "c-limit", check=False)
            runtimes.reap()
            print(f"  {runtime.name}: not with {size >> 10} KiB", file=sys.stderr, flush=True)
            return False
    return True


#: In the order of the table.
ALL: dict[str, Callable[[Place, int], list[Series]]] = {
    "run": run,
    "commands": commands,
    "list": listing,
    "mounts": many_mounts,
    "seccomp": filtered,
    "memory": memory,
    "limit": limit,
}
