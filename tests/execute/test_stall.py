"""When `exec` stops waiting for a silent helper, with a clock and processes that do not exist."""

from __future__ import annotations

import pytest

from ocirun.errors import HostError, StateError, StepError
from ocirun.execute import stall
from ocirun.execute.stall import Stall
from ocirun.plan.ops import INIT, Op, Plan


class World:
    """The helper, the group, the signals and the clock at once."""

    pid = 4242

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.letter = "S"
        self.index = 1
        self.is_frozen = False
        self.signals: list[int] = []
        self.now = 100.0
        monkeypatch.setattr(stall.record, "process_stat", lambda pid: (self.letter, 7))
        monkeypatch.setattr(stall.time, "monotonic", lambda: self.now)

    def progress(self) -> World:
        return self

    def frozen(self) -> bool:
        return self.is_frozen

    def peek(self) -> list[int]:
        return self.signals

    def after(self, check: Stall, seconds: float) -> bool:
        self.now += seconds
        return check(self)  # type: ignore[arg-type]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A helper that sleeps in its first operation."""
    return World(monkeypatch)


def make(world: World, *, ignore_paused: bool = False, signals: bool = True) -> Stall:
    ops = [
        Op("sync", INIT, "", {}),
        Op("join_namespace", INIT, "/linux/namespaces/1/path", {"slot": "ns_ipc", "flag": 0}),
    ]
    plan = Plan(ops, [], 0, [], [])
    return Stall(plan, world, world if signals else None, ignore_paused=ignore_paused)  # type: ignore[arg-type]


def test_progress_goes_on(world: World) -> None:
    check = make(world)
    for _ in range(10):
        world.index += 1
        assert world.after(check, 29.0)


def test_silence_ends(world: World) -> None:
    check = make(world)
    assert world.after(check, 0.25)
    assert world.after(check, 29.9)
    with pytest.raises(StepError, match=r"namespace.*: the helper has not done it within 30 s") as caught:
        world.after(check, 0.2)
    found = caught.value
    assert (found.index, found.operation, found.pointer) == (1, "join_namespace", "/linux/namespaces/1/path")


@pytest.mark.parametrize("letter", ["T", "t"])
def test_stopped(world: World, letter: str) -> None:
    check = make(world)
    world.letter = letter
    assert world.after(check, 0.25)
    assert world.after(check, 1.9)
    world.letter = "S"
    assert world.after(check, 0.25)
    world.letter = letter
    assert world.after(check, 0.25)
    with pytest.raises(HostError, match="stopped by another process"):
        world.after(check, 2.1)


@pytest.mark.parametrize("letter", ["Z", "X", ""])
def test_ended(world: World, letter: str) -> None:
    world.letter = letter
    check = make(world)
    assert world.after(check, 0.25)
    assert world.after(check, 9.9)
    assert world.after(check, 0.2) is False


def test_the_second_process_goes_on(world: World) -> None:
    """The first one is dead before the second has said anything, on a machine that has other things to do."""
    check = make(world)
    world.letter = "Z"
    assert world.after(check, 0.25)
    world.letter, world.index = "S", 9
    assert world.after(check, 20.0)
    world.letter = "Z"
    assert world.after(check, 0.25)


def test_paused_meanwhile(world: World) -> None:
    world.is_frozen = True
    with pytest.raises(StateError, match="cannot exec in a paused container"):
        world.after(make(world), 0.25)


def test_a_pause_that_is_waited_for(world: World) -> None:
    check = make(world, ignore_paused=True)
    world.is_frozen = True
    assert world.after(check, 0.25)
    assert world.after(check, 86400.0)
    world.is_frozen = False
    assert world.after(check, 0.25)
    assert world.after(check, 29.0)


@pytest.mark.parametrize("number", [1, 2, 3, 15])
def test_signals_of_the_caller(world: World, number: int) -> None:
    world.signals = [10, 28, number]
    with pytest.raises(HostError, match=f"given up by signal {number} before the program ran"):
        world.after(make(world), 0.25)


def test_other_signals_wait_for_the_program(world: World) -> None:
    world.signals = [10, 12, 28]
    assert world.after(make(world), 0.25)
    assert world.after(make(world, signals=False), 0.25)
