"""The calls of the host's operations that start the helper and do what only the runtime may do to it."""

from __future__ import annotations

import errno
import os
import struct

import pytest

from .host_recorder import (
    ABSENT,
    ASK,
    EMPTY_PATH,
    HELPER,
    MAKE,
    PID,
    RECURSIVE,
    RESERVE,
    SPAWN,
    STATE,
    WRITE,
    grouped,
    host,
    look,
    ran,
    stat,
)
from .recorder import rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def test_spawn() -> None:
    result = ran(("open_procfs", {"slot": "proc"}), SPAWN, rules=(), **{**HELPER, "inherited": 4})
    names = [call[0] for call in result.step()]
    assert names[: names.index("clone3")] == [
        *("memfd_create", "ftruncate", "pwrite64"),  # the record of its progress
        *("memfd_create", "write", "fcntl"),  # the plan
        *("memfd_create", "write", "fcntl"),  # the helper
        *("socketpair", "rt_sigprocmask"),
    ]
    sealed = [call[:3] for call in result.step() if call[0] in ("memfd_create", "fcntl") and call[2] != 1030]
    assert sealed[1:] == [
        ("memfd_create", "plan", 11),  # MFD_CLOEXEC, MFD_ALLOW_SEALING, MFD_NOEXEC_SEAL
        ("fcntl", "plan", 1033),
        ("memfd_create", "ocirun-init", 19),  # MFD_EXEC
        ("fcntl", "ocirun-init", 1033),
    ]
    native = result.native
    assert (native.pid, native.pidfd >= 200, native.sync >= 200, native.progress >= 200) == (PID, True, True, True)
    result.free()
    assert result.taken == ["process"]


def test_child_puts_descriptors_where_the_plan_says() -> None:
    """It borrows our memory until it has executed the helper, and has descriptors of its own."""
    streams = [0, 1, 2]
    result = ran(("open_procfs", {"slot": "proc"}), SPAWN, **{**HELPER, "inherited": 4, "fd_base": 5, "stdio": streams})
    calls = result.step()
    child = calls[calls.index(next(call for call in calls if call[0] == "clone3")) + 1 :]
    child = child[: [call[0] for call in child].index("execveat") + 1]
    assert all(call[2:] == (1030, 10) for call in child if call[0] == "fcntl"), "above all places"
    placed = [call[2] for call in child if call[0] == "dup3"]
    assert placed == [5, 6, 7, 8, 0, 1, 2]
    assert [call[1] for call in child if call[0] == "close"] == ["fd 3", "fd 4"]
    assert [call[0] for call in child][-3:] == ["close_range", "close_range", "execveat"]
    assert child[-1] == ("execveat", "ocirun-init", "", b"ocirun-init\0005\0", "*", EMPTY_PATH)


def test_capabilities_of_a_new_user_namespace_survive() -> None:
    result = ran(("spawn", {"flags": 0x10000000}), **HELPER)
    names = [call[0] for call in result.step()]
    assert names.index("clone3") < names.index("capget") < names.index("capset") < names.index("execveat")
    assert names.count("prctl") == 64


@pytest.mark.parametrize("call", ["fcntl", "dup3", "close_range", "execveat"])
def test_child_that_fails_is_reaped(call: str) -> None:
    begun = {"fcntl": 2}.get(call, 0)  # after those that seal
    result = host(SPAWN, rules=[rule(call, -errno.EIO, skip=begun)], **HELPER)
    assert result.run() == -errno.EIO
    assert "wait4" in [shown[0] for shown in result.step()]
    assert (result.native.pidfd, result.take_back()) == (-1, 0)
    result.free()


def there(name: str, *texts: bytes) -> list[tuple[Any, ...]]:
    """Writing to a file of the helper."""
    path = f"/proc/{PID}/{name}"
    writes = [("write", path, text, len(text)) for text in texts]
    return [("openat", "", path, WRITE, 0), *writes, ("close", path)]


def test_write_id_maps() -> None:
    args = {"uid_map": "0 1 1", "gid_map": "0 2 1", "uid_program": "", "gid_program": "", "setgroups": "deny"}
    result = ran(SPAWN, ("write_id_maps", args), **HELPER)
    assert result.step() == there("setgroups", b"deny") + there("gid_map", b"0 2 1") + there("uid_map", b"0 1 1")
    kept = ran(SPAWN, ("write_id_maps", args | {"setgroups": ""}), **HELPER)
    assert kept.step() == there("gid_map", b"0 2 1") + there("uid_map", b"0 1 1")
    assert host(("write_id_maps", args | {"uid_program": "/usr/bin/newuidmap"})).run() == ASK


def test_write_time_offsets() -> None:
    result = ran(SPAWN, ("write_time_offsets", {"offsets": "monotonic 1 0"}), **HELPER)
    assert result.step() == there("timens_offsets", b"monotonic 1 0")


def test_write_process() -> None:
    result = ran(SPAWN, ("write_process", {"file": "oom_score_adj", "value": "5"}), **HELPER)
    assert result.step() == there("oom_score_adj", b"5")


def test_limit_process() -> None:
    result = ran(SPAWN, ("limit_process", {"resource": 7, "soft": 1, "hard": 2**64 - 1}), **HELPER)
    assert result.step() == [("prlimit64", PID, 7, struct.pack("<2Q", 1, 2**64 - 1), 0)]


@pytest.mark.parametrize(("recursive", "below"), [(0, 0), (1, RECURSIVE)])
def test_open_source(recursive: int, below: int) -> None:
    result = ran(("open_source", {"path": "/src", "recursive": recursive}))
    slave = struct.pack("<3Q", 0, 0, 1 << 19)
    assert result.step() == [
        ("open_tree", "", "/src", 1 | os.O_CLOEXEC | below),
        ("mount_setattr", "/src", "", EMPTY_PATH | below, slave, 32),
    ]
    assert result.native.answer >= 200


def test_open_source_that_is_a_link() -> None:
    result = ran(("open_source", {"path": "/src", "recursive": 0, "nofollow": 1}))
    assert result.step()[0] == ("open_tree", "", "/src", 1 | os.O_CLOEXEC | 0x100)  # AT_SYMLINK_NOFOLLOW


def test_record_state() -> None:
    step = ("record_state", {"status": "created"})
    result = grouped(SPAWN, step, rules=(stat(),), **HELPER)
    path = f"/proc/{PID}/stat"
    looked = [("openat", "", path, os.O_RDONLY | os.O_CLOEXEC, 0), ("read", path, "*", 4095), ("close", path)]
    assert result.step() == [*looked, ("symlinkat", f"{PID} 22 1", STATE, "made")]
    assert result.native.start_time == 22
    again = rule("symlinkat", -errno.EEXIST, text=f"{PID} 22 1", times=1)
    result = grouped(SPAWN, step, rules=(stat(), again), **HELPER)
    assert result.step()[4:] == [
        ("symlinkat", f"{PID} 22 1", STATE, ".made"),
        ("renameat", STATE, ".made", STATE, "made"),
    ]
    assert host(step).run() == ASK


def test_process_without_a_start_time_is_gone() -> None:
    result = host(SPAWN, RESERVE, ("record_state", {"status": "created"}), rules=[stat(b"")], **HELPER)
    assert result.run() == ASK, "no group of ours: the interpreter writes the record"
    rules = [stat(b""), ABSENT, rule("statx", index=1, device=(0, 30))]
    result = host(RESERVE, look(), MAKE, SPAWN, ("record_state", {"status": "created"}), rules=rules, **HELPER)
    assert result.run() == -errno.ESRCH
