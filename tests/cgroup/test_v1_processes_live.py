"""The v1 driver and its processes: freeze, thaw, list, kill; and nobody else's."""

from __future__ import annotations

import os
import signal
import time

import pytest
from waiting import eventually

from ocirun.errors import HostError

from .live import alive, get, lab, make_below, move, needs_v1, put

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .live import Lab

__all__ = ["lab"]
pytestmark = needs_v1

# Each process starts the next and ends: whoever reads a list of them reads the past.
HOPPING = "hop() { (hop) & }; for i in 1 2 3 4 5 6; do hop; done; exit 0"
# Each process starts two more and stays, up to the limit.
GROWING = "grow() { (grow) & (grow) & wait; sleep 100; }; grow"
DEAF = "trap '' TERM INT HUP; "


def ticks(pid: int) -> int:
    """CPU time of a process so far."""
    fields = get(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_freeze_and_thaw(lab: Lab) -> None:
    box = lab.driver(ready=True)
    process = lab.start(box, "while :; do :; done")
    later = lab.again(box)
    assert not later.frozen()
    later.freeze()
    assert later.frozen()
    before = ticks(process.pid)
    time.sleep(0.1)
    assert ticks(process.pid) == before
    later.freeze()
    later.thaw()
    assert not box.frozen()
    eventually(lambda: ticks(process.pid) > before, "it runs again")
    later.thaw()


def test_freeze_of_an_empty_group(lab: Lab) -> None:
    box = lab.driver(ready=True)
    box.freeze()
    assert box.frozen()
    with pytest.raises(HostError, match="container's cgroup unexpectedly frozen"):
        lab.driver().check()
    box.thaw()
    lab.driver().check()


def test_freeze_reaches_groups_below_and_thaw_leaves_their_own_state(lab: Lab) -> None:
    box = lab.driver(ready=True)
    make_below(box, "inner")
    inner = f"{box.path('freezer')}/inner"
    box.freeze()
    assert get(f"{inner}/freezer.state") == "FROZEN"
    box.thaw()
    assert get(f"{inner}/freezer.state") == "THAWED"
    put(f"{inner}/freezer.state", "FROZEN")
    box.thaw()
    assert get(f"{inner}/freezer.state") == "FROZEN"
    assert not box.frozen()


def test_a_frozen_group_above(lab: Lab) -> None:
    box = lab.driver("pod/box", ready=True)
    pod = os.path.dirname(box.path("freezer"))
    process = lab.start(box, "exec sleep 100")
    put(f"{pod}/freezer.state", "FROZEN")
    try:
        assert box.frozen()
        with pytest.raises(HostError, match=r"stays frozen, since .*/pod is"):
            box.thaw()
        with pytest.raises(HostError, match=r"unexpectedly frozen: .*/pod$"):
            lab.driver("pod/next").check()
        with pytest.raises(HostError, match=r"1 processes 0.3 s after SIGKILL") as caught:
            box.kill(9, wait=0.3)
        assert caught.value.remedy == f"the cgroup {pod} is frozen; thaw it"
    finally:
        put(f"{pod}/freezer.state", "THAWED")
    assert process.wait(timeout=10) == -9


def test_freeze_gives_up_and_thaws(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from ocirun.cgroup.files import freezer

    box = lab.driver(ready=True)
    process = lab.start(box, "exec sleep 100")
    real = freezer.state
    fd = os.open(box.path("freezer"), os.O_RDONLY)
    monkeypatch.setattr(freezer, "state", lambda fd: "FREEZING")
    start = time.monotonic()
    with pytest.raises(HostError, match=r"did not stop within 0.4 s"):
        freezer.freeze(fd, "x", limit=0.4)
    assert time.monotonic() - start < 10
    monkeypatch.setattr(freezer, "state", real)
    os.close(fd)
    assert not box.frozen()
    assert alive(process)


def test_kill_reaches_every_group_below_and_nobody_else(lab: Lab) -> None:
    box = lab.driver("box", ready=True)
    beside = lab.driver("box2", ready=True)
    decoys = [lab.start(None, "exec sleep 100"), lab.start(beside, "exec sleep 100")]
    make_below(box, "a/b/c")
    make_below(box, "z")
    inside = [lab.start(box, "exec sleep 100") for _ in range(4)]
    for process, below in zip(inside, ("a", "a/b", "a/b/c", "z"), strict=True):
        move(box, below, process.pid)
    inside.append(lab.start(box, "exec sleep 100"))
    assert sorted(box.pids()) == sorted(process.pid for process in inside)
    assert lab.again(box).kill(signal.SIGTERM) == 5
    assert [process.wait(timeout=10) for process in inside] == [-15] * 5
    assert all(alive(decoy) for decoy in decoys)
    assert box.kill(signal.SIGKILL) == 0


def test_signal_zero_asks_only(lab: Lab) -> None:
    box = lab.driver(ready=True)
    assert box.kill(0) == 0
    process = lab.start(box, "exec sleep 100")
    assert box.kill(0) == 1
    assert alive(process)


def test_a_thread_in_another_group(lab: Lab) -> None:
    box = lab.driver(ready=True)
    make_below(box, "inner")
    process = lab.start(box, "exec sleep 100")
    # One thread only, by the file that moves threads; the process is listed where its threads are.
    put(f"{box.path('freezer')}/inner/tasks", str(process.pid))
    assert box.pids() == [process.pid]
    assert box.kill(9, wait=10) == 1
    box.remove()


def test_more_processes_than_descriptors(lab: Lab) -> None:
    box = lab.driver(ready=True)
    lab.start(box, "i=0; while [ $i -lt 300 ]; do sleep 100 & i=$((i+1)); done; wait")
    eventually(lambda: len(box.pids()) == 301, "all are in it")
    assert box.kill(9, wait=20) >= 301
    assert box.pids() == []
    box.remove()


@pytest.mark.parametrize("bomb", [HOPPING, GROWING, DEAF + GROWING])
def test_fork_bombs_are_killed(lab: Lab, bomb: str) -> None:
    decoy = lab.start(None, "exec sleep 100")
    box = lab.driver(ready=True)
    lab.apply(box, {"pids": {"limit": 40}, "cpu": {"quota": 50000, "period": 100000}})
    reaper = lab.start_bomb(box, bomb)
    time.sleep(0.2)
    assert box.kill(9, wait=10) > 0
    assert box.pids() == []
    box.remove()
    assert alive(decoy)
    assert alive(reaper)


def test_delete_of_a_fork_bomb_in_one_call(lab: Lab) -> None:
    box = lab.driver(ready=True)
    lab.apply(box, {"pids": {"limit": 40}})
    lab.start_bomb(box, HOPPING)
    lab.again(box).remove(kill=True)
    assert not os.path.exists(box.path("pids"))


def test_other_signals_to_a_bomb_end(lab: Lab) -> None:
    box = lab.driver(ready=True)
    lab.apply(box, {"pids": {"limit": 30}})
    lab.start_bomb(box, DEAF + HOPPING)
    start = time.monotonic()
    box.kill(signal.SIGTERM)
    assert time.monotonic() - start < 10
    box.kill(9, wait=10)


def test_kill_of_a_paused_container(lab: Lab) -> None:
    box = lab.driver(ready=True)
    process = lab.start(box, DEAF + "while :; do sleep 100; done")
    box.freeze()
    assert box.kill(signal.SIGTERM) >= 1
    assert box.frozen()
    assert lab.again(box).kill(9, wait=10) >= 1
    assert process.wait(timeout=10) == -9
    assert not box.frozen()
    box.remove()


def test_kill_of_a_group_that_was_frozen_from_inside(lab: Lab) -> None:
    box = lab.driver(ready=True)
    make_below(box, "a/b")
    process = lab.start(box, "exec sleep 100")
    move(box, "a/b", process.pid)
    put(f"{box.path('freezer')}/a/freezer.state", "FROZEN")
    assert box.kill(9, wait=10) == 1
    assert process.wait(timeout=10) == -9
    box.remove()


def test_a_stopped_process_is_killed(lab: Lab) -> None:
    box = lab.driver(ready=True)
    process = lab.start(box, "kill -STOP $$")
    assert box.kill(9, wait=10) == 1
    assert process.wait(timeout=10) == -9


def test_zombies_do_not_keep_a_group(lab: Lab) -> None:
    box = lab.driver(ready=True)
    process = lab.start(box, "exit 0")
    eventually(lambda: get(f"/proc/{process.pid}/stat").rpartition(")")[2].split()[0] == "Z", "it is a zombie")
    assert box.pids() == []
    box.remove()
