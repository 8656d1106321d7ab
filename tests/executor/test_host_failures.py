"""Whatever fails on the host's side, it stops there, leaves an exact record, and takes back what it has made."""

from __future__ import annotations

import errno
import struct

import pytest

from ocirun.execute.spawn import call_name
from ocirun.plan.ops import HOST_CALLS
from ocirun.state import record

from .host_recorder import (
    ABOVE,
    ASK,
    CPUSET,
    DONE,
    GROUP,
    HELPER,
    INTERRUPTED,
    MAKE,
    NEW_PID,
    READY,
    RESERVE,
    STATE,
    UNIFIED,
    file,
    host,
    stat,
)
from .recorder import rule
from .test_host_course import CPU_STAT, OUTPUT, PROCESS, RUNNING, ready

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .host_recorder import Host, Step
    from .recorder import Call

OTHER = "/sys/fs/cgroup/cpuset/c"
# All that there are, in an order of a plan.
STEPS: list[Step] = [
    ("hold_descriptors", {}),
    ("open_streams", {}),
    RESERVE,
    ("save_file", {"name": "state.json", "content": "state", "replace": 1}),
    ("save_link", {"name": "spare", "text": "state"}),
    ("open_procfs", {"slot": "proc"}),
    ("make_start_fifo", {"slot": "start"}),
    ("open_caller", {"slot": "caller"}),
    ("open_hook_log", {"path": "/log", "slot": "tasks"}),
    ("enable_controllers", {"path": ABOVE, "controllers": ["pids"], "others": ["io"]}),
    ("look_at_cgroup", {"controller": "pids", "path": GROUP, "device": (0, 0), "kind": UNIFIED}),
    ("look_at_cgroup", {"controller": "cpuset", "path": OTHER, "device": (0, 0), "kind": CPUSET}),
    MAKE,
    ("make_cgroup", {"controller": "cpuset"}),
    ("filter_devices", {"path": GROUP, "program": "filter"}),
    ("write_cgroup", {"path": GROUP, "file": "pids.max", "value": "3"}),
    ("open_cgroup", {"controller": "pids", "slot": "tasks"}),
    ("make_subgroup", {"path": f"{GROUP}/init"}),
    ("start_in_cgroup", {"path": f"{GROUP}/init"}),
    ("spawn", {"flags": NEW_PID}),
    ("await", {"forks": 1}),
    ("keep_upper", {}),
    (
        "write_id_maps",
        {"uid_map": "0 1 1", "gid_map": "0 1 1", "uid_program": "", "gid_program": "", "setgroups": "deny"},
    ),
    ("write_time_offsets", {"offsets": "monotonic 1 0"}),
    ("write_process", {"file": "oom_score_adj", "value": "5"}),
    ("limit_process", {"resource": 7, "soft": 1, "hard": 2}),
    ("open_source", {"path": "/src", "recursive": 1}),
    ("record_state", {"status": "created"}),
    ("answer", {}),
    ("detach", {}),
    ("unlock_state", {}),
    ("ask", {}),
    ("pause", {"go": 1}),
    ("start_program", {"waits": 1}),
    ("serve", {"processor": CPU_STAT}),
    ("read_usage", {"files": [GROUP, "pids.peak"]}),
    ("remove_run", {}),
]
NAMES = [name for name, _ in STEPS]
MADE = [STATE, GROUP, OTHER, f"{GROUP}/init", "process"]
RULES = [
    rule("faccessat2", -errno.ENOENT),
    file("cgroup.type", b"domain\n"),
    file("cpuset.cpus", b"", index=NAMES.index("make_cgroup") + 1, times=1),
    file("cpuset.cpus", b"0-1\n"),
    file("cpuset.mems", b"0\n"),
    stat(pid=0),
    rule("recvmsg", data=struct.pack("<2I", NAMES.index("await"), 0), index=NAMES.index("await"), device=(1, 0)),
    rule("recvmsg", data=b"", index=NAMES.index("start_program")),
    RUNNING,
    ready(OUTPUT),
    rule("read", data=b"said", index=NAMES.index("serve"), times=1),
    ready(PROCESS),
]


def begun(*more: dict[str, Any], fail: tuple[int, int] = (-1, 0)) -> Host:
    content = {"state": b"text\0", "filter": bytes(16)}
    given = {
        **HELPER,
        "inherited": 7,
        "lifetime": 1000,
        "processor_limit": 10**9,
        "processors": 2,
        "input": b"in",
        "input_size": 2,
        "names": b"n",
        "names_size": 1,
    }
    result = host(*STEPS, rules=[*more, *RULES], made=content, fail=fail, **given)
    for stream in result.native.output:
        stream.limit = 100
    return result


