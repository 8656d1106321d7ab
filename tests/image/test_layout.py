"""Which image is taken of several, and in which forms it may come."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys

import pytest
import zstandard

from ocirun.errors import HostError, ImageError, UnsupportedError, UsageError
from ocirun.image import streams
from ocirun.image.platform import Platform

from .archives import INDEX, LAYER, Layout, archive, directory, entry, layout, make, sha, symlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

LAYERS = archive(entry("f", b"1")), archive(directory("d"), entry("d/g", b"2"))


def several(path: Path) -> Layout:
    """A layout of three images, one of them for several platforms."""
    made = Layout(path)
    rows = []
    for architecture, variant in (("amd64", ""), ("arm", "v6"), ("arm", "v7"), ("arm64", "v8")):
        more = {"architecture": architecture, **({"variant": variant} if variant else {})}
        row = made.image(archive(entry(architecture + variant)), **more)
        rows.append({**row, "platform": {"os": "linux", **more}})
    rows.append({**made.image(LAYERS[0], os="unknown"), "platform": {"os": "unknown", "architecture": "unknown"}})
    made.add(made.json({"mediaType": INDEX, "manifests": rows}, INDEX), "example.org/many:1.0")
    made.add(made.image(archive(entry("plain"))), "plain")
    return made.add(made.image(archive(entry("latest"))), "example.org/a/web:latest")


@pytest.mark.parametrize(
    ("tag", "platform", "file"),
    [
        ("plain", "linux/amd64", "plain"),
        ("1.0", "linux/amd64", "amd64"),
        ("many:1.0", "linux/amd64", "amd64"),
        ("example.org/many:1.0", "linux/arm64", "arm64v8"),
        ("1.0", "linux/arm64/v8", "arm64v8"),
        ("1.0", "linux/arm/v7", "armv7"),
        ("1.0", "linux/arm/v8", "armv7"),
        ("web", "linux/amd64", "latest"),
        ("latest", "linux/amd64", "latest"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_tags_and_platforms(tmp_path: Path, tag: str, platform: str, file: str, packed: bool) -> None:
    made = several(tmp_path / "image")
    image = made.packed(tmp_path / "image.tar") if packed else made.path
    if (tag, platform) == ("1.0", "linux/arm/v8"):  # two older ones fit as well
        with pytest.raises(ImageError, match="several images for linux/arm/v8"):
            make(image, tmp_path / "bundle", tag=tag, platform=platform)
        return
    assert make(image, tmp_path / "bundle", tag=tag, platform=platform).names() == [file]


@pytest.mark.parametrize(
    ("tag", "platform", "words"),
    [
        ("", "linux/amd64", "holds several images: example.org/a/web:latest; example.org/many:1.0; plain"),
        ("nosuch", "linux/amd64", "has no image 'nosuch'; there are example.org/a/web:latest;"),
        ("lain", "linux/amd64", "has no image 'lain'"),
        (
            "1.0",
            "linux/s390x",
            "no image for linux/s390x; there are linux/amd64, linux/arm/v6, linux/arm/v7, linux/arm",
        ),
        ("1.0", "linux/arm/v5", "no image for linux/arm/v5"),
        ("plain", "linux/arm64", "the image is for linux/amd64, and not for linux/arm64"),
    ],
)
def test_what_is_not_there(tmp_path: Path, tag: str, platform: str, words: str) -> None:
    made = several(tmp_path / "image")
    with pytest.raises(ImageError, match=words):
        make(made.path, tmp_path / "bundle", tag=tag, platform=platform)
    assert os.listdir(tmp_path) == ["image"]


def test_the_variant_that_does_not_fit_is_named(tmp_path: Path) -> None:
    image = layout(tmp_path / "image", variant="v2")
    with pytest.raises(ImageError, match="the image is for linux/amd64/v2, and not for linux/amd64 "):
        make(image, tmp_path / "bundle", platform="linux/amd64")
    make(image, tmp_path / "bundle", platform="linux/amd64/v2")


def test_a_platform_that_the_image_does_not_name(tmp_path: Path) -> None:
    image = layout(tmp_path / "image", os=None, architecture=None)
    with pytest.raises(ImageError, match="for a platform that it does not name, and not for linux/amd64"):
        make(image, tmp_path / "bundle", platform="linux/amd64")
    make(image, tmp_path / "bundle", platform="")


def test_images_of_the_same_name(tmp_path: Path) -> None:
    made = Layout(tmp_path / "image")
    made.add(made.image(LAYERS[0]), "a:1").add(made.image(LAYERS[1]), "a:1")
    with pytest.raises(ImageError, match="several images for linux/amd64 that have the same name") as caught:
        make(made.path, tmp_path / "bundle", tag="a:1")
    assert not caught.value.remedy  # a tag was given
    made.add(made.image(LAYERS[1]), "b/a:1")
    with pytest.raises(ImageError, match="several images for linux/amd64") as caught:
        make(made.path, tmp_path / "bundle", tag="a:1")
    assert "tag" in caught.value.remedy


@pytest.mark.parametrize("text", ["amd64", "linux/", "linux/a/b/c", "windows/amd64", "/"])
def test_what_is_no_platform(text: str) -> None:
    with pytest.raises(UsageError, match="platform"):
        Platform.read(text)


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("Linux/AMD64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/aarch64", "linux/arm64/v8"),
        ("linux/arm/v6", "linux/arm/v6"),
    ],
)
def test_other_words_for_a_platform(text: str, platform: str) -> None:
    assert str(Platform.read(text)) == platform


def test_this_machine() -> None:
    here = Platform.here()
    assert here.os == "linux"
    assert str(Platform.read("")) == str(here)
    assert here.rank("linux", here.architecture, here.variant) == 3


@pytest.mark.parametrize("method", ["plain", "gzip", "two members", "zstd", "two frames"])
def test_compressions_of_layers(tmp_path: Path, method: str) -> None:
    plain = archive(entry("f", os.urandom(300_000) + bytes(700_000)), entry("g", b"2"))
    half = len(plain) // 2
    zstd = zstandard.ZstdCompressor()
    packed = {
        "plain": plain,
        "gzip": gzip.compress(plain),
        "two members": gzip.compress(plain[:half]) + gzip.compress(plain[half:]),
        "zstd": zstd.compress(plain),
        "two frames": zstd.compress(plain[:half]) + zstd.compress(plain[half:]),
    }[method]
    made = Layout(tmp_path / "image")
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": [sha(plain)]}}
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    layers = [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", **made.blob(packed)}]
    made.add(made.json({"mediaType": kind, "config": made.json(config, "x"), "layers": layers}, kind))
    assert make(made.path, tmp_path / "bundle").names() == ["f", "g"]


def test_zstd_without_a_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("compression.zstd", "zstandard"):
        monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / "root.tar.zst").write_bytes(zstandard.ZstdCompressor().compress(LAYERS[0]))
    with pytest.raises(UnsupportedError, match="install the package zstandard"):
        make(tmp_path / "root.tar.zst", tmp_path / "bundle", platform="")
    assert os.listdir(tmp_path) == ["root.tar.zst"]


class _Machine:
    """The decompressor of Python 3.14, as its documentation has it, of the package's."""

    def __init__(self, options: dict[str, int]) -> None:
        assert options == {"window": 27}
        self._machine = zstandard.ZstdDecompressor().decompressobj()
        self._held = b""
        self.eof, self.needs_input, self.unused_data = False, True, b""

    def decompress(self, data: bytes, most: int) -> bytes:
        self._held += self._machine.decompress(data) if data else b""
        out, self._held = self._held[:most], self._held[most:]
        self.eof = self._machine.eof and not self._held
        self.unused_data = self._machine.unused_data if self.eof else b""
        self.needs_input = not self._held and not self.eof
        return out


