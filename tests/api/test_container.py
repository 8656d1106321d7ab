"""`Container` as a Python program uses it: the whole life, waiting, programs inside with their output."""

from __future__ import annotations

import os
import time

import pytest
from waiting import in_threads

import ocirun
from ocirun import Container

from .conftest import children

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .conftest import Make

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def test_the_whole_life(make: Make, root: str) -> None:
    container = make("/bin/sleep", "600")
    assert container.status() == "created"
    container.start()
    assert container.status() == "running"
    assert Container.load(container.id, root=root).state()["pid"] == container.pid
    container.pause()
    assert container.status() == "paused"
    container.resume()
    container.update({"pids": {"limit": 20}})
    assert container.stats()["pids"]["limit"] == 20
    assert container.pids() == [container.pid]
    container.kill(9)
    assert container.wait(10) == 137
    assert container.status() == "stopped"
    container.delete()
    with pytest.raises(ocirun.ContainerNotFoundError):
        container.status()


def test_wait(make: Make, root: str) -> None:
    container = make("/bin/sh", "-c", "read x < /proc/self/fd/0; sleep 0.2; exit 7")
    with pytest.raises(TimeoutError):
        container.wait(0.01)
    container.start()
    assert container.wait() == 7
    assert container.wait(0) == 7, "who asks does not take it away"
    assert Container.load(container.id, root=root).wait() == 7
    container.delete()
    assert container.wait() is None


def test_wait_of_somebody_else(make: Make, root: str) -> None:
    """A process that is not the parent learns when, not how."""
    container = make("/bin/sleep", "600")
    container.start()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        answer = Container.load(container.id, root=root).wait(20)
        os.write(writer, repr(answer).encode())
        os._exit(0)
    container.kill(9)
    os.waitpid(child, 0)
    assert os.read(reader, 100) == b"None"
    os.close(reader)
    os.close(writer)


def test_run_inside(make: Make) -> None:
    container = make("/bin/sleep", "600")
    container.start()
    outcome = container.run(["/bin/sh", "-c", "cat; echo err >&2; exit 3"], stdin=b"in")
    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (3, b"in", b"err\n")
    # None with cgroup v2, as this one was made without a group for it to be beside.
    assert not outcome.oom_killed
    assert (outcome.limit, container.pids()) == ("", [container.pid])
    own = container.run(["/bin/sh", "-c", "echo $A $(pwd) $(id -u):$(id -g)"], env={"A": "b"}, cwd="/tmp", user=(5, 6))
    assert own.stdout == b"b /tmp 5:6\n"
    base = container.base_process()
    assert container.run(["/bin/pwd"], process={**base, "cwd": "/proc"}).stdout == b"/proc\n"
    assert container.status() == "running"


def test_a_conversation(make: Make) -> None:
    container = make("/bin/sleep", "600")
    container.start()
    before = set(os.listdir("/proc/self/fd"))
    there, to = os.pipe()
    back, answer = os.pipe()
    talker = container.popen(
        ["/bin/sh", "-c", "while read x; do echo $A $x; done; exit 3"], stdio=(there, answer, answer), env={"A": "got"}
    )
    os.close(there)
    os.close(answer)
    for word in (b"one", b"two"):
        os.write(to, word + b"\n")
        assert os.read(back, 100) == b"got " + word + b"\n"
    assert talker.pid in container.pids()
    with pytest.raises(TimeoutError):
        talker.wait(0.01)
    os.close(to)
    assert os.read(back, 100) == b""
    assert (talker.wait(20), talker.wait(), talker.fileno()) == (3, 3, -1)
    talker.kill()
    os.close(back)
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_process_as_context(make: Make) -> None:
    container = make("/bin/sleep", "600")
    container.start()
    before = set(os.listdir("/proc/self/fd"))
    null = os.open("/dev/null", os.O_RDWR)
    with container.popen(["/bin/sleep", "600"], stdio=(null, null, null)) as sleeper:
        assert sleeper.pid in container.pids()
    assert sleeper.wait() == 137
    with pytest.raises(ocirun.ProgramError):
        container.popen(["/no/such"], stdio=(null, null, null))
    os.close(null)
    assert set(os.listdir("/proc/self/fd")) == before
    assert container.pids() == [container.pid]


