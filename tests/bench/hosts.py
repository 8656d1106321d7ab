"""The measures of other worlds: more mounts on the host, cgroup v2, other interpreters, an installation by pip."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from install import pythons

from .api import FRESH, POOL, PREPARED, Agent, Asked, close, measure, together, ways
from .measures import MILLISECONDS, REST, Series, turns, without_first
from .runtimes import ENVIRONMENT, Runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .runtimes import Place

MORE = 1000  # mounts
MAKING = 60.0  # seconds in which the preloaded interpreter is to be there after a first command
MANY_MOUNTS, FEW_MOUNTS = f"run, {MORE} mounts more on the host", "run, the host's own mounts"
V2 = "run, cgroup v2"
PIP, PRELOADED = "only installed by pip", "preloaded by hand"


def _commands(place: Place) -> dict[str, dict[str, Any]]:
    """What an agent is told of the command lines."""
    bundle = place.bundle("true", "/bin/true")
    return {
        runtime.name: {"how": "command", "words": runtime.words("run", "--bundle", bundle, "c-true")}
        for runtime in place.runtimes
    }


def _world(agents: tuple[Agent, Agent], name: str, rest: float = 0.0) -> list[Asked]:
    """The ways of two agents: one for commands, the other from Python, for a series each."""
    commands, python = agents
    series = Series(name, rest=rest)
    return [*(Asked(commands, way, series) for way in commands.ways), *together([python], name, rest)]


def _agents(place: Place, names: tuple[str, ...], **job: Any) -> tuple[Agent, Agent]:
    commands = Agent(place, _commands(place), private=True, **job)
    return commands, Agent(place, ways(place, names), private=True, **job)


def mounts(place: Place, runs: int) -> list[Series]:
    """`run` with the mounts that the host has, and with many more, in turn."""
    names = (FRESH, PREPARED, POOL, "bwrap")
    few = _agents(place, names)
    many = _agents(place, names, mounts=MORE, directory=f"{place.top}/many")
    counts = [agents[1].answer["mounts"] for agents in (few, many)]
    place.note(f"the host's own mounts are {counts[0]}, with more they are {counts[1]}")
    found = measure(place, runs, [*_world(few, FEW_MOUNTS), *_world(many, MANY_MOUNTS)])
    close([*few, *many])
    return found


def version_2(place: Place, runs: int) -> list[Series]:
    """`run` where /sys/fs/cgroup is one hierarchy of version 2."""
    if os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        place.note("this host has cgroup v2 alone: all rows are of it")
        return []
    agents = _agents(place, (FRESH, PREPARED, POOL, *(runtime.name for runtime in place.runtimes[1:])), v2=True)
    controllers = ", ".join(agents[0].answer["controllers"]) or "none"
    place.note(f"cgroup v2 is that of a host whose controllers are v1's; of its own it has: {controllers}")
    found = []
    for rest in (0.0, REST):
        found += measure(place, runs, _world(agents, V2, rest), rest=rest)
    close([*agents])
    return found


def _installed(place: Place, python: str, wheels: Path, name: str) -> Path:
    """The bin directory of an environment with ocirun from wheels; both are made when they are not there."""
    home = Path(place.top, name)
    if not home.exists():
        python = str(pythons.environment(python, home) / "python")
        if not wheels.exists():
            pythons.wheels(Path(python), wheels)
        pythons.install(Path(python), wheels)
    return home / "bin"


def interpreters(place: Place, runs: int) -> list[Series]:
    """The API by other interpreters, beside the one that runs this; each with ocirun installed."""
    agents: dict[str, Agent] = {}
    for number, python in enumerate(place.pythons):
        wheels = Path(place.top, f"wheels-{number}")
        programs = _installed(place, python, wheels, f"python-{number}")
        agent = Agent(place, ways(place, (FRESH, PREPARED, POOL, "bwrap")), python=str(programs / "python"))
        agents[agent.answer["python"]] = agent
    found = []
    for rest in (0.0, REST):
        asked = [one for name, agent in agents.items() for one in together([agent], f"run, Python {name}", rest)]
        found += measure(place, runs, asked, rest=rest)
    close(list(agents.values()))
    return found


def _preloaded(home: Path) -> bool:
    """Wait for the preloaded interpreter of an installation."""
    end = time.monotonic() + MAKING
    while time.monotonic() < end:
        # The package has an empty one.
        if any(path.stat().st_size for path in home.glob("lib/python3*/site-packages/ocirun/_preload.*")):
            return True
        time.sleep(0.1)
    return False


def by_pip(place: Place, runs: int) -> list[Series]:
    """Commands of two installations by pip, from the second on; `ocirun preload` was called for one of them."""
    python = place.pythons[0]
    wheels = Path(place.top, "wheels-0")
    bundle = place.bundle("true", "/bin/true")
    there: list[tuple[Runtime, str]] = []
    for name, how in (("python-0", PIP), ("by-hand", PRELOADED)):
        program = str(_installed(place, python, wheels, name) / "ocirun")
        first = [program, "preload"] if how == PRELOADED else [program, "--root", place.runtimes[0].root, "list"]
        subprocess.run(first, env={"PATH": ENVIRONMENT["PATH"]}, capture_output=True, check=True)
        if not _preloaded(Path(place.top, name)):
            place.note(f"{how}: after {MAKING:.0f} s there is no preloaded interpreter")
        runtime = Runtime(name, program, place.top)
        place.others.append(runtime)
        runtime.call("create", "--bundle", place.bundle(f"sleep-{name}", "/bin/sleep", "1000"), "c")
        there.append((runtime, how))
    found = []
    for name, words in (("run", ("run", "--bundle", bundle, "c-true")), ("state", ("state", "c"))):
        for rest in (0.0, REST):
            asked = [Installed(runtime, Series(f"{name}, {how}", rest=rest)) for runtime, how in there]
            turns(
                place,
                asked,
                runs,
                rest,
                lambda one, words=words: one.series.add(one, one.runtime.call(*words) * MILLISECONDS),  # type: ignore[misc]
            )
            found += [without_first(one.series) for one in asked]
    for runtime, _ in there:
        runtime.clear()
    return found


class Installed:
    """An installation that takes its turn, and the series for its numbers."""

    name = "ocirun"

    def __init__(self, runtime: Runtime, series: Series) -> None:
        self.runtime = runtime
        self.series = series
