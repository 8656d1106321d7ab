"""What layers make of a root file system."""

from __future__ import annotations

import errno
import os
import stat
import tarfile

import pytest

from ocirun import _native
from ocirun.errors import HostError, ImageError

from .archives import archive, directory, entry, link, make, symlink, unpacked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: owners, device nodes")


def test_kinds_modes_times(tmp_path: Path) -> None:
    made = unpacked(
        tmp_path,
        archive(
            directory("d", mode=0o1755, mtime=1000),
            entry("d/f", b"text", mode=0o4711, mtime=1234.5),
            symlink("d/s", "../nowhere", mtime=77),
            link("h", "d/f"),
            entry("p", type=tarfile.FIFOTYPE, mode=0o622, mtime=5),
            directory("closed", mode=0o500, mtime=9),
            entry("closed/f", b"", mode=0, mtime=-1),
            directory("./", mode=0o750, mtime=3),
        ),
    )
    root = made.rootfs
    seen = {name: os.lstat(root / name) for name in (".", *made.names())}
    assert {name: (stat.S_IMODE(one.st_mode), one.st_mtime) for name, one in seen.items() if name != "d/s"} == {
        ".": (0o750, 3),
        "d": (0o1755, 1000),
        "d/f": (0o4711, 1234.5),
        "h": (0o4711, 1234.5),
        "p": (0o622, 5),
        "closed": (0o500, 9),
        "closed/f": (0, -1),
    }
    assert os.readlink(root / "d/s") == "../nowhere" and seen["d/s"].st_mtime == 77
    assert seen["h"].st_ino == seen["d/f"].st_ino
    assert stat.S_ISFIFO(seen["p"].st_mode)
    assert (root / "h").read_bytes() == b"text"
    assert stat.S_IMODE(os.stat(made.path).st_mode) == 0o700
    assert not made.notes


def test_parents_without_an_entry(tmp_path: Path) -> None:
    made = unpacked(tmp_path, archive(entry("a/b/c", b"x")))
    assert [stat.S_IMODE(os.stat(made.rootfs / name).st_mode) for name in ("a", "a/b")] == [0o755, 0o755]


def test_names_of_all_forms(tmp_path: Path) -> None:
    long = "/".join(["n" * 200] * 10)
    made = unpacked(
        tmp_path,
        archive(entry("/absolute", b"1"), entry("./dot//double", b"2"), entry(long, b"3")),
        archive(entry("gnu/" + long, b"4"), symlink("s", "t" * 300), format=tarfile.GNU_FORMAT),
        archive(entry("caf\udce9", b"5"), format=tarfile.USTAR_FORMAT),
    )
    for name, text in (("absolute", "1"), ("dot/double", "2"), (long, "3"), ("gnu/" + long, "4"), ("caf\udce9", "5")):
        assert (made.rootfs / name).read_text() == text
    assert os.readlink(made.rootfs / "s") == "t" * 300


BELOW = archive(
    directory("etc"),
    entry("etc/a", b"a"),
    entry("etc/b", b"b"),
    directory("var"),
    directory("var/x"),
    entry("var/x/old", b"old"),
    entry("var/keep", b"k"),
    symlink("l", "etc"),
)


@pytest.mark.parametrize(
    ("above", "gone", "there"),
    [
        ([entry("etc/.wh.a")], {"etc/a"}, set()),
        ([entry(".wh.var")], {"var", "var/x", "var/x/old", "var/keep"}, set()),
        ([entry(".wh.nothing")], set(), set()),
        ([entry(".wh.l")], {"l"}, set()),
        ([entry("l/.wh.a")], {"etc/a"}, set()),
        ([entry("var/.wh..wh..opq")], {"var/x", "var/x/old", "var/keep"}, set()),
        # What its own layer has, a whiteout leaves, in whatever order they come.
        ([entry("var/new", b"n"), entry("var/.wh..wh..opq")], {"var/x", "var/x/old", "var/keep"}, {"var/new"}),
        ([entry("var/.wh..wh..opq"), entry("var/new", b"n")], {"var/x", "var/x/old", "var/keep"}, {"var/new"}),
        ([entry("var/x/new", b"n"), entry("var/.wh..wh..opq")], {"var/x/old", "var/keep"}, {"var/x/new"}),
        ([entry("var/x/new", b"n"), entry("var/.wh.x")], {"var/x/old"}, {"var/x/new"}),
        ([entry(".wh.etc"), entry("etc/new", b"n")], {"etc/a", "etc/b"}, {"etc/new"}),
        ([entry("l/new", b"n"), entry("etc/.wh..wh..opq")], {"etc/a", "etc/b"}, {"etc/new"}),
        ([entry(".wh..wh.aufs"), entry(".wh..wh.plnk/1.2", b"x")], set(), set()),
    ],
)
def test_whiteouts(tmp_path: Path, above: list[tuple[tarfile.TarInfo, bytes]], gone: set[str], there: set[str]) -> None:
    before = set(make_names(tmp_path / "before", BELOW))
    assert set(make_names(tmp_path / "after", BELOW, archive(*above))) == (before - gone) | there


