"""Images that are made to do harm: an error, nothing outside is touched, and nothing is left."""

from __future__ import annotations

import gzip
import json
import os
import resource
import subprocess
import sys
import zlib

import pytest
import zstandard

from ocirun.errors import HostError, ImageError, UnsupportedError
from ocirun.image import tree

from .archives import (
    END,
    LAYER,
    Layout,
    archive,
    directory,
    entry,
    header,
    layout,
    link,
    make,
    sha,
    symlink,
    unpacked,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import tarfile
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    from ocirun.errors import OcirunError


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory beside the bundle that nobody may touch."""
    place = tmp_path / "outside"
    place.mkdir()
    (place / "canary").write_bytes(b"canary")
    return place


def refused(tmp_path: Path, call: Callable[[], Any], kind: type[OcirunError] = ImageError) -> OcirunError:
    """The error of a call that leaves nothing."""
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(kind) as caught:
        call()
    assert sorted(os.listdir(tmp_path)) == before
    return caught.value


def check(outside: Path) -> None:
    assert os.listdir(outside) == ["canary"]
    assert (outside / "canary").read_bytes() == b"canary"
    assert os.stat(outside / "canary").st_nlink == 1


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([entry("../outside/x", b"x")], "'../outside/x' leads upward"),
        ([entry("a/../../outside/x", b"x")], "leads upward"),
        ([directory("..")], "leads upward"),
        ([symlink("l", "{outside}"), entry("l/x", b"x")], "leads through l, which is neither a directory nor a link"),
        ([symlink("l", "../../outside"), entry("l/x", b"x")], "leads through l"),
        ([symlink("l", "{outside}/canary"), link("h", "l/../canary")], "target of the hard link .* leads upward"),
        ([link("h", "../../outside/canary")], "leads upward"),
        ([link("h", "{outside}/canary")], "is a hard link to .*/canary, which does not exist"),
        ([symlink("l", "{outside}"), link("h", "l/canary")], "leads through l"),
        ([link("h", "h")], "is a hard link to itself"),
        ([link("h", "./")], "is a hard link to the root"),
        ([directory("d"), link("h", "d")], "is a hard link to d, which is a directory"),
        ([directory("d"), entry("d/f"), link("d", "d/f")], "is a hard link to d/f, which does not exist"),
        ([symlink("proc", "/proc/self/root"), entry("proc/x", b"x")], "leads through proc"),
        ([symlink("a", "b"), symlink("b", "a"), entry("a/x", b"x")], "leads through a"),
        ([entry("f"), entry("f/x")], "leads through f"),
        ([entry("../.wh.outside")], "leads upward"),
        ([entry(".wh...")], r"is a whiteout of '\.\.'"),
        ([entry(".wh..")], r"is a whiteout of '\.'"),
        ([entry(".wh.")], "is a whiteout of ''"),
        ([symlink("l", "{outside}"), entry("l/.wh.canary")], "leads through l"),
        ([symlink("l", "{outside}"), entry("l/.wh..wh..opq")], "leads through l"),
        ([entry(".wh.d/x")], "lies in a whiteout"),
        ([entry(".", b"x")], "is the root, and not a directory"),
        ([symlink("s", "")], "is a symbolic link to nothing"),
        ([entry("/".join(["d"] * 2100))], "has 4199 bytes, the kernel's limit is 4095"),
    ],
)
@pytest.mark.parametrize("split", [False, True])
def test_paths(
    tmp_path: Path, outside: Path, members: list[tuple[tarfile.TarInfo, bytes]], words: str, split: bool
) -> None:
    for member, _ in members:
        member.linkname = member.linkname.format(outside=outside)
    layers = [archive(member) for member in members] if split else [archive(*members)]
    image = layout(tmp_path / "image", *layers)
    error = refused(tmp_path, lambda: make(image, tmp_path / "bundle"))
    check(outside)
    import re

    assert re.search(words, error.message)
    assert isinstance(error, ImageError)
    assert error.image == str(image)
    assert error.blob.startswith(f"layer {len(layers)} of {len(layers)} (sha256:")
    assert error.entry


@pytest.mark.parametrize("depth", [1, 3])
def test_links_that_lead_outside_stay_links(tmp_path: Path, outside: Path, depth: int) -> None:
    """An absolute link is one of the root; what is made in its place takes its place."""
    target = "/" + os.path.relpath(outside, "/")
    made = unpacked(
        tmp_path,
        archive(symlink("l", target), symlink("up", "../" * depth + "outside"), symlink("f", f"{target}/canary")),
        archive(directory("l"), entry("l/x", b"x"), entry("up", b"y"), entry("f", b"z")),
    )
    check(outside)
    assert (made.rootfs / "l" / "x").read_bytes() == b"x"
    assert (made.rootfs / "f").read_bytes() == b"z"


def test_an_absolute_link_to_a_directory_inside(tmp_path: Path, outside: Path) -> None:
    made = unpacked(
        tmp_path,
        archive(directory(f"{outside}"), symlink("l", str(outside)), entry("l/canary", b"other")),
    )
    check(outside)
    assert (made.rootfs / str(outside).lstrip("/") / "canary").read_bytes() == b"other"


def test_duplicates(tmp_path: Path) -> None:
    made = unpacked(tmp_path, archive(entry("f", b"1"), link("h", "f"), entry("f", b"2"), entry("f", b"3")))
    assert (made.rootfs / "f").read_bytes() == b"3"
    assert (made.rootfs / "h").read_bytes() == b"1"


def test_many_entries_and_descriptors(tmp_path: Path) -> None:
    """A hundred thousand entries in a thousand directories, with few descriptors."""
    blocks = [header(name=b"%d/%d" % (number % 1000, number)) for number in range(100_000)]
    layer = gzip.compress(b"".join(blocks) + END, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 90, hard))
    try:
        made = unpacked(tmp_path, layer)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert sum(len(files) for _, _, files in os.walk(made.rootfs)) == 100_000


@pytest.fixture
def deep_place(tmp_path: Path) -> Iterator[Path]:
    """A directory for what pytest itself could not remove."""
    place = tmp_path / "deep"
    place.mkdir()
    yield place
    fd = os.open(place, os.O_RDONLY)
    try:
        tree.empty_directory(fd)
    finally:
        os.close(fd)


def test_deep_paths(deep_place: Path) -> None:
    """As deep as a name goes, and by a link deeper; and all of it is removed by the way back, and by a whiteout."""
    deep = "/".join(["d"] * 2000)
    members = [entry(f"{deep}/f", b"1"), symlink("l", deep), entry(f"l/{'/'.join(['e'] * 20)}/g", b"2")]
    made = unpacked(deep_place, archive(*members))
    fd = os.open(made.rootfs / deep, os.O_RDONLY)
    assert sorted(os.listdir(fd)) == ["e", "f"]
    os.close(fd)
    hidden = layout(deep_place / "hidden", archive(*members), archive(entry(".wh.d")))
    assert make(hidden, deep_place / "other").names() == ["l"]
    failing = layout(deep_place / "failing", archive(*members, entry("../end")))
    refused(deep_place, lambda: make(failing, deep_place / "third"))


def test_a_file_that_is_larger_than_the_disk(tmp_path: Path) -> None:
    layer = header(size=b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\x00") + bytes(4096)
    image = layout(tmp_path / "image", layer)
    error = refused(tmp_path, lambda: make(image, tmp_path / "bundle"))
    assert "file: the archive is cut off" in error.message


def bomb(size: int) -> bytes:
    """A gzip stream of a file of zeros."""
    machine = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = header(size=b"\x80\0\0\0" + size.to_bytes(8, "big"))
    parts = [machine.compress(head)]
    zeros = bytes(1 << 20)
    for _ in range(size >> 20):
        parts.append(machine.compress(zeros))
    return b"".join([*parts, machine.compress(END), machine.flush()])


@pytest.mark.parametrize("method", ["gzip", "zstd"])
def test_bombs_end_at_the_limit(tmp_path: Path, method: str) -> None:
    layer = bomb(256 << 20)
    assert len(layer) < 1 << 19
    made = Layout(tmp_path / "image")
    plain = gzip.decompress(layer)
    packed = layer if method == "gzip" else zstandard.ZstdCompressor().compress(plain)
    made.add(_with_layer(made, packed, sha(plain)))
    code = f"""
import resource, sys
sys.path[:0] = {[path for path in sys.path if path]!r}
from image.archives import make
from ocirun.errors import ImageError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    make({str(made.path)!r}, {str(tmp_path / "bundle")!r}, size_limit=200 << 20)
except ImageError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 << 10)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "file: is larger than 209715200 bytes when decompressed" in result.stdout
    assert result.stdout.endswith("True\n")
    assert not (tmp_path / "bundle").exists()
    assert os.listdir(tmp_path) == ["image"]