def driven(result: Host) -> int:
    """As the interpreter would; the last turn."""
    tries = 0
    while (turn := result.run()) in (ASK, READY, INTERRUPTED) and tries < 9:
        tries += turn == INTERRUPTED
        result.native.go += turn == READY
    return turn


def test_every_operation_is_among_them() -> None:
    assert set(NAMES) == set(HOST_CALLS)


def test_nothing_fails() -> None:
    result = begun()
    assert driven(result) == DONE
    assert (result.made, result.taken) == (MADE, MADE[::-1])
    kept = result.native.upper
    result.free()
    assert [(call.name, call.fd) for call in result.calls] == [("close", kept)], (
        "what was written is read after the end"
    )


# They cannot fail.
SURE = {"close", "clock_gettime", "getpid", "geteuid", "rt_sigprocmask"}
# A failure that does not stop it, with the reason.
TOLERATED = {
    ("unlock_state", "flock"): "the lock goes with the descriptor",
    ("read_usage", "statx"): "the interpreter reads it, and removes the container",
    ("read_usage", "openat"): "as before",
    ("read_usage", "read"): "as before",
}
# What is told of a call that is a part of another thing.
PARTS = {
    "ppoll": "recvmsg",  # waiting for a message
    "sendto": "sendmsg",
    "write": "memfd_create",  # a sealed file in memory
    "fcntl": "memfd_create",
}


def calls_to_fail() -> list[Call]:
    baseline = begun()
    driven(baseline)
    calls = [call for call in baseline.all if call.name not in SURE]
    baseline.free()
    return calls


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOMEM], ids=errno.errorcode.get)
def test_every_call(error: int) -> None:
    found = []
    for call in calls_to_fail():
        result = begun(fail=(call.number, error))
        wrong = wrong_way(result, call, driven(result), error)
        if wrong:
            found.append(f"{NAMES[call.index]}: {call} {wrong}")
    assert not found, "\n".join(found)


def wrong_way(result: Host, call: Call, turn: int, error: int) -> str:
    """What is not as it must be where a call has failed, or ""."""
    name, progress, wrong = NAMES[call.index], result.progress(), ""
    if name == "remove_run":
        return wrong_removal(result, turn)
    if turn == -error:
        told = call_name(progress.call)
        if (progress.phase, progress.index, progress.errno) != (record.PHASE_FAILED, call.index, error):
            wrong = f"is recorded as {progress.index}, errno {progress.errno}"
        elif told != call.name and (told != PARTS.get(call.name) or call.index not in PART_OF[call.name]):
            wrong = f"is recorded as {told or 'no call'}"
    elif turn != DONE or (name, call.name) not in TOLERATED:
        wrong = f"ends with the turn {turn}"
    left = result.take_back()
    if left or result.taken != result.made[::-1]:
        wrong += f" has made {result.made}, and has taken back {result.taken}"
    result.free()
    return wrong


PART_OF = {
    "ppoll": {NAMES.index(name) for name in ("await", "detach", "start_program")},
    "sendto": {NAMES.index("start_program")},
    "write": {NAMES.index("spawn")},
    "fcntl": {NAMES.index("spawn")},
}


def wrong_removal(result: Host, turn: int) -> str:
    """A second try removes the rest; the state, which tells of all, goes last."""
    left = result.native.left
    again = result.take_back()
    wrong = turn != DONE or again or sorted(result.taken) != sorted(MADE) or result.taken[-1] != STATE
    result.free()
    return f"ends with the turn {turn}, left {left} and then {again}, took back {result.taken}" if wrong else ""


NEVER_INTERRUPTED = {"memfd_create", "fcntl", "clone3", "dup3", "close_range", "execveat"}


def test_interrupted_calls_are_made_again() -> None:
    """A handler of the caller's runs where something waits, and the interpreter comes back; all others go on."""
    found = []
    for call in calls_to_fail():
        if NAMES[call.index] == "remove_run" or call.name in NEVER_INTERRUPTED:
            continue  # a second try; no wait
        if call.name == "epoll_pwait" and call.args[3] == 0:
            continue
        result = begun(fail=(call.number, errno.EINTR))
        turn = driven(result)
        if turn != DONE or result.taken != MADE[::-1]:
            found.append(f"{NAMES[call.index]}: {call} ends with the turn {turn}")
        result.free()
    assert not found, "\n".join(found)
