"""The turns of the host's side, and the course of a run: the streams of the program, its time, its end."""

from __future__ import annotations

import errno
import itertools
import os
import struct

import pytest

from ocirun.state import record

from .host_recorder import (
    DONE,
    ENDED,
    EVENT,
    GROUP,
    HELPER,
    INTERRUPTED,
    LATE,
    PID,
    READY,
    RESERVE,
    SERVED,
    SILENT,
    SPAWN,
    STATE,
    WAIT,
    file,
    grouped,
    host,
    ran,
)
from .recorder import rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OUTPUT, ERROR, SOCKET, PROCESS, TIME = range(5)  # what is watched
INIT_STARTED, INIT_ENDED = 1, 2
# csrc/module/native.cdef.h, enum host_end, host_given, host_turn
END_TIME, END_PROCESSOR, END_OUTPUT = 1, 2, 3
STREAM_MERGED, STREAM_NULL = -2, -3
OUTPUT_TURN = 10
STREAMS = ("open_streams", {})
START = ("start_program", {"waits": 1})
CPU_STAT = "/sys/fs/cgroup/c/cpu.stat"
SERVE = ("serve", {"processor": CPU_STAT})
EPOLLIN = 1


def said(index: int, value: int = 0, **more: Any) -> dict[str, Any]:
    """A message of the helper."""
    return rule("recvmsg", data=struct.pack("<2I", index, value), **more)


CLOSED = rule("recvmsg", data=b"")
RUNNING = rule("pread64", data=struct.pack("<I", record.PHASE_RUNNING))


def reports(kind: int, status: int = 0, *, late: int = 0, nanoseconds: int = 0, resident: int = 0) -> dict[str, Any]:
    """A report of the container's init."""
    return rule("recvfrom", data=struct.pack("<IIiIQQ", 0, kind, status, late, nanoseconds, resident), times=1)


def ready(*what: int) -> dict[str, Any]:
    return rule("epoll_pwait", data=b"".join(EVENT.pack(EPOLLIN, number) for number in what), times=1)


def test_hold_descriptors() -> None:
    result = ran(("hold_descriptors", {}))
    assert result.step() == [("openat", "", "/", os.O_PATH | os.O_CLOEXEC, 0), *[("fcntl", "/", 1030, 0)] * 4]
    result.free()


def test_ask() -> None:
    result = host(("ask", {}), ("ask", {}))
    assert [result.run() for _ in range(3)] == [1, 1, DONE]
    assert not result.calls


def test_pause() -> None:
    result = host(("pause", {"go": 2}), go=1)
    assert [result.run(), result.run()] == [READY, READY]
    result.set(go=2)
    assert result.run() == DONE


def test_await() -> None:
    result = ran(SPAWN, ("await", {"forks": 0}), **HELPER)
    assert [call[0] for call in result.step()] == ["ppoll", "recvmsg"]
    assert result.native.message == -1
    # A message of its own, with a descriptor; without a word for `idle` milliseconds the interpreter looks why.
    result = ran(SPAWN, ("await", {"forks": 0}), rules=(said(1, device=(1, 0)),), **HELPER)
    assert result.native.message >= 200
    result.free()


@pytest.mark.parametrize(
    ("wrong", "turn"),
    [
        (rule("ppoll", -errno.EINTR, times=1), INTERRUPTED),
        (rule("ppoll", -errno.ETIMEDOUT, times=1), SILENT),
        (CLOSED, ENDED),
        (said(7), -errno.EPROTO),
        (said(7, device=(1, 0)), -errno.EPROTO),
        (said(1, device=(2, 0)), -errno.EPROTO),
        (rule("recvmsg", data=bytes(12)), -errno.EPROTO),
        (rule("recvmsg", -errno.ECONNRESET), ENDED),
        (rule("recvmsg", -errno.EIO), -errno.EIO),
    ],
)
def test_messages_that_are_not_the_one(wrong: dict[str, Any], turn: int) -> None:
    result = host(SPAWN, ("await", {"forks": 0}), rules=[wrong], **HELPER)
    assert result.run() == turn
    result.free()


