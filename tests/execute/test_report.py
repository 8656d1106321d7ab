"""A stopped helper's numbers as errors: exact where they make sense, never a crash where they do not."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plan.samples import NAMES, sample

from ocirun.errors import ConfigError, HookError, HostError, ProgramError, StepError
from ocirun.execute import report, spawn
from ocirun.plan.ops import HOST, INIT, Op, Plan
from ocirun.state import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FAULTS = {name: value for name, value in vars(report).items() if name.isupper() and not name.startswith("_")}
# Numbers of system calls, which each processor has for itself.
CALL_NUMBERS = {spawn.call_name(number): number for number in range(500)}
PIPE2, EXECVE = CALL_NUMBERS["pipe2"], CALL_NUMBERS["execve"]
PLANS = {name: sample(name) for name in NAMES}


def progress(
    *,
    phase: int = 5,
    index: int = 0,
    fault: int = 0,
    error: int = 0,
    call: int = 0,
    detail: int = 0,
    output: bytes = b"",
    slot: int = -1,
    text: bytes = b"",
) -> record.Progress:
    head = struct.pack(
        "<IIIIiIQIIIHHQ",
        *(record.PROGRESS_MAGIC, phase, index, fault, error, call, detail, 0, len(output), 0, slot + 1, len(text), 0),
    )
    body = output.ljust(record.PROGRESS_OUTPUT, b"\0") + text.ljust(record.PROGRESS_OBJECT, b"\0")
    return record.Progress(head + body)


def find(plan: Plan, name: str) -> int:
    return next(index for index, op in enumerate(plan.ops) if op.name == name)


def failed(bundle: str, name: str, **numbers: Any) -> StepError:
    plan = PLANS[bundle]
    index = find(plan, name)
    return report.from_plan(plan, progress(index=index, **numbers), 1)


@given(
    name=st.sampled_from(NAMES),
    numbers=st.fixed_dictionaries(
        {
            "phase": st.sampled_from((0, 1, 2, 3, 4, 5, 5, 5, 5, 6, 2**32 - 1)),
            "index": st.integers(0, 160) | st.just(2**32 - 1),
            "fault": st.integers(0, 20) | st.just(2**32 - 1),
            "error": st.integers(-3, 140) | st.sampled_from((2**31 - 1, -(2**31))),
            "call": st.integers(0, 600) | st.sampled_from((2**31 - 1, 2**31, 2**32 - 1)),
            "detail": st.integers(0, 40) | st.sampled_from((2**31, 2**64 - 1)),
            "output": st.binary(max_size=60),
        }
    ),
    ended=st.sampled_from((0, 1, 2, 127, -9, -11, -64)),
)
@settings(max_examples=500, suppress_health_check=list(HealthCheck))
def test_any_numbers(name: str, numbers: dict[str, Any], ended: int) -> None:
    error = report.from_plan(PLANS[name], progress(**numbers), ended)
    assert isinstance(error, StepError)
    assert error.message
    assert "\n" not in error.line()
    assert error.record()


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_every_fault_has_words(fault: int) -> None:
    error = failed("mounts", "open_path", fault=fault, error=errno.EPERM, call=437, detail=1)
    assert error.operation == "open_path"
    assert error.message.startswith(error.pointer + ": ")


def test_call_and_errno() -> None:
    error = failed("hello", "new_filesystem", error=errno.ENODEV, call=430)
    assert (error.actor, error.operation, error.call, error.errno) == ("init", "new_filesystem", "fsopen", errno.ENODEV)
    assert error.pointer == "/mounts/0"
    assert error.index == find(PLANS["hello"], "new_filesystem")
    assert "fsopen: no such device" in error.message
    assert error.remedy


@pytest.mark.parametrize(
    ("bits", "remedy"),
    [
        (1, "give ro, or leave rw out"),
        (10, "give nosuid, or leave suid out; give noexec, or leave exec out"),
        (0x20, "leave the word for another access time mode out"),
    ],
)
def test_attributes_that_are_locked(bits: int, remedy: str) -> None:
    error = failed("mounts", "set_mount_attr", fault=report.LOCKED, error=errno.EPERM, call=442, detail=bits)
    assert error.remedy == remedy


def test_a_path_in_a_mount_is_told_whole() -> None:
    """It is looked up from the mount on /proc, but stands below /proc for whoever reads it."""
    plan = PLANS["hello"]
    for name in ("make_readonly", "mask"):
        index = next(i for i, op in enumerate(plan.ops) if op.name == name and op.args["root"] == "mount_proc")
        whole = "/proc" + plan.ops[index].args["path"]
        error = report.from_plan(plan, progress(index=index, error=1, call=CALL_NUMBERS["move_mount"]), 1)
        assert f" {whole}" in error.message
        assert " /" + whole.split("/", 2)[2] not in error.message


def test_a_source_that_may_not_be_looked_at() -> None:
    plan = PLANS["mounts"]
    index = next(i for i, op in enumerate(plan.ops) if op.name == "open_path" and op.args.get("like"))
    source = plan.ops[index - 1].args["path"]
    slot = plan.slots.index(plan.ops[index].args["like"])
    error = report.from_plan(plan, progress(index=index, error=errno.EACCES, call=CALL_NUMBERS["statx"], slot=slot), 1)
    assert f"statx {source}: permission denied" in error.message
    assert "source" in error.remedy


def test_what_the_call_acted_on() -> None:
    """The text among its arguments, or what its descriptor holds, unless the operation's phrase says it already."""
    plan = PLANS["hello"]
    index = next(i for i, op in enumerate(plan.ops) if op.name == "attach" and op.pointer == "/mounts/1")
    target = plan.slots.index(plan.ops[index].args["target"])
    error = report.from_plan(plan, progress(index=index, error=20, call=CALL_NUMBERS["move_mount"], slot=target), 1)
    assert error.message == "/mounts/1: attach the mount: move_mount /dev: not a directory"
    index = next(i for i, op in enumerate(plan.ops) if op.name == "open_path" and op.args["path"] == "/dev/pts")
    numbers = {"index": index, "error": 20, "call": CALL_NUMBERS["openat2"], "slot": plan.slots.index("root")}
    error = report.from_plan(plan, progress(text=b"dev", **numbers), 1)
    assert error.message.endswith(": open the mount point /dev/pts: openat2 /dev: not a directory")
    error = report.from_plan(plan, progress(text=b"dev/pts", **numbers), 1)
    assert error.message.endswith(": open the mount point /dev/pts: openat2: not a directory")


