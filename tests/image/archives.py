"""Archives and layouts as the tests want them, wrong ones too."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile

from ocirun.cli import template
from ocirun.image import bundle
from ocirun.image.owners import Owners

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
AMD64 = {"os": "linux", "architecture": "amd64"}


def entry(
    name: str, content: bytes = b"", type: bytes = tarfile.REGTYPE, **fields: Any
) -> tuple[tarfile.TarInfo, bytes]:
    """A member and its content; `fields` are those of tarfile."""
    member = tarfile.TarInfo(name)
    member.type = type
    member.size = len(content)
    member.mode = 0o755 if type == tarfile.DIRTYPE else 0o644
    for key, value in fields.items():
        setattr(member, key, value)
    return member, content


def directory(name: str, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.DIRTYPE, **fields)


def symlink(name: str, target: str, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.SYMTYPE, linkname=target, **fields)


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.LNKTYPE, linkname=target)


def archive(*members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar archive; the order and the names are as given."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content) if content else None)
    return out.getvalue()


def header(name: bytes = b"file", type: bytes = b"0", **fields: bytes) -> bytes:
    """One header with fields of any bytes, and the check sum of these."""
    places = {"mode": (100, 8), "uid": (108, 8), "gid": (116, 8), "size": (124, 12), "mtime": (136, 12)}
    places |= {"target": (157, 100), "magic": (257, 8), "major": (329, 8), "minor": (337, 8), "prefix": (345, 155)}
    block = bytearray(512)
    block[: len(name)] = name
    block[156:157] = type
    for key, value in {"magic": b"ustar\x0000", "mode": b"0000644\0", "size": b"00000000000\0", **fields}.items():
        start, size = places[key]
        block[start : start + size] = value.ljust(size, b"\0")
    return summed(block)


def summed(block: bytearray) -> bytes:
    """A header with the right check sum."""
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


END = bytes(1024)


def sha(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Layout:
    """An OCI image layout that grows in a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "blobs" / "sha256").mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self.rows: list[dict[str, Any]] = []

    def blob(self, data: bytes) -> dict[str, Any]:
        """Put a blob, and begin its descriptor."""
        digest = sha(data)
        (self.path / "blobs" / "sha256" / digest.partition(":")[2]).write_bytes(data)
        return {"digest": digest, "size": len(data)}

    def json(self, value: object, kind: str) -> dict[str, Any]:
        return {"mediaType": kind, **self.blob(json.dumps(value).encode())}

    def image(self, *layers: bytes, config: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """The descriptor of an image with layers, which may be compressed; `more` are fields of its config."""
        diffs = [sha(gzip.decompress(layer) if layer[:2] == b"\x1f\x8b" else plain(layer)) for layer in layers]
        whole = {
            **AMD64,
            "rootfs": {"type": "layers", "diff_ids": diffs},
            "config": {"Cmd": ["sh"]} if config is None else config,
            **more,
        }
        rows = [{"mediaType": LAYER, **self.blob(layer)} for layer in layers]
        return self.json(
            {"schemaVersion": 2, "mediaType": MANIFEST, "config": self.json(whole, CONFIG), "layers": rows}, MANIFEST
        )

    def add(self, row: dict[str, Any], name: str = "", platform: dict[str, str] | None = None) -> Layout:
        """Name an image in the index."""
        if name:
            row = {**row, "annotations": {"org.opencontainers.image.ref.name": name}}
        if platform:
            row = {**row, "platform": platform}
        self.rows.append(row)
        self.write({"schemaVersion": 2, "mediaType": INDEX, "manifests": self.rows})
        return self

    def write(self, index: object) -> None:
        (self.path / "index.json").write_text(json.dumps(index))

    def packed(self, path: Path) -> Path:
        """The same as an archive."""
        with tarfile.open(path, "w") as tar:
            tar.add(self.path, ".")
        return path


def plain(layer: bytes) -> bytes:
    """A layer that may be compressed with zstd."""
    if layer[:4] != b"\x28\xb5\x2f\xfd":
        return layer
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj().decompress(layer)


def layout(path: Path, *layers: bytes, **more: Any) -> Path:
    """A layout of one image."""
    made = Layout(path)
    made.add(made.image(*layers, **more))
    return path


class Made:
    """A bundle, and what was said of it."""

    def __init__(self, path: Path, notes: list[str]) -> None:
        self.path = path
        self.notes = notes
        self.rootfs = path / "rootfs"
        self.config = json.loads((path / "config.json").read_text())

    def names(self, below: str = "") -> list[str]:
        """Paths of all that is in the root file system, sorted."""
        top = self.rootfs / below
        return sorted(str(path.relative_to(top)) for path in top.rglob("*"))


def make(image: Path | str, target: Path, **more: Any) -> Made:
    """Make a bundle as `ocirun bundle` does, for amd64 unless one says otherwise."""
    notes: list[str] = []
    config = template.config(cgroup_namespace=False)
    more = {"owners": Owners(nodes=os.geteuid() == 0, caller=os.geteuid() != 0), "platform": "linux/amd64", **more}
    bundle.make(str(image), str(target), config=config, warn=notes.append, **more)
    return Made(target, notes)


def unpacked(tmp_path: Path, *layers: bytes, **more: Any) -> Made:
    """A bundle of an image with these layers."""
    return make(layout(tmp_path / "image", *layers), tmp_path / "bundle", **more)