def test_second_process_is_adopted() -> None:
    forks = ("await", {"forks": 1})
    result = ran(SPAWN, forks, rules=(said(1, 77),), **HELPER)
    assert [call[:4] for call in result.step()[2:]] == [("pidfd_open", 77, 0), ("waitid", 3, result.native.pidfd, "*")]
    native = result.native
    assert (native.pid, native.adopted, native.claim, native.first >= 200) == (77, 1, 77, True)
    result.free()
    # The number is a claim: only a child of ours counts, and no number is another's.
    for pid, error in ((77, errno.ECHILD), (2**32 - 1, errno.ECHILD)):
        other = host(SPAWN, forks, rules=[said(1, pid), rule("waitid", -error, times=1)], **HELPER)
        assert (other.run(), other.native.pid, other.native.claim) == (-error, PID, pid)
        assert other.step()[2] == ("pidfd_open", min(pid, 2**31 - 1), 0)
        other.free()


def test_keep_upper() -> None:
    descriptor = rule("recvmsg", data=struct.pack("<2I", 1, 0), device=(1, 0))
    result = ran(SPAWN, ("await", {"forks": 0}), ("keep_upper", {}), rules=(descriptor,), **HELPER)
    native = result.native
    assert (native.message, native.upper >= 200) == (-1, True)
    result.free()
    other = host(SPAWN, ("keep_upper", {}), **HELPER)
    assert other.run() == -errno.EBADF
    other.free()


def test_answer() -> None:
    result = ran(SPAWN, ("open_source", {"path": "/src", "recursive": 0}), ("answer", {}), **HELPER)
    (send,) = (call for call in result.calls if call.name == "sendmsg")
    assert (send.args[2], send.blobs[1]) == (0x4000, struct.pack("<2I", 2, 0)), "MSG_NOSIGNAL"
    assert send.args[4] == next(call.result for call in result.calls if call.name == "open_tree")
    assert result.step()[1:] == [("close", "/src")]
    assert result.native.answer == -1


def test_detach() -> None:
    result = ran(SPAWN, ("detach", {}), rules=(CLOSED,), **HELPER)
    assert [call[0] for call in result.step()] == ["ppoll", "recvmsg"]
    # Where that end is held open elsewhere the record says that it has gone on.
    silent = rule("ppoll", -errno.ETIMEDOUT, times=1)
    for index, turn in ((1, INTERRUPTED), (2, DONE)):
        other = host(SPAWN, ("detach", {}), rules=[silent, rule("pread64", data=struct.pack("<I", index))], **HELPER)
        assert other.run() == turn
        other.free()


def test_open_streams() -> None:
    pipes = [("pipe2", "*", os.O_CLOEXEC)] * 2
    result = ran(STREAMS)
    assert result.step() == [("openat", "", "/dev/null", os.O_RDONLY | os.O_CLOEXEC, 0), *pipes]
    assert list(result.native.stdio) == [200, 202, 204]
    result.free()
    result = ran(STREAMS, input=b"words", input_size=5, rules=(rule("write", 2, times=1),))
    written = [("write", "stdin", b"words", 5), ("write", "stdin", b"rds", 3)]
    assert result.step() == [("memfd_create", "stdin", 1), *written, ("lseek", "stdin", 0, 0), *pipes]
    result.free()


def test_start_program() -> None:
    result = host(SPAWN, STREAMS, START, rules=[CLOSED, RUNNING], **HELPER)
    assert result.run() == READY
    assert result.native.created
    result.set(go=1)
    assert result.run() == DONE
    assert [call[0] for call in result.shown()] == ["close"] * 3 + ["sendto", "ppoll", "recvmsg", "pread64"]
    assert result.shown()[3][2:] == (b"s", 1, 0x4000, 0, 0)
    result.free()


def test_word_for_start_has_the_time_and_is_given_once() -> None:
    silent = rule("ppoll", -errno.ETIMEDOUT, times=1)
    result = host(SPAWN, START, rules=[silent, CLOSED, RUNNING], go=1, lifetime=1500, **HELPER)
    assert [result.run(), result.run()] == [SILENT, DONE]
    words = [call.blobs[1] for call in result.all if call.name == "sendto"]
    assert words == [b"s" + struct.pack("<Q", 1500)]
    ended = host(SPAWN, START, rules=[CLOSED], go=1, **HELPER)
    assert ended.run() == ENDED


def test_start_of_an_init_is_reported() -> None:
    started = host(SPAWN, START, rules=[reports(INIT_STARTED)], go=1, has_init=1, **HELPER)
    assert started.run() == DONE
    for other, turn in ((reports(INIT_ENDED), ENDED), (rule("recvfrom", -errno.ECONNRESET), ENDED)):
        assert host(SPAWN, START, rules=[other], go=1, has_init=1, **HELPER).run() == turn
    failed = host(SPAWN, START, rules=[rule("recvfrom", -errno.EIO)], go=1, has_init=1, **HELPER)
    assert failed.run() == -errno.EIO


