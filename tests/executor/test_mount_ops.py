"""The calls of each mount operation, and what each does when the kernel answers otherwise."""

from __future__ import annotations

import errno
import os
import struct

import pytest

from ocirun.execute import report
from ocirun.plan import ops

from .recorder import AT_FDCWD, RETURNED, fd_of, op, rule, run_ops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .recorder import Run

REG, LNK, DIR = 0o100644, 0o120777, 0o040755
PROC = 0x9FA0
IN_ROOT, NO_SYMLINKS, NO_MAGIC = 0x10, 0x04, 0x02


def resolve(run: Run, path: str) -> int:
    call = next(call for call in run.of("openat2") if call.texts[1] == path)
    return int(struct.unpack("<3Q", call.blobs[2])[2])


def fault(run: Run) -> tuple[int, int]:
    assert run.outcome == RETURNED
    return run.progress.fault, run.progress.errno


def test_open_root() -> None:
    result = run_ops(op("open_root", slot="root", path="/b/rootfs"))
    (call,) = result.calls
    assert (call.name, call.args[0], call.texts[1]) == ("openat", AT_FDCWD, "/b/rootfs")
    assert call.args[2] == os.O_CLOEXEC | os.O_DIRECTORY | os.O_PATH
    assert call.result in result.slots


def test_open_root_and_enter_it() -> None:
    result = run_ops(op("open_root", slot="root", path="/b/rootfs", enter=1))
    assert result.names() == ["openat", "fchdir"]
    assert result.calls[1].args[0] == result.calls[0].result in result.slots
    refused = run_ops(op("open_root", slot="root", path="/b/rootfs", enter=1), rules=[rule("fchdir", -errno.EACCES)])
    assert refused.names() == ["openat", "fchdir", "close"]
    assert fault(refused)[1] == errno.EACCES


def test_slot_is_closed_when_set_again() -> None:
    result = run_ops(*[op("open_root", slot="root", path=f"/{i}") for i in range(3)])
    assert result.names() == ["openat", "openat", "close", "openat", "close"]
    assert len(result.open) == 1


def test_close() -> None:
    result = run_ops(op("close", slot="ns"), op("close", slot="ns"))
    assert [call.fd for call in result.of("close")] == [fd_of("ns")]


def test_empty_slot_is_never_the_working_directory() -> None:
    for wanted in (
        op("clone_mount", slot="a", source="b", recursive=1),
        op("attach", slot="a", target="b"),
        op("set_mount_attr", slot="a", set=1),
        op("mask", root="a", path="/x", null="b", empty="c"),
        op("make_readonly", root="a", path="/x"),
        op("make_node", root="a", path="/x", mode=0o20666, device=(1, 3), owner=(0, 0)),
        op("pivot", root="a"),
        op("change_root", root="a"),
        op("write_proc", proc="a", path="sys/x", value="1"),
        op("mount_classic", slot="a", source="x", type="x", flags=0, data=None),
        op("reconfigure", slot="a", options=[]),
        op("join_namespace", slot="a", flag=1),
        op("open_path", slot="a", root="b", path="/x", flags=0, like=None),
    ):
        result = run_ops(wanted)
        assert result.outcome == RETURNED, wanted
        assert result.progress.errno in (errno.EBADF, errno.EINVAL)
        assert not result.calls, wanted


def test_clone_tree_of_the_host() -> None:
    (call,) = run_ops(op("clone_tree", slot="m", path="/usr", recursive=1, root=None)).calls
    assert (call.name, call.args[0], call.texts[1]) == ("open_tree", AT_FDCWD, "/usr")
    assert call.args[2] == 1 | 0o2000000 | 0x8000


def test_clone_tree_of_a_link() -> None:
    (call,) = run_ops(op("clone_tree", slot="m", path="/usr", recursive=0, root=None, nofollow=1)).calls
    assert call.args[2] & 0x100  # AT_SYMLINK_NOFOLLOW
    result = run_ops(op("clone_tree", slot="m", path="/x", recursive=0, root="ns", nofollow=1))
    assert struct.unpack("<3Q", result.of("openat2")[0].blobs[2])[0] & os.O_NOFOLLOW


