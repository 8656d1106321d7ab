"""The calls that put a file below the root and take one out of it, and what is left when one of them fails."""

from __future__ import annotations

import errno
import os
import struct

import pytest

from ocirun.plan import encode
from ocirun.plan.ops import Plan

from .recorder import Run, op, rule, run_ops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

REG, DIR, FIFO = 0o100644, 0o040755, 0o010644
IN_ROOT, NO_MAGIC = 0x10, 0x02
CONTENT = b"0123456789"
UTIME_OMIT = 0x3FFFFFFE
NOFOLLOW, EMPTY = 0x100, 0x1000
TIME = 1_700_000_000_123_456_789


def times(result: Run) -> list[tuple[str, int, tuple[int, ...]]]:
    """(name, flags, seconds and nanoseconds) of each time that is set; the time of access is left alone."""
    found = []
    for call in result.of("utimensat"):
        unused, omitted, *when = struct.unpack("<4q", call.blobs[2])
        assert (unused, omitted) == (0, UTIME_OMIT)
        found.append((call.texts[1], call.args[3], tuple(when)))
    return found


def put(*rules: dict[str, Any], fail: tuple[int, int] = (-1, 0), **changes: Any) -> Run:
    args = {"root": "root", "path": "/a/b", "mode": 0o4711, "owner": (7, 8), "content": "bytes", **changes}
    first = op("open_root", slot="root", path="/r")
    plan = Plan([first, op("put_file", **args)], ["plan", "progress", "sync", "root"], 3, [], [])
    raw = encode.encode(plan, {"bytes": CONTENT})
    return Run(plan, raw, [*rules, rule("statx", mode=DIR)], fail)


def test_put_file() -> None:
    result = put()
    assert result.names()[1:] == [
        *("openat2", "statx", "openat", "write", "fchown", "fchmod", "renameat", "close", "close"),
    ]
    lookup = result.of("openat2")[0]
    assert (lookup.texts[1], struct.unpack("<3Q", lookup.blobs[2])[2]) == ("/a", IN_ROOT | NO_MAGIC)
    made = result.of("openat")[1]
    name = made.texts[1]
    assert (made.fd, name.startswith(".ocirun.")) == (lookup.result, True)
    assert made.args[2:4] == [os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600]
    assert result.of("write")[0].blobs[1] == CONTENT
    # The owner first: chown takes set-id bits off.
    assert (result.of("fchown")[0].args[1:3], result.of("fchmod")[0].args[1]) == ([7, 8], 0o4711)
    assert (result.of("renameat")[0].texts[1], result.of("renameat")[0].texts[3]) == (name, "b")
    assert result.open <= result.slots and not result.wrong


def test_put_an_empty_file() -> None:
    first = op("open_root", slot="root", path="/r")
    args = {"root": "root", "path": "/b", "mode": 0, "owner": (0, 0), "content": "bytes"}
    plan = Plan([first, op("put_file", **args)], ["plan", "progress", "sync", "root"], 3, [], [])
    result = Run(plan, encode.encode(plan, {"bytes": b""}), [], (-1, 0))
    assert "write" not in result.names() and result.of("renameat")


def test_a_name_that_is_taken_is_not_used() -> None:
    result = put(rule("openat", -errno.EEXIST, text=None, skip=1, times=3))
    assert len(result.of("openat")) == 5 and result.of("renameat")
    result = put(rule("openat", -errno.EEXIST, skip=1))
    assert result.progress.errno == errno.EEXIST and not result.of("unlinkat")


@pytest.mark.parametrize("call", ["write", "utimensat", "fchown", "fchmod", "renameat"])
def test_what_fails_leaves_no_file(call: str) -> None:
    result = put(rule(call, -errno.EIO), time=TIME)
    assert result.progress.errno == errno.EIO
    assert result.of("unlinkat")[0].texts[1] == result.of("openat")[1].texts[1]
    assert result.open <= result.slots and not result.wrong


@pytest.mark.parametrize(
    ("time", "when"),
    [
        (TIME, (1_700_000_000, 123_456_789)),
        (0, (0, 0)),
        (-1, (-1, 999_999_999)),
        (-3_000_000_000, (-3, 0)),
        (2**63 - 1, (9_223_372_036, 854_775_807)),
        (1 - 2**63, (-9_223_372_037, 145_224_193)),
    ],
)
def test_the_time_of_a_file(time: int, when: tuple[int, int]) -> None:
    """It is set before somebody else owns the file, and before the file has its name."""
    result = put(time=time)
    assert times(result) == [("", EMPTY, when)]
    assert result.of("utimensat")[0].fd == result.of("openat")[1].result
    assert result.names("write", "utimensat", "fchown", "fchmod", "renameat") == [
        *("write", "utimensat", "fchown", "fchmod", "renameat"),
    ]


@pytest.mark.parametrize("path", ["/", "/a/..", "/.", ""])
def test_paths_that_name_no_file(path: str) -> None:
    assert put(path=path).progress.errno == errno.EINVAL


def get(*rules: dict[str, Any], **changes: Any) -> Run:
    args = {"slot": "root", "root": "root", "path": "/a/b", "proc": "proc", "limit": 3 << 20, **changes}
    return run_ops(
        op("open_root", slot="root", path="/r"),
        op("open_root", slot="proc", path="/proc"),
        op("get_file", **args),
        rules=[*rules, rule("statx", mode=REG)],
    )