def test_program_for_a_container_that_was_made_ahead() -> None:
    fields = {"program": b"plan", "program_size": 4, "lifetime": 9, "stream_uid": 1000, "has_init": 1, "go": 1}
    result = ran(SPAWN, STREAMS, ("start_program", {"waits": 0}), **HELPER, **fields)
    (send,) = (call for call in result.calls if call.name == "sendmsg")
    assert struct.unpack("<QII", send.blobs[1]) == (9, 6, 0), "the time; output and error come along"
    assert [call[2] for call in result.step() if call[0] == "fchown"] == [1000, 1000]
    assert ("memfd_create", "program", 11) in result.step()
    assert not [call for call in result.calls if call.name == "sendto"]


def serving(*rules: dict[str, Any], lifetime: int = 0, **fields: Any) -> Any:
    given = [*rules, CLOSED, RUNNING]
    result = host(SPAWN, STREAMS, START, SERVE, rules=given, go=1, lifetime=lifetime, **HELPER, **fields)
    for stream in result.native.output:
        stream.limit = 100
    return result


def test_serve() -> None:
    told = [rule("read", data=b"out", times=1), rule("read", data=b"err", times=1)]
    result = serving(ready(OUTPUT, ERROR), *told, polled=1)
    assert result.run() == WAIT, "nothing is ready at the second look"
    calls = result.step()
    assert calls[0] == ("epoll_create1", os.O_CLOEXEC)
    watched = [EVENT.unpack(call[4]) for call in calls if call[:3:2] == ("epoll_ctl", 1)]
    assert watched == [(EPOLLIN, PROCESS), (EPOLLIN, OUTPUT), (EPOLLIN, ERROR)]
    from .recorder import library

    kept = [library()[0].buffer(stream.kept, stream.size)[:] for stream in result.native.output]
    assert kept == [b"out", b"err"]


def test_end_of_the_program() -> None:
    """What is left in the pipes is read, the status is the kernel's, and all is closed."""
    exited = rule("waitid", mode=1, device=(3, 0), times=1)
    result = serving(ready(PROCESS), rule("ioctl", mode=4, times=1), rule("read", data=b"last"), exited, polled=1)
    assert result.run() == SERVED
    reads = [call[3] for call in result.step() if call[0] == "read"]
    assert reads == [4], "so much as is there: whoever writes on is not waited for"
    assert (result.native.status, result.native.output[0].size) == (3 << 8, 4)
    assert [call[0] for call in result.step() if call[0] == "waitid"] == ["waitid"]
    killed = serving(ready(PROCESS), rule("waitid", mode=2, device=(9, 0)), polled=1)
    assert (killed.run(), killed.native.status) == (SERVED, 9)
    result.free()


def over(times: int) -> dict[str, Any]:
    return rule("epoll_pwait", data=EVENT.pack(EPOLLIN, TIME), times=times)


def timers(result: Any) -> list[int]:
    """What the timer was set to, nanoseconds."""
    words = [struct.unpack("<4Q", call.blobs[2]) for call in result.all if call.name == "timerfd_settime"]
    assert all(one[:2] == (0, 0) for one in words), "once"
    return [one[2] * 10**9 + one[3] for one in words]


def test_time_of_the_program() -> None:
    result = serving(ready(TIME), ready(TIME), lifetime=50, polled=1)
    assert result.run() == WAIT, "it is not over by the clock"
    first, *again = timers(result)
    assert again == [first, first]
    assert 0 < first - 50 * 10**6 < 10**9, "counted from the program's start, by the fake kernel's clock"
    late = serving(over(99), lifetime=1)
    assert (late.run(), late.native.late) == (LATE, END_TIME)
    assert late.lib.ocirun_host_allow(late.native, 100) == 0
    late.free()


def counted(*microseconds: int) -> list[dict[str, Any]]:
    """What cpu.stat says, one look after the other; the last of it for ever."""
    said = [b"usage_usec %d\nuser_usec 7\n" % one for one in microseconds]
    once = [rule("pread64", data=text, index=3, times=1) for text in said[:-1]]
    return [*once, rule("pread64", data=said[-1], index=3)]


LIMITED = {"processor_limit": 100 * 10**6, "processors": 4}


