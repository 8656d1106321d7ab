"""Cgroups, namespaces, names, keys, the loopback device."""

from __future__ import annotations

import errno

from .recorder import RETURNED, fd_of, op, rule, run_ops


def test_join_cgroup_moves_itself() -> None:
    result = run_ops(op("join_cgroup", slot="tasks"))
    assert result.names() == ["write", "close"]
    assert result.calls[0].fd == fd_of("tasks")
    assert result.calls[0].blobs[1] == b"0"


def test_join_namespace() -> None:
    result = run_ops(op("join_namespace", slot="ns", flag=0x40000000), op("unshare", flags=0x02000000))
    assert result.names() == ["setns", "close", "unshare"]
    assert result.calls[0].args[:2] == [fd_of("ns"), 0x40000000]
    assert result.calls[2].args[0] == 0x02000000


def test_become_root() -> None:
    result = run_ops(op("become_root", drop_groups=1))
    assert result.names() == ["setresgid", "setresuid", "setgroups", "prctl", "prctl"]
    assert [call.args[:3] for call in result.calls[:3]] == [[0, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert "setgroups" not in run_ops(op("become_root", drop_groups=0)).names()


def test_names() -> None:
    result = run_ops(op("set_hostname", name="h.ex"), op("set_domainname", name="d"), op("new_session"))
    assert result.names() == ["sethostname", "setdomainname", "setsid"]
    assert result.calls[0].blobs[0] == b"h.ex"
    assert result.calls[1].args[1] == 1


def test_keyring_is_not_somebody_elses() -> None:
    result = run_ops(op("join_keyring", name="_ses.x"))
    assert [call.args[0] for call in result.calls] == [1, 1, 5]
    assert result.calls[0].args[1] == 0, "an anonymous one first"
    assert result.calls[2].args[1:3] == [77, 0x3F0B0000]


def test_foreign_keyring_of_that_name() -> None:
    for error in (errno.EACCES, errno.EPERM):
        result = run_ops(op("join_keyring", name="_ses.x"), rules=[rule("keyctl", -error, skip=1)])
        assert result.progress.phase != 5
        assert len(result.calls) == 2
    result = run_ops(op("join_keyring", name="_ses.x"), rules=[rule("keyctl", -errno.EACCES)])
    assert result.outcome == RETURNED
    assert len(result.calls) == 1


def test_loopback() -> None:
    result = run_ops(op("loopback_up"))
    assert result.names() == ["socket", "ioctl", "ioctl", "close"]
    assert [call.args[1] for call in result.of("ioctl")] == [0x8913, 0x8914]
    failed = run_ops(op("loopback_up"), rules=[rule("ioctl", -errno.ENODEV)])
    assert failed.names() == ["socket", "ioctl", "close"]


def test_write_proc() -> None:
    result = run_ops(op("write_proc", proc="proc", path="sys/net/x", value="12"))
    assert result.names() == ["openat2", "write", "close"]
    assert result.calls[0].fd == fd_of("proc")
    assert result.calls[1].blobs[1] == b"12"


def test_short_write_to_proc_is_an_error() -> None:
    result = run_ops(op("write_proc", proc="proc", path="x", value="12"), rules=[rule("write", 1)])
    assert result.progress.errno == errno.EIO


def test_set_label_goes_where_write_proc_goes() -> None:
    how = {"proc": "proc", "path": "thread-self/attr/apparmor/exec", "value": "exec p"}
    labelled, written = run_ops(op("set_label", **how)), run_ops(op("write_proc", **how))
    assert [call.name for call in labelled.calls] == ["openat2", "write", "close"]
    # BENEATH, NO_XDEV and NO_MAGICLINKS, below the procfs that the runtime has proven.
    assert [call.blobs for call in labelled.calls] == [call.blobs for call in written.calls]
    assert [call.texts for call in labelled.calls] == [call.texts for call in written.calls]
