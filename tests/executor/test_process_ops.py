"""The calls of the operations that make the process what config.json asks for."""

from __future__ import annotations

import errno
import os
import struct

import pytest

from ocirun.execute import report
from ocirun.plan import ops
from ocirun.state import record

from . import prctl_numbers as pr
from .recorder import EXECUTED, EXITED, RETURNED, fd_of, op, rule, run_ops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .recorder import Call, Run


def args(run: Run, count: int) -> list[tuple[str, list[int]]]:
    return [(call.name, call.args[:count]) for call in run.calls]


def test_guard() -> None:
    result = run_ops(op("guard"))
    assert result.names() == ["prctl", "prctl", "close_range", "umask", "prctl"]
    assert args(result, 2)[:2] == [("prctl", [pr.PR_SET_PDEATHSIG, 9]), ("prctl", [pr.PR_SET_DUMPABLE, 0])]
    assert result.calls[2].args[:3] == [3, 0xFFFFFFFF, 4]
    assert result.calls[3].args[0] == 0


def test_guard_open_to_the_writer_of_id_maps() -> None:
    result = run_ops(op("guard", dumpable=1))
    assert args(result, 2)[:2] == [("prctl", [pr.PR_SET_PDEATHSIG, 9]), ("prctl", [pr.PR_SET_DUMPABLE, 1])]


@pytest.mark.parametrize(("wanted", "umask"), [(0o27, 0o27), (0, 0), (0o777, 0o777), (ops.CALLERS_UMASK, 0o22)])
def test_umask(wanted: int, umask: int) -> None:
    result = run_ops(op("guard"), op("set_umask", umask=wanted))
    assert result.of("umask")[-1].args[0] == umask


def test_set_ids_keeps_capabilities_for_the_next_step() -> None:
    result = run_ops(op("guard"), op("set_ids", uid=1000, gid=100))
    assert args(result, 3)[5:] == [
        ("prctl", [pr.PR_SET_KEEPCAPS, 1, 0]),
        ("setresgid", [100, 100, 100]),
        ("setresuid", [1000, 1000, 1000]),
        ("prctl", [pr.PR_SET_DUMPABLE, 0, 0]),
        ("prctl", [pr.PR_SET_PDEATHSIG, 9, 0]),
    ]


def test_ids_of_32_bits() -> None:
    result = run_ops(op("set_ids", uid=2**32 - 2, gid=2**32 - 2))
    assert result.of("setresuid")[0].args[0] == 2**32 - 2


def test_set_capabilities() -> None:
    result = run_ops(op("set_capabilities", effective=1 << 40 | 1, permitted=1 << 40 | 3, inheritable=2, ambient=2))
    names = [(call.name, call.args[:3]) for call in result.calls if call.name == "prctl"]
    assert names == [
        ("prctl", [pr.PR_CAP_AMBIENT, pr.PR_CAP_AMBIENT_CLEAR_ALL, 0]),
        ("prctl", [pr.PR_SET_KEEPCAPS, 0, 0]),
        ("prctl", [pr.PR_CAP_AMBIENT, pr.PR_CAP_AMBIENT_RAISE, 1]),
    ]
    (capset,) = result.of("capset")
    assert struct.unpack("<6I", capset.blobs[1]) == (1, 3, 2, 1 << 8, 1 << 8, 0)
    assert struct.unpack("<2I", capset.blobs[0]) == (0x20080522, 0)


def test_refused_ambient_capability_is_a_warning() -> None:
    result = run_ops(
        op("set_capabilities", effective=0, permitted=0, inheritable=0, ambient=1 << 3 | 1 << 10),
        rules=[rule("prctl", -errno.EPERM, skip=2, times=1)],
    )
    assert result.progress.phase != 5
    assert (result.progress.warnings, result.progress.warn_detail) == (1, 1 << 3)


def test_drop_bounding() -> None:
    result = run_ops(op("drop_bounding", keep=1 << 1 | 1 << 40, last=40))
    assert [call.args[1] for call in result.calls] == [cap for cap in range(41) if cap not in (1, 40)]
    assert {call.args[0] for call in result.calls} == {pr.PR_CAPBSET_DROP}


