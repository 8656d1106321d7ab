"""The calls of the host's operations that make a container: its state, its groups, its helper."""

from __future__ import annotations

import errno
import fcntl
import os
import struct

import pytest

from ocirun.execute import report
from ocirun.plan.ops import HOST_CALLS

from . import test_host_course, test_host_helper_ops
from .host_recorder import (
    ABOVE,
    ABSENT,
    ASK,
    CPUSET,
    DIRECTORY,
    EMPTY_PATH,
    FREEZER,
    GROUP,
    HELPER,
    MAKE,
    NEW,
    NEW_PID,
    NOFOLLOW,
    READ,
    RESERVE,
    ROOT,
    SPAWN,
    STATE,
    UNIFIED,
    WRITE,
    file,
    grouped,
    host,
    look,
    ran,
)
from .recorder import rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def test_every_operation_has_a_test() -> None:
    tested = {
        name.removeprefix("test_")
        for name in (*globals(), *vars(test_host_helper_ops), *vars(test_host_course))
        if name.startswith("test_")
    }
    assert set(HOST_CALLS) <= tested


def test_reserve_state() -> None:
    result = ran(RESERVE)
    assert result.step() == [
        ("openat", "", "/run/ocirun", DIRECTORY, 0),
        ("statx", "/run/ocirun", "", EMPTY_PATH, 0x0A, "*"),  # STATX_UID, STATX_MODE
        ("geteuid",),
        ("mkdirat", "/run/ocirun", "c", 0o711),
        ("openat", "/run/ocirun", "c", DIRECTORY | os.O_NOFOLLOW, 0),
        ("fchmod", STATE, 0o711),  # whatever the umask is
        ("flock", STATE, 6),  # LOCK_EX, LOCK_NB
        ("close", "/run/ocirun"),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        *(rule("openat", -error) for error in (errno.ENOENT, errno.EACCES, errno.EPERM)),
        *(rule("statx", mode=0o040000 | mode) for mode in (0o775, 0o757)),
        rule("geteuid", 1000),
    ],
)
def test_root_that_is_the_interpreters_to_make(wrong: dict[str, Any]) -> None:
    result = host(RESERVE, rules=[wrong])
    assert result.run() == ROOT
    assert not result.made
    result.free()


def test_state_of_another_container() -> None:
    result = host(RESERVE, rules=[rule("mkdirat", -errno.EEXIST)])
    assert result.run() == -errno.EEXIST
    result.free()
    assert not result.taken


def test_save_file() -> None:
    step = ("save_file", {"name": "state.json", "content": "state", "replace": 1})
    result = ran(RESERVE, step, made={"state": b"text"}, rules=(rule("write", 1, times=1),))
    assert result.step() == [
        ("openat", STATE, ".state.json", NEW, 0o600),
        ("fchmod", f"{STATE}/.state.json", 0o600),
        ("write", f"{STATE}/.state.json", b"text", 4),
        ("write", f"{STATE}/.state.json", b"ext", 3),
        ("close", f"{STATE}/.state.json"),
        ("renameat", STATE, ".state.json", STATE, "state.json"),
    ]
    plain = ran(RESERVE, (step[0], step[1] | {"replace": 0}), made={"state": b"text"})
    assert [call[0] for call in plain.step()] == ["openat", "fchmod", "write", "close"]


def test_file_that_is_not_written_is_taken_away() -> None:
    step = ("save_file", {"name": "config.json", "content": "config", "replace": 0})
    result = host(RESERVE, step, made={"config": b"text"}, rules=[rule("write", -errno.ENOSPC)])
    assert result.run() == -errno.ENOSPC
    assert result.step()[-2:] == [("close", f"{STATE}/config.json"), ("unlinkat", STATE, "config.json", 0)]


def test_save_link() -> None:
    step = ("save_link", {"name": "spare", "text": "spare"})
    assert ran(RESERVE, step, made={"spare": b"text\0"}).step() == [("symlinkat", "text", STATE, "spare")]
    assert ran(RESERVE, step, made={"spare": b""}).step() == ran(RESERVE).step(), "it was too long for a link"


