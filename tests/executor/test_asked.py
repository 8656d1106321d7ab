"""A learning run on the fake kernel: what the program asks is noted within bounds, and answered as a filter says."""

from __future__ import annotations

import errno
import os
import platform
import struct

import pytest

from .host_recorder import DONE, HELPER, SPAWN, file, host
from .recorder import library, rule
from .test_host_course import INIT_STARTED, START

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .host_recorder import Host

INIT_LISTENER = 3
RECEIVE, SEND, IS_VALID = 0xC0502100, 0xC0182101, 0x40082102
ALLOW, LOG, ERRNO, KILL, KILL_THREAD = 0x7FFF0000, 0x7FFC0000, 0x00050000, 0x80000000, 0
CONTINUE = 1
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[platform.machine()]
EXECVE = {"x86_64": 59, "aarch64": 221}[platform.machine()]
PROGRAM = 77  # pid of the thread that asks
NAME = file(f"{PROGRAM}/comm", b"asker\n")
# linux/bpf_common.h
LOAD, AND, RETURN, JUMP = 0x20, 0x54, 0x06, 0x05
EQUAL, GREATER, AT_LEAST, BITS = 0x15, 0x25, 0x35, 0x45
NUMBER_AT, ARGUMENT_AT = 0, 16


def code(*instructions: tuple[int, int, int, int]) -> bytes:
    """A filter: operation, jumps if yes and if no, operand."""
    return b"".join(struct.pack("<HBBI", *one) for one in instructions)


def always(action: int) -> bytes:
    return code((RETURN, 0, 0, action))


def question(number: int = 5, *args: int, identity: int = 9, arch: int = ARCH) -> bytes:
    """struct seccomp_notif"""
    return struct.pack("<QIIiIQ6Q", identity, PROGRAM, 0, number, arch, 0, *args, *[0] * (6 - len(args)))


def asks(*questions: bytes, dropped: int = 0) -> list[dict[str, Any]]:
    """One after the other, and then nobody asks.

    dropped   of so many at the end no name is noted
    """
    rules = [rule("ppoll", -errno.EINTR, skip=len(questions), times=1)]
    # Of each: received, valid while its name is noted, answered.
    for number, one in enumerate(questions, 1):
        rules += [rule("ioctl", data=one, times=1), rule("ioctl", times=1 if number > len(questions) - dropped else 2)]
    return rules


def message(kind: int, descriptors: int = 0) -> dict[str, Any]:
    return rule("recvmsg", data=struct.pack("<IIiIQQ", 0, kind, 0, 0, 0, 0), device=(descriptors, 0), times=1)


def learning(
    *rules: dict[str, Any], profile: bytes = b"", answers: bytes = b"", mask: int = 0x3F, room: int = 16
) -> Host:
    """A host's side that has not begun to start the program."""
    ffi = library()[0]
    asked = ffi.new("struct asked *")
    calls = ffi.new("struct asked_call[]", room)
    asked.call, asked.room, asked.mask = calls, room, mask
    asked.listener = asked.proc = -1
    result = host(SPAWN, START, rules=rules, go=1, has_init=1, questions=asked, **HELPER)
    # What the others lead to must live as long.
    for name, content in (("profile", profile), ("answers", answers)):
        kept = ffi.from_buffer(content) if content else ffi.NULL
        result._keep.append(kept)
        setattr(asked, name, kept)
        setattr(asked, f"{name}_size", len(content))
    result._keep.append(calls)
    return result


def begun(*rules: dict[str, Any], **fields: Any) -> Host:
    result = learning(*rules, message(INIT_LISTENER, 1), message(INIT_STARTED), **fields)
    assert result.run() == DONE, result.progress().errno
    assert result.native.questions.listener >= 200
    return result


def serve(result: Host) -> int:
    return result._follow(result.lib.ocirun_host_asked)


def served(*questions: bytes, rules: tuple[dict[str, Any], ...] = (NAME,), **fields: Any) -> Host:
    result = begun(*rules, *asks(*questions), **fields)
    assert serve(result) == 0
    return result


