"""The change of root, masks, read-only paths, the terminal, standard streams."""

from __future__ import annotations

import errno
import struct

import pytest

from ocirun.execute import report

from .recorder import fd_of, op, rule, run_ops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .recorder import Run

REG, CHR, DIR = 0o100644, 0o020666, 0o040755
MS_SLAVE, MS_PRIVATE, MS_REC, MS_MOVE = 1 << 19, 1 << 18, 1 << 14, 1 << 13


def test_pivot() -> None:
    result = run_ops(op("pivot", root="ns"))
    assert result.names() == ["openat", "fchdir", "pivot_root", "fchdir", "mount", "umount2", "chdir", "close"]
    old = result.calls[0].result
    assert [call.fd for call in result.of("fchdir")] == [fd_of("ns"), old]
    assert result.calls[2].texts == {0: ".", 1: "."}
    assert result.calls[4].args[3] == MS_SLAVE | MS_REC
    assert result.calls[5].args[1] == 2  # MNT_DETACH
    assert result.calls[6].texts[0] == "/"


@pytest.mark.parametrize("at", range(6))
def test_pivot_stops_at_once(at: int) -> None:
    whole = run_ops(op("pivot", root="ns"))
    number = whole.calls[at + 1].number
    result = run_ops(op("pivot", root="ns"), op("no_new_privs"), fail=(number, errno.EBUSY))
    assert result.names() == [*whole.names()[: at + 2], "close"]
    assert result.progress.errno == errno.EBUSY


def test_move_root() -> None:
    result = run_ops(op("move_root", root="ns", top="e"))
    assert result.names() == ["getpid", "pidfd_open", "setns", "close", "openat", "mount", "fchdir", "mount"]
    private, move = result.of("mount")
    assert (private.texts[1], private.args[3]) == ("/", MS_PRIVATE), "before the move, or the host would get it too"
    assert (move.texts, move.args[3]) == ({0: ".", 1: "/"}, MS_MOVE)


@pytest.mark.parametrize("at", ["pidfd_open", "setns", "openat", "mount", "fchdir"])
def test_move_root_stops_at_once(at: str) -> None:
    result = run_ops(op("move_root", root="ns", top="e"), rules=[rule(at, -errno.EBUSY)])
    assert result.progress.errno == errno.EBUSY
    assert [name for name in result.names() if name != "close"][-1] == at


def test_hide_mount() -> None:
    result = run_ops(op("hide_mount", slot="ns", path="a/b", cover=0))
    assert result.names() == ["fchdir", "mount", "umount2", "chdir"]
    assert (result.calls[1].texts[1], result.calls[1].args[3]) == ("a/b", MS_PRIVATE | MS_REC)
    assert result.calls[2].args[1] == 2 | 8, "MNT_DETACH | UMOUNT_NOFOLLOW"
    covered = run_ops(op("hide_mount", slot="ns", path="a/b", cover=1))
    assert covered.names() == ["fchdir", "mount", "chdir"]
    assert covered.calls[1].texts == {0: "tmpfs", 1: "a/b", 2: "tmpfs"}


@pytest.mark.parametrize(("error", "passed"), [(errno.ENOENT, True), (errno.EINVAL, True), (errno.EBUSY, False)])
def test_hide_mount_leaves_what_is_held_fast(error: int, passed: bool) -> None:
    for over in (0, 1):
        wanted = op("hide_mount", slot="ns", path="a", cover=0, pass_over=over)
        result = run_ops(wanted, rules=[rule("umount2", -error)])
        assert result.progress.errno == (0 if passed and over else error)


def test_unmount_names_the_descriptor() -> None:
    result = run_ops(op("unmount", slot="ns", proc="tasks"))
    assert result.names() == ["fchdir", "mount", "umount2", "chdir", "close"]
    path = f"self/fd/{fd_of('ns')}"
    assert (result.calls[1].texts[1], result.calls[1].args[3]) == (path, MS_PRIVATE | MS_REC)
    assert (result.calls[2].texts[0], result.calls[2].args[1]) == (path, 2), "MNT_DETACH, and the link is followed"


@pytest.mark.parametrize("at", ["fchdir", "mount", "umount2", "chdir"])
def test_unmount_stops_at_once(at: str) -> None:
    result = run_ops(op("unmount", slot="ns", proc="tasks"), rules=[rule(at, -errno.EINVAL)])
    assert result.progress.errno == errno.EINVAL
    assert result.names()[-1] == at
    if at in ("mount", "umount2"):
        assert result.progress.object == f"self/fd/{fd_of('ns')}"


