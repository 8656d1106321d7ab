"""What engines count on between their calls: where the process is, whose child, and who holds its streams."""

from __future__ import annotations

import ctypes
import os
import select
import signal

import pytest

from . import execs, oracle, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .case import Case

SLEEP = ["/bin/sleep", "600"]
PR_SET_PDEATHSIG = 1


def groups(pid: int) -> str:
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
        return file.read()


def test_process_is_in_its_place_when_create_returns(live: Case) -> None:
    # Docker makes the network between create and start; conmon watches the cgroup of that moment for lack of memory.
    bundle = live.bundle(SLEEP)
    live.create(bundle)
    pid = live.pid(bundle)
    names = ("net", "ipc", "uts", "pid", "mnt")
    before = {name: os.readlink(f"/proc/{pid}/ns/{name}") for name in names}
    place = groups(pid)
    for name in names:
        assert before[name] != os.readlink(f"/proc/self/ns/{name}")
        os.close(os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY))
    assert bundle.id in place
    live.start(bundle)
    assert {name: os.readlink(f"/proc/{pid}/ns/{name}") for name in names} == before
    assert groups(pid) == place
    # Engines read the counters of the group after the end, so it stays until delete.
    live.kill(bundle, "KILL")
    live.until(bundle, "stopped")
    assert oracle.cgroups(bundle.id)
    live.delete(bundle)
    assert not oracle.cgroups(bundle.id)


@pytest.mark.parametrize("words", [["create"], ["run", "--detach"]])
def test_first_process_is_the_subreapers_child_and_nothing_else_stays(live: Case, words: list[str]) -> None:
    # Engines wait for the pid of the pid file; we are the subreaper here.
    bundle = live.bundle(SLEEP)
    bundle.save()
    live.command(*words, "--bundle", bundle.path, bundle.id).ok()
    assert process.descendants() == [live.pid(bundle)]
    assert process.children(os.getpid()) == [live.pid(bundle)]


@pytest.mark.parametrize("words", [["create"], ["run", "--detach"]])
def test_nobody_but_the_program_holds_its_streams(live: Case, words: list[str]) -> None:
    # A reader waits for the end of its pipe, even as long as the container lives.
    bundle = live.shell("exec >&- 2>&- <&-; while :; do sleep 1; done")
    bundle.save()
    reader, writer = os.pipe()
    live.command(*words, "--bundle", bundle.path, bundle.id, stdout=writer, stderr=writer).ok()
    os.close(writer)
    if words == ["create"]:
        live.start(bundle)
    assert select.select([reader], [], [], 10)[0], "somebody holds the pipe"
    assert os.read(reader, 100) == b""
    os.close(reader)
    assert live.status(bundle) == "running"


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def test_death_signal_of_the_caller_is_not_handed_on(live: Case) -> None:
    # containerd and conmon mark the runtime; the mark survives execve.
    bundle = live.bundle(["/probe"])
    result = live.create(bundle, before=die_with_parent)
    live.start(bundle, before=die_with_parent)
    live.until(bundle, "stopped")
    assert result.json()["pdeathsig"] == 0
    bundle = execs.idle(live)
    seen = execs.run(live, bundle, "/probe", before=die_with_parent).ok().json()
    assert seen["pdeathsig"] == 0


def test_calls_that_succeed_print_nothing(live: Case) -> None:
    # The standard output of create is that of the container.
    bundle = live.bundle(SLEEP)
    bundle.save()
    calls = [["create", "--bundle", bundle.path], ["start"], ["pause"], ["resume"], ["exec", "--detach"]]
    calls += [["update", "--pids-limit", "50"], ["kill", "--all"], ["delete", "--force"]]
    for words in calls:
        rest = ["/bin/true"] if words[0] == "exec" else ["KILL"] if words[0] == "kill" else []
        result = live.command(*words, bundle.id, *rest).ok()
        assert (result.out, result.err) == ("", ""), result.report()