def test_zstd_by_python(monkeypatch: pytest.MonkeyPatch) -> None:
    library = type(sys)("compression.zstd")
    parameter = type("DecompressionParameter", (), {"window_log_max": "window"})
    names = {"ZstdDecompressor": _Machine, "DecompressionParameter": parameter, "ZstdError": zstandard.ZstdError}
    library.__dict__.update(names)
    monkeypatch.setitem(sys.modules, "compression", type(sys)("compression"))
    monkeypatch.setitem(sys.modules, "compression.zstd", library)
    data = os.urandom(700_000)
    packed = zstandard.ZstdCompressor().compress(data)

    def pieces(whole: bytes) -> list[bytes]:
        return [whole[start : start + 100_000] for start in range(0, len(whole), 100_000)]

    assert b"".join(streams.decompressed(iter(pieces(packed)))) == data
    assert b"".join(streams.decompressed(iter(pieces(packed + packed)))) == data + data
    with pytest.raises(ImageError, match="cut off"):
        list(streams.decompressed(iter(pieces(packed[:-9]))))


def saved(path: Path, *, tags: list[str], links: bool = False, blobs: bool = False) -> Path:
    """An archive as docker and podman write it: of two layers, the second of which is there twice."""
    layers = [*LAYERS, LAYERS[1]]
    config = json.dumps(
        {
            "os": "linux",
            "architecture": "amd64",
            "config": {"Cmd": ["sh"]},
            "rootfs": {"diff_ids": [sha(layer) for layer in layers]},
        }
    ).encode()
    digest = sha(config)[7:]
    prefix = "blobs/sha256/" if blobs else ""
    names = [f"{prefix}{sha(layer)[7:]}" if blobs else f"{number}/layer.tar" for number, layer in enumerate(layers)]
    members = [entry(name, layer) for name, layer in zip(names, layers, strict=True)]
    if blobs:
        del members[2]
    if links:
        members[2] = symlink("2/layer.tar", "../1/layer.tar")
    own = f"{prefix}{digest}" + ("" if blobs else ".json")
    row = {"Config": own, "RepoTags": tags, "Layers": names}
    members += [entry(own, config), entry("manifest.json", json.dumps([row]).encode())]
    path.write_bytes(archive(*members))
    return path