def noted(result: Host) -> list[Any]:
    """What is noted but for the execve by which the program has begun."""
    asked = result.native.questions
    found = [asked.call[at] for at in range(asked.room)]
    return [one for one in found if one.count and one.number != EXECVE]


def answers(result: Host) -> list[tuple[int, int, int]]:
    """(id, error, flags) of each answer."""
    sent = [call.blobs[2] for call in result.calls if call.name == "ioctl" and call.args[1] & 0xFFFFFFFF == SEND]
    return [(identity, error, flags) for identity, _, error, flags in (struct.unpack("<QqiI", one) for one in sent)]


def test_listener_is_taken_over() -> None:
    result = begun()
    asked = result.native.questions
    (opened,) = (call for call in result.calls if call.name == "openat" and call.texts.get(1) == "/proc")
    assert opened.args[2] == os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    assert asked.proc == opened.result
    start = next(asked.call[at] for at in range(asked.room) if asked.call[at].count)
    assert (start.number, start.architecture, start.count) == (EXECVE, ARCH, 1), "nobody asked about this one"
    result.free()


@pytest.mark.parametrize(
    ("rules", "error"),
    [
        ([message(INIT_LISTENER, 1), message(INIT_LISTENER, 1)], errno.EPROTO),
        ([message(INIT_STARTED, 1)], errno.EPROTO),
        ([message(INIT_LISTENER, 1), rule("openat", -errno.ENOENT, text="/proc")], errno.ENOENT),
        ([message(INIT_LISTENER, 1), rule("statx", inode=2)], errno.EINVAL),
    ],
    ids=["a second one", "with another message", "no /proc", "another file system"],
)
def test_listener_that_is_not_taken(rules: list[dict[str, Any]], error: int) -> None:
    result = learning(*rules)
    assert result.run() == -error
    result.free()  # all are closed


@pytest.mark.parametrize(("action", "count"), [(ALLOW, 0), (LOG, 0), (ERRNO | 1, 1), (KILL_THREAD, 1), (KILL, 1)])
def test_start_is_noted_where_the_profile_refuses_it(action: int, count: int) -> None:
    result = begun(profile=always(action))
    asked = result.native.questions
    assert asked.used == count
    assert [asked.call[at].action for at in range(asked.room) if asked.call[at].count] == [action] * count
    result.free()


@pytest.mark.parametrize(
    ("answer", "error", "flags"),
    [(ALLOW, 0, CONTINUE), (LOG, 0, CONTINUE), (ERRNO | 38, -38, 0), (ERRNO, 0, 0), (ERRNO | 0xFFFF, -4095, 0)],
)
def test_answers(answer: int, error: int, flags: int) -> None:
    result = served(question(identity=1 << 40), answers=always(answer))
    assert answers(result) == [(1 << 40, error, flags)]
    result.free()


def test_without_a_filter_all_is_let_through() -> None:
    result = served(question())
    assert answers(result) == [(9, 0, CONTINUE)]
    (one,) = noted(result)
    assert (one.number, one.architecture, one.action, one.count) == (5, ARCH, ALLOW, 1)
    result.free()


STATUS = b"Name:\tasker\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t4321\nNgid:\t0\n"


def test_answer_that_ends_the_process() -> None:
    """Of the thread that asks, whose number alone is known."""
    result = served(question(), rules=(NAME, file(f"{PROGRAM}/status", STATUS)), answers=always(KILL))
    (opened,) = (call for call in result.calls if call.name == "pidfd_open")
    (killed,) = (call for call in result.calls if call.name == "pidfd_send_signal")
    assert (opened.args[0], killed.args[:2]) == (4321, [opened.result, 9])
    assert answers(result) == [(9, -errno.EPERM, 0)]
    result.free()


@pytest.mark.parametrize("status", [b"", b"Name:\tasker\n", b"Name:\tTgid:\t1\nTgid:\tx\n", b"x" * 600])
def test_no_process_is_ended_that_is_not_known(status: bytes) -> None:
    result = served(question(), rules=(NAME, file(f"{PROGRAM}/status", status)), answers=always(KILL))
    assert not {"pidfd_open", "pidfd_send_signal"} & {call.name for call in result.calls}
    assert answers(result) == [(9, -errno.EPERM, 0)]
    result.free()