def test_open_procfs() -> None:
    step = ("open_procfs", {"slot": "proc"})
    result = ran(step)
    assert result.step() == [
        ("openat", "", "/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, 0),
        ("fstatfs", "/proc", "*"),
        ("statx", "/proc", "", EMPTY_PATH, 0x100, "*"),  # STATX_INO
    ]
    assert result.native.slot[3] >= 200
    for wrong in (rule("fstatfs", device=(1, 0)), rule("statx", inode=2)):
        other = host(step, rules=[wrong])
        assert (other.run(), other.progress().fault) == (-errno.EINVAL, report.NOT_PROC)
        other.free()


def test_open_caller() -> None:
    result = ran(("open_caller", {"slot": "caller"}))
    assert result.step() == [("pidfd_open", 42, 0)]
    assert result.native.slot[5] >= 200


def test_open_hook_log() -> None:
    result = ran(("open_hook_log", {"path": "/log", "slot": "caller"}))
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
    assert result.step() == [("openat", "", "/log", flags, 0o600), ("fcntl", "/log", fcntl.F_SETFL, os.O_APPEND)]
    assert result.native.slot[5] >= 200


def test_make_start_fifo() -> None:
    result = ran(RESERVE, ("make_start_fifo", {"slot": "start"}))
    assert result.step() == [
        ("mknodat", STATE, "start", 0o010600, 0),
        ("openat", STATE, "start", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0),
    ]
    assert result.native.slot[4] >= 200


LOOKED = [
    ("openat", "", ABOVE, DIRECTORY, 0),
    ("statx", ABOVE, "", EMPTY_PATH, 1, "*"),
    ("faccessat2", ABOVE, "c", 0, NOFOLLOW),
]


def reads(*names: str) -> list[tuple[Any, ...]]:
    one = (lambda name: ("openat", ABOVE, name, READ, 0)), (lambda name: ("read", f"{ABOVE}/{name}", "*", 4095))
    return [call for name in names for call in (*(make(name) for make in one), ("close", f"{ABOVE}/{name}"))]


@pytest.mark.parametrize(
    ("kind", "files", "read"),
    [
        (0, {}, []),
        (FREEZER, {"freezer.state": b"THAWED\n"}, ["freezer.state"]),
        (UNIFIED, {"cgroup.events": b"frozen 0\n", "cgroup.type": b"domain\n"}, ["cgroup.events", "cgroup.type"]),
        (CPUSET, {"cpuset.cpus": b"0-1\n", "cpuset.mems": b"0\n"}, ["cpuset.cpus", "cpuset.mems"]),
    ],
)
def test_look_at_cgroup(kind: int, files: dict[str, bytes], read: list[str]) -> None:
    result = ran(RESERVE, look(kind), rules=tuple(file(*item) for item in files.items()))
    assert result.step() == LOOKED + reads(*read)
    assert not result.native.asked


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (0, rule("faccessat2", 0)),  # it is there
        (0, rule("statx", index=1, device=(0, 31))),  # another hierarchy
        (0, rule("openat", -errno.ENOENT, index=1)),
        (FREEZER, file("freezer.state", b"FROZEN\n")),
        (UNIFIED, file("cgroup.events", b"populated 1\nfrozen 1\n")),
        (UNIFIED, file("cgroup.type", b"threaded\n")),
        (CPUSET, file("cpuset.cpus", b"\n")),
    ],
)
def test_group_that_takes_a_closer_look(kind: int, found: dict[str, Any]) -> None:
    rules = [found, file("cgroup.type", b"domain\n")] + ([ABSENT] if found["call"] != "faccessat2" else [])
    result = host(RESERVE, look(kind), MAKE, rules=[*rules, rule("statx", index=1, device=(0, 30))])
    assert result.run() == ASK
    assert (result.native.asked, result.made) == (1, [STATE])
    result.free()


def test_make_cgroup() -> None:
    result = grouped()
    assert result.step() == [
        ("symlinkat", "none", STATE, "looked"),  # before the first group is made
        ("mkdirat", ABOVE, "c", 0o755),
        ("openat", ABOVE, "c", DIRECTORY | os.O_NOFOLLOW, 0),
        ("statx", GROUP, "", EMPTY_PATH, 0x102, "*"),  # STATX_INO, STATX_MODE
        ("close", ABOVE),
    ]
    assert result.lib.ocirun_host_inode(result.native, 0) == 1
    tight = grouped(rules=(rule("statx", index=2, mode=0o040700),))
    assert ("fchmod", GROUP, 0o755) in tight.step()


def test_new_cpuset_takes_what_the_one_above_has() -> None:
    empty = [rule("openat", text=name, index=2, times=1) for name in ("cpuset.cpus", "cpuset.mems")]
    result = grouped(kind=CPUSET, rules=(*empty, file("cpuset.cpus", b"0-1\n"), file("cpuset.mems", b"0\n")))
    written = [call[1:3] for call in result.step() if call[0] == "write"]
    assert written == [(f"{GROUP}/cpuset.cpus", b"0-1"), (f"{GROUP}/cpuset.mems", b"0")]
    cloned = grouped(kind=CPUSET, rules=(file("cpuset.cpus", b"0-1\n"), file("cpuset.mems", b"0\n")))
    assert not [call for call in cloned.step() if call[0] == "write"]