def test_get_file() -> None:
    result = get(rule("sendfile", 0, skip=2))
    start = result.names().index("openat2")
    assert result.names()[start : start + 4] == ["openat2", "statx", "openat", "memfd_create"]
    lookup, opened = result.of("openat2")[0], result.of("openat")[2]
    assert struct.unpack("<3Q", lookup.blobs[2])[2] == IN_ROOT | NO_MAGIC
    # Opened when it is known what it is, and by what is known.
    assert opened.texts[1] == f"self/fd/{lookup.result}"
    assert opened.args[2] == os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    assert result.open <= result.slots and not result.wrong


def test_get_takes_one_byte_more_than_the_limit() -> None:
    result = get(limit=5)
    assert result.of("sendfile")[0].args[3] == 6


@pytest.mark.parametrize(("mode", "error"), [(DIR, errno.EISDIR), (FIFO, errno.EINVAL), (0o020666, errno.EINVAL)])
def test_only_a_file_is_opened(mode: int, error: int) -> None:
    result = get(rule("statx", mode=mode))
    assert result.progress.errno == error
    assert len(result.of("openat")) == 2


@pytest.mark.parametrize("call", ["openat2", "statx", "memfd_create", "sendfile"])
def test_get_that_fails_leaves_nothing_open(call: str) -> None:
    result = get(rule(call, -errno.EIO))
    assert result.progress.errno == errno.EIO
    assert result.open <= result.slots and not result.wrong


def tree(name: str, *rules: dict[str, Any], fail: tuple[int, int] = (-1, 0), **changes: Any) -> Run:
    args = {"root": "root", "path": "/a/b", "owner": (7, 8), **changes}
    return run_ops(op("open_root", slot="root", path="/r"), op(name, **args), rules=[*rules, rule("statx", mode=DIR)])


def test_put_directory() -> None:
    result = tree("put_directory", mode=0o2750)
    assert result.names()[1:] == ["openat2", "statx", "mkdirat", "openat", "fchown", "fchmod", "close", "close"]
    assert (result.of("mkdirat")[0].fd, result.of("mkdirat")[0].texts[1]) == (result.of("openat2")[0].result, "b")
    assert (result.of("fchown")[0].args[1:3], result.of("fchmod")[0].args[1]) == ([7, 8], 0o2750)
    assert result.of("openat")[1].args[2] & os.O_NOFOLLOW
    assert result.open <= result.slots and not result.wrong


def test_put_a_directory_that_is_there() -> None:
    result = tree("put_directory", rule("mkdirat", -errno.EEXIST), mode=0o700)
    assert result.names()[1:] == ["openat2", "statx", "mkdirat", "openat2", "close", "close"]
    assert struct.unpack("<3Q", result.of("openat2")[1].blobs[2])[2] & IN_ROOT
    assert not tree("put_directory", rule("mkdirat", -errno.EEXIST), mode=0o700, time=TIME).of("utimensat")
    file = tree("put_directory", rule("mkdirat", -errno.EEXIST), rule("openat2", -errno.ENOTDIR, skip=1), mode=0o700)
    assert file.progress.errno == errno.ENOTDIR
    assert file.open <= file.slots and not file.wrong


def test_put_link() -> None:
    result = tree("put_link", text="../x")
    assert result.names()[1:] == ["openat2", "statx", "symlinkat", "fchownat", "renameat", "close"]
    name = result.of("renameat")[0].texts[1]
    assert name.startswith(".ocirun.") and result.of("renameat")[0].texts[3] == "b"
    assert result.of("symlinkat")[0].texts[0] == "../x"
    timed = tree("put_link", text="../x", time=TIME)
    assert timed.names("symlinkat", "utimensat", "fchownat") == ["symlinkat", "utimensat", "fchownat"]
    ((name, flags, when),) = times(timed)
    assert (name.startswith(".ocirun."), flags, when) == (True, NOFOLLOW, (1_700_000_000, 123_456_789))
    for call in ("utimensat", "fchownat", "renameat"):
        failed = tree("put_link", rule(call, -errno.EISDIR), text="t", time=TIME)
        assert failed.progress.errno == errno.EISDIR
        assert failed.of("unlinkat")[0].texts[1].startswith(".ocirun.")
        assert failed.open <= failed.slots and not failed.wrong


def test_the_time_of_a_directory() -> None:
    """Of a new one at once; of one into which things were put afterwards, by its path."""
    result = tree("put_directory", mode=0o700, time=TIME)
    assert times(result) == [("", EMPTY, (1_700_000_000, 123_456_789))]
    assert result.names("utimensat", "fchown") == ["utimensat", "fchown"]
    result = run_ops(op("open_root", slot="root", path="/r"), op("set_time", root="root", path="/a/b", time=-1))
    assert result.names()[1:] == ["openat2", "utimensat", "close"]
    lookup = result.of("openat2")[0]
    flags, _, resolve = struct.unpack("<3Q", lookup.blobs[2])
    assert (flags & os.O_DIRECTORY, resolve) == (os.O_DIRECTORY, IN_ROOT | NO_MAGIC)
    assert result.of("utimensat")[0].fd == lookup.result
    assert times(result) == [("", EMPTY, (-1, 999_999_999))]


@pytest.mark.parametrize(("name", "more"), [("put_directory", {"mode": 0o700}), ("set_time", {})])
def test_a_time_that_is_refused(name: str, more: dict[str, Any]) -> None:
    failed = run_ops(
        op("open_root", slot="root", path="/r"),
        op(name, root="root", path="/a/b", owner=(7, 8), time=TIME, **more),
        rules=[rule("utimensat", -errno.EPERM), rule("statx", mode=DIR)],
    )
    assert failed.progress.errno == errno.EPERM
    assert failed.open <= failed.slots and not failed.wrong