def test_a_time_out_inside_ends_that_program_alone(make: Make) -> None:
    container = make("/bin/sleep", "600")
    container.start()
    begin = time.monotonic()
    outcome = container.run(["/bin/sh", "-c", "echo before; exec sleep 60"], timeout=0.3)
    assert (outcome.timed_out, outcome.limit, outcome.signal, outcome.stdout) == (True, "time", 9, b"before\n")
    assert time.monotonic() - begin < 8
    assert container.status() == "running"
    assert container.pids() == [container.pid]


def test_errors_inside(make: Make) -> None:
    container = make("/bin/sleep", "600")
    container.start()
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(ocirun.ProgramError) as missing:
        container.run(["/no/such"])
    assert missing.value.pointer == "/process/args/0"
    with pytest.raises(ocirun.ConfigError) as wrong:
        container.run(["/bin/true"], cwd="relative")
    assert wrong.value.pointer == "/process/cwd"
    assert set(os.listdir("/proc/self/fd")) == before
    container.kill(9)
    container.wait(10)
    with pytest.raises(ocirun.StateError, match="stopped"):
        container.run(["/bin/true"])


def test_a_program_that_is_given_up_leaves_no_child(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead child in the container's pid namespace would keep its first process from ending."""
    from ocirun.execute import session as sessions

    container = make("/bin/sleep", "600")
    container.start()
    before = children()

    go_on = sessions.Session.go_on

    def give_up(self: sessions.Session) -> int:
        monkeypatch.setattr(sessions.Session, "go_on", go_on)
        self.side.native.go = 0
        go_on(self)
        raise sessions.HelperEnded

    monkeypatch.setattr(sessions.Session, "go_on", give_up)
    with pytest.raises(ocirun.OcirunError):
        container.run(["/bin/true"])
    container.kill(9)
    assert container.wait(10) == 137
    container.delete()
    assert children() < before


def test_one_handle_in_many_threads(make: Make) -> None:
    container = make("/bin/sleep", "600")
    container.start()
    problems: list[object] = []

    def work(number: int) -> None:
        for turn in range(4):
            outcome = container.run(["/bin/echo", f"{number}.{turn}"])
            if outcome.stdout != f"{number}.{turn}\n".encode() or container.status() != "running":
                problems.append(outcome)

    before = set(os.listdir("/proc/self/fd"))
    in_threads(work, 6)
    assert problems == []
    assert set(os.listdir("/proc/self/fd")) == before


def test_usage_after_the_end(make: Make, root: str) -> None:
    """Why did it stop: asked of a stopped container, and of the handle that has deleted it."""
    container = make("/bin/sh", "-c", "x=a; while :; do x=$x$x; done")
    container.update({"memory": {"limit": 16 << 20, "swap": 16 << 20}})
    assert "usage" not in container.state()
    container.start()
    assert container.wait(60) == 137
    used = container.usage()
    assert used.oom_kills == 1
    assert used.memory_peak is not None and 8 << 20 < used.memory_peak <= 16 << 20
    assert used.cpu_seconds is not None and used.cpu_seconds > 0
    state = Container.load(container.id, root=root).state()
    assert state["usage"]["memoryPeak"] == used.memory_peak
    assert state["usage"]["oomKills"] == 1
    assert ocirun.list_ids(root) == [container.id]
    assert [("usage" in one) for one in ocirun.list_states(root, warn=print)] == [False]
    container.delete()
    assert container.usage().record() == used.record()
    assert "oomKills=1" in repr(container.usage())


def test_usage_is_kept_where_the_cgroup_goes_first(make: Make, root: str) -> None:
    container = make("/bin/true")
    container.start()
    container.wait(30)
    peak = container.usage().memory_peak
    directory = os.open(f"{root}/{container.id}", os.O_RDONLY)
    container._keep_usage(directory)
    os.close(directory)
    with container.cgroup as cgroup:
        cgroup.remove()
    assert peak is not None
    assert Container.load(container.id, root=root).usage().memory_peak == peak
    with open(f"{root}/{container.id}/usage.json", "w", encoding="ascii") as file:
        file.write('{"memory_peak_bytes": "many"}')
    assert container.usage().memory_peak is None