def test_processor_time_of_the_program() -> None:
    """Nobody looks before it can be over: that is the rest, used on all processors at once."""
    result = serving(*counted(0, 60_000, 100_000), over(99), **LIMITED)
    assert (result.run(), result.native.late) == (LATE, END_PROCESSOR)
    assert [call[0] for call in result.step() if call[:3] == ("openat", "", CPU_STAT)] == ["openat"]
    times = timers(result)
    begun = times[0] - 25 * 10**6
    assert 0 < begun < 10**9
    assert times[-1] - times[0] >= 10 * 10**6, "40 ms on 4 processors"
    result.free()
    # A plain number is one of nanoseconds.
    plain = serving(rule("pread64", data=b"99999999\n", index=3, times=1), ready(TIME), polled=1, **LIMITED)
    assert (plain.run(), plain.native.late) == (WAIT, 0)
    more = serving(rule("pread64", data=b"100000000\n", index=3), over(9), polled=1, **LIMITED)
    assert (more.run(), more.native.late) == (LATE, END_PROCESSOR)


def test_who_sleeps_is_looked_at_less() -> None:
    result = serving(*counted(99_999), over(99), polled=1, **LIMITED)
    assert result.run() == WAIT
    times = sorted(set(timers(result)))
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert pauses == sorted(pauses), "longer each time"
    assert 8 * 10**6 <= pauses[0] < pauses[-1] <= 40 * 10**6


def test_init_ends_it_and_tells_how() -> None:
    """The word for that is the end of what we say; an init that does not answer is the caller's to kill."""
    told = [reports(INIT_STARTED), reports(INIT_ENDED, 9, resident=4096)]
    result = serving(*counted(100_000), *told, over(1), ready(PROCESS), has_init=1, polled=1, **LIMITED)
    assert result.run() == SERVED
    assert [call[2:] for call in result.step() if call[0] == "shutdown"] == [(1,)]
    native = result.native
    assert (native.status, native.late, native.resident) == (9, END_PROCESSOR, 4096)
    mute = serving(*counted(100_000), over(3), reports(INIT_STARTED), has_init=1, polled=1, **LIMITED)
    assert (mute.run(), mute.native.late) == (LATE, END_PROCESSOR)


def test_too_much_output_ends_it() -> None:
    much = [ready(OUTPUT), rule("read", data=b"x" * 100, times=1), ready(OUTPUT), rule("read", 1, times=1)]
    result = serving(*much, kills=1)
    assert (result.run(), result.native.late) == (LATE, END_OUTPUT)
    # Also where it ended before anybody had looked.
    rest = [rule("ioctl", mode=101, times=1), rule("read", data=b"x" * 100, times=1), rule("read", 1, times=1)]
    quick = serving(ready(PROCESS), *rest, polled=1, kills=1)
    assert (quick.run(), quick.native.late) == (SERVED, END_OUTPUT)


def test_output_for_the_caller() -> None:
    told = [rule("read", data=b"out", times=1), rule("read", data=b"err", times=1)]
    rest = [rule("ioctl", mode=4, times=1), rule("read", data=b"last", times=1)]
    result = serving(ready(OUTPUT, ERROR), *told, ready(PROCESS), *rest, polled=1, streamed=1)
    from .recorder import library

    ffi = library()[0]

    def fresh() -> list[bytes]:
        found = []
        for stream in result.native.output:
            found.append(ffi.buffer(stream.fresh, stream.fresh_size)[:] if stream.fresh_size else b"")
            stream.fresh_size = 0
        return found

    assert (result.run(), fresh()) == (OUTPUT_TURN, [b"out", b"err"])
    assert (result.run(), fresh()) == (OUTPUT_TURN, [b"last", b""])
    assert (result.run(), fresh()) == (SERVED, [b"", b""])
    assert result.native.output[0].size == 7, "kept as well"


def test_streams_that_the_caller_gives() -> None:
    result = ran(STREAMS, given=[0, STREAM_NULL, STREAM_MERGED])
    null = ("openat", "", "/dev/null", os.O_WRONLY | os.O_CLOEXEC, 0)
    assert result.step()[1] == null
    assert [call[0] for call in result.step()] == ["fcntl", "openat", "fcntl"]
    result.free()
    result = ran(STREAMS, given=[STREAM_NULL, -1, STREAM_MERGED])
    assert [call[0] for call in result.step()] == ["openat", "pipe2", "fcntl"]
    assert len({*result.native.stdio}) == 3
    result.free()