def test_drop_bounding_beyond_the_kernels_last() -> None:
    """A kernel with fewer capabilities says EINVAL, which is as good as dropped."""
    assert run_ops(op("drop_bounding", keep=0, last=63), rules=[rule("prctl", -errno.EINVAL)]).progress.phase != 5
    result = run_ops(op("drop_bounding", keep=0, last=63), rules=[rule("prctl", -errno.EPERM)])
    assert result.outcome == RETURNED
    assert len(result.calls) == 1


def test_groups() -> None:
    result = run_ops(op("set_groups", gids=[0, 5, 2**32 - 2]), op("set_groups", gids=[]))
    first, second = result.calls
    assert first.args[0] == 3
    assert struct.unpack("<3I", first.blobs[1]) == (0, 5, 2**32 - 2)
    assert second.args[:2] == [0, 0]


def test_limits() -> None:
    result = run_ops(op("set_rlimit", resource=7, soft=2**64 - 1, hard=2**64 - 1), op("set_rlimit", resource=4, soft=0))
    assert result.calls[0].args[:2] == [0, 7]
    assert struct.unpack("<2Q", result.calls[0].blobs[2]) == (2**64 - 1, 2**64 - 1)
    assert struct.unpack("<2Q", result.calls[1].blobs[2]) == (0, 0)


def test_scheduling() -> None:
    attr = list(range(48))
    result = run_ops(
        op("set_scheduler", attr=attr),
        op("set_io_priority", which=1, priority=0x2004),
        op("set_personality", persona=8),
        op("reset_affinity"),
        op("no_new_privs"),
    )
    assert result.calls[0].blobs[1] == bytes(attr)
    assert args(result, 3)[1] == ("ioprio_set", [1, 0, 0x2004])
    assert args(result, 1)[2] == ("personality", [8])
    assert args(result, 2)[3] == ("sched_setaffinity", [0, 1024])
    assert args(result, 5)[4] == ("prctl", [pr.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0])


def test_change_dir() -> None:
    result = run_ops(op("change_dir", path="/w", tolerate=0))
    assert result.names() == ["openat2", "fchdir", "close", "getcwd"]
    flags, _, resolve = struct.unpack("<3Q", result.calls[0].blobs[2])
    assert resolve == 2, "RESOLVE_NO_MAGICLINKS"
    assert flags & os.O_PATH
    assert flags & os.O_DIRECTORY


@pytest.mark.parametrize("error", [errno.EACCES, errno.EPERM])
def test_change_dir_tried_twice(error: int) -> None:
    first = run_ops(op("change_dir", path="/w", tolerate=1), rules=[rule("openat2", -error)])
    assert first.progress.phase != 5
    second = run_ops(op("change_dir", path="/w", tolerate=0), rules=[rule("openat2", -error)])
    assert second.progress.errno == error


def test_change_dir_that_has_been_entered_is_not_asked_for_again() -> None:
    """The ids are others at the second try, and the directory may be closed to them."""
    result = run_ops(op("change_dir", path="/w", tolerate=1), op("change_dir", path="/w", tolerate=0))
    assert result.names() == ["openat2", "fchdir", "close", "getcwd"]


def find_home(passwd: bytes, uid: int = 1000) -> list[str]:
    result = run_ops(
        op("find_home", uid=uid),
        op("find_program", args=["/p"], env=["A=1"], search=""),
        op("execute"),
        rules=[rule("read", data=passwd[at : at + 4096], times=1) for at in range(0, len(passwd) or 1, 4096)],
    )
    assert result.outcome == EXECUTED
    return split(result.of("execve")[0].blobs[2])


def split(vector: bytes) -> list[str]:
    return [item.decode() for item in vector.split(b"\0") if item]


