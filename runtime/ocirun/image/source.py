"""The files of an image: those of a directory, or the members of an archive."""

from __future__ import annotations

import os

from .._base import jsonio, procfile
from .._native import lib
from ..errors import HostError, ImageError, UnsupportedError, errno_words, option
from . import tar
from .streams import PIECE, Limit, Part, Stream, compression, decompressed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, TypeVar

    from .streams import Digest

    T = TypeVar("T", dict[str, object], list[object])

#: Bytes of an index, a manifest, a config; registries take 4 MiB.
JSON_LIMIT = 8 << 20
# Members of an archive of images. One of a root file system has more, and then it is none of these.
_MEMBERS_MAX = 20000
_ENOENT = 2
_NOT_HERE = "ocirun fetches no images: name a file or a directory that `skopeo copy` or `podman save` has written"
# How skopeo and podman tell forms of images apart; here the form is looked at.
_TRANSPORTS = ("oci:", "oci-archive:", "docker-archive:")
# Beneath the directory, and no link of /proc.
_BENEATH = 8 | 2


class Source:
    """An image's files, which are open until `close`.

    path      where the image is
    archive   the archive as a whole; None for a directory
    members   the archive's files by name, where it may be one of images; (part, "") or (None, what it is a link to)
    """

    __slots__ = ("_held", "archive", "members", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self.archive: Part | None = None
        self.members: dict[str, tuple[Part | None, str]] = {}
        self._held: list[int] = []

    def close(self) -> None:
        """Close what is open."""
        while self._held:
            os.close(self._held.pop())

    def hold(self, fd: int) -> int:
        """Close a descriptor with the others."""
        self._held.append(fd)
        return fd

    def has(self, name: str) -> bool:
        """Tell if there is such a file."""
        if self.archive is not None:
            return name in self.members
        return self._open(name) is not None

    def part(self, name: str) -> Part:
        """Find a file of it.  Raises ImageError where there is none, HostError."""
        part = self._member(name) if self.archive is not None else self._open(name)
        if part is None:
            raise ImageError("is missing", blob=name)
        return part

    def blob(self, digest: Digest, size: object, what: str) -> Part:
        """Find a blob of a layout.  Raises ImageError where it is missing or has another size.

        size   as its descriptor has it
        what   what it is, for the message
        """
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise ImageError(f"the descriptor of {what} has the size {str(size)[:40]!a}", blob=str(digest))
        try:
            part = self.part(f"blobs/{digest.algorithm}/{digest.hex}")
        except ImageError as error:
            raise ImageError(f"{what}: {error.reason}", blob=str(digest)) from None
        if part.size != size:
            raise ImageError(f"{what} has {part.size} bytes, and not {size}", blob=str(digest))
        return part

    def json(self, part: Part, what: str, kind: type[T], digest: Digest | None = None) -> T:
        """Return the object or array that a file holds.  Raises ImageError, HostError.

        what     what it is, for the message
        kind     dict or list
        digest   that it must have
        """
        blob = str(digest) if digest else what
        if part.size > JSON_LIMIT:
            raise ImageError(f"{what} has {part.size} bytes, the limit is {JSON_LIMIT}", blob=blob)
        try:
            value: Any = jsonio.loads(b"".join(part.pieces(digest)))
        except jsonio.JsonError as error:
            raise ImageError(f"{what} is no JSON: {error}", blob=blob) from None
        except ImageError as error:
            raise error.inside(blob=blob) from None
        if not isinstance(value, kind):
            raise ImageError(f"{what} is no JSON {'object' if kind.__name__ == 'dict' else 'array'}", blob=blob)
        return value

    def _open(self, name: str) -> Part | None:
        fd = lib.ocirun_openat2(self._held[0], name.encode(), os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY, 0, _BENEATH)
        if fd == -_ENOENT:
            return None
        if fd < 0:
            raise HostError(f"{self.path}/{name}: {errno_words(-fd)}", call="openat2", errno=-fd)
        status = os.fstat(self.hold(fd))
        if status.st_mode & 0o170000 != 0o100000:
            raise ImageError("is not a regular file", blob=name)
        return Part(fd, 0, status.st_size)

    def _member(self, name: str) -> Part | None:
        for _ in range(8):  # a layer that an archive of docker has twice is a link to the first one
            if name not in self.members:
                return None
            part, target = self.members[name]
            if part is not None:
                return part
            name = target
        raise ImageError("is a link that leads in a circle", blob=name)


def open_source(path: str, *, spool: str, limit: int) -> Source:
    """Open an image.

    path    a directory, a file, or ``-`` for standard input
    spool   directory for the copy of what is compressed or a pipe; nothing there ever has a name
    limit   bytes of such a copy
    Raises HostError, ImageError, UnsupportedError.
    """
    source = Source("standard input" if path == "-" else path)
    try:
        _open(source, path, spool, limit)
    except BaseException:
        source.close()
        raise
    return source


def _open(source: Source, path: str, spool: str, limit: int) -> None:
    try:
        fd = source.hold(os.dup(0) if path == "-" else os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY))
        status = os.fstat(fd)
    except OSError as error:
        remedy = _meant(path) if error.errno == _ENOENT else ""
        raise HostError.from_os(source.path, error, call="open", remedy=remedy) from None
    kind = status.st_mode & 0o170000
    if kind == 0o040000:
        return
    if kind not in (0o100000, 0o010000, 0o140000):
        raise ImageError("is neither a directory nor a file", image=source.path)
    try:
        source.archive = Part(fd, 0, status.st_size) if kind == 0o100000 else _spooled(source, _piped(fd), spool, limit)
        head = source.archive.read(0, 6)
        if not head:
            raise ImageError("is empty")
        if compression(head):
            source.archive = _spooled(source, decompressed(source.archive.pieces()), spool, limit)
        source.members = _members(source.archive)
    except ImageError as error:
        raise error.inside(image=source.path) from None
    except UnsupportedError as error:
        raise UnsupportedError(f"{source.path}: {error.message}", remedy=error.remedy) from None


