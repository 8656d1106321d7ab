"""Directories and archives into a container; what is hostile is refused before anything is put, or stays inside."""

from __future__ import annotations

import errno
import io
import os
import random
import tarfile
from pathlib import Path

import pytest

import ocirun
from ocirun.files import given_tree

from .test_files import BOTH, owned, running

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Config = dict[str, Any]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def member(name: str, content: bytes | None = b"", **values: Any) -> tuple[tarfile.TarInfo, bytes | None]:
    made = tarfile.TarInfo(name)
    made.size, made.mode = len(content or b""), 0o640
    for key, value in values.items():
        setattr(made, key, value)
    return made, content


def archive(*members: tuple[tarfile.TarInfo, bytes | None], form: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as made:
        for info, content in members:
            made.addfile(info, None if content is None else io.BytesIO(content))
    return file.getvalue()


GOOD = archive(
    member("./", None, type=tarfile.DIRTYPE, mode=0o700),
    member("./dir/", None, type=tarfile.DIRTYPE, mode=0o2755, uid=5, gid=6),
    member("dir/file", b"one", uid=5, gid=6),
    member("dir/./second", None, type=tarfile.LNKTYPE, linkname="dir/file", mode=0o4711),
    member("link", None, type=tarfile.SYMTYPE, linkname="dir/file"),
    member("no/such/above", b"two"),
    member("dir/file", b"again", uid=5, gid=6),
)


@needs_root
@BOTH
def test_an_archive(rootfs: str, root: str, config: Callable[..., Config]) -> None:
    with running(config(rootfs, "/bin/sleep", "60", user=(1000, 1001)), root) as container:
        container.put("/work/old", b"old")
        container.put_tree("/work", GOOD)
        container.put_tree("/owned/", io.BytesIO(GOOD), owners=True)
        container.put_tree("/other", GOOD, user=(7, 8))
        look = "stat -c '%n %a %u:%g %F' old dir dir/file dir/second link no no/such/above; cat dir/second link; echo"
        script = f"cd /work; {look}; cd /owned; stat -c '%n %u:%g' dir dir/file /other/link /owned"
        said = container.run(["/bin/sh", "-c", script], user=(1000, 1001)).stdout.decode().splitlines()
    assert said == [
        "old 644 1000:1001 regular file",
        "dir 2755 1000:1001 directory",
        "dir/file 640 1000:1001 regular file",
        "dir/second 4711 1000:1001 regular file",
        "link 777 1000:1001 symbolic link",
        "no 755 0:0 directory",
        "no/such/above 640 1000:1001 regular file",
        "oneagain",
        *("dir 5:6", "dir/file 5:6", "/other/link 7:8", "/owned 1000:1001"),
    ]


@needs_root
def test_a_directory(rootfs: str, root: str, tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "b" / "file").write_bytes(b"content" * 1000)
    (top / "run").write_bytes(b"#!/bin/sh\necho ran\n")
    (top / "run").chmod(0o755)
    (top / "link").symlink_to("/etc/passwd")
    (top / "to").symlink_to(top / "a")
    with running(owned(rootfs, "/bin/sleep", "60"), root) as container:
        for source in (top, str(top)):
            container.put_tree("/x/y", source)
        assert container.get("/x/y/a/b/file") == b"content" * 1000
        said = container.run(["/bin/sh", "-c", "cd /x/y; ./run; readlink link to; ls -A /x/y"]).stdout.decode().split()
        assert said[0] == "ran" and said[-4:] == ["a", "link", "run", "to"]
        os.mkfifo(top / "fifo")
        with pytest.raises(ocirun.UsageError, match=r"^source: 'fifo' is no file"):
            container.put_tree("/z", top)
        with pytest.raises(ocirun.StepError):
            container.get("/z/run")


TIMES = {"now": 86_400 * 10**9, "now/link": 1, "old": -86_400 * 10**9 - 1, "new": 1_700_000_000_123_456_789}
DIRECTORY = {"type": tarfile.DIRTYPE, "mode": 0o755}


def timed(name: str, text: str, content: bytes | None = None, **values: Any) -> tuple[tarfile.TarInfo, bytes | None]:
    return member(name, content, pax_headers={"mtime": text}, **values)


def in_an_archive(_: Path) -> bytes:
    """Directories come before and after what is in them, and a number has more digits than there are."""
    return archive(
        timed("./now/", "86400", **DIRECTORY),
        timed("now/link", "0.0000000019", type=tarfile.SYMTYPE, linkname="../old"),
        timed("old", "-86400.000000001", b"x"),
        member("new/inner/file"),
        timed("new", "1700000000.123456789", **DIRECTORY),
    )


def in_a_directory(top: Path) -> Path:
    (top / "now").mkdir(parents=True)
    (top / "now" / "link").symlink_to("../old")
    (top / "old").write_bytes(b"x")
    (top / "new" / "inner").mkdir(parents=True)
    for name in reversed(TIMES):
        os.utime(top / name, ns=(0, TIMES[name]), follow_symlinks=False)
    return top


@needs_root
@BOTH
@pytest.mark.parametrize("source", [in_an_archive, in_a_directory])
def test_times(
    rootfs: str, root: str, tmp_path: Path, config: Callable[..., Config], source: Callable[[Path], Any]
) -> None:
    """Of files, links and directories, also in place of those that are there; what has none has been changed now."""
    given = source(tmp_path / "top")
    with running(config(rootfs, "/bin/sleep", "60", user=(1000, 1001)), root) as container:
        top = Path(f"/proc/{container.pid}/root/work")
        for _ in range(2):
            container.put_tree("/work", given, user=(7, 8))
            assert {name: os.lstat(top / name).st_mtime_ns for name in TIMES} == TIMES
        begun = (top / "new").stat().st_ctime_ns
        container.put("/work/old", b"y")
        assert (top / "old").stat().st_mtime_ns >= begun


@needs_root
def test_directories_whose_time_cannot_be_set(rootfs: str, root: str, tmp_path: Path) -> None:
    """They are there, read-only or of somebody else: they stay as they are, unless something is put into them."""
    share = tmp_path / "share"
    share.mkdir()
    share.chmod(0o777)
    mounts = [{"destination": "/share", "type": "bind", "source": str(share), "options": ["rbind"]}]
    empty = [timed(f"{name}/", "5", **DIRECTORY) for name in ("proc", "sys", "share")]
    with running(owned(rootfs, "/bin/sleep", "60", mounts=mounts), root) as container:
        container.put_tree("/", archive(*empty))
        assert share.stat().st_mtime_ns != 5 * 10**9
        with pytest.raises(ocirun.StepError, match="give the directory /share back its time") as caught:
            container.put_tree("/", archive(*empty, member("share/x")))
        assert (caught.value.errno, caught.value.call) == (errno.EPERM, "utimensat")
        assert "a path of its own" in str(caught.value.remedy)
        container.put_tree("/share", archive(member("y")))
    assert sorted(os.listdir(share)) == ["x", "y"]


HOSTILE = {
    "absolute": member("/etc/x", b"x"),
    "above": member("a/../../x", b"x"),
    "dots": member("..", None, type=tarfile.DIRTYPE),
    "device": member("null", None, type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    "block": member("sda", None, type=tarfile.BLKTYPE, devmajor=8, devminor=0),
    "fifo": member("fifo", None, type=tarfile.FIFOTYPE),
    "link out": member("x", None, type=tarfile.LNKTYPE, linkname="/etc/passwd"),
    "link above": member("x", None, type=tarfile.LNKTYPE, linkname="../etc/passwd"),
    "link to nothing": member("x", None, type=tarfile.LNKTYPE, linkname="y"),
    "symlink to nothing": member("x", None, type=tarfile.SYMTYPE, linkname=""),
    "no name": member("./.", b"x"),
    "long": member("n/" * 2500, b"x"),
    "owner": member("x", b"x", uid=-1),
    "late": member("x", b"x", mtime=1 << 34),
    "early": member("x", b"x", mtime=-(1 << 34)),
    "very late": member("x", b"x", mtime=1 << 80),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives(name: str) -> None:
    given = archive(member("first", b"1"), HOSTILE[name], form=tarfile.GNU_FORMAT)
    with pytest.raises(ocirun.UsageError, match=r"^source: "):
        list(given_tree.entries(given, 1 << 20, owners=True))


@pytest.mark.parametrize(
    "said",
    ["nan", "inf", "-inf", "", "x", "1e9", "1_0", " 1", "0x1", "٣", "1.2.3", "9" * 5000, "9223372037", "-9223372037"],
)
def test_times_that_cannot_be(said: str) -> None:
    with pytest.raises(ocirun.UsageError, match=r"^source: 'dir/odd' has a time that cannot be"):
        list(given_tree.entries(archive(member("first"), timed("./dir/odd", said)), 1 << 20, owners=False))


def test_an_odd_time_of_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "odd").touch()
    monkeypatch.setattr(given_tree, "_TIME_MAX", 5)
    with pytest.raises(ocirun.UsageError, match=r"^source: 'odd' has a time that cannot be"):
        list(given_tree.entries(tmp_path, 1 << 20, owners=False))


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_times_of_old_archives(form: int) -> None:
    given = archive(member("x", mtime=0), member("y", mtime=1_700_000_000), form=form)
    assert [one.time for one in given_tree.entries(given, 9, owners=False)] == [0, 1_700_000_000 * 10**9]


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    many = archive(*(member(f"f{number}", b"x" * 1000) for number in range(20)))
    assert len(list(given_tree.entries(many, 20_000, owners=False))) == 20
    with pytest.raises(ocirun.UsageError, match=r"^max_bytes: with 'f19' the files have more than 19999 bytes"):
        list(given_tree.entries(many, 19_999, owners=False))
    links = archive(member("a", b"x" * 900), *(member(f"l{i}", None, type=tarfile.LNKTYPE, linkname="a") for i in "12"))
    with pytest.raises(ocirun.UsageError, match=r"^max_bytes: with 'l2'"):
        list(given_tree.entries(links, 2000, owners=False))
    monkeypatch.setattr(given_tree, "ENTRIES", 10)
    with pytest.raises(ocirun.UsageError, match=r"^source: has more than 10 entries"):
        list(given_tree.entries(many, 1 << 20, owners=False))


class Endless(io.RawIOBase):
    """A header that says it is followed by a name of eight GiB, and zeros without end."""

    def __init__(self) -> None:
        info = tarfile.TarInfo("././@LongLink")
        info.type, info.size = tarfile.GNUTYPE_LONGNAME, (1 << 33) - 1
        self.head = info.tobuf(tarfile.GNU_FORMAT)
        self.given = 0

    def read(self, size: int = -1) -> bytes:
        found, self.head = self.head[:size], self.head[size:]
        found = found or bytes(max(size, 0))
        self.given += len(found)
        return found


def test_an_archive_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given_tree, "_MORE", 1 << 20)
    endless = Endless()
    with pytest.raises(ocirun.UsageError, match=r"^max_bytes: the archive is much larger"):
        list(given_tree.entries(endless, 1 << 20, owners=False))
    assert endless.given < 4 << 20


@pytest.mark.parametrize("seed", range(8))
def test_damaged_archives(seed: int) -> None:
    """It is read, or refused with an error of ours; no name leads out."""
    chance = random.Random(seed)
    for _ in range(100):
        damaged = bytearray(GOOD)
        for _ in range(chance.randint(1, 6)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            found = list(given_tree.entries(bytes(damaged[: chance.randint(0, len(damaged))]), 1 << 20, owners=True))
        except ocirun.UsageError:
            continue
        assert all(".." not in one.path.split("/") and not one.path.startswith("/") for one in found)


@needs_root
def test_links_on_the_way_stay_inside(rootfs: str, root: str, tmp_path: Path) -> None:
    """One of the archive, and one of the container, to a directory of the host."""
    tmp_path.chmod(0o777)
    given = archive(member("out", None, type=tarfile.SYMTYPE, linkname=str(tmp_path)), member("out/x", b"x"))
    with running(owned(rootfs, "/bin/sleep", "60"), root) as container:
        assert container.run(["/bin/sh", "-c", f"mkdir -p {tmp_path}; ln -s {tmp_path} /there"]).ok
        container.put_tree("/t", given)
        container.put_tree("/there", archive(member("y", b"y")))
        assert container.get(f"{tmp_path}/x") == b"x" and container.get(f"{tmp_path}/y") == b"y"
        container.put("/t/file", b"")
        with pytest.raises(ocirun.StepError, match="make the directory"):
            container.put_tree("/t/file", archive(member("z", b"z")))
    assert not [name for name in os.listdir(tmp_path) if name in ("x", "y")]


@needs_root
@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"path": "x"}, "path"),
        ({"path": 5}, "path"),
        ({"source": 5}, "source"),
        ({"source": b"no archive"}, "source"),
        ({"source": io.StringIO("text")}, "source"),
        ({"max_bytes": -1}, "max_bytes"),
        ({"max_bytes": 1 << 30}, "max_bytes"),
        ({"user": 5}, "user"),
        ({"user": (1, 2), "owners": True}, "owners"),
        ({"owners": 1}, "owners"),
        ({"source": "/etc", "owners": True}, "owners"),
    ],
)
def test_wrong_parameters(rootfs: str, root: str, given: dict[str, Any], name: str) -> None:
    call = {"path": "/x", "source": GOOD} | given
    with running(owned(rootfs, "/bin/sleep", "60"), root) as container:
        with pytest.raises(ocirun.UsageError, match=f"^{name}: "):
            container.put_tree(call.pop("path"), call.pop("source"), **call)
        with pytest.raises(ocirun.HostError, match=r"^source: /no/such"):
            container.put_tree("/x", "/no/such")