def _with_layer(made: Layout, data: bytes, diff: str) -> dict[str, Any]:
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [diff]}}
    kind = "application/vnd.oci.image.manifest.v1+json"
    rows = [{"mediaType": f"{LAYER}+zstd", **made.blob(data)}]
    return made.json({"mediaType": kind, "config": made.json(config, "x"), "layers": rows}, kind)


GOOD = archive(entry("f", b"1"))


def broken(change: Callable[[Layout, dict[str, Any]], None], place: Path) -> Path:
    """A layout of one image, with something changed in the manifest, or in the files."""
    made = Layout(place)
    row = made.image(GOOD)
    file = place / "blobs" / "sha256" / row["digest"].partition(":")[2]
    manifest = json.loads(file.read_text())
    change(made, manifest)
    made.add(made.json(manifest, row["mediaType"]))
    return place


def blob(made: Layout, row: dict[str, Any]) -> Path:
    return made.path / "blobs" / "sha256" / str(row["digest"]).partition(":")[2]


def rewrite(made: Layout, row: dict[str, Any], data: bytes) -> None:
    blob(made, row).write_bytes(data)


def replaced(made: Layout, row: dict[str, Any], call: Callable[[Path], object]) -> None:
    path = blob(made, row)
    path.unlink()
    call(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda made, m: m["layers"][0].update(size=1), "layer 1 of 1 has 10240 bytes, and not 1"),
        (lambda made, m: m["layers"][0].update(size=-1), "has the size '-1'"),
        (lambda made, m: m["layers"][0].update(size=True), "has the size 'True'"),
        (lambda made, m: m["layers"][0].update(size=1 << 80), "and not 1208925819614629174706176"),
        (lambda made, m: m["layers"][0].update(digest="sha256:" + "0" * 64), "layer 1 of 1: is missing"),
        (lambda made, m: m["layers"][0].update(digest="sha256:../../../etc/passwd"), "not sha256 or sha512"),
        (lambda made, m: m["layers"][0].update(digest="md5:" + "0" * 32), "not sha256 or sha512"),
        (lambda made, m: m["layers"][0].update(digest=7), "is missing, not sha256 or sha512"),
        (lambda made, m: m["layers"][0].update(mediaType="text/plain"), "media type 'text/plain'"),
        (lambda made, m: m["layers"][0].update(mediaType=f"{LAYER}+gzip+encrypted"), "no file system's"),
        (lambda made, m: m["layers"].clear(), "has 1 layers in rootfs.diff_ids, the manifest 0"),
        (lambda made, m: m.update(layers="x"), "has no config or no layers"),
        (lambda made, m: m.pop("mediaType") and m.update(layers="x"), "has no config or no layers"),
        (lambda made, m: m.update(mediaType="text/plain"), "says that it is 'text/plain', and its descriptor"),
        (lambda made, m: m.update(manifests=[]), "is a manifest and an index in one"),
        (lambda made, m: m["config"].update(digest="sha256:" + "1" * 64), "the config: is missing"),
        (lambda made, m: rewrite(made, m["layers"][0], GOOD[:-1] + b"x"), "the content has the digest sha256:"),
        (lambda made, m: rewrite(made, m["layers"][0], GOOD[:-1]), "has 10239 bytes, and not 10240"),
        (lambda made, m: rewrite(made, m["config"], b"{" * 217), r"the config has \d+ bytes|has the digest"),
        (lambda made, m: replaced(made, m["layers"][0], lambda path: path.mkdir()), "is not a regular file"),
        (lambda made, m: replaced(made, m["layers"][0], lambda path: os.mkfifo(path)), "is not a regular file"),
        (lambda made, m: (made.path / "oci-layout").write_text('{"imageLayoutVersion": "9"}'), "has the version '9'"),
        (lambda made, m: (made.path / "oci-layout").write_text("[]"), "oci-layout is no JSON object"),
        (lambda made, m: (made.path / "oci-layout").unlink(), "a directory without the file oci-layout"),
    ],
)
def test_layouts(tmp_path: Path, change: Callable[[Layout, dict[str, Any]], None], words: str) -> None:
    image = broken(change, tmp_path / "image")
    error = refused(tmp_path, lambda: make(image, tmp_path / "bundle"))
    import re

    assert re.search(words, error.message)
    assert str(image) in error.message


