"""The reader of archives, against other readers and writers, and against nonsense."""

from __future__ import annotations

import contextlib
import tarfile
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocirun.errors import ImageError
from ocirun.image import tar
from ocirun.image.streams import Limit, Stream

from .archives import END, archive, entry, header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def read(data: bytes, *, step: int = 700, marked: bool = True) -> list[tar.Entry]:
    """All entries of an archive, which comes in small pieces."""
    pieces = (data[start : start + step] for start in range(0, len(data), step))
    return list(tar.entries(Stream(iter(pieces), limit=Limit(1 << 40)), marked=marked))


NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=300)
MEMBERS = st.builds(
    lambda name, content, mode, uid, mtime, target: entry(
        name.rstrip("/") or "x", content, mode=mode, uid=uid, gid=uid // 2, mtime=mtime, linkname=target
    ),
    NAMES,
    st.binary(max_size=2000),
    st.integers(0, 0o7777),
    st.integers(0, (1 << 32) - 2),
    st.integers(-(1 << 33), 1 << 36),
    st.just(""),
)


@given(st.lists(MEMBERS, max_size=6), st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
def test_reads_what_the_library_writes(members: list[tuple[tarfile.TarInfo, bytes]], format: int) -> None:
    found = read(archive(*members, format=format))
    assert [(one.name.decode("utf-8"), one.size, one.mode, one.uid, one.gid, one.time) for one in found] == [
        (member.name, member.size, member.mode, member.uid, member.gid, member.mtime * 10**9) for member, _ in members
    ]


@given(st.data())
def test_nonsense_is_an_error_and_nothing_else(data: st.DataObject) -> None:
    """Whatever bytes of an archive are others: entries, or an ImageError."""
    whole = bytearray(
        archive(
            entry("n" * 150, b"content"),
            entry("s", type=tarfile.SYMTYPE, linkname="t" * 150),
            entry("d", type=tarfile.CHRTYPE, devmajor=1, devminor=2),
            format=data.draw(st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])),
        )
    )
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(whole) - 1))
        whole[place : place + 1] = data.draw(st.binary(max_size=8))
    if data.draw(st.booleans()):  # with check sums that are right all the same
        for start in range(0, len(whole) - 511, 512):
            block = bytearray(whole[start : start + 512])
            if b"ustar" in block:
                block[148:156] = b" " * 8
                block[148:156] = b"%06o\0 " % sum(block)
                whole[start : start + 512] = block
    with contextlib.suppress(ImageError):
        read(bytes(whole))


@given(st.binary(max_size=4096))
def test_any_bytes(data: bytes) -> None:
    with contextlib.suppress(ImageError):
        read(data)


@given(
    st.sampled_from(["mode", "uid", "gid", "size", "mtime", "major", "minor", "magic", "target", "prefix"]),
    st.binary(max_size=12),
    st.sampled_from(list(b"01234567xgLKSVDMNA\0")),
)
def test_fields_of_any_bytes(field: str, value: bytes, type: int) -> None:
    with contextlib.suppress(ImageError):
        for one in read(header(type=bytes([type]), **{field: value[:8]}) + bytes(8192) + END):
            assert 0 <= one.size < 1 << 63
            assert 0 <= one.uid < (1 << 32) - 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (header(size=b"\xff" * 12), "the size -1 cannot be"),
        (header(uid=b"\xff" * 8), "the owner -1:0 cannot be"),
        (header(uid=b"\x80\0\0\1\0\0\0\0"), "the owner 4294967296:0 cannot be"),
        (header(mtime=b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"), "the time .* cannot be"),
        (header(size=b"12x"), "the size .* is no octal number"),
        (header(size=b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"), "file: the archive is cut off"),
        (header(size=b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"), "the size 18446744073709551615 cannot be"),
        (header(type=b"3", major=b"\x80\0\0\0\xff\xff\xff\xff"), "a device has the numbers 4294967295:0"),
        (header(type=b"V"), "an entry of the type b'V' is not for a file system"),
        (header(type=b"L", size=b"\x80\0\0\0\0\0\0\0\xff\xff\xff\xff"), "has 4294967295 bytes, the limit is 1048576"),
        (header(type=b"x", size=b"\x80\0\0\0\0\0\0\0\xff\xff\xff\xff"), "has 4294967295 bytes, the limit is 1048576"),
        (header(type=b"x", size=b"5") + b"5 a=\n".ljust(512, b"\0"), "ends behind a header"),
        (header(type=b"x", size=b"11") + b"9 path=x\n".ljust(512, b"\0")[:100], "cut off"),
        (header(type=b"x", size=b"11") + b"99 path=x".ljust(512, b"\0"), "a pax header is damaged"),
        (header(type=b"x", size=b"11") + b"0 path=x\n".ljust(512, b"\0"), "a pax header is damaged"),
        (header(type=b"x", size=b"11") + b"9 path=\0\n".ljust(512, b"\0"), "has a NUL character"),
        (header(type=b"g", size=b"11") + b"9 path=x\n".ljust(512, b"\0"), "a global pax header sets b'path'"),
        (header() + header()[:100], "cut off in a header"),
        (header(), "it has no mark of its end"),
        (bytes(512) + header(), "no tar header at byte 512, behind an empty one"),
        (b"x" * 512, "check sum"),
        (header()[:300] + b"\1" + header()[301:], "a header's check sum is wrong"),
        (header(type=b"S", magic=b"ustar\x0000"), "has a header of another kind"),
    ],
)
def test_what_cannot_be(data: bytes, words: str) -> None:
    if "cut off" not in words and "mark" not in words and "behind" not in words:
        data += END
    with pytest.raises(ImageError, match=words):
        read(data)


def test_a_global_header_with_a_comment_is_passed_over() -> None:
    data = header(type=b"g", size=b"15") + b"13 comment=x\n".ljust(512, b"\0") + header() + END
    assert [one.name for one in read(data)] == [b"file"]


def test_old_archives() -> None:
    data = header(magic=b"", name=b"dir/", type=b"\0") + header(magic=b"", name=b"f", type=b"\0") + END
    assert [(one.name, one.kind) for one in read(data)] == [(b"dir/", tar.DIRECTORY), (b"f", tar.FILE)]


def test_links_have_no_content_whatever_they_say() -> None:
    data = header(type=b"1", size=b"777", target=b"t") + header(name=b"next") + END
    assert [one.name for one in read(data)] == [b"file", b"next"]


def test_memory_does_not_grow_with_the_archive() -> None:
    blocks = [header(name=b"f%d" % number) for number in range(500)]

    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield from blocks
        yield END

    tracemalloc.start()
    try:
        count = sum(1 for _ in tar.entries(Stream(pieces(), limit=Limit(1 << 40)), marked=True))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 20_000
    assert peak < 100_000


def test_the_end_is_waited_for() -> None:
    """What a library wrote has a mark, and a stream in one piece reads as one in many."""
    data = archive(entry("a", b"1" * 1000), entry("b"))
    assert [one.name for one in read(data, step=1)] == [one.name for one in read(data, step=len(data))] == [b"a", b"b"]
    assert len(read(data[:2048], marked=False)) == 2
