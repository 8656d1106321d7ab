"""Find the manifest of an image: in an OCI image layout, or in an archive that docker or podman has saved.

What comes of both is the same: a config, and parts with layers.
"""

from __future__ import annotations

from ..errors import ImageError, option
from .streams import Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .platform import Platform
    from .source import Source
    from .streams import Part

    Object = dict[str, Any]

#: Layers of one image; engines take 127.
LAYERS_MAX = 500
# Indexes within indexes.
_DEPTH_MAX = 8
_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
_LAYERS = ("application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs.")
_REF, _FULL = "org.opencontainers.image.ref.name", "io.containerd.image.name"


class Layer:
    """One layer.

    part     its bytes, as they are stored
    digest   of these; None where the archive has none
    diff     digest of the archive, decompressed
    name     what it is called in messages
    """

    __slots__ = ("diff", "digest", "name", "part")

    def __init__(self, part: Part, digest: Digest | None, diff: Digest, name: str) -> None:
        self.part = part
        self.digest = digest
        self.diff = diff
        self.name = name


class Image:
    """What an image is made of.

    config   its config, as image-spec config.md has it; empty for a root file system
    layers   from the lowest up
    """

    __slots__ = ("config", "layers")

    def __init__(self, config: Object, layers: list[Layer]) -> None:
        self.config = config
        self.layers = layers


def find(source: Source, *, tag: str, platform: Platform, chosen: bool) -> Image | None:
    """Find the image that is asked for; None where the source is the archive of a root file system.

    tag        its name or the last part of that; "" for the only one
    platform   what it must be for
    chosen     the platform was named, so an image that does not say must not be taken for it
    Raises ImageError, HostError.
    """
    if source.archive is None and not source.has("oci-layout"):
        raise ImageError(
            "is a directory without the file oci-layout", remedy="give an image layout, or an archive of an image"
        )
    if source.has("oci-layout") and source.has("index.json"):
        image = _in_layout(source, tag, platform)
    elif source.archive is None or source.has("oci-layout"):
        raise ImageError("is missing", blob="index.json")
    elif source.has("manifest.json"):
        image = _in_archive(source, tag)
    else:
        _refuse_hidden(source)
        return None
    theirs = [image.config.get(key) for key in ("os", "architecture", "variant")]
    if not platform.rank(*theirs) and (chosen or theirs[0] or theirs[1]):
        said = "/".join(str(word)[:20] for word in theirs if word) or "a platform that it does not name"
        raise ImageError(f"the image is for {said}, and not for {platform}", remedy=_platform())
    return image


def _refuse_hidden(source: Source) -> None:
    """Refuse what would be taken for a root file system, and is an image in a form that is not read."""
    tops = {name.partition("/")[0] for name in source.members}
    if len(tops) == 1 and source.has(f"{(top := tops.pop())}/oci-layout"):
        text = f"holds an image layout in the directory {top}, and not at its top"
        raise ImageError(text, remedy=f"unpack it and name the directory, or make it by `tar -C {top} -cf FILE .`")
    if source.has("repositories") and any(name.endswith("/layer.tar") for name in source.members):
        raise ImageError("is an archive of Docker before 1.10, without manifest.json", remedy="load and save it anew")