@pytest.mark.parametrize(("links", "blobs"), [(False, False), (True, False), (False, True)])
def test_saved_archives(tmp_path: Path, links: bool, blobs: bool) -> None:
    image = saved(tmp_path / "saved.tar", tags=["example.org/web:1"], links=links, blobs=blobs)
    made = make(image, tmp_path / "bundle", tag="web:1")
    assert made.names() == ["d", "d/g", "f"]
    with pytest.raises(ImageError, match=r"has no image 'other'; there are example\.org/web:1"):
        make(image, tmp_path / "other", tag="other")


def test_a_saved_archive_whose_layer_is_another(tmp_path: Path) -> None:
    image = saved(tmp_path / "saved.tar", tags=["a"])
    data = image.read_bytes()
    image.write_bytes(data.replace(LAYERS[1], archive(directory("d"), entry("d/g", b"3")), 1))
    with pytest.raises(ImageError, match="layer 2 of 3: the decompressed content has the digest"):
        make(image, tmp_path / "bundle")


def test_a_saved_archive_that_names_what_is_missing(tmp_path: Path) -> None:
    rows: list[object] = [
        [{"Config": "../../etc/passwd", "Layers": []}],
        [{"Config": 1}],
        [],
        {},
        [{"Config": "c", "Layers": ["/etc/passwd"]}],
    ]
    for number, row in enumerate(rows):
        image = tmp_path / str(number)
        config = json.dumps({"rootfs": {"diff_ids": [sha(b"")]}}).encode()
        image.write_bytes(archive(entry("manifest.json", json.dumps(row).encode()), entry("c", config)))
        with pytest.raises(ImageError, match=r"is missing|names no config|names no image|no JSON array"):
            make(image, tmp_path / "bundle")