def make_names(place: Path, *layers: bytes) -> list[str]:
    place.mkdir()
    return unpacked(place, *layers).names()


def test_whiteouts_are_plain_names_in_the_archive_of_a_root(tmp_path: Path) -> None:
    (tmp_path / "root.tar").write_bytes(archive(entry("a", b"a"), entry(".wh.a", b"w"), entry(".wh..wh..opq")))
    made = make(tmp_path / "root.tar", tmp_path / "bundle", platform="")
    assert made.names() == [".wh..wh..opq", ".wh.a", "a"]


@pytest.mark.parametrize("kind", ["file", "directory", "symlink", "fifo"])
@pytest.mark.parametrize("was", ["file", "directory", "symlink", "fifo"])
@pytest.mark.parametrize("same_layer", [False, True])
def test_a_kind_becomes_another(tmp_path: Path, was: str, kind: str, same_layer: bool) -> None:
    members = {
        "file": entry("t", b"new", mtime=8),
        "directory": directory("t", mtime=8),
        "symlink": symlink("t", "other", mtime=8),
        "fifo": entry("t", type=tarfile.FIFOTYPE, mtime=8),
    }
    first = [directory("other"), entry("other/canary", b"c"), members[was]]
    if was == "directory":
        first.append(entry("t/inner", b"i"))
    layers = [archive(*first, members[kind])] if same_layer else [archive(*first), archive(members[kind])]
    made = unpacked(tmp_path, *layers)
    found = os.lstat(made.rootfs / "t")
    tests = {"file": stat.S_ISREG, "directory": stat.S_ISDIR, "symlink": stat.S_ISLNK, "fifo": stat.S_ISFIFO}
    assert tests[kind](found.st_mode)
    assert found.st_mtime == 8
    assert (made.rootfs / "other" / "canary").read_bytes() == b"c"
    assert (made.rootfs / "t" / "inner").exists() == (was == kind == "directory")


def test_links_of_a_lower_layer_are_followed_in_the_root(tmp_path: Path) -> None:
    made = unpacked(
        tmp_path,
        archive(directory("usr"), directory("usr/lib"), symlink("lib", "/usr/lib"), symlink("up", "../../../usr")),
        archive(entry("lib/a", b"1"), entry("up/lib/deep/b", b"2"), link("lib/c", "up/lib/a")),
    )
    assert (made.rootfs / "usr/lib/a").read_bytes() == b"1"
    assert (made.rootfs / "usr/lib/deep/b").read_bytes() == b"2"
    assert os.path.samefile(made.rootfs / "usr/lib/a", made.rootfs / "usr/lib/c")


def test_a_rename_elsewhere_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """openat2(2) gives up (EAGAIN) where something on the host was renamed while it looked up ``..``."""
    asked: list[bytes] = []

    class Lib:
        def __getattr__(self, name: str) -> object:
            return getattr(_native.lib, name)

        def ocirun_openat2(self, fd: int, path: bytes, flags: int, mode: int, resolve: int) -> int:
            asked.append(path)
            if len(asked) % 3:
                return -errno.EAGAIN
            return _native.lib.ocirun_openat2(fd, path, flags, mode, resolve)

    monkeypatch.setattr("ocirun.image.tree.lib", Lib())
    made = unpacked(tmp_path, archive(directory("usr/lib"), symlink("up", "../usr")), archive(entry("up/lib/f", b"1")))
    assert (made.rootfs / "usr/lib/f").read_bytes() == b"1"
    assert len(asked) > 9