def test_clone_tree_below_the_root() -> None:
    result = run_ops(op("clone_tree", slot="m", path="/x", recursive=0, root="ns"))
    assert result.names() == ["openat2", "open_tree", "close"]
    assert resolve(result, "/x") == IN_ROOT | NO_MAGIC
    assert result.calls[1].texts[1] == ""
    assert result.calls[1].args[2] == 1 | 0o2000000 | 0x1000


def test_new_filesystem() -> None:
    result = run_ops(
        op("open_root", slot="target", path="/t"),
        op(
            "new_filesystem",
            slot="m",
            type="tmpfs",
            options=[("size", "1m"), ("noswap", None)],
            attributes=6,
            mode_from="target",
        ),
        rules=[rule("openat", mode=0o041777)],
    )
    assert result.names() == ["openat", "fsopen", *["fsconfig"] * 2, "statx", *["fsconfig"] * 2, "fsmount", "close"]
    settings = [(call.args[1], call.texts.get(2), call.texts.get(3)) for call in result.of("fsconfig")]
    assert settings == [(1, "size", "1m"), (0, "noswap", None), (1, "mode", "1777"), (6, None, None)]
    assert result.of("fsmount")[0].args[2] == 6


OVERLAY = {
    "slot": "root",
    "lower": "root",
    "upper": "room",
    "proc": "proc",
    "options": [("userxattr", None), ("metacopy", "off")],
}
PREPARED = {"slot": "room", "like": "root", "mark": "user.overlay.ocirun"}


OPENED = (
    op("open_root", slot="root", path="/lower"),
    op("open_root", slot="room", path="/room"),
    op("open_root", slot="proc", path="/proc"),
)


def prepared(*rules: dict[str, Any], **changes: Any) -> Run:
    return run_ops(
        *OPENED,
        op("prepare_upper", **(PREPARED | changes)),
        rules=[*rules, rule("statx", mode=0o040750, device=(5, 6))],
    )


def overlay(*rules: dict[str, Any], **changes: Any) -> Run:
    return run_ops(*OPENED, op("new_overlay", **(OVERLAY | changes)), rules=rules)


def test_prepare_upper() -> None:
    result = prepared()
    assert result.names()[4:] == [
        *("mkdirat", "openat", "mkdirat", "openat", "fsetxattr", "statx", "fchown", "fchmod", "close", "close"),
    ]
    assert result.open <= result.slots and not result.wrong
    lower, room, _, upper, work = (call.result for call in result.of("openat")[:5])
    assert [(call.fd, call.texts[1]) for call in result.of("mkdirat")] == [(room, "upper"), (room, "work")]
    assert (result.of("fsetxattr")[0].fd, result.of("fchmod")[0].args[:2]) == (work, [upper, 0o750])
    assert result.of("statx")[0].fd == lower


def test_upper_without_a_mark() -> None:
    assert "fsetxattr" not in prepared(mark=None).names()


def test_upper_where_the_owner_has_no_id() -> None:
    assert prepared(rule("fchown", -errno.EINVAL)).names() == prepared().names()
    assert prepared(rule("fchown", -errno.EPERM)).progress.errno == errno.EPERM


def test_new_overlay() -> None:
    result = overlay()
    assert result.names()[4:] == [
        "fstatfs",
        "fchdir",
        "fsopen",
        *["fsconfig"] * 6,
        "fsmount",
        "close",
        "fchdir",
        "close",
    ]
    assert result.open <= result.slots and not result.wrong
    lower, room, proc = (call.result for call in result.of("openat")[:3])
    settings = [(call.args[1], call.texts.get(2), call.texts.get(3)) for call in result.of("fsconfig")]
    assert settings == [
        (1, "lowerdir", f"self/fd/{lower}"),
        (1, "upperdir", f"self/fd/{room}/upper"),
        (1, "workdir", f"self/fd/{room}/work"),
        (0, "userxattr", None),
        (1, "metacopy", "off"),
        (6, None, None),
    ]
    # The paths of the layers begin in a procfs that is proven to be one; hooks begin in the new root.
    assert [call.fd for call in result.of("fchdir")] == [proc, result.of("fsmount")[0].result]