def test_remedy_is_that_of_the_call() -> None:
    """ENODEV of fsopen is a type that the kernel has not; of fsconfig it is the file system's device."""
    assert "no such file system type" in failed("hello", "new_filesystem", error=19, call=CALL_NUMBERS["fsopen"]).remedy
    assert not failed("hello", "new_filesystem", error=19, call=CALL_NUMBERS["fsconfig"]).remedy


def test_container_that_ends_meanwhile() -> None:
    assert "stopped meanwhile" in failed("join", "join_namespace", error=errno.ESRCH, call=308).remedy


def test_words_of_the_kernel() -> None:
    error = failed(
        "hello", "new_filesystem", error=22, call=431, output=b"e tmpfs: Bad value for 'size'\nw x: odd\nnoise\n"
    )
    assert "(tmpfs: Bad value for 'size'; x: odd)" in error.message
    assert "noise" not in error.message


def test_refused_option_is_named() -> None:
    plan = PLANS["hello"]
    index = next(i for i, op in enumerate(plan.ops) if op.name == "new_filesystem" and op.pointer == "/mounts/1")
    options = plan.ops[index].args["options"]
    at = next(number for number, (key, _) in enumerate(options) if key == "size")
    error = report.from_plan(plan, progress(index=index, fault=report.OPTION, error=22, detail=at), 1)
    assert "'size=64k'" in error.message
    beyond = report.from_plan(plan, progress(index=index, fault=report.OPTION, error=22, detail=99), 1)
    assert "'?'" in beyond.message


@pytest.mark.parametrize(
    ("log", "remedy"),
    [
        (b"e tmpfs: Unknown parameter 'nosuidd'\n", 'did you mean "nosuid"?'),
        (b"e tmpfs: Bad value for 'nosuidd'\n", ""),
    ],
)
def test_a_word_is_not_wrong_for_its_value(monkeypatch: pytest.MonkeyPatch, log: bytes, remedy: str) -> None:
    plan = PLANS["hello"]
    index = next(i for i, op in enumerate(plan.ops) if op.name == "new_filesystem" and op.pointer == "/mounts/1")
    monkeypatch.setitem(plan.ops[index].args, "options", [("nosuidd", "x")])
    error = report.from_plan(plan, progress(index=index, fault=report.OPTION, error=22, detail=0, output=log), 1)
    assert error.remedy == remedy


@pytest.mark.parametrize(
    ("name", "numbers", "words"),
    [
        ("find_program", {"fault": report.NOT_IN_PATH, "error": 2}, 'exec: "sh": executable file not found in $PATH'),
        ("find_program", {"error": 13}, 'exec: "sh": permission denied'),
        ("find_program", {"error": 21}, 'exec: "sh": is a directory: permission denied'),
        ("find_program", {"error": 2}, 'exec: "sh": stat sh: no such file or directory'),
        ("execute", {"error": 8, "call": EXECVE, "text": b"/bin/sh"}, "exec /bin/sh: exec format error"),
        ("execute", {"error": 2, "call": EXECVE}, "exec sh: no such file or directory"),
        ("execute", {"error": 12, "call": CALL_NUMBERS["close_range"]}, "exec sh: close_range: cannot allocate memory"),
    ],
)
def test_words_that_engines_look_for(name: str, numbers: dict[str, Any], words: str) -> None:
    error = failed("unprivileged", name, **numbers)
    assert isinstance(error, ProgramError)
    assert error.message == words
    assert error.pointer == "/process/args/0"