def test_init_tells_the_end() -> None:
    ended = [reports(INIT_STARTED), reports(INIT_ENDED, 5 << 8, late=1, nanoseconds=7)]
    result = serving(*ended, ready(SOCKET), ready(PROCESS), has_init=1, polled=1)
    assert result.run() == SERVED
    native = result.native
    assert (native.status, native.late, native.nanoseconds) == (5 << 8, 1, 7)


def test_interrupted_course_goes_on() -> None:
    interrupted = rule("epoll_pwait", -errno.EINTR, times=1)
    result = serving(interrupted, ready(PROCESS), polled=1)
    assert [result.run(), result.run()] == [INTERRUPTED, SERVED]
    # The end has been seen, and is not watched for any more.
    result = serving(ready(PROCESS), rule("waitid", -errno.EINTR, times=1), polled=1)
    assert [result.run(), result.run()] == [INTERRUPTED, SERVED]


def test_handlers_of_the_caller_get_their_turn() -> None:
    """Those of signals that came before the wait, which these do not interrupt."""
    result = serving()
    waited = []
    for _ in range(9):
        assert result.run() == INTERRUPTED
        waited += [call[4] for call in result.step() if call[0] == "epoll_pwait"][-1:]
    assert waited == [16, 32, 64, 128, 256, 512, 1024, 1024, 1024]


def test_more_than_the_limit_is_read_and_not_kept() -> None:
    more = [rule("read", data=b"x" * 100, times=1), ready(OUTPUT), rule("read", 1, times=1)]
    result = serving(ready(OUTPUT), *more, polled=1)
    assert result.run() == WAIT
    assert (result.native.output[0].size, result.native.output[0].cut) == (100, 1)


def test_read_usage() -> None:
    step = ("read_usage", {"files": [GROUP, "pids.peak", GROUP, "none"]})
    peak = file("pids.peak", b"12\n")
    result = grouped(step, rules=(peak, rule("openat", -errno.ENOENT, text="none")))
    calls = [call[:3] for call in result.step(3)]
    walk = ("statx", GROUP, "")
    read = [("openat", GROUP, "pids.peak"), ("read", f"{GROUP}/pids.peak", "*"), ("close", f"{GROUP}/pids.peak")]
    assert calls == [walk, *read, walk, ("openat", GROUP, "none")]
    from .recorder import library

    assert library()[0].buffer(result.native.usage, result.native.usage_size)[:] == b"\x02\x0012\xff\xff"


@pytest.mark.parametrize("wrong", [rule("statx", index=3, links=3), rule("openat", -errno.EIO, index=3)])
def test_usage_that_is_the_interpreters(wrong: dict[str, Any]) -> None:
    """A group below ours, which only a walk finds, or a failure; the removal is the interpreter's too."""
    result = grouped(("read_usage", {"files": [GROUP, "pids.peak"]}), ("remove_run", {}), rules=(wrong,))
    assert (result.native.unread, result.native.usage_size, result.taken) == (1, 0, [])


def test_remove_run() -> None:
    result = grouped(SPAWN, ("remove_run", {}), **HELPER)
    assert (result.native.left, result.native.begun) == (0, 0)
    assert result.taken == ["process", GROUP, STATE]
    result.free()
    assert not result.calls


def test_what_is_left_of_a_run_is_told() -> None:
    busy = rule("unlinkat", -errno.EBUSY, text=GROUP, times=1)
    result = grouped(SPAWN, ("remove_run", {}), rules=(busy,), **HELPER)
    assert (result.native.left, result.native.begun, result.taken) == (2, 1, ["process"])
    assert result.take_back() == 0
    assert result.taken == ["process", GROUP, STATE], "the record goes when nothing is left that it tells of"
    result.free()


def test_group_that_somebody_has_taken_over_stays() -> None:
    for taken in (rule("fgetxattr", 1), rule("statx", text=GROUP, inode=5)):
        result = grouped(rules=(taken,))
        assert (result.take_back(), result.taken) == (0, [STATE])
        result.free()


def test_state_that_somebody_is_looking_at_stays() -> None:
    result = ran(RESERVE, rules=(rule("flock", -errno.EAGAIN, skip=1, times=1),))
    assert (result.take_back(), result.take_back()) == (1, 0)
    result.free()


def test_what_is_committed_stays() -> None:
    result = grouped(SPAWN, **HELPER)
    result.lib.ocirun_host_commit(result.native)
    result.free()
    assert not result.taken


def test_process_that_was_forked_off_takes_nothing_back() -> None:
    result = grouped(SPAWN, rules=(rule("getpid", 43, skip=1),), **HELPER)
    result.free()
    assert not result.taken