def test_overlay_with_layers() -> None:
    layers = [
        op("open_root", slot="layer", path="/new"),
        op("add_layer", overlay="overlay", slot="layer", proc="proc"),
        op("open_root", slot="deeper", path="/old"),
        op("add_layer", overlay="overlay", slot="deeper", proc="proc"),
    ]
    result = run_ops(*OPENED, *layers, op("new_overlay", **OVERLAY, layers="overlay"))
    assert result.open <= result.slots and not result.wrong
    assert len(result.of("fsopen")) == 1
    lower, _, proc, new, old = (call.result for call in result.of("openat")[:5])
    settings = [(call.texts.get(2), call.texts.get(3)) for call in result.of("fsconfig")][:3]
    assert settings == [("lowerdir+", f"self/fd/{fd}") for fd in (new, old, lower)]
    assert [call.fd for call in result.of("fchdir")] == [proc, proc, proc, result.of("fsmount")[0].result]


def test_layer_that_the_kernel_refuses() -> None:
    layer = op("add_layer", overlay="overlay", slot="root", proc="proc")
    told = rule("read", data=b"e overlay: Unknown parameter 'lowerdir+'\n", times=1)
    result = run_ops(*OPENED, layer, rules=[rule("fsconfig", -errno.EINVAL, text="lowerdir+"), told])
    assert result.progress.errno == errno.EINVAL and "lowerdir+" in result.progress.output


def test_overlay_keeps_the_flags_of_the_mount_below() -> None:
    flags = 0x1 | 0x2 | 0x4 | 0x8  # of which being read-only is not one that is kept
    result = overlay(rule("fstatfs", mode=1, device=(0, flags)))
    assert result.of("fsmount")[0].args[2] == 0x2 | 0x4 | 0x8


def test_overlay_of_empty_slots() -> None:
    for name in ("lower", "upper", "proc"):
        assert overlay(**{name: "empty"}).progress.errno == errno.EINVAL
    for name in ("slot", "like"):
        assert prepared(**{name: "empty"}).progress.errno == errno.EINVAL
    for changes in ({"slot": "empty"}, {"proc": "empty"}):
        arguments = {"overlay": "overlay", "slot": "root", "proc": "proc"} | changes
        assert run_ops(*OPENED, op("add_layer", **arguments)).progress.errno == errno.EINVAL


def test_refused_option_is_named_with_the_kernels_words() -> None:
    result = run_ops(
        op("new_filesystem", slot="m", type="tmpfs", options=[("size", "1m"), ("nope", "1")], attributes=0),
        rules=[
            rule("fsconfig", -errno.EINVAL, text="nope"),
            rule("read", data=b"e tmpfs: Unknown parameter 'nope'\n", times=1),
        ],
    )
    assert fault(result) == (report.OPTION, errno.EINVAL)
    assert result.progress.detail == 1
    assert result.progress.output == "e tmpfs: Unknown parameter 'nope'\n"
    assert not result.open


def test_log_of_the_kernel_is_kept_on_create() -> None:
    result = run_ops(
        op("new_filesystem", slot="m", type="overlay", options=[("lowerdir", "/a")], attributes=0),
        rules=[rule("fsconfig", -errno.EINVAL, skip=1), rule("read", data=b"e overlay: missing\n", times=1)],
    )
    assert fault(result) == (report.CALL, errno.EINVAL)
    assert result.progress.output == "e overlay: missing\n"


def test_set_mount_attr() -> None:
    result = run_ops(op("set_mount_attr", slot="ns", set=3, clear=4, propagation=1 << 19, recursive=1, locked=0))
    (call,) = result.calls
    assert call.args[2] == 0x1000 | 0x8000
    assert struct.unpack("<3Q", call.blobs[3]) == (3, 4, 1 << 19)