@pytest.mark.parametrize(
    ("numbers", "words", "code"),
    [
        ({"fault": report.HOOK_EXIT, "detail": 3 << 8}, "exit status 3", 3),
        ({"fault": report.HOOK_EXIT, "detail": 9}, "killed by signal 9", 137),
        ({"fault": report.HOOK_TIMEOUT, "detail": 10}, "timed out after 10 s and was killed", -1),
        (
            {"fault": report.HOOK_EXEC, "error": 2, "call": EXECVE, "text": b"/bin/sh"},
            "cannot execute /bin/sh: no such file or directory",
            -1,
        ),
        (
            {"fault": report.HOOK_EXEC, "error": 2, "call": CALL_NUMBERS["chdir"], "text": b"/gone"},
            "chdir /gone: no such file or directory",
            -1,
        ),
        ({"error": 24, "call": PIPE2}, "pipe2: too many open files", -1),
    ],
)
def test_hooks(numbers: dict[str, Any], words: str, code: int) -> None:
    error = failed("hooks", "run_hook", output=b"one\n\ntwo\n", **numbers)
    assert isinstance(error, HookError)
    assert error.message == (
        f"/hooks/createContainer/0: error running createContainer hook #0: {words}, path: /bin/sh, output: one | two"
    )
    assert (error.kind, error.hook_index, error.exit_code, error.output) == ("createContainer", 0, code, "one\n\ntwo")


def test_long_output_keeps_its_end() -> None:
    error = failed("hooks", "run_hook", fault=report.HOOK_EXIT, detail=256, output=b"x" * 3000 + b" the end")
    assert error.message.endswith(" the end")
    assert len(error.message) < 1200


def test_killed() -> None:
    plan = PLANS["hello"]
    index = find(plan, "pivot")
    error = report.from_plan(plan, progress(phase=1, index=index), -9)
    assert "was killed by signal 9" in error.message
    # Nobody has said that it was for lack of memory.
    assert "memory" not in f"{error.message} {error.remedy}"
    assert "ended with status 2" in report.from_plan(plan, progress(phase=1, index=index), 2).message


def test_out_of_memory() -> None:
    """The limit is to blame where the plan sets one; else the operation is all that is known."""
    plan = PLANS["limits"]
    index = find(plan, "pivot")
    error = report.from_plan(plan, progress(phase=1, index=index), -9, oom=True)
    assert (error.pointer, error.operation) == ("/linux/resources/memory/limit", "pivot")
    assert "OOM-killed" in error.message
    other = PLANS["readonly"]
    assert not report.memory_limit(other)
    error = report.from_plan(other, progress(phase=1, index=find(other, "pivot")), -9, oom=True)
    assert "was killed by signal 9" in error.message


def test_personality_that_the_processor_has_not() -> None:
    """arm64_personality() in the kernel's arch/arm64/kernel/sys.c."""
    op = Op("set_personality", INIT, "/linux/personality", {"persona": 8})
    error = report.from_plan(
        Plan([op], [], 0, [], []), progress(error=errno.EINVAL, call=CALL_NUMBERS["personality"]), 1
    )
    assert (error.pointer, error.errno) == ("/linux/personality", errno.EINVAL)
    assert "32-bit programs" in error.remedy


@pytest.mark.parametrize(("layers", "remedy"), [("overlay", "needs Linux 6.7"), (None, "")])
def test_a_snapshot_on_an_old_kernel(layers: str | None, remedy: str) -> None:
    """Before Linux 6.5 an overlay looks at its options only when it is made."""
    more = {"layers": layers} if layers else {}
    op = Op("new_overlay", INIT, "/annotations/x", {"lower": "root", "upper": "room", "options": [], **more})
    error = report.from_plan(Plan([op], [], 0, [], []), progress(error=errno.EINVAL, call=CALL_NUMBERS["fsconfig"]), 1)
    assert remedy in error.remedy
    assert bool(error.remedy) is bool(remedy)


def test_host_operation() -> None:
    op = Op("write_pid_file", HOST, "", {"path": "/x/pid"})
    error = report.host_error(op, 7, OSError(errno.ENOSPC, "x"))
    assert isinstance(error, StepError)
    assert (error.index, error.errno, error.operation) == (7, errno.ENOSPC, "write_pid_file")
    assert "no space left on device" in error.message


def test_errors_that_say_enough_already() -> None:
    op = Op("open_namespace", HOST, "/linux/namespaces/0/path", {"path": "/p", "type": "pid", "slot": "x"})
    step = StepError("known", index=3)
    assert report.host_error(op, 7, step) is step
    host = report.host_error(op, 7, HostError("/p is not a namespace", remedy="do"))
    assert (host.pointer, host.operation, host.remedy) == ("/linux/namespaces/0/path", "open_namespace", "do")
    config = ConfigError([])
    assert report.host_error(op, 7, config) is config
    assert config.operation == "open_namespace"


def test_init_operations_only() -> None:
    """The error of an init operation names the actor, whatever the helper wrote."""
    assert all(
        report.from_progress(op, 0, progress(error=1), 1).actor == INIT
        for op in PLANS["hello"].ops
        if op.actor == INIT and op.name != "execute"
    )