def text_list(value: object, what: str) -> list[str]:
    """Check an array of strings, where null is an empty one.  Raises ImageError."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise ImageError(f"{what} is no array of strings")
    return value


def _platform() -> str:
    return f"choose another with {option('platform', 'OS/ARCHITECTURE')}"


def _in_layout(source: Source, tag: str, platform: Platform) -> Image:
    layout: Object = source.json(source.part("oci-layout"), "oci-layout", dict)
    version = layout.get("imageLayoutVersion")
    if not isinstance(version, str) or not version.startswith("1."):
        raise ImageError(f"the layout has the version {version!r:.40}, and not 1.0.0", blob="oci-layout")
    index: Object = source.json(source.part("index.json"), "index.json", dict)
    found = _tagged(_descriptors(index, "index.json"), tag)
    for _ in range(_DEPTH_MAX):
        descriptor = _for_platform(found, platform)
        digest = Digest(descriptor.get("digest"), "a manifest")
        part = source.blob(digest, descriptor.get("size"), "the manifest")
        manifest: Object = source.json(part, "the manifest", dict, digest)
        kind = _kind(manifest, descriptor, str(digest))
        if kind in _MANIFESTS:
            return _image(source, manifest, digest)
        if kind not in _INDEXES:
            raise ImageError(f"has the media type {kind!r:.100}, which is no image's", blob=str(digest))
        found = _descriptors(manifest, str(digest))
    raise ImageError(f"more than {_DEPTH_MAX} indexes lie within each other", blob="index.json")


def _kind(manifest: Object, descriptor: Object, blob: str) -> object:
    """Return the media type of a manifest or an index; what could be taken for both is refused (CVE-2021-41190)."""
    said = [kind for kind in (manifest.get("mediaType"), descriptor.get("mediaType")) if kind]
    if len(said) == 2 and said[0] != said[1]:
        raise ImageError(f"says that it is {said[0]!r:.100}, and its descriptor {said[1]!r:.100}", blob=blob)
    if "manifests" in manifest and ("layers" in manifest or "config" in manifest):
        raise ImageError("is a manifest and an index in one", blob=blob)
    return said[0] if said else None


def _descriptors(index: Object, blob: str) -> list[Object]:
    found = index.get("manifests")
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise ImageError("has no array of manifests", blob=blob)
    return found


def _names(descriptor: Object) -> list[str]:
    notes = descriptor.get("annotations")
    found = [notes.get(key) for key in (_REF, _FULL)] if isinstance(notes, dict) else []
    return [name for name in found if isinstance(name, str) and name]


def _matches(names: list[str], tag: str) -> bool:
    """Tell if one of the names is the tag, or ends in it; that of a repository stands for its tag ``latest``."""
    ends = [tag] if ":" in tag.rpartition("/")[2] else [tag, f"{tag}:latest"]
    return any(name == end or name.endswith((f"/{end}", f":{end}")) for name in names for end in ends)


def _tagged(found: list[Object], tag: str) -> list[Object]:
    """Choose the descriptors with a tag; without one they must be of one name."""
    names = sorted({", ".join(_names(row)) for row in found} - {""})
    if tag:
        rows = [row for row in found if _matches(_names(row), tag)]
        if not rows:
            raise _no_tag(tag, names)
        return rows
    if len(names) > 1:
        raise ImageError(f"holds several images: {'; '.join(names)[:500]}", remedy=f"choose one with {option('tag')}")
    if not found:
        raise ImageError("has no manifest", blob="index.json")
    return found


def _no_tag(tag: str, names: list[str]) -> ImageError:
    there = f"; there are {'; '.join(names)[:500]}" if names else "; no image in it has a name"
    return ImageError(f"has no image {tag!r:.200}{there}")


def _for_platform(found: list[Object], platform: Platform) -> Object:
    """Choose the descriptor for a platform.  What names none is decided by its config."""
    ranked = []
    for row in found:
        theirs = row.get("platform")
        if isinstance(theirs, dict):
            rank = platform.rank(theirs.get("os"), theirs.get("architecture"), theirs.get("variant"))
        else:
            rank = 3
        ranked.append(rank)
    best = max(ranked, default=0)
    if not best:
        raise ImageError(f"has no image for {platform}; there are {_said(found)}", remedy=_platform())
    rows = [row for row, rank in zip(found, ranked, strict=True) if rank == best]
    if len({str(row.get("digest")) for row in rows}) > 1:
        # A tag helps only where they have other names.
        if len({tuple(_names(row)) for row in rows}) > 1:
            raise ImageError(f"holds several images for {platform}", remedy=f"choose one with {option('tag')}")
        raise ImageError(f"holds several images for {platform} that have the same name")
    return rows[0]


def _said(found: list[Object]) -> str:
    said = []
    for row in found:
        theirs = row.get("platform") or {}
        words = [str(theirs.get(key) or "")[:20] for key in ("os", "architecture", "variant")]
        if words[0] != "unknown":  # an attestation of a build, and no image
            said.append("/".join(word for word in words if word))
    return ", ".join(dict.fromkeys(said))[:500] or "none at all"


def _image(source: Source, manifest: Object, digest: Digest) -> Image:
    blob = str(digest)
    row, rows = manifest.get("config"), manifest.get("layers")
    if not isinstance(row, dict) or not isinstance(rows, list) or not all(isinstance(layer, dict) for layer in rows):
        raise ImageError("the manifest has no config or no layers", blob=blob)
    own = Digest(row.get("digest"), "the config")
    config: Object = source.json(source.blob(own, row.get("size"), "the config"), "the config", dict, own)
    diffs = _diffs(config, len(rows), str(own))
    layers = []
    for number, (layer, diff) in enumerate(zip(rows, diffs, strict=True), 1):
        what = f"layer {number} of {len(rows)}"
        kind = layer.get("mediaType")
        if not isinstance(kind, str) or not kind.startswith(_LAYERS) or "encrypted" in kind:
            raise ImageError(f"{what} has the media type {kind!r:.100}, which is no file system's", blob=blob)
        theirs = Digest(layer.get("digest"), what)
        layers.append(Layer(source.blob(theirs, layer.get("size"), what), theirs, diff, f"{what} ({theirs})"))
    return Image(config, layers)


def _diffs(config: Object, count: int, blob: str) -> list[Digest]:
    """Return the digests of the layers, decompressed, of which there must be as many as there are layers."""
    rootfs = config.get("rootfs")
    words = text_list(rootfs.get("diff_ids") if isinstance(rootfs, dict) else None, "rootfs.diff_ids")
    if len(words) != count:
        raise ImageError(f"the config has {len(words)} layers in rootfs.diff_ids, the manifest {count}", blob=blob)
    if count > LAYERS_MAX:
        raise ImageError(f"has {count} layers, the limit is {LAYERS_MAX}", blob=blob)
    return [Digest(word, "a layer in rootfs.diff_ids") for word in words]


def _in_archive(source: Source, tag: str) -> Image:
    """Find it by manifest.json, which has no digests: those of the layers are in the config."""
    rows = source.json(source.part("manifest.json"), "manifest.json", list)
    images = [row for row in rows if isinstance(row, dict)]
    if not images or len(images) < len(rows):
        raise ImageError("names no image", blob="manifest.json")
    tags = [text_list(row.get("RepoTags"), "RepoTags") for row in images]
    found = [row for row, names in zip(images, tags, strict=True) if not tag or _matches(names, tag)]
    names = sorted(name for words in tags for name in words)
    if not found:
        raise _no_tag(tag, names)
    if len(found) > 1:
        raise ImageError(f"holds several images: {'; '.join(names)[:500]}", remedy=f"choose one with {option('tag')}")
    name = found[0].get("Config")
    if not isinstance(name, str):
        raise ImageError("names no config", blob="manifest.json")
    config: Object = source.json(source.part(name), "the config", dict, _digest_in(name))
    paths = text_list(found[0].get("Layers"), "Layers")
    diffs = _diffs(config, len(paths), name)
    return Image(
        config,
        [
            Layer(source.part(path), _digest_in(path) if "blobs/" in path else None, diff, f"layer {n} of {len(paths)}")
            for n, (path, diff) in enumerate(zip(paths, diffs, strict=True), 1)
        ],
    )


def _digest_in(name: str) -> Digest | None:
    """Return the digest that a file's name is; of a layer only in a layout, as elsewhere it is that of a history."""
    digits = name.rpartition("/")[2].removesuffix(".json").removeprefix("sha256:")
    if len(digits) != 64 or digits.strip("0123456789abcdef"):
        return None
    return Digest(f"sha256:{digits}", "the config")
