"""The measure of images: from a layout to a bundle."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import sysconfig
import tarfile

from . import runtimes
from .measures import MILLISECONDS, Series, turns, without_first

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .runtimes import Place

IMAGES = "from an image"
BUNDLE = "a bundle of an image"
_TAG = "measured"
_NO_UMOCI = "umoci is missing (Debian's package umoci), so there is nothing beside `ocirun bundle`"


class Unpacker:
    """A program that makes a bundle.

    words   its command line, behind which the bundle's path comes
    """

    def __init__(self, name: str, *words: str) -> None:
        self.name = name
        self._words = words

    def seconds(self, target: str) -> float:
        """Make a bundle, which is removed outside of the time.  Raises Failed."""
        try:
            return runtimes.timed([*self._words, target])
        finally:
            shutil.rmtree(target, ignore_errors=True)


def unpacking(place: Place, runs: int) -> list[Series]:
    """`ocirun bundle` of a layout with one compressed layer, beside `umoci unpack`."""
    layout = f"{place.top}/layout"
    place.note(f"the image has one layer: {_write(layout)}")
    items = [
        Unpacker(runtime.name, *runtime.words("bundle", "--tag", _TAG, layout))
        for runtime in place.runtimes
        if runtime.name in runtimes.OWN
    ]
    umoci = shutil.which("umoci")
    if umoci:
        items.append(Unpacker("umoci", umoci, "unpack", "--image", f"{layout}:{_TAG}"))
    else:
        place.note(_NO_UMOCI)
    series = Series(BUNDLE, group=IMAGES)
    target = f"{place.top}/unpacked"
    turns(place, items, max(3, runs // 4), 0.0, lambda item: series.add(item, item.seconds(target) * MILLISECONDS))
    shutil.rmtree(layout)
    return [without_first(series)]


def _write(path: str) -> str:
    """Make a layout whose layer is Python's standard library; what the layer holds."""
    os.makedirs(f"{path}/blobs/sha256")
    layer, told = _layer(sysconfig.get_path("stdlib"))
    packed = gzip.compress(layer, 6, mtime=0)
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    config = _blob(
        path,
        json.dumps(
            {
                "os": "linux",
                "architecture": machine,
                "config": {},
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
            }
        ).encode(),
    )
    manifest = _blob(
        path,
        json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": _kind("manifest.v1+json"),
                "config": {"mediaType": _kind("config.v1+json"), **config},
                "layers": [{"mediaType": _kind("layer.v1.tar+gzip"), **_blob(path, packed)}],
            }
        ).encode(),
    )
    row = {
        "mediaType": _kind("manifest.v1+json"),
        **manifest,
        "annotations": {"org.opencontainers.image.ref.name": _TAG},
    }
    for name, value in (
        ("oci-layout", {"imageLayoutVersion": "1.0.0"}),
        ("index.json", {"schemaVersion": 2, "manifests": [row]}),
    ):
        with open(f"{path}/{name}", "w", encoding="ascii") as file:
            json.dump(value, file)
    return told


def _kind(name: str) -> str:
    return f"application/vnd.oci.image.{name}"


def _blob(path: str, data: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    with open(f"{path}/blobs/sha256/{digest}", "wb") as file:
        file.write(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


def _layer(top: str) -> tuple[bytes, str]:
    """An archive of the modules below a directory, and what that is."""
    out = io.BytesIO()
    count = size = 0
    with tarfile.open(fileobj=out, mode="w") as tar:
        for where, folders, files in os.walk(top):
            folders[:] = sorted(set(folders) - {"__pycache__", "site-packages", "dist-packages"})
            inner = os.path.relpath(where, os.path.dirname(top))
            tar.add(where, inner, recursive=False)
            for name in sorted(files):
                tar.add(f"{where}/{name}", f"{inner}/{name}", recursive=False)
                count += 1
                size += os.lstat(f"{where}/{name}").st_size
    return out.getvalue(), f"{count} files of Python's standard library, {size >> 20} MiB, gzip"
