"""run_hook: the parent's watch, and what happens in the child before its execve."""

from __future__ import annotations

import errno

import pytest

from ocirun.execute import report
from ocirun.state import record

from .recorder import EXECUTED, EXITED, RETURNED, op, rule, run_ops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .recorder import Run


def hook(*rules: dict[str, object], seconds: int = 0, tail: str | None = ',"x":1}', cwd: str | None = "/b") -> Run:
    wanted = op(
        "run_hook",
        path="/h",
        args=["h", "a"],
        env=["K=V"],
        state_head='{"pid":',
        state_tail=tail,
        cwd_timeout=(cwd, seconds),
    )
    return run_ops(op("guard"), wanted, rules=rules)


def ended(status: int, *, signal: bool = False) -> dict[str, object]:
    return rule("waitid", mode=2 if signal else 1, device=(status, 0))


def test_success() -> None:
    result = hook()
    assert result.outcome == RETURNED
    assert result.status == 0
    assert not result.open
    assert not result.mappings


def test_state_on_standard_input() -> None:
    written = b"".join(call.blobs[1] for call in hook().of("write"))
    assert written == b'{"pid":42,"x":1}'
    assert b"".join(call.blobs[1] for call in hook(tail=None).of("write")) == b'{"pid":'


def test_short_writes_go_on() -> None:
    result = hook(rule("write", 3, times=1))
    assert b"".join(call.blobs[1][: call.result] for call in result.of("write")) == b'{"pid":42,"x":1}'


@pytest.mark.parametrize(
    ("how", "status"), [(ended(3), 3 << 8), (ended(255), 255 << 8), (ended(9, signal=True), 9), (ended(0), 0)]
)
def test_wait_status(how: dict[str, object], status: int) -> None:
    result = hook(how)
    if not status:
        assert result.progress.phase != 5
        return
    assert (result.progress.fault, result.progress.detail) == (report.HOOK_EXIT, status)
    assert result.progress.errno == errno.ECANCELED


def test_status_is_never_thrown_away() -> None:
    """An ignored SIGCHLD, inherited from the caller, would lose it: it is reset before the fork."""
    result = hook()
    actions = [call for call in result.calls if call.name in ("rt_sigaction", "clone")]
    assert actions[0].args[0] == 17
    assert actions[1].name == "clone"
    lost = hook(rule("waitid", -errno.ECHILD))
    assert (lost.progress.phase, lost.progress.errno) == (5, errno.ECHILD)


def test_time_limit() -> None:
    result = hook(rule("ppoll", -errno.EINTR), seconds=1)
    assert (result.progress.fault, result.progress.errno) == (report.HOOK_TIMEOUT, errno.ETIMEDOUT)
    assert result.progress.detail == 1
    (group,) = result.of("kill")
    assert group.args[0] == -5000
    assert group.args[1] == 9
    assert result.of("pidfd_send_signal")[0].args[1] == 9
    assert result.names()[-1] in ("close", "munmap")
    assert "waitid" in result.names()
    assert not result.open


def test_output_is_kept() -> None:
    result = hook(rule("read", data=b"last words", times=1), ended(1))
    assert result.progress.output == "last words"


def logged(*rules: dict[str, object], stderr: str | None = None) -> Run:
    """With slot 3, the host's procfs in other tests, as the file for standard output."""
    wanted = op("run_hook", path="/h", args=["h"], env=[], state_head="{}", state_tail=None, cwd_timeout=(None, 0))
    return run_ops(op("log_hooks", stdout="proc", stderr=stderr), wanted, rules=rules)


def test_output_goes_to_its_file_too() -> None:
    result = logged(rule("read", data=b"words", times=1), ended(1))
    assert len(result.of("pipe2")) == 2, "standard error has a pipe of its own, as it goes elsewhere"
    assert [call.blobs[1] for call in result.of("write")] == [b"{}", b"words"]
    assert result.progress.output == "words"
    assert not result.open


def test_file_that_does_not_take_the_output() -> None:
    result = logged(rule("read", data=b"words", times=1), rule("write", -errno.ENOSPC, skip=1))
    assert (result.progress.phase, result.progress.errno) == (record.PHASE_FAILED, errno.ENOSPC)
    assert not result.open
    assert not result.mappings


def test_output_without_end_is_drained_for_a_while_only() -> None:
    result = hook(rule("read", data=b"x" * 4096), ended(1))
    assert len(result.of("read")) == 64
    assert result.progress.output == "x" * record.PROGRESS_OUTPUT


def test_output_of_an_earlier_hook_is_gone() -> None:
    result = run_ops(
        *[
            op("run_hook", path="/h", args=["h"], env=[], state_head="{}", state_tail=None, cwd_timeout=(None, 0))
            for _ in range(2)
        ],
        rules=[rule("read", data=b"first", times=1), rule("waitid", mode=1, device=(1, 0), skip=1)],
    )
    assert result.progress.fault == report.HOOK_EXIT
    assert result.progress.output == ""


def child(*rules: dict[str, object], cwd: str | None = "/b") -> Run:
    return hook(rule("clone", plain=True), *rules, cwd=cwd)


def test_child() -> None:
    result = child()
    assert result.outcome == EXECUTED
    mine = result.calls[next(i for i, call in enumerate(result.calls) if call.name == "clone") + 1 :]
    names = [call.name for call in mine if call.name != "rt_sigaction"]
    assert names == [
        *("setsid", "prctl", "fcntl", "fcntl", "dup3", "dup3", "dup3", "umask", "chdir"),
        *("close_range", "rt_sigprocmask", "execve"),
    ]
    assert [call.args[1] for call in mine if call.name == "dup3"] == [0, 1, 2]
    assert next(call for call in mine if call.name == "umask").args[0] == 0o22, "the caller's"
    assert next(call for call in mine if call.name == "close_range").args[:3] == [3, 0xFFFFFFFF, 4]
    execve = mine[-1]
    assert execve.texts[0] == "/h"
    assert (execve.blobs[1], execve.blobs[2]) == (b"h\0a\0", b"K=V\0")
    assert "chdir" not in child(cwd=None).names()


@pytest.mark.parametrize("call", ["setsid", "fcntl", "dup3", "chdir", "close_range", "execve"])
def test_child_that_cannot_become_the_hook(call: str) -> None:
    skip = {"fcntl": 1, "close_range": 1}.get(call, 0)
    result = child(rule(call, -errno.EACCES, skip=skip))
    assert (result.outcome, result.status) == (EXITED, 127)
    assert (result.progress.fault, result.progress.errno) == (report.HOOK_EXEC, errno.EACCES)
    if call != "execve":
        assert "execve" not in result.names()