@pytest.mark.parametrize("error", [errno.EEXIST, errno.ENOENT, errno.ENODEV])
def test_somebody_was_quicker(error: int) -> None:
    """All groups are the interpreter's then, and none of ours is left."""
    other = ("look_at_cgroup", {"controller": "cpu", "path": "/sys/fs/cgroup/cpu/c", "device": (0, 0), "kind": 0})
    rules = [ABSENT, rule("statx", index=1, device=(0, 30)), rule("mkdirat", -error, index=4)]
    result = host(RESERVE, look(), other, MAKE, ("make_cgroup", {"controller": "cpu"}), rules=rules)
    assert result.run() == ASK
    assert (result.made, result.taken) == ([STATE, GROUP], [GROUP])
    assert result.step()[-1] == ("unlinkat", STATE, "looked", 0)
    result.free()
    assert result.taken == [GROUP, STATE]


def test_write_cgroup() -> None:
    step = ("write_cgroup", {"path": GROUP, "file": "pids.max", "value": "3"})
    assert grouped(step).step() == [
        ("openat", GROUP, "pids.max", WRITE, 0),
        ("write", f"{GROUP}/pids.max", b"3", 1),
        ("close", f"{GROUP}/pids.max"),
    ]
    assert host(step).run() == ASK


def test_open_cgroup() -> None:
    step = ("open_cgroup", {"controller": "pids", "slot": "tasks"})
    result = grouped(step)
    assert result.step() == [("openat", GROUP, "tasks", WRITE, 0)]
    assert result.native.slot[6] >= 200
    assert host(step).run() == ASK


def test_start_in_cgroup() -> None:
    step = ("start_in_cgroup", {"path": GROUP})
    result = grouped(step, SPAWN, kind=UNIFIED, **HELPER)
    assert result.step(3) == [("fcntl", GROUP, 1030, 0)]
    (clone,) = (call for call in result.all if call.name == "clone3")
    words = struct.unpack("<11Q", clone.blobs[0])
    assert words[0] == NEW_PID | 0x200005100, "CLONE_INTO_CGROUP, CLONE_VM, CLONE_VFORK, CLONE_PIDFD"
    assert words[10] == next(call.result for call in result.all if call.index == 3)
    assert host(step).run() == ASK
    # In a group below it.
    below = grouped(("start_in_cgroup", {"path": f"{GROUP}/init"}), kind=UNIFIED)
    assert below.step() == [("openat", GROUP, "init", DIRECTORY | os.O_NOFOLLOW, 0)]


def test_make_subgroup() -> None:
    step = ("make_subgroup", {"path": f"{GROUP}/init"})
    result = grouped(step, kind=UNIFIED)
    made = [("mkdirat", GROUP, "init", 0o755), ("openat", GROUP, "init", DIRECTORY | os.O_NOFOLLOW, 0)]
    assert result.step()[:2] == made
    assert result.take_back() == 0
    assert result.taken[0] == f"{GROUP}/init", "before the one it is in"
    # One that was not made here is the interpreter's.
    assert host(step).run() == ASK


def test_enable_controllers() -> None:
    path = "/sys/fs/cgroup/above"
    step = ("enable_controllers", {"path": path, "controllers": ["cpu", "pids"], "others": ["io", "hugetlb"]})

    def wrote(*rules: dict[str, Any]) -> list[bytes]:
        result = ran(step, rules=rules)
        assert result.step()[0] == ("openat", "", path, DIRECTORY, 0)
        result.free()
        return [call[2] for call in result.step() if call[0] == "write"]

    assert wrote() == [b"+cpu +pids", b"+io +hugetlb"]
    # For figures alone the container does without; each is tried by itself.
    refused = rule("write", -errno.EBUSY, skip=1, times=2)
    assert wrote(refused) == [b"+cpu +pids", b"+io +hugetlb", b"+io", b"+hugetlb"]
    assert host(step, rules=[rule("write", -errno.EBUSY)]).run() == -errno.EBUSY
    assert host(step, rules=[rule("write", -errno.EIO, skip=1)]).run() == -errno.EIO


def test_filter_devices() -> None:
    step = ("filter_devices", {"path": GROUP, "program": "filter"})
    result = grouped(step, kind=UNIFIED, made={"filter": bytes(16)})
    assert [call[:2] for call in result.step()] == [("bpf", 5), ("bpf", 8), ("close", "bpf")]
    load, attach = (call.blobs[1] for call in result.calls if call.name == "bpf")
    assert struct.unpack_from("<2I", load) == (15, 2), "BPF_PROG_TYPE_CGROUP_DEVICE, two instructions"
    assert load[48:64] == b"ocirun_devices\0\0"
    directory, program = (call.result for call in result.all if call.name == "openat" and call.texts[1] == "c"), 206
    made = next(call.result for call in result.all if call.name == "bpf")
    assert struct.unpack_from("<4I", attach) == (list(directory)[-1], made, 6, 2), "BPF_F_ALLOW_MULTI"
    assert made == program
    assert host(step, made={"filter": bytes(16)}).run() == ASK


def test_unlock_state() -> None:
    assert ran(RESERVE, ("unlock_state", {})).step() == [("flock", STATE, 8)]