@pytest.mark.parametrize(
    ("passwd", "home"),
    [
        (b"root:x:0:0::/root:/bin/sh\nada:x:1000:1000:Ada:/home/ada:/bin/sh\n", "/home/ada"),
        (b"ada:x:1000:1000:Ada:/home/ada", "/home/ada"),
        (b"ada:x:1000:1000::/last:", "/last"),
        (b"", "/"),
        (b"1000:x:0:0::/wrong:\n", "/"),
        (b"ada:x:01000:1:::\nb:x:1000:1::/b:", "/b"),
        (b"ada:x:1000x:1::/wrong:", "/"),
        (b"ada:x::1::/wrong:", "/"),
        (b"ada:x:1000:1:/wrong", "/"),
        (b"a:x:99999999999999999999999999:1::/wrong:\nb:x:1000:1::/b:", "/b"),
        (b"ada:x:4294968296:1::/wrong:", "/"),
        (b"ada:x:-1000:1::/wrong:", "/"),
        (b"ada:x:1000:1::/nul\0here:", "/"),
        (b"ada:x:1000:1::" + b"/x" * 2045 + b":", "/x" * 2045),
        (b"ada:x:1000:1::" + b"/x" * 2046 + b":", "/"),
        (b"\n\n:::::::\nada:x:1000:1::/b:sh", "/b"),
    ],
)
def test_home(passwd: bytes, home: str) -> None:
    assert find_home(passwd) == ["A=1", f"HOME={home}"]


def test_home_of_no_plain_file() -> None:
    result = run_ops(op("find_home", uid=0), rules=[rule("openat2", mode=0o010644)])
    assert result.names() == ["openat2", "statx", "close"]
    flags, _, _ = struct.unpack("<3Q", result.calls[0].blobs[2])
    assert flags & os.O_NONBLOCK


def search(path: str, *rules: dict[str, object], name: str = "prog") -> tuple[Run, list[str]]:
    result = run_ops(op("find_program", args=[name], env=[], search=path), rules=rules)
    return result, [call.texts[1] for call in result.of("statx")]


def test_search_goes_through_path() -> None:
    result, tried = search("/a:/b::/c", rule("statx", -errno.ENOENT))
    assert tried == ["/a/prog", "/b/prog", "prog", "/c/prog"]
    assert (result.progress.fault, result.progress.errno) == (report.NOT_IN_PATH, errno.ENOENT)
    _, tried = search("/a:/b", rule("statx", -errno.ENOENT, times=1))
    assert tried == ["/a/prog", "/b/prog"]


@pytest.mark.parametrize("how", [{"mode": 0o040755}, {"mode": 0o140755}])
def test_search_remembers_a_refusal(how: dict[str, int]) -> None:
    result, tried = search("/a:/b", rule("statx", **how, times=1), rule("statx", -errno.ENOENT))
    assert tried == ["/a/prog", "/b/prog"]
    assert result.progress.errno == errno.EACCES


def test_search_stops_at_real_errors() -> None:
    result, tried = search("/a:/b", rule("statx", -errno.EIO))
    assert len(tried) == 1
    assert result.progress.errno == errno.EIO


def test_name_with_a_slash_is_not_searched() -> None:
    _, tried = search("/a", name="./x")
    assert tried == ["./x"]
    result, tried = search("/a", name="")
    assert result.progress.errno == errno.ENOENT
    assert not tried


def test_too_long_names() -> None:
    result, tried = search("/a", name="x" * 5000)
    assert not tried
    assert result.progress.fault == report.NOT_IN_PATH
    result, _ = search("/a", name="/" + "x" * 5000)
    assert result.progress.errno == errno.ENAMETOOLONG


def test_execute() -> None:
    result = run_ops(op("find_program", args=["/p", "a b", ""], env=["X=", "Y=2"], search=""), op("execute"))
    (call,) = result.of("execve")
    assert call.texts[0] == "/p"
    assert call.blobs[1] == b"/p\0a b\0\0"
    assert call.blobs[2] == b"X=\0Y=2\0"
    assert result.progress.phase == 4
    assert result.mappings == 2