@pytest.mark.parametrize(("have", "refused"), [(0, 0), (2, 2), (8 | 2, 2), (0x400, 0)])
def test_locked_attributes(have: int, refused: int) -> None:
    result = run_ops(
        op("set_mount_attr", slot="ns", clear=2, locked=2), rules=[rule("fstatfs", mode=1, device=(1, have))]
    )
    if refused:
        assert fault(result) == (report.LOCKED, errno.EPERM)
        assert result.progress.detail == refused
        assert not result.of("mount_setattr")
    else:
        assert result.names() == ["fstatfs", "mount_setattr"]


def test_mount_classic_never_names_its_target() -> None:
    result = run_ops(op("mount_classic", slot="ns", source="src", type="fs", flags=5, data="x=y"))
    assert result.names() == ["fchdir", "mount", "chdir"]
    assert result.calls[1].texts == {0: "src", 1: ".", 2: "fs", 4: "x=y"}
    assert result.calls[2].texts[0] == "/"


def test_reconfigure() -> None:
    result = run_ops(op("reconfigure", slot="ns", options=[("size", "2m")]))
    assert result.names() == ["fspick", "fsconfig", "fsconfig", "close"]
    assert result.calls[2].args[1] == 7  # FSCONFIG_CMD_RECONFIGURE
    assert result.calls[0].args[2] == 1 | 8  # FSPICK_CLOEXEC, FSPICK_EMPTY_PATH


def test_privatize_parent_climbs_to_the_mount() -> None:
    result = run_ops(op("privatize_parent", slot="ns"), rules=[rule("statx", plain=True, times=3)])
    assert result.names("openat", "mount_setattr") == ["openat"] * 3 + ["mount_setattr"]
    assert {call.texts[1] for call in result.of("openat")} == {".."}
    assert struct.unpack("<3Q", result.of("mount_setattr")[0].blobs[3]) == (0, 0, 1 << 18)
    assert not result.open


def test_privatize_parent_gives_up() -> None:
    result = run_ops(op("privatize_parent", slot="ns"), rules=[rule("statx", plain=True)])
    assert fault(result) == (report.CALL, errno.ELOOP)
    assert not result.of("mount_setattr")


def open_path(flags: int, *rules: object, like: str | None = None) -> Run:
    wanted = op("open_path", slot="t", root="proc", path="/a/b", flags=flags, like=like)
    return run_ops(wanted, rules=rules)  # type: ignore[arg-type]


def test_open_path_plain_follows_no_link() -> None:
    result = open_path(ops.OPEN_PLAIN | ops.OPEN_DIRECTORY)
    assert result.names() == ["openat2"]
    assert resolve(result, "/a/b") == IN_ROOT | NO_MAGIC | NO_SYMLINKS


@pytest.mark.parametrize("error", [errno.ELOOP, errno.ENOTDIR])
def test_open_path_plain_names_the_link(error: int) -> None:
    result = open_path(ops.OPEN_PLAIN | ops.OPEN_DIRECTORY | ops.OPEN_CREATE, rule("openat2", -error))
    assert fault(result) == (report.NOT_PLAIN, error)
    assert result.names() == ["openat2"]


def test_open_path_not_in_proc() -> None:
    result = open_path(ops.OPEN_NOT_PROC | ops.OPEN_DIRECTORY, rule("fstatfs", mode=1, device=(PROC, 0)))
    assert fault(result) == (report.ON_PROC, errno.EPERM)
    assert not result.open


def test_open_path_like_proc() -> None:
    flags = ops.OPEN_LIKE_PROC
    result = open_path(flags, rule("fstatfs", mode=1, device=(0xEF53, 0)), like="ns")
    assert fault(result) == (report.NOT_PROC, errno.EINVAL)
    result = open_path(flags, rule("fstatfs", mode=1, device=(PROC, 0)), like="ns")
    assert result.progress.phase != 5