def _meant(path: str) -> str:
    """Return the remedy for an image that is not there: perhaps it is named as skopeo and umoci name it."""
    place = path
    for transport in _TRANSPORTS:
        place = place.removeprefix(transport)
    place, _, tag = place.partition(":")
    if place == path or not procfile.exists(place):
        return _NOT_HERE
    return f"name {place} alone" + (f", and the tag by {option('tag', tag)}" if tag else "")


def _piped(fd: int) -> Iterator[bytes]:
    """Read what comes from standard input."""
    while True:
        try:
            piece = os.read(fd, PIECE)
        except OSError as error:
            raise HostError.from_os("read standard input", error, call="read") from None
        if not piece:
            return
        yield piece


def _spooled(source: Source, pieces: Iterator[bytes], spool: str, limit: int) -> Part:
    """Copy it into a file without a name."""
    left = Limit(limit)
    try:
        fd = source.hold(os.open(spool, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600))
        size = 0
        for piece in pieces:
            left.take(len(piece))
            view = memoryview(piece)
            while view:
                view = view[os.write(fd, view) :]
            size += len(piece)
    except OSError as error:
        what = f"copy the decompressed image to {spool}"
        raise HostError.from_os(what, error, call="write", remedy="make room there, or decompress it first") from None
    return Part(fd, 0, size)


def _members(archive: Part) -> dict[str, tuple[Part | None, str]]:
    """Return the files of an archive of images; none for one that has so many that it cannot be that."""
    found: dict[str, tuple[Part | None, str]] = {}
    stream = _Seeking(archive)
    for entry in tar.entries(stream, marked=False):
        name = os.path.normpath(os.fsdecode(entry.name)).lstrip("/")
        if entry.kind == tar.DIRECTORY:
            continue
        if name in found or len(found) >= _MEMBERS_MAX:
            return _checked(found, name)
        if entry.kind == tar.FILE:
            regular = entry.holes is None
            found[name] = (Part(archive.fd, archive.offset + stream.position, entry.size) if regular else None, "")
        elif entry.kind in (tar.SYMLINK, tar.LINK):
            base = os.path.dirname(name) if entry.kind == tar.SYMLINK else ""
            found[name] = (None, os.path.normpath(os.path.join(base, os.fsdecode(entry.target))))
    return found


def _checked(found: dict[str, tuple[Part | None, str]], name: str) -> dict[str, tuple[Part | None, str]]:
    """Refuse an archive of images that has a file twice: which of the two counts, readers decide as they like."""
    if "manifest.json" in found or "oci-layout" in found:
        raise ImageError("is in the archive more than once", blob=name)
    return {}


class _Seeking(Stream):
    """The headers of an archive in a file: what lies between them is not read."""

    def __init__(self, archive: Part) -> None:
        super().__init__(iter(()), limit=Limit(0))
        self._archive = archive

    def some(self, most: int) -> memoryview:
        """Take the next bytes."""
        data = self._archive.read(self.position, most)
        self.position += len(data)
        return memoryview(data)

    def skip(self, size: int) -> None:
        """Pass bytes over.  Raises ImageError where there are fewer."""
        if size > self._archive.size - self.position:
            raise self.cut_off()
        self.position += size