def test_a_link_out_of_the_layout(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(GOOD)
    image = broken(
        lambda made, m: replaced(made, m["layers"][0], lambda path: path.symlink_to(tmp_path / "other")),
        tmp_path / "image",
    )
    error = refused(tmp_path, lambda: make(image, tmp_path / "bundle"), HostError)
    assert error.call == "openat2"
    assert error.errno == 18  # EXDEV


@pytest.mark.parametrize(
    "data", [b"{", b"[]", b"{}", b'{"manifests": 1}', b'{"manifests": []}', b'{"manifests": [1]}', b"\xff", b"1" * 10]
)
def test_indexes(tmp_path: Path, data: bytes) -> None:
    image = layout(tmp_path / "image", GOOD)
    (image / "index.json").write_bytes(data)
    assert "index.json" in refused(tmp_path, lambda: make(image, tmp_path / "bundle")).message


def test_an_index_that_is_too_large(tmp_path: Path) -> None:
    image = layout(tmp_path / "image", GOOD)
    os.truncate(image / "index.json", 9 << 20)
    assert "the limit is 8388608" in refused(tmp_path, lambda: make(image, tmp_path / "bundle")).message


def test_an_index_within_itself_ends(tmp_path: Path) -> None:
    made = Layout(tmp_path / "image")
    row = made.image(GOOD)
    for _ in range(9):
        kind = "application/vnd.oci.image.index.v1+json"
        row = made.json({"mediaType": kind, "manifests": [row]}, kind)
    made.add(row)
    assert "more than 8 indexes" in refused(tmp_path, lambda: make(made.path, tmp_path / "bundle")).message


def test_a_layer_is_what_its_config_says(tmp_path: Path) -> None:
    made = Layout(tmp_path / "image")
    made.add(_with_layer(made, gzip.compress(GOOD), sha(b"other")))
    error = refused(tmp_path, lambda: make(made.path, tmp_path / "bundle"))
    assert "the decompressed content has the digest" in error.message


@pytest.mark.parametrize("cut", [3, 40, 60])
def test_damaged_compression(tmp_path: Path, cut: int) -> None:
    made = Layout(tmp_path / "image")
    made.add(_with_layer(made, gzip.compress(GOOD)[:cut], sha(GOOD)))
    assert "gzip data are cut off" in refused(tmp_path, lambda: make(made.path, tmp_path / "bundle")).message


@pytest.mark.parametrize(("data", "name"), [(b"BZh9xxxx", "bzip2"), (b"\xfd7zXZ\0xx", "xz")])
def test_other_compressions_are_named(tmp_path: Path, data: bytes, name: str) -> None:
    made = Layout(tmp_path / "image")
    made.add(_with_layer(made, data, sha(data)))
    error = refused(tmp_path, lambda: make(made.path, tmp_path / "bundle"), UnsupportedError)
    assert f"(sha256:{sha(data)[7:]}): is compressed with {name}" in error.message
    packed = tmp_path / "packed"
    packed.write_bytes(data)
    with pytest.raises(UnsupportedError, match=f"^{packed}: is compressed with {name}"):
        make(packed, tmp_path / "bundle", platform="")


@pytest.mark.parametrize("data", [b"", b"x", b"x" * 5000, bytes(10240), gzip.compress(b""), gzip.compress(b"x")])
def test_what_is_no_archive(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "image").write_bytes(data)
    assert (
        str(tmp_path / "image")
        in refused(tmp_path, lambda: make(tmp_path / "image", tmp_path / "b", platform="")).message
    )


def test_a_file_that_is_in_an_archive_twice(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(archive(entry("oci-layout", b"{}"), entry("manifest.json"), entry("oci-layout")))
    assert "more than once" in refused(tmp_path, lambda: make(tmp_path / "image", tmp_path / "bundle")).message


def test_a_link_in_a_circle_in_an_archive(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(archive(symlink("manifest.json", "other"), symlink("other", "manifest.json")))
    assert "in a circle" in refused(tmp_path, lambda: make(tmp_path / "image", tmp_path / "bundle")).message
