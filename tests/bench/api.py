"""The measures from Python: the API beside the peers by subprocess, beside busy threads, from a large process, from threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from . import runtimes
from .measures import MILLISECONDS, PYTHON, REST, Series, turns, without_first

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Any

    from .runtimes import Place

AGENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "agent.py")
PACKAGE = os.path.join(runtimes.CHECKOUT, "runtime")
INTERPRETER = os.path.join(runtimes.CHECKOUT, ".venv", "bin", "python")
PRIVATE = ("unshare", "--mount", "--propagation", "private")
HEAP = 4 << 30
CONTAINERS = 100
BUSY = (1, 4, 8)
FRESH, PREPARED, POOL = "ocirun.run", "Prepared.run", "Pool.run"
LIGHT = (FRESH, PREPARED, POOL, "bwrap", "sandlock", "subprocess")  # what a program may choose from
JOB: dict[str, Any] = {"package": "", "heap": 0, "busy": 0, "mounts": 0, "v2": False}


class Agent:
    """A process that times runs when it is asked to (agent.py).

    python    its interpreter, "" for the one that ocirun is compiled for in the checkout
    private   whether it gets a mount namespace of its own
    ways      what it can be asked for
    answer    what it said of itself
    """

    def __init__(
        self, place: Place, ways: dict[str, dict[str, Any]], *, python: str = "", private: bool = False, **job: Any
    ) -> None:
        own = python or (INTERPRETER if os.path.exists(INTERPRETER) else sys.executable)
        whole = {**JOB, "package": "" if python else PACKAGE, "group": place.group, "ways": ways, **job}
        words = [*(PRIVATE if private else ()), own, AGENT, json.dumps(whole)]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.answer: dict[str, Any] = self._read()
        self.ways = [name for name in ways if name not in self.answer["missing"]]
        for name, why in self.answer["missing"].items():
            place.note(f"{name} left out: {why}")

    def __enter__(self) -> Agent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def seconds(self, way: str, **how: int) -> float:
        """Have it run something, and be told how long that took.  Raises Failed."""
        assert self._process.stdin is not None
        if self._process.stdin.closed:
            raise runtimes.Failed("its Python program has ended already")
        self._process.stdin.write(json.dumps({"way": way, **how}) + "\n")
        self._process.stdin.flush()
        taken: float = self._read()
        return taken

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            said = self._process.communicate()[1][-2000:]
            raise runtimes.Failed(f"the Python program ended with {self._process.returncode}:\n{said}")
        answer = json.loads(line)
        if isinstance(answer, dict) and "failed" in answer:
            raise runtimes.Failed(answer["failed"])
        return answer


class Asked:
    """One way of one agent, which takes its turn, and the series for its numbers."""

    def __init__(self, agent: Agent, name: str, series: Series) -> None:
        self.agent = agent
        self.name = name
        self.series = series


def measure(place: Place, runs: int, asked: list[Asked], *, rest: float = 0.0, **how: int) -> list[Series]:
    """Ask in turn; the series, each once."""
    turns(place, asked, runs, rest, lambda one: one.series.add(one, one.agent.seconds(one.name, **how) * MILLISECONDS))
    return [without_first(series) for series in dict.fromkeys(one.series for one in asked)]


def ways(place: Place, names: Iterable[str] = ()) -> dict[str, dict[str, Any]]:
    """What an agent is told of the ways from Python, all or these; without sandlock, which has its own interpreter."""
    rootfs = f"{place.top}/rootfs"
    # A cgroup of their own, as each is to make and to remove it.
    own = {"root": place.runtimes[0].root, "bundle": place.bundle("api-ocirun", "/bin/true", cgroup="")}
    found: dict[str, dict[str, Any]] = {
        FRESH: {"how": "fresh", **own},
        PREPARED: {"how": "prepared", **own},
        POOL: {"how": "pool", **own},
    }
    if "bwrap" in place.peers:
        found["bwrap"] = {"how": "captured", "words": [place.peers["bwrap"], "--bind", rootfs, "/", *BWRAP]}
    found["subprocess"] = {"how": "plain", "words": [f"{rootfs}/bin/true"]}
    for runtime in place.runtimes:
        if runtime.name not in runtimes.OWN:
            words = runtime.words("run", "--bundle", place.bundle(f"api-{runtime.name}", "/bin/true", cgroup=""))
            found[runtime.name] = {"how": "captured", "words": words}
    return {name: way for name, way in found.items() if not names or name in names}


#: The namespaces and the mounts that the bundles have, as far as it can make them.
BWRAP = (
    "--proc",
    "/proc",
    "--dev",
    "/dev",
    *(f"--unshare-{kind}" for kind in ("pid", "net", "ipc", "uts")),
    "/bin/true",
)


def _agents(place: Place, names: Iterable[str] = (), **job: Any) -> list[Agent]:
    """One for all ways from Python, and one for sandlock where it is wanted and there."""
    agents = [Agent(place, ways(place, names), **job)]
    if "sandlock" in place.peers and (not names or "sandlock" in names):
        box = {"how": "sandlock", "rootfs": f"{place.top}/rootfs", "words": ["/bin/true"]}
        agents.append(Agent(place, {"sandlock": box}, python=place.peers["sandlock"], **job))
    return agents


def together(agents: list[Agent], name: str, rest: float = 0.0) -> list[Asked]:
    """All ways of some agents, for one series."""
    series = Series(name, rest=rest, group=PYTHON)
    return [Asked(agent, way, series) for agent in agents for way in agent.ways]


def close(agents: list[Agent]) -> None:
    """End them."""
    for agent in agents:
        agent.__exit__(None, None, None)


def api(place: Place, runs: int) -> list[Series]:
    """One program, all ways."""
    agents = _agents(place)
    found = []
    for rest in (0.0, REST):
        found += measure(place, runs, together(agents, "run", rest), rest=rest)
    close(agents)
    return found


def busy(place: Place, runs: int) -> list[Series]:
    """The same while other threads of the program compute."""
    found = []
    for count in BUSY:
        agents = _agents(place, LIGHT, busy=count)
        found += measure(place, max(3, runs // 2), together(agents, f"run, busy threads: {count}"))
        close(agents)
    return found


def heap(place: Place, runs: int) -> list[Series]:
    """From a small and from a large process, in turn."""
    names = (FRESH, PREPARED, "bwrap", "subprocess", *(runtime.name for runtime in place.runtimes[1:]))
    agents = [Agent(place, ways(place, names), heap=size) for size in (0, HEAP)]
    asked = [
        one
        for agent, size in zip(agents, (0, HEAP), strict=True)
        for one in together([agent], f"run, heap of {size >> 30} GiB")
    ]
    found = measure(place, max(3, runs // 2), asked)
    close(agents)
    return found


def threads(place: Place, runs: int) -> list[Series]:
    """Many containers from two threads."""
    names = (FRESH, PREPARED, POOL, "bwrap", *(runtime.name for runtime in place.runtimes[1:]))
    agents = [Agent(place, ways(place, names))]
    asked = together(agents, f"{CONTAINERS} runs by 2 threads")
    found = measure(place, max(1, runs // 10), asked, times=CONTAINERS, threads=2)
    close(agents)
    return found
