"""fork_program: this process stays as init; what it watches, says and passes on."""

from __future__ import annotations

import errno
import struct

import pytest

from .recorder import EXITED, RETURNED, op, rule, run_ops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .recorder import Run

CHILD = 5000
SIGNALS, SOCKET = 200, 5
STARTED, ENDED = 1, 2


def init(*rules: dict[str, Any], sync: str | None = "sync", caller: str | None = "tasks", terminal: int = 0) -> Run:
    """The path of the parent."""
    forked = op("fork_program", sync=sync, caller=caller, terminal=terminal, keeps=0)
    return run_ops(forked, rules=[rule("clone", CHILD), *rules])


def ready(*which: int) -> dict[str, Any]:
    """What ppoll has to tell: the places in the list (signals, executed, socket, caller)."""
    return rule("ppoll", mode=sum(1 << place for place in which), times=1)


def ended(code: int, status: int, pid: int = CHILD) -> dict[str, Any]:
    return rule("waitid", mode=code, device=(status, pid), times=1)


def reports(result: Run) -> list[tuple[int, int, int]]:
    """(kind, status, late) of each report."""
    sent = [call.blobs[1] for call in result.of("sendmsg")]
    return [struct.unpack("<IIiIQQ", raw)[1:4] for raw in sent if len(raw) == 32]


def test_child_goes_on() -> None:
    result = run_ops(op("fork_program", sync="sync", caller=None, terminal=0, keeps=0), op("no_new_privs"))
    assert result.outcome == RETURNED
    assert result.names("clone", "setpgid", "ioctl", "prctl") == ["clone", "setpgid", "prctl"]
    # The end of the pipe stays open until execve closes it.
    assert len(result.open - result.slots) == 1


def test_child_with_a_terminal_is_in_front() -> None:
    result = run_ops(op("fork_program", sync="sync", caller=None, terminal=1, keeps=0))
    (call,) = result.of("ioctl")
    assert (call.fd, call.args[1]) == (0, 0x5410)


@pytest.mark.parametrize("call", ["rt_sigaction", "signalfd4", "pipe2", "clone", "setpgid"])
def test_failures(call: str) -> None:
    result = run_ops(
        op("fork_program", sync="sync", caller=None, terminal=0, keeps=0), rules=[rule(call, -errno.EMFILE)]
    )
    assert (result.outcome, result.progress.phase, result.progress.errno) == (RETURNED, 5, errno.EMFILE)


def test_only_what_is_watched_stays_open() -> None:
    result = init(rule("waitid", -errno.ECHILD), ready(3))
    ranges = [(call.args[0], call.args[1] & 0xFFFFFFFF) for call in result.of("close_range")]
    # sync is 5, tasks is 9, signalfd 200, the pipe's first end 201
    assert ranges == [(0, 4), (6, 8), (10, 199), (202, 0xFFFFFFFF)]


def test_caller_that_is_gone_ends_all() -> None:
    result = init(rule("waitid", -errno.ECHILD), ready(3))
    assert (result.outcome, result.of("kill")[0].args[:2]) == (EXITED, [-1, 9])
    assert [kind for kind, _, _ in reports(result)] == [ENDED]


def test_socket_that_is_closed() -> None:
    """With a caller it stands for the caller; without one nobody listens any more, and the container goes on."""
    bound = init(rule("waitid", -errno.ECHILD), ready(2))
    assert bound.outcome == EXITED
    assert len(bound.of("ppoll")) == 1
    free = init(ready(2), ready(0), ended(1, 4), rule("waitid", -errno.ECHILD), caller=None)
    assert (free.outcome, free.status) == (EXITED, 4)
    assert not reports(free)


@pytest.mark.parametrize(
    ("code", "status", "exit_status", "told"), [(1, 3, 3, 3 << 8), (2, 9, 137, 9), (3, 6, 134, 6 | 0x80)]
)
def test_end_of_the_program(code: int, status: int, exit_status: int, told: int) -> None:
    result = init(ready(0), ended(code, status), rule("waitid", -errno.ECHILD))
    assert (result.outcome, result.status) == (EXITED, exit_status)
    assert reports(result) == [(ENDED, told, 0)]


def keeper(*rules: dict[str, Any]) -> Run:
    """In a container of others."""
    forked = op("fork_program", sync="sync", caller=None, terminal=0, keeps=1)
    return run_ops(forked, rules=[rule("clone", CHILD), *rules])


def test_a_keeper_leaves_others_alone() -> None:
    gone = rule("waitid", -errno.ECHILD)
    result = keeper(ready(0), ended(1, 3), ended(1, 0, pid=77), gone)
    assert result.names("prctl", "clone") == ["prctl", "clone"], "before the fork, as it holds for children only"
    assert (result.outcome, result.status, result.of("kill")) == (EXITED, 3, [])
    assert reports(result) == [(ENDED, 3 << 8, 0)], "at once, and not when all have ended"
    # The runtime says no more: the program is to end.
    told = keeper(rule("ppoll", mode=1 << 2, times=1), ended(2, 9), gone)
    assert [call.args[:2] for call in told.of("kill")] == [[CHILD, 9]]
    assert reports(told) == [(ENDED, 9, 0)]


def test_orphans_are_reaped_and_do_not_end_it() -> None:
    result = init(ready(0), ended(1, 0, pid=77), ended(1, 5), rule("waitid", -errno.ECHILD))
    assert (result.outcome, result.status) == (EXITED, 5)


def test_signals_are_passed_on() -> None:
    info = struct.pack("<I", 15).ljust(128, b"\0")
    result = init(
        ready(0),
        rule("read", data=info, times=1),
        rule("read", -errno.EAGAIN),
        ended(1, 0),
        rule("waitid", -errno.ECHILD),
    )
    assert result.of("kill")[0].args[:2] == [CHILD, 15]


def test_no_answer_is_waited_for_without_a_socket() -> None:
    result = init(ready(0), ended(1, 2), rule("waitid", -errno.ECHILD), sync=None, caller=None)
    assert (result.outcome, result.status, reports(result)) == (EXITED, 2, [])