def test_change_root() -> None:
    assert run_ops(op("change_root", root="ns")).names() == ["fchdir", "chroot", "chdir"]


def mask(*rules: dict[str, object], paths: tuple[str, ...] = ("/p",)) -> Run:
    return run_ops(*[op("mask", root="ns", path=path, null="tasks", empty="e") for path in paths], rules=rules)


def test_mask_of_a_file() -> None:
    result = mask(rule("openat2", mode=REG), rule("openat2", skip=1, mode=REG), paths=("/p", "/q"))
    # The first is covered by the mount itself: kernels before 6.15 copy none that is not attached.
    first = ["openat2", "statx", "move_mount", "close"]
    assert result.names() == [*first, "openat2", "statx", "open_tree", "move_mount", "close", "close"]
    assert result.of("move_mount")[0].fd == result.of("open_tree")[0].fd == fd_of("tasks")


def test_mask_of_directories_shares_one_empty_one() -> None:
    result = mask(paths=("/a", "/b", "/c"))
    assert len(result.of("fsopen")) == 1
    assert len(result.of("move_mount")) == 3
    empty = result.of("fsmount")[0]
    assert empty.args[2] == 0xF, "read-only, nosuid, nodev, noexec"
    assert {call.fd for call in result.of("open_tree")} == {empty.result}


def test_mask_of_a_directory_with_a_label() -> None:
    result = run_ops(op("mask", root="ns", path="/p", null="tasks", empty="e", label="u:r:t:s0"))
    assert [call.texts.get(3) for call in result.of("fsconfig") if call.texts.get(2) == "context"] == ["u:r:t:s0"]
    assert not [call for call in mask(paths=("/a",)).of("fsconfig") if call.texts.get(2) == "context"]


def test_only_a_missing_path_is_passed_over() -> None:
    for error in (errno.ENOENT, errno.ENOTDIR):
        for result in (
            mask(rule("openat2", -error)),
            run_ops(op("make_readonly", root="ns", path="/p"), rules=[rule("openat2", -error)]),
        ):
            assert result.progress.phase != 5
            assert result.names() == ["openat2"]
    for error in (errno.EACCES, errno.ELOOP, errno.EXDEV, errno.ENOMEM):
        assert mask(rule("openat2", -error)).progress.errno == error
        result = run_ops(op("make_readonly", root="ns", path="/p"), rules=[rule("openat2", -error)])
        assert result.progress.errno == error


def test_missing_in_a_later_call_is_an_error() -> None:
    for call in ("statx", "open_tree", "move_mount"):
        two = mask(rule("openat2", mode=REG), rule(call, -errno.ENOENT), paths=("/p", "/q"))
        assert two.progress.errno == errno.ENOENT


def test_make_readonly() -> None:
    result = run_ops(op("make_readonly", root="ns", path="/proc/sys"))
    assert result.names() == ["openat2", "open_tree", "mount_setattr", "move_mount", "close", "close"]
    call = result.of("mount_setattr")[0]
    assert struct.unpack("<3Q", call.blobs[3]) == (1, 0, 0)
    assert result.of("open_tree")[0].args[2] & 0x8000, "with what is mounted below"
    assert not result.open


def console(*rules: dict[str, object], size: int = 24 << 16 | 80) -> Run:
    wanted = op("open_console", root="ns", master="m", slave="s", size=size, uid=1000)
    return run_ops(wanted, rules=rules)


def test_console() -> None:
    result = console()
    assert [call.texts[1] for call in result.of("openat")] == ["ptmx", "ptmx"]
    assert result.of("openat")[0].args[2] & 0o10000000, "O_PATH first: opening may act"
    assert [call.args[1] for call in result.of("ioctl")] == [0x40045431, 0x5441, 0x5414]
    (owner,) = result.of("fchown")
    assert owner.args[1] == 1000
    assert owner.args[2] & 0xFFFFFFFF == 0xFFFFFFFF
    assert len(result.open) == 2
    assert len(console(size=0).of("ioctl")) == 2


