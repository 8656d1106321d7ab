"""Look-ups below the root, device nodes, links, and the copy into a tmpfs."""

from __future__ import annotations

import errno
import os
import struct

import pytest

from ocirun.execute import report
from ocirun.plan import ops

from .recorder import fd_of, op, rule, run_ops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .recorder import Run

CHR, FIFO, REG, LNK, DIR = 0o020000, 0o010000, 0o100644, 0o120777, 0o040755
NO_SYMLINKS = 0x04


def create(path: str, *rules: dict[str, object], directory: bool = True) -> Run:
    flags = ops.OPEN_CREATE | (ops.OPEN_DIRECTORY if directory else 0)
    return run_ops(op("open_path", slot="t", root="ns", path=path, flags=flags, like=None), rules=rules)


def missing(*paths: str) -> list[dict[str, object]]:
    """Rules: each look-up of a path fails once for the whole, once for the component."""
    return [rule("openat2", -errno.ENOENT, text=path, times=1) for path in paths]


def looked_up(result: Run) -> list[tuple[str, bool]]:
    """(path, no links allowed) of each look-up."""
    return [
        (call.texts[1], bool(struct.unpack("<3Q", call.blobs[2])[2] & NO_SYMLINKS)) for call in result.of("openat2")
    ]


def made(result: Run) -> list[tuple[str, str, int]]:
    return [
        (call.name, call.texts[1], call.args[2])
        for call in result.calls
        if call.name in ("mkdirat", "mknodat", "unlinkat")
    ]


def test_existing_path_is_one_look_up() -> None:
    assert looked_up(create("/a/b/c")) == [("/a/b/c", False)]


def test_missing_directories_are_made_one_by_one() -> None:
    result = create("/a/b", *missing("/a/b", "a/b"))
    assert looked_up(result) == [("/a/b", False), ("a", True), ("a/b", True), ("a", True), ("a/b", True), ("a/b", True)]
    assert made(result) == [("mkdirat", "b", 0o755)]
    assert len(result.open) == 1


def test_missing_file_is_made_empty() -> None:
    result = create(
        "/d/f",
        *missing("/d/f", "d/f"),
        rule("openat2", text="d/f", mode=REG),
        directory=False,
    )
    assert made(result) == [("mknodat", "f", REG)]
    assert result.progress.phase != 5


def test_dots_are_taken_out_of_what_is_made() -> None:
    result = create("//a/./../b//", *missing("//a/./../b//", "b"))
    assert looked_up(result)[1:] == [("a", True), ("b", True), (".", True), ("b", True), ("b", True)]
    assert made(result) == [("mkdirat", "b", 0o755)]


def test_dots_cannot_climb_out() -> None:
    result = create("../../../x", *missing("../../../x", "x"))
    assert {call.fd for call in result.of("openat2")} == {fd_of("ns")}
    assert made(result) == [("mkdirat", "x", 0o755)]


@pytest.mark.parametrize(
    ("link", "then"),
    [(b"/else", "else/x"), (b"other", "d/other/x"), (b"../up", "up/x"), (b"/", "x"), (b"../../../../top", "top/x")],
)
def test_links_are_followed_inside_the_root(link: bytes, then: str) -> None:
    result = create(
        "/d/link/x", *missing("/d/link/x"), rule("openat2", text="d/link", mode=LNK), rule("readlinkat", data=link)
    )
    assert then in [path for path, plain in looked_up(result) if plain]
    assert result.progress.phase != 5
    assert len(result.open) == 1


def test_links_in_a_circle() -> None:
    result = create("/l", *missing("/l"), rule("openat2", text="l", mode=LNK), rule("readlinkat", data=b"l"))
    assert result.progress.errno == errno.ELOOP
    assert len(result.of("readlinkat")) == 40
    assert not result.open


@pytest.mark.parametrize(("data", "error"), [(b"", errno.ENOENT), (b"x" * 4095, errno.ENAMETOOLONG)])
def test_strange_links(data: bytes, error: int) -> None:
    rules = [rule("openat2", text="l", mode=LNK), rule("readlinkat", data=data)]
    result = create("/l/" + "y" * 20, *missing("/l/" + "y" * 20), *rules)
    assert result.progress.errno == error
    assert not result.open


def test_rename_races_are_tried_again() -> None:
    result = create("/a", rule("openat2", -errno.EAGAIN, times=5))
    assert len(looked_up(result)) == 6
    result = create("/a", rule("openat2", -errno.EAGAIN))
    assert len(looked_up(result)) == 128
    assert result.progress.errno == errno.EAGAIN


def test_directory_that_is_removed_again_and_again() -> None:
    result = create("/a", rule("openat2", -errno.ENOENT, text="a"), *missing("/a"))
    assert result.progress.errno == errno.EAGAIN
    assert not result.open


