"""receive_program: a container that was made ahead gets its program, its streams and its time in one message."""

from __future__ import annotations

import errno
import struct

import pytest

from ocirun.execute import report
from ocirun.plan import encode
from ocirun.plan.ops import Plan
from ocirun.state import record

from .recorder import EXECUTED, EXITED, RETURNED, fd_of, op, rule, run_ops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.plan.ops import Op

    from .recorder import Run

FIRST = 200  # the descriptors that come along: the program, then its streams
ALL_STREAMS = 7
PROGRAM = op("find_program", args=["/bin/p", "a b"], env=["X=1"], search="")


def program(*ops: Op) -> bytes:
    return encode.encode(Plan(list(ops), ["plan", "progress", "sync"], 3, [], []))


def message(streams: int = ALL_STREAMS, *, lifetime: int = 0, descriptors: int | None = None) -> dict[str, Any]:
    count = 1 + streams.bit_count() if descriptors is None else descriptors
    return rule("recvmsg", data=struct.pack("<QII", lifetime, streams, 0), device=(count, 0))


def receive(*rules: dict[str, Any], content: bytes = program(PROGRAM), behind: Op | None = None) -> Run:
    """What follows when a message has come; `rules` go before those of a friendly one."""
    given = [rule("lseek", len(content)), rule("mmap", data=content, times=1), message()]
    wanted = [op("receive_program", caller="tasks"), *([behind] if behind else []), op("execute")]
    return run_ops(*wanted, rules=[*rules, *given])


def test_calls() -> None:
    result = receive()
    assert result.outcome == EXECUTED
    assert result.names()[:2] == ["ppoll", "recvmsg"]
    wait, hear = result.calls[:2]
    assert wait.args[1:5] == [2, 0, 0, 8], "both are watched, without a limit"
    assert (hear.fd, hear.args[2]) == (fd_of("sync"), 0x40000000), "MSG_CMSG_CLOEXEC"
    assert [(call.fd, call.args[1]) for call in result.of("dup3")] == [(FIRST + 1 + i, i) for i in range(3)]
    assert (result.of("lseek")[0].fd, result.of("mmap")[0].args[4]) == (FIRST, FIRST)
    assert result.of("mmap")[0].args[1:4] == [len(program(PROGRAM)), 1, 2], "PROT_READ, MAP_PRIVATE"
    assert not result.open - result.slots


def test_program_of_the_message_is_executed() -> None:
    (call,) = receive().of("execve")
    assert (call.texts[0], call.blobs[1], call.blobs[2]) == ("/bin/p", b"/bin/p\0a b\0", b"X=1\0")


def test_phase_says_that_the_word_has_come() -> None:
    result = receive(rule("statx", -errno.EIO))
    assert (result.progress.phase, result.progress.errno) == (record.PHASE_FAILED, errno.EIO)
    waiting = receive(rule("ppoll", -errno.ENOMEM))
    assert (waiting.progress.phase, waiting.progress.errno) == (record.PHASE_FAILED, errno.ENOMEM)


@pytest.mark.parametrize(("streams", "targets"), [(0, []), (1, [0]), (6, [1, 2]), (5, [0, 2])])
def test_only_the_streams_that_come_along(streams: int, targets: list[int]) -> None:
    result = receive(message(streams))
    assert [(call.fd, call.args[1]) for call in result.of("dup3")] == [
        (FIRST + 1 + number, target) for number, target in enumerate(targets)
    ]
    assert result.outcome == EXECUTED


def test_lifetime_reaches_the_init_that_watches() -> None:
    watching = op("fork_program", sync="sync", caller="tasks", terminal=0, keeps=0)
    # The caller's end is what ends the init.
    ended = [rule("clone", 5000), rule("ppoll", mode=0b1000, skip=1), rule("waitid", -errno.ECHILD)]
    timed, free = (receive(message(lifetime=lifetime), *ended, behind=watching) for lifetime in (1500, 0))
    assert [bool(run.of("ppoll")[1].args[2]) for run in (timed, free)] == [True, False]


@pytest.mark.parametrize(("lifetime", "late"), [(2, 1), (3, 0)])
def test_program_that_ends_before_init_has_looked_at_the_clock(lifetime: int, late: int) -> None:
    """It was read once before, and goes on by a millisecond each time.  Whoever keeps an init from running gains nothing."""
    watching = op("fork_program", sync="sync", caller="tasks", terminal=0, keeps=0)
    ended = [rule("ppoll", mode=1, skip=1), rule("waitid", mode=1, device=(3, 5000), times=1)]
    result = receive(
        message(lifetime=lifetime), rule("clone", 5000), *ended, rule("waitid", -errno.ECHILD), behind=watching
    )
    (told,) = (struct.unpack("<IIiIQQ", call.blobs[1]) for call in result.of("sendmsg"))
    assert told[2:5] == (3 << 8, late, 2_000_000), "the time of its end, and not of the message"


def test_interrupted_wait_goes_on() -> None:
    result = receive(rule("ppoll", -errno.EINTR, times=2))
    assert result.names("ppoll", "recvmsg") == ["ppoll"] * 3 + ["recvmsg"]
    assert result.outcome == EXECUTED


def test_end_of_the_caller_comes_first() -> None:
    for ready in (0b10, 0b11):
        result = receive(rule("ppoll", mode=ready))
        assert (result.outcome, result.status, result.names()) == (EXITED, 1, ["ppoll"])


@pytest.mark.parametrize("size", [0, 8, 15])
def test_other_messages_end_it(size: int) -> None:
    """Also the end of the socket."""
    result = receive(rule("recvmsg", data=bytes(size), size=size))
    assert (result.outcome, result.status) == (EXITED, 1)
    assert not result.of("dup3")


@pytest.mark.parametrize("count", [0, 1, 3])
def test_descriptors_that_are_missing(count: int) -> None:
    """The kernel leaves out what the limit on descriptors forbids; nothing is run with other streams."""
    result = receive(message(descriptors=count))
    assert (result.outcome, result.progress.errno) == (RETURNED, errno.EMFILE)
    assert not result.of("dup3")


@pytest.mark.parametrize("call", ["ppoll", "recvmsg", "dup3", "lseek", "mmap"])
def test_failures(call: str) -> None:
    from ocirun.execute.spawn import call_name

    result = receive(rule(call, -errno.EIO))
    assert (result.outcome, result.progress.errno) == (RETURNED, errno.EIO)
    assert call_name(result.progress.call) == call
    assert not result.of("execve")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        bytes(200),
        program(PROGRAM)[:-1],
        program(),
        program(PROGRAM, PROGRAM),
        program(op("set_ids", uid=0, gid=0)),
    ],
)
def test_only_a_plan_of_one_program_is_taken(content: bytes) -> None:
    result = receive(content=content)
    assert (result.outcome, result.progress.fault) == (RETURNED, report.PLAN)
    assert not result.of("execve")