def test_open_path_takes_the_kind_of_its_mount() -> None:
    for mode, ok in ((REG, False), (DIR, True)):
        result = open_path(ops.OPEN_CREATE, rule("statx", mode=mode, times=1), like="ns")
        assert (result.progress.phase != 5) is ok
        if not ok:
            assert result.progress.errno == errno.ENOTDIR


def test_a_file_that_is_missing_on_a_readonly_file_system() -> None:
    flags = ops.OPEN_CREATE | ops.OPEN_NOFOLLOW
    wanted = op("open_path", slot="e", root="ns", path="/dev/console", flags=flags)
    readonly = rule("mknodat", -errno.EROFS)
    failed = run_ops(wanted, rules=[readonly, rule("openat", -errno.ENOENT, text="console")])
    assert (failed.progress.errno, failed.names()[-2]) == (errno.EROFS, "mknodat")
    there = run_ops(wanted, rules=[readonly, rule("openat", text="console", mode=0o100644)])
    assert there.progress.phase != 5


@pytest.mark.parametrize("kind", [LNK, DIR])
def test_open_path_nofollow(kind: int) -> None:
    flags = ops.OPEN_CREATE | ops.OPEN_NOFOLLOW
    result = open_path(flags, rule("mknodat", -errno.EEXIST), rule("openat", mode=kind))
    assert fault(result) == (report.NOT_PLAIN, errno.ELOOP)
    assert not result.open
    result = open_path(flags)
    assert result.names() == ["openat2", "statx", "mknodat", "openat", "close", "statx"]
    assert result.of("openat")[0].args[2] & os.O_NOFOLLOW


@pytest.mark.parametrize(("kind", "like"), [(LNK, REG), (REG, REG), (DIR, DIR)])
def test_open_path_itself(kind: int, like: int) -> None:
    wanted = rule("openat", text="b", mode=kind)
    result = open_path(ops.OPEN_CREATE | ops.OPEN_ITSELF, rule("statx", mode=like, times=1), wanted, like="ns")
    assert result.progress.phase != 5
    assert result.names() == ["statx", "openat2", "statx", "openat", "close", "statx"]
    assert result.of("openat")[0].args[2] & os.O_NOFOLLOW


def test_open_path_itself_makes_what_is_missing() -> None:
    missing = rule("openat", -errno.ENOENT, text="b", times=1)
    for flags, call in ((0, "mknodat"), (ops.OPEN_DIRECTORY, "mkdirat")):
        kind = rule("openat", text="b", mode=DIR if flags else REG)
        result = open_path(ops.OPEN_CREATE | ops.OPEN_ITSELF | flags, missing, kind)
        assert result.names() == ["openat2", "statx", "openat", call, "openat", "close", "statx"]
        assert result.progress.phase != 5


@pytest.mark.parametrize("kind", [LNK, REG, DIR])
def test_open_path_itself_makes_nothing_unasked(kind: int) -> None:
    result = open_path(ops.OPEN_ITSELF, rule("openat", -errno.ENOENT, text="b", times=1))
    assert result.progress.errno == errno.ENOENT
    assert not result.open
    result = open_path(ops.OPEN_ITSELF, rule("openat", text="b", mode=kind))
    assert result.progress.phase != 5, "of any kind"


def test_open_path_itself_of_another_kind() -> None:
    flags = ops.OPEN_CREATE | ops.OPEN_ITSELF | ops.OPEN_DIRECTORY
    result = open_path(flags, rule("openat", text="b", mode=LNK))
    assert result.progress.errno == errno.ENOTDIR
    assert not result.open


def test_label_of_a_mount() -> None:
    result = run_ops(
        op("new_filesystem", slot="m", type="mqueue", options=[]), op("set_file_label", slot="m", label="l")
    )
    assert result.names()[-3:] == ["fchdir", "setxattr", "chdir"]
    (call,) = result.of("setxattr")
    assert (call.texts[0], call.texts[1], call.args[3]) == (".", "security.selinux", 2)