@pytest.mark.parametrize(("mode", "device"), [(CHR, (1, 3)), (REG, (5, 2)), (CHR, (5, 0)), (0o060666, (5, 2))])
def test_console_is_the_multiplexer_or_nothing(mode: int, device: tuple[int, int]) -> None:
    result = console(rule("openat", text="ptmx", mode=mode, device=device))
    assert (result.progress.fault, result.progress.errno) == (report.NOT_DEVPTS, errno.ENODEV)
    assert len(result.of("openat")) == 1, "it is never opened for real"
    assert not result.open
    swapped = console(rule("openat", text="ptmx", mode=mode, device=device, skip=1))
    assert swapped.progress.fault == report.NOT_DEVPTS
    assert not swapped.of("ioctl")


def test_use_console() -> None:
    result = run_ops(op("use_console", slave="tasks", target="ns"))
    assert result.names() == ["open_tree", "move_mount", "close", "ioctl", "dup3", "dup3", "dup3", "close"]
    assert [call.args[1] for call in result.of("dup3")] == [0, 1, 2]
    assert run_ops(op("use_console", slave="tasks", target=None)).names()[0] == "ioctl"


def streams(*rules: dict[str, object]) -> Run:
    return run_ops(op("fix_stdio", root="ns", uid=1000), rules=rules)


def test_streams_go_to_the_user() -> None:
    result = streams()
    assert [(call.fd, call.args[1]) for call in result.of("fchown")] == [(fd, 1000) for fd in range(3)]
    assert all(call.args[2] & 0xFFFFFFFF == 0xFFFFFFFF for call in result.of("fchown")), "the group stays"


def test_the_hosts_null_becomes_the_containers() -> None:
    null = rule("statx", mode=CHR, device=(1, 3))
    result = streams(null)
    assert [call.args[1] for call in result.of("dup3")] == [0, 1, 2]
    assert not result.of("fchown")
    assert not result.open


@pytest.mark.parametrize(("mode", "device"), [(REG, (0, 0)), (0o010666, (0, 0)), (CHR, (9, 128))])
def test_a_false_null_is_not_even_opened(mode: int, device: tuple[int, int]) -> None:
    # To open a fifo waits, and to open a tape rewinds it.
    result = streams(rule("statx", mode=CHR, device=(1, 3), times=1), rule("openat2", mode=mode, device=device))
    assert not result.of("dup3")
    assert [struct.unpack("<Q", call.blobs[2][:8])[0] & 0o10000000 for call in result.of("openat2")] == [0o10000000]
    assert {call.fd for call in result.of("fchown")} == {1, 2}


def test_closed_streams_stay_closed() -> None:
    result = streams(rule("statx", -errno.EBADF))
    assert result.progress.phase != 5
    assert len(result.calls) == 3


ENTER = op("enter_tree", slot="root", source="ns", namespace="plan")


def test_copy_root() -> None:
    result = run_ops(op("copy_root", slot="root", source="ns"))
    (made,) = result.calls
    assert (made.name, made.fd, made.texts[1]) == ("open_tree", fd_of("ns"), "")
    assert made.args[2] == 2 | 0x80000 | 0x1000 | 0x8000  # OPEN_TREE_NAMESPACE, CLOEXEC, AT_EMPTY_PATH, AT_RECURSIVE


def test_enter_tree() -> None:
    """What "/" is in the namespace has to be the host's directory."""
    result = run_ops(ENTER)
    assert result.names() == ["statx", "setns", "openat", "statx"]
    assert result.calls[0].fd == fd_of("ns")
    assert (result.calls[1].fd, result.calls[1].args[1]) == (fd_of("plan"), 0x20000)  # CLONE_NEWNS
    assert result.calls[2].texts[1] == "/"


def test_enter_tree_finds_another_root() -> None:
    result = run_ops(ENTER, rules=[rule("statx", inode=77, skip=1)])
    assert result.progress.errno == errno.EXDEV
    assert not result.open


@pytest.mark.parametrize(
    ("step", "at"),
    [("copy_root", "open_tree"), ("enter_tree", "statx"), ("enter_tree", "setns"), ("enter_tree", "openat")],
)
def test_the_tree_is_left_at_once(step: str, at: str) -> None:
    """A kernel that refuses the flag after all: nothing else is tried."""
    first = ENTER if step == "enter_tree" else op("copy_root", slot="root", source="ns")
    result = run_ops(first, op("no_new_privs"), rules=[rule(at, -errno.EINVAL)])
    assert result.progress.errno == errno.EINVAL
    assert [name for name in result.names() if name != "close"][-1] == at
    assert not result.open