def test_someone_else_makes_it_first() -> None:
    result = create("/a", *missing("/a", "a"), rule("mkdirat", -errno.EEXIST))
    assert result.progress.phase != 5


def test_too_long_path() -> None:
    result = create("/" + "x/" * 2100, rule("openat2", -errno.ENOENT, times=1))
    assert result.progress.errno == errno.ENAMETOOLONG


@pytest.mark.parametrize("mode", [REG, CHR | 0o600, FIFO])
def test_wrong_kind(mode: int) -> None:
    result = create("/a", rule("openat2", mode=mode))
    assert result.progress.errno == errno.ENOTDIR
    assert not result.open


def node(
    *rules: dict[str, object], mode: int = CHR | 0o666, owner: tuple[int, int] = (0, 0), path: str = "/dev/x"
) -> Run:
    wanted = op("make_node", root="ns", path=path, mode=mode, device=(259, 70000), owner=owner)
    return run_ops(wanted, rules=rules)


def test_node() -> None:
    result = node()
    assert result.names() == ["openat2", "statx", "mknodat", "openat", "statx", "close", "close"]
    (call,) = result.of("mknodat")
    # as makedev(3) has it
    assert call.args[3] == (70000 & 0xFF) | (259 << 8) | ((70000 & ~0xFF) << 12)


def test_node_with_an_owner() -> None:
    result = node(owner=(1000, 5))
    (call,) = result.of("fchownat")
    assert (call.texts[1], call.args[2:5]) == ("", [1000, 5, 0x1000])


def test_node_that_is_there() -> None:
    there = rule("mknodat", -errno.EEXIST)
    same = rule("statx", text="x", mode=CHR | 0o666, device=(259, 70000))
    opened = rule("openat", text="x", mode=CHR | 0o666, device=(259, 70000))
    result = node(there, same, opened)
    assert result.progress.phase != 5
    assert not result.of("unlinkat")


def test_node_with_another_mode_is_made_anew() -> None:
    there = rule("mknodat", -errno.EEXIST, times=1)
    same = rule("statx", text="x", mode=CHR | 0o600, device=(259, 70000))
    result = node(there, same)
    assert [name for name, _, _ in made(result)] == ["mknodat", "unlinkat", "mknodat"]


@pytest.mark.parametrize(
    ("mode", "device"), [(REG, (0, 0)), (CHR | 0o666, (1, 3)), (0o060666, (259, 70000)), (LNK, (0, 0)), (DIR, (0, 0))]
)
def test_another_file_in_the_place_of_a_node(mode: int, device: tuple[int, int]) -> None:
    result = node(rule("mknodat", -errno.EEXIST), rule("statx", text="x", mode=mode, device=device))
    assert (result.progress.fault, result.progress.errno) == (report.NODE_DIFFERS, errno.EEXIST)
    assert not result.of("unlinkat")
    assert not result.of("fchownat")


@pytest.mark.parametrize(("mode", "device"), [(REG, (0, 0)), (CHR | 0o666, (1, 1)), (CHR | 0o666, (259, 1))])
def test_node_swapped_before_its_owner_is_set(mode: int, device: tuple[int, int]) -> None:
    result = node(rule("openat", text="x", mode=mode, device=device), owner=(1000, 1000))
    assert result.progress.fault == report.NODE_DIFFERS
    assert not result.of("fchownat")


@pytest.mark.parametrize("path", ["/", "", "/dev/.", "/dev/..", "..", "///"])
def test_node_without_a_name(path: str) -> None:
    result = node(path=path)
    assert result.progress.errno == errno.EINVAL
    assert not made(result)


def link(*rules: dict[str, object], needs: str | None = None, replace: int = 0) -> Run:
    wanted = op("make_link", root="ns", path="/dev/l", text="t", needs=needs, replace=replace)
    return run_ops(wanted, rules=rules)


def test_link() -> None:
    assert link().names() == ["openat2", "statx", "symlinkat", "close"]
    assert link(needs="/proc/x").names()[:2] == ["openat2", "close"]
    assert link(rule("openat2", -errno.ENOENT, text="/n"), needs="/n").names() == ["openat2"]


def test_link_that_is_there() -> None:
    there = rule("symlinkat", -errno.EEXIST, times=1)
    assert link(there).names()[-2:] == ["symlinkat", "close"]
    assert not made(link(there, rule("readlinkat", data=b"t"), replace=1))
    result = link(there, rule("readlinkat", data=b"other"), replace=1)
    assert result.names()[-4:] == ["readlinkat", "unlinkat", "symlinkat", "close"]
    result = link(there, replace=1)
    assert [name for name, _, _ in made(result)] == ["unlinkat"]