def test_one_that_asks_no_more_is_not_ended() -> None:
    """Its number may be another's by now."""
    valid = [rule("ioctl", data=question(), times=1), rule("ioctl", times=1), rule("ioctl", -errno.ENOENT, times=1)]
    once = rule("ppoll", -errno.EINTR, skip=1, times=1)
    result = begun(NAME, file(f"{PROGRAM}/status", STATUS), once, *valid, answers=always(KILL))
    assert serve(result) == 0
    assert "pidfd_send_signal" not in {call.name for call in result.calls}
    result.free()


def test_calls_are_counted_by_number_architecture_and_action() -> None:
    profile = code((LOAD, 0, 0, ARGUMENT_AT), (EQUAL, 0, 1, 1), (RETURN, 0, 0, ERRNO | 1), (RETURN, 0, 0, KILL))
    result = served(
        question(5, 1), question(5, 1), question(5, 2), question(5, 1, arch=3), question(6, 1), profile=profile
    )
    found = sorted((one.number, one.architecture, one.action, one.count) for one in noted(result))
    assert found == sorted([(5, ARCH, ERRNO | 1, 2), (5, ARCH, KILL, 1), (5, 3, ERRNO | 1, 1), (6, ARCH, ERRNO | 1, 1)])
    result.free()


def test_arguments_that_differ_are_noted_up_to_eight() -> None:
    result = served(*(question(5, value, 100 + value) for value in (1, 1, *range(2, 9))))
    (one,) = noted(result)
    assert [list(one.argument[at])[:2] for at in range(one.arguments)] == [[n, 100 + n] for n in range(1, 9)]
    assert not one.more
    result.free()
    result = served(*(question(5, value) for value in range(9)))
    (one,) = noted(result)
    assert (one.arguments, one.more, one.count) == (8, 1, 9)
    result.free()


def test_arguments_that_no_rule_looks_at_do_not_count() -> None:
    result = served(question(5, 1, 7), question(5, 2, 7), question(5, 1, 8), mask=0b10)
    (one,) = noted(result)
    assert [list(one.argument[at])[:2] for at in range(one.arguments)] == [[1, 7], [1, 8]]
    result.free()


def programs(result: Host) -> list[bytes]:
    (one,) = noted(result)
    return [library()[0].string(one.program[at]) for at in range(one.programs)]


def test_names_of_programs_are_noted_up_to_four() -> None:
    names = [b"a", b"b", b"a", b"fifteen-letters", b"c", b"d"]
    rules = tuple(file(f"{PROGRAM}/comm", name + b"\n", times=1) for name in names)
    result = served(*[question()] * len(names), rules=rules)
    assert programs(result) == [b"a", b"b", b"fifteen-letters", b"c"]
    result.free()


@pytest.mark.parametrize(
    "name",
    [
        rule("openat", -errno.ENOENT, text=f"{PROGRAM}/comm"),
        file(f"{PROGRAM}/comm", b""),
        file(f"{PROGRAM}/comm", b"longer-than-the-kernel-has-them\n"),
    ],
    ids=["gone", "empty", "cut"],
)
def test_name_that_cannot_be_read(name: dict[str, Any]) -> None:
    result = served(question(), rules=(name,))
    assert programs(result) == []
    assert answers(result) == [(9, 0, CONTINUE)]
    result.free()


def test_name_of_one_that_asks_no_more() -> None:
    """Another may have its number."""
    gone = [rule("ioctl", data=question(), times=1), rule("ioctl", -errno.ENOENT)]
    result = begun(NAME, rule("ppoll", -errno.EINTR, skip=1, times=1), *gone)
    assert serve(result) == 0
    assert programs(result) == []
    result.free()


def test_more_calls_than_there_is_room_for() -> None:
    """Three quarters are used, one of them by the start; what is not noted is answered."""
    result = begun(NAME, *asks(*(question(number) for number in range(1, 6)), dropped=3), room=4)
    assert serve(result) == 0
    assert sorted(one.number for one in noted(result)) == [1, 2]
    assert (result.native.questions.used, result.native.questions.dropped) == (3, 3)
    assert answers(result) == [(9, 0, CONTINUE)] * 5
    result.free()


