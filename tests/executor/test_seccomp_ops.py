"""The calls that load a seccomp filter, and their place."""

from __future__ import annotations

import errno
import struct

import pytest

from ocirun.state import record

from .recorder import EXECUTED, MADE, RETURNED, op, rule, run_ops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LOAD, NEW_LISTENER = 1, 8
PROGRAM = op("find_program", args=["/prog"], env=[], search="/bin")


def hook() -> object:
    return op(
        "run_hook", path="/hook", args=["hook"], env=["A=1"], state_head="{}", state_tail=None, cwd_timeout=("", 0)
    )


def test_held_until_execve() -> None:
    result = run_ops(op("hold_seccomp", filter="filter", flags=6), PROGRAM, op("execute"))
    assert result.outcome == EXECUTED
    assert result.names()[-2:] == ["seccomp", "execve"]
    (call,) = result.of("seccomp")
    assert call.args[:2] == [LOAD, 6]
    assert call.blobs[2] == MADE["filter"]


def test_not_held_nothing_loaded() -> None:
    assert run_ops(PROGRAM, op("execute")).of("seccomp") == []


def test_filter_that_cannot_be_loaded() -> None:
    ops = [op("hold_seccomp", filter="filter", flags=0), PROGRAM, op("execute")]
    result = run_ops(*ops, rules=[rule("seccomp", -errno.ENOMEM)])
    assert (result.outcome, result.progress.phase) == (RETURNED, record.PHASE_FAILED)
    assert (result.progress.index, result.progress.errno) == (2, errno.ENOMEM)
    assert "execve" not in result.names()


def test_hook_loads_it_last() -> None:
    """In the child of the hook: the fake kernel goes on there when told so."""
    ops = [op("hold_seccomp", filter="filter", flags=0), hook()]
    result = run_ops(*ops, rules=[rule("clone", plain=True)])
    assert result.outcome == EXECUTED
    assert result.names()[-2:] == ["seccomp", "execve"]
    watched = run_ops(*ops)
    assert watched.of("seccomp") == []  # the helper itself has none


def test_listener() -> None:
    """A thread that has no filter hands the descriptor over, and closes it; nothing of it is left."""
    ops = [op("load_seccomp", filter="filter", flags=NEW_LISTENER | 2), PROGRAM, op("execute")]
    result = run_ops(*ops)
    assert result.outcome == EXECUTED
    load, send, close, receive = result.calls[1:5]
    assert [call.name for call in (load, send, close, receive)] == ["seccomp", "sendmsg", "close", "recvmsg"]
    assert result.calls[0].name == "clone3"
    flags, *others = struct.unpack("<11Q", result.calls[0].blobs[0])
    assert flags == 0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000  # VM FS FILES SIGHAND THREAD SYSVSEM
    assert [bool(word) for word in others] == [False] * 4 + [True, True] + [False] * 4, "a stack"
    assert load.args[:2] == [LOAD, NEW_LISTENER | 2]
    assert send.args[4] == load.result == close.fd
    # Loaded once: not again at execve.
    assert len(result.of("seccomp")) == 1
    assert not result.open - result.slots


@pytest.mark.parametrize("call", ["clone3", "seccomp", "recvmsg"])
def test_listener_that_fails(call: str) -> None:
    ops = [op("load_seccomp", filter="filter", flags=NEW_LISTENER), op("no_new_privs")]
    result = run_ops(*ops, rules=[rule(call, -errno.EACCES)])
    assert result.outcome == RETURNED
    assert result.progress.phase == record.PHASE_FAILED
    assert "prctl" not in result.names()
    assert result.progress.errno == errno.EACCES


def test_listener_that_cannot_be_sent() -> None:
    ops = [op("load_seccomp", filter="filter", flags=NEW_LISTENER), op("no_new_privs")]
    result = run_ops(*ops, rules=[rule("sendmsg", -errno.ETOOMANYREFS)])
    assert result.progress.phase == record.PHASE_FAILED
    assert result.progress.errno == errno.ETOOMANYREFS
    assert "prctl" not in result.names()


# Five instructions: the sixth argument of a call is compared with two words.  Then what is asked about.
TOKEN = 0x8877665544332211
ASKING = struct.pack(
    "<HBBIHBBIHBBIHBBIHBBIHBBI",
    *(0x20, 0, 0, 56, 0x15, 0, 3, TOKEN & 0xFFFFFFFF, 0x20, 0, 0, 60, 0x15, 0, 1, TOKEN >> 32),
    *(0x06, 0, 0, 0x7FFF0000, 0x06, 0, 0, 0x7FC00000),
)


def asking(**more: Any) -> Any:
    ops = [op("hold_seccomp", filter="filter", flags=NEW_LISTENER), PROGRAM, op("execute")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MADE, "filter", ASKING)
        return run_ops(*ops, **more)


def test_the_last_calls_are_not_asked_about() -> None:
    """The listener goes to the runtime as a report, and the program is executed: both with the token."""
    result = asking()
    assert result.outcome == EXECUTED
    load, send, execute = result.calls[-3:]
    assert [call.name for call in (load, send, execute)] == ["seccomp", "sendmsg", "execve"]
    assert load.args[:2] == [LOAD, NEW_LISTENER]
    assert [call.args[5] & 0xFFFFFFFFFFFFFFFF for call in (send, execute)] == [TOKEN, TOKEN]
    assert send.args[4] == load.result
    # No call before that has it.
    assert not [call for call in result.calls[:-3] if call.args[5] & 0xFFFFFFFFFFFFFFFF == TOKEN]


@pytest.mark.parametrize("call", ["sendmsg", "execve"])
def test_what_fails_then_is_not_asked_about_either(call: str) -> None:
    """Nobody answers before the program runs: any other call would wait for ever."""
    result = asking(rules=[rule(call, -errno.ENOEXEC)])
    assert result.progress.phase == record.PHASE_FAILED
    assert (result.progress.errno, result.progress.index) == (errno.ENOEXEC, 2)
    last = result.of("exit_group")[0]
    assert last.args[5] & 0xFFFFFFFFFFFFFFFF == TOKEN
    assert result.names().index("exit_group") == result.names().index(call) + 1