def test_link_or_nothing() -> None:
    there = rule("symlinkat", -errno.EEXIST, times=1)
    assert not made(link(there, rule("readlinkat", data=b"t"), replace=ops.LINK_OR_NOTHING))
    for other in (rule("readlinkat", data=b"other"), rule("readlinkat", -errno.EINVAL)):
        result = link(there, other, replace=ops.LINK_OR_NOTHING)
        assert result.progress.errno == errno.EEXIST
        assert not made(result)


def test_link_in_place_of_a_directory_fails() -> None:
    result = link(rule("symlinkat", -errno.EEXIST), rule("unlinkat", -errno.EISDIR), replace=1)
    assert result.progress.errno == errno.EISDIR


def entries(*names: str) -> bytes:
    """A getdents64 buffer."""
    out = b""
    for name in (".", "..", *names):
        raw = name.encode() + b"\0"
        length = (19 + len(raw) + 7) & ~7
        out += struct.pack("<QqHB", 1, 0, length, 0) + raw.ljust(length - 19, b"\0")
    return out


def copy(*rules: dict[str, object]) -> Run:
    return run_ops(op("copy_up", slot="ns", source="tasks"), rules=rules)


def test_copy_of_each_kind() -> None:
    result = copy(
        rule("getdents64", data=entries("f", "l", "p", "s"), times=1),
        rule("statx", text="f", mode=0o104755, size=70000),
        rule("statx", text="l", mode=LNK),
        rule("statx", text="p", mode=FIFO | 0o600),
        rule("statx", text="s", mode=0o140600),
        rule("readlinkat", data=b"target"),
    )
    assert result.progress.phase != 5
    assert [call.args[3] for call in result.of("sendfile")] == [65536, 70000 - 65536]
    assert result.of("fchmod")[0].args[1] == 0o4755
    assert result.of("symlinkat")[0].texts[0] == "target"
    assert [call.texts[1] for call in result.of("mknodat")] == ["p"]
    assert not result.open
    order = result.names("fchown", "fchmod")
    assert order == ["fchown", "fchmod"], "the owner first: chown takes set-id bits off"
    # The time before that, as long as nobody else owns it; a link's own, and not that of what it leads to.
    assert result.names("utimensat", "fchown", "fchownat") == [
        *("utimensat", "fchown", "utimensat", "fchownat", "utimensat", "fchownat"),
    ]
    times = [(call.texts[1], call.args[3], struct.unpack("<4q", call.blobs[2])) for call in result.of("utimensat")]
    kept = (0, 0x3FFFFFFE, -7, 5)
    assert times == [("", 0x1000, kept), ("l", 0x100, kept), ("p", 0x100, kept)]


def test_copy_of_a_tree() -> None:
    result = copy(
        rule("getdents64", data=entries("a"), times=2),
        rule("statx", text="a", mode=0o040711),
    )
    assert result.progress.phase != 5
    assert [call.args[2] for call in result.of("mkdirat")] == [0o700, 0o700]
    # The times at the end, from below: what is put into a directory changes it.
    upper, lower = (call.fd for call in result.of("fchmod"))
    assert [call.fd for call in result.of("utimensat")] == [lower, upper]
    assert result.names("mkdirat", "utimensat") == ["mkdirat", "mkdirat", "utimensat", "utimensat"]
    assert all(call.args[2] & os.O_NOFOLLOW for call in result.of("openat") if call.texts[1] != ".")
    assert not result.open


def test_copy_of_a_deep_tree_ends() -> None:
    result = copy(rule("getdents64", data=entries("a")), rule("statx", text="a", mode=DIR))
    assert result.progress.errno == errno.ELOOP
    assert len(result.of("mkdirat")) == 63
    assert not result.open


@pytest.mark.parametrize(
    "call", ["openat", "statx", "sendfile", "utimensat", "fchown", "fchmod", "mkdirat", "getdents64"]
)
def test_copy_that_fails_leaves_nothing_open(call: str) -> None:
    for skip in range(4):
        result = copy(
            rule(call, -errno.EIO, skip=skip),
            rule("getdents64", data=entries("d", "f"), times=2),
            rule("statx", text="d", mode=DIR),
            rule("statx", text="f", mode=REG, size=10),
        )
        assert not result.open
        assert not result.wrong
        failed = [number for number in result.of(call) if number.result == -errno.EIO]
        assert result.progress.errno == (errno.EIO if failed else 0)


def test_copy_of_a_directory_that_cannot_be_read_to_its_end() -> None:
    """What follows in the directory above does not make up for it."""
    result = copy(
        rule("getdents64", -errno.EIO, skip=1, times=1),
        rule("getdents64", data=entries("d", "f"), times=1),
        rule("statx", text="d", mode=DIR),
        rule("statx", text="f", mode=REG, size=10),
    )
    assert len(result.of("getdents64")) == 2
    assert result.progress.errno == errno.EIO
    assert not result.open