@ROOT
def test_owners_and_nodes(tmp_path: Path) -> None:
    made = unpacked(
        tmp_path,
        archive(
            entry("f", b"", uid=1234, gid=4321, mode=0o6755),
            symlink("s", "f", uid=5, gid=6),
            entry("c", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
            entry("b", type=tarfile.BLKTYPE, devmajor=7, devminor=200, uid=3),
            directory("d", uid=0o17777777, gid=3_000_000_000),
        ),
    )
    seen = {name: os.lstat(made.rootfs / name) for name in made.names()}
    assert [(seen[name].st_uid, seen[name].st_gid) for name in "fsbd"] == [
        (1234, 4321),
        (5, 6),
        (3, 0),
        (0o17777777, 3_000_000_000),
    ]
    assert stat.S_IMODE(seen["f"].st_mode) == 0o6755
    assert stat.S_ISCHR(seen["c"].st_mode) and seen["c"].st_rdev == os.makedev(1, 3)
    assert stat.S_ISBLK(seen["b"].st_mode) and seen["b"].st_rdev == os.makedev(7, 200)


CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")


def with_attributes(name: str, **attributes: bytes) -> tuple[tarfile.TarInfo, bytes]:
    member, content = entry(name, b"x")
    keys = {key.replace("__", "."): value for key, value in attributes.items()}
    member.pax_headers = {f"SCHILY.xattr.{key}": value.decode("latin-1") for key, value in keys.items()}
    return member, content


def attributes(path: Path) -> dict[str, bytes]:
    return {name: os.getxattr(path, name) for name in os.listxattr(path)}


@ROOT
@pytest.mark.parametrize("key", ["user__" + "a" * 300, "security__capability"])
def test_extended_attributes_that_cannot_be(tmp_path: Path, key: str) -> None:
    with pytest.raises(HostError) as caught:
        unpacked(tmp_path, archive(with_attributes("f", **{key: b"x"})))
    assert f"f: extended attribute {key.replace('__', '.')}"[:300] in caught.value.message
    assert (caught.value.call, caught.value.remedy) == ("setxattr", "")  # nothing of owners and user namespaces


@ROOT
def test_extended_attributes(tmp_path: Path) -> None:
    made = unpacked(
        tmp_path,
        archive(
            with_attributes("f", user__a=b"1=2\n3", security__capability=CAPABILITY, trusted__t=b"t"),
            with_attributes("left", user__overlay__x=b"1", trusted__overlay__opaque=b"y", security__ima=b"s"),
        ),
    )
    assert attributes(made.rootfs / "f") == {
        "user.a": b"1=2\n3",
        "security.capability": CAPABILITY,
        "trusted.t": b"t",
    }
    assert attributes(made.rootfs / "left") == {}
    assert len(made.notes) == 3
    assert "left out: extended attributes security.ima (1, the first at left)" in " ".join(made.notes)


def test_sparse_files(tmp_path: Path) -> None:
    import subprocess

    size = 3 << 20
    with open(tmp_path / "holes", "wb") as file:
        file.truncate(size)
        for place in (0, 1 << 20, size - 4096):
            file.seek(place)
            file.write(b"data" * 1024)
    for form in ("gnu", "pax", "0.0", "0.1", "1.0"):
        words = ["--format=gnu"] if form == "gnu" else ["--format=pax"]
        words += [f"--sparse-version={form}"] if form[0].isdigit() else []
        place = tmp_path / form
        place.mkdir()
        layer = subprocess.run(
            ["tar", "-c", "--sparse", *words, "-C", tmp_path, "holes"], check=True, capture_output=True
        ).stdout
        assert len(layer) < 100_000
        made = unpacked(place, layer + b"")
        assert (made.rootfs / "holes").read_bytes() == (tmp_path / "holes").read_bytes()
        assert os.stat(made.rootfs / "holes").st_blocks * 512 < 1 << 20


def test_what_a_map_of_holes_may_not_say(tmp_path: Path) -> None:
    import tarfile as library

    for number, text in enumerate(("0,4,2,4", "0,4,4,9", "9,4", "0", "a,b", "0,8,8,0,8,1")):
        member, content = entry("f", b"12345678")
        member.pax_headers = {"GNU.sparse.map": text, "GNU.sparse.size": "12"}
        place = tmp_path / str(number)
        place.mkdir()
        with pytest.raises(ImageError, match=r"sparse|in place of a number"):
            unpacked(place, archive((member, content), format=library.PAX_FORMAT))
