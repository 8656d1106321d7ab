"""The calls that load a seccomp filter, and their place."""

from __future__ import annotations

import errno
import struct

import pytest

from ocirun.state import record

from .recorder import EXECUTED, MADE, RETURNED, op, rule, run_ops

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