@pytest.mark.parametrize("method", ["plain", "gzip", "zstd"])
@pytest.mark.parametrize("what", ["root", "layout", "saved"])
@pytest.mark.parametrize("by", ["file", "pipe"])
def test_archives_in_all_forms(
    tmp_path: Path, method: str, what: str, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if what == "layout":
        made = Layout(tmp_path / "layout")
        data = made.add(made.image(*LAYERS)).packed(tmp_path / "plain").read_bytes()
    elif what == "saved":
        data = saved(tmp_path / "plain", tags=[]).read_bytes()
    else:
        data = archive(entry("f", b"1"), directory("d"), entry("d/g", b"2"))
    packed = {"plain": data, "gzip": gzip.compress(data), "zstd": zstandard.ZstdCompressor().compress(data)}[method]
    image = tmp_path / "image"
    image.write_bytes(packed)
    platform = "" if what == "root" else "linux/amd64"
    if by == "file":
        found = make(image, tmp_path / "bundle", platform=platform)
    else:
        stdin = os.dup(0)
        with subprocess.Popen(["cat", image], stdout=subprocess.PIPE) as cat:
            assert cat.stdout is not None
            os.dup2(cat.stdout.fileno(), 0)
            try:
                found = make("-", tmp_path / "bundle", platform=platform)
            finally:
                os.dup2(stdin, 0)
                os.close(stdin)
    assert found.names() == ["d", "d/g", "f"]
    assert found.config["process"]["args"] == ["sh"]


def test_the_archive_of_a_root_has_no_tag(tmp_path: Path) -> None:
    (tmp_path / "root.tar").write_bytes(LAYERS[0])
    with pytest.raises(UsageError, match="has no tag or platform"):
        make(tmp_path / "root.tar", tmp_path / "bundle", platform="", tag="x")


def test_a_layout_that_is_not_at_the_top_of_its_archive(tmp_path: Path) -> None:
    layout(tmp_path / "store", LAYERS[0])
    image = tmp_path / "image.tar"
    subprocess.run(["tar", "-C", tmp_path, "-cf", image, "store"], check=True)
    with pytest.raises(ImageError, match="holds an image layout in the directory store") as caught:
        make(image, tmp_path / "bundle", platform="")
    assert "tar -C store" in caught.value.remedy
    # A root file system may have one anywhere.
    image.write_bytes(archive(entry("f"), entry("store/oci-layout", b"{}")))
    assert "store/oci-layout" in make(image, tmp_path / "bundle", platform="").names()


def test_what_docker_saved_long_ago(tmp_path: Path) -> None:
    image = tmp_path / "image.tar"
    image.write_bytes(archive(entry("repositories", b"{}"), entry("1/json", b"{}"), entry("1/layer.tar", LAYERS[0])))
    with pytest.raises(ImageError, match=r"of Docker before 1\.10"):
        make(image, tmp_path / "bundle", platform="")


def test_the_archive_of_a_root_that_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "root.tar").write_bytes(LAYERS[1][:1536])
    with pytest.raises(ImageError, match="no mark of its end"):
        make(tmp_path / "root.tar", tmp_path / "bundle", platform="")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("store:web", r"name .*/store alone, and the tag by "),
        ("oci:store:web", r"name .*/store alone, and the tag by "),
        ("oci:store", r"name .*/store alone$"),
        ("oci:nosuch:web", "fetches no images"),
        ("store:web/x", r"name .*/store alone"),
        ("alpine:3", "fetches no images"),
    ],
)
def test_names_of_other_programs(tmp_path: Path, name: str, remedy: str) -> None:
    layout(tmp_path / "store", LAYERS[0])
    *transport, rest = name.split(":", 1) if name.startswith("oci:") else [name]
    with pytest.raises(HostError) as caught:
        make(":".join([*transport, f"{tmp_path}/{rest}"]), tmp_path / "bundle")
    assert re.search(remedy, caught.value.remedy)
    assert os.listdir(tmp_path) == ["store"]


def test_an_image_of_no_layer(tmp_path: Path) -> None:
    assert make(layout(tmp_path / "image"), tmp_path / "bundle").names() == []


def test_a_layer_that_says_nothing_of_its_media_type_is_refused(tmp_path: Path) -> None:
    made = Layout(tmp_path / "image")
    row = made.image(LAYERS[0])
    file = made.path / "blobs" / "sha256" / row["digest"][7:]
    manifest = json.loads(file.read_text())
    assert manifest["layers"][0].pop("mediaType") == LAYER
    made.add(made.json(manifest, row["mediaType"]))
    with pytest.raises(ImageError, match="has the media type None"):
        make(made.path, tmp_path / "bundle")