@pytest.mark.parametrize("error", [errno.ENOENT, errno.EINTR])
@pytest.mark.parametrize("skip", [0, 2], ids=["received", "answered"])
def test_one_that_ends_while_it_asks(error: int, skip: int) -> None:
    before = [rule("ioctl", data=question(), times=1), rule("ioctl", times=1)] if skip else []
    once = rule("ppoll", -errno.EINTR, skip=1, times=1)
    result = begun(NAME, once, *before, rule("ioctl", -error, times=1))
    assert serve(result) == 0
    result.free()


@pytest.mark.parametrize("skip", [0, 2], ids=["received", "answered"])
def test_failures(skip: int) -> None:
    before = [rule("ioctl", data=question(), times=1), rule("ioctl", times=1)] if skip else []
    result = begun(NAME, *before, rule("ioctl", -errno.EIO))
    assert serve(result) == -errno.EIO
    result.free()
    result = begun(rule("ppoll", -errno.ENOMEM, times=1))
    assert serve(result) == -errno.ENOMEM
    result.free()


def test_listener_is_closed_when_nobody_is_left() -> None:
    result = begun(rule("ppoll", mode=0, times=1))
    asked = result.native.questions
    assert serve(result) == 0
    assert (asked.listener, asked.proc) == (-1, -1)
    assert serve(result) == 0, "and nobody is asked for"
    assert not result.calls
    result.free()


def test_others_have_their_turn() -> None:
    """A program that asks all the time keeps nobody from all else."""
    result = begun(NAME)
    assert serve(result) == 0
    assert len(answers(result)) == 64
    result.free()


FIRST = (LOAD, 0, 0, ARGUMENT_AT)
YES, NO = (RETURN, 0, 0, ERRNO | 1), (RETURN, 0, 0, ERRNO | 2)


@pytest.mark.parametrize(
    ("instructions", "value", "action"),
    [
        ([FIRST, (EQUAL, 0, 1, 6), YES, NO], 6, ERRNO | 1),
        ([FIRST, (EQUAL, 0, 1, 6), YES, NO], 7, ERRNO | 2),
        ([FIRST, (GREATER, 0, 1, 6), YES, NO], 7, ERRNO | 1),
        ([FIRST, (GREATER, 0, 1, 6), YES, NO], 6, ERRNO | 2),
        ([FIRST, (AT_LEAST, 0, 1, 6), YES, NO], 6, ERRNO | 1),
        ([FIRST, (AT_LEAST, 0, 1, 6), YES, NO], 5, ERRNO | 2),
        ([FIRST, (GREATER, 0, 1, 6), YES, NO], 0xFFFFFFFF, ERRNO | 1),
        ([FIRST, (BITS, 0, 1, 6), YES, NO], 2, ERRNO | 1),
        ([FIRST, (BITS, 0, 1, 6), YES, NO], 9, ERRNO | 2),
        ([FIRST, (AND, 0, 0, 0xF), (EQUAL, 0, 1, 6), YES, NO], 0xF6, ERRNO | 1),
        ([(JUMP, 0, 0, 1), NO, YES], 0, ERRNO | 1),
        ([FIRST, (EQUAL, 1, 0, 6), YES, NO], 6, ERRNO | 2),
        ([(LOAD, 0, 0, 60), YES], 0, ERRNO | 1),
        ([(LOAD, 0, 0, 61), YES], 0, KILL),
        ([(LOAD, 0, 0, 0xFFFFFFFF), YES], 0, KILL),
        ([(0x80, 0, 0, 0), YES], 0, KILL),
        ([FIRST], 0, KILL),
        ([(JUMP, 0, 0, 9), YES], 0, KILL),
        ([(JUMP, 0, 0, 0xFFFFFFFE), YES], 0, KILL),
    ],
)  # fmt: skip
def test_instructions(instructions: list[tuple[int, int, int, int]], value: int, action: int) -> None:
    """As the kernel evaluates them; what it would not take, or what does not end, kills."""
    result = served(question(5, value), profile=code(*instructions))
    (one,) = noted(result)
    assert one.action == action
    result.free()