def test_failed_execve_is_recorded() -> None:
    result = run_ops(
        op("find_program", args=["/p"], env=[], search=""), op("execute"), rules=[rule("execve", -errno.ENOEXEC)]
    )
    assert result.outcome == RETURNED
    assert (result.progress.phase, result.progress.errno) == (5, errno.ENOEXEC)


def test_execute_without_a_program_is_refused() -> None:
    result = run_ops(op("execute"))
    assert result.progress.fault == report.PLAN
    assert not result.calls


def messages(result: Run) -> list[Call]:
    return [call for call in result.calls if call.name in ("sendmsg", "recvmsg")]


def test_sync() -> None:
    result = run_ops(op("no_new_privs"), op("sync"))
    send, receive = messages(result)
    assert (send.fd, send.args[2]) == (5, 0x4000)
    assert struct.unpack("<2I", send.blobs[1]) == (1, 0)
    assert (receive.fd, receive.args[2]) == (5, 0x40000000)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [(rule("recvmsg", -errno.EIO), (RETURNED, -errno.EIO)), (rule("recvmsg", 4), (EXITED, 1))],
)
def test_no_answer_ends_the_helper(answer: dict[str, object], outcome: tuple[int, int]) -> None:
    for name in ("sync", "receive_fd", "ready"):
        result = run_ops(op(name, slot="x", detach=1), op("no_new_privs"), rules=[answer])
        assert (result.outcome, result.status) == outcome
        assert not [call for call in result.of("prctl") if call.args[0] == pr.PR_SET_NO_NEW_PRIVS]


def test_receive_and_send() -> None:
    result = run_ops(op("receive_fd", slot="got"), op("send_fd", slot="got"))
    descriptor = next(iter(result.of("close"))).fd
    assert [call.args[4] for call in result.of("sendmsg")] == [-1, descriptor]
    assert not result.open


def test_fork_init_goes_on_in_the_child() -> None:
    result = run_ops(op("fork_init", flags=0x20000000))
    assert result.names() == ["clone", "prctl", "recvmsg"]
    assert result.calls[0].args[0] == 0x20000000 | 0x8000 | 17  # CLONE_PARENT, SIGCHLD
    assert result.calls[1].args[:2] == [pr.PR_SET_PDEATHSIG, 9]


def test_fork_init_in_the_parent() -> None:
    result = run_ops(op("fork_init", flags=0), op("no_new_privs"), rules=[rule("clone", 77)])
    assert (result.outcome, result.status) == (EXITED, 0)
    assert result.names() == ["clone", "sendmsg"]
    assert struct.unpack("<2I", result.calls[1].blobs[1]) == (0, 77)


def test_ready_and_start() -> None:
    result = run_ops(op("ready", detach=1), op("wait_start", slot="start"))
    assert result.names() == ["sendmsg", "recvmsg", "prctl", "close", "read"]
    assert result.calls[2].args[:2] == [pr.PR_SET_PDEATHSIG, 0]
    assert result.calls[3].fd == 5
    assert result.calls[4].fd == fd_of("start")
    assert result.progress.phase == record.PHASE_DONE  # the plan is at its end
    attached = run_ops(op("ready", detach=0), op("wait_start", slot="sync"))
    assert attached.names() == ["sendmsg", "recvmsg", "prctl", "read"]


def test_start_needs_the_word() -> None:
    result = run_ops(op("wait_start", slot="start"), op("no_new_privs"), rules=[rule("read", 5)])
    assert (result.outcome, result.status) == (EXITED, 1)
    assert result.names() == ["read"]


def test_set_memory_policy() -> None:
    result = run_ops(op("set_memory_policy", mode=2 | 1 << 15, nodes=[9, 0, 0, 0, 0, 0, 0, 0]))
    (call,) = result.of("set_mempolicy")
    # The kernel takes the number of bits plus one.
    assert (call.args[0], call.args[2]) == (2 | 1 << 15, 65)
    result = run_ops(op("set_memory_policy", mode=4, nodes=[]))
    assert result.of("set_mempolicy")[0].args[:3] == [4, 0, 0]
