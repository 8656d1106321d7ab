"""Bytes in order: a part of a file, compared with its digest, decompressed, and read with a limit.

Each step is a generator of pieces, so what is in memory does not depend on the size of an image.
"""

from __future__ import annotations

import os

from ..errors import HostError, ImageError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Hash = Any

PIECE = 1 << 18
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
# What other compressions begin with, to name them.
_OTHERS = ((b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz"), (b"\x89LZO", "lzop"), (b"\x04\x22\x4d\x18", "lz4"))
# Of zstd, as its program has it without --ultra --long: more is for archives that are made with these.
_WINDOW = 1 << 27
_ALGORITHMS = {"sha256": 64, "sha512": 128}


class Digest:
    """A digest such as ``sha256:`` and 64 hexadecimal digits.

    algorithm   sha256 or sha512
    hex         the digits
    """

    __slots__ = ("algorithm", "hex")

    def __init__(self, text: object, what: str) -> None:
        """Raise ImageError for a text that is none.

        what   whose it is, for the message
        """
        algorithm, _, digits = text.partition(":") if isinstance(text, str) else ("", "", "")
        if len(digits) != _ALGORITHMS.get(algorithm) or digits.strip("0123456789abcdef"):
            shown = f"{text[:100]!a}" if isinstance(text, str) else "missing"
            raise ImageError(f"the digest of {what} is {shown}, not sha256 or sha512 in small hexadecimal digits")
        self.algorithm = algorithm
        self.hex = digits

    def new(self) -> Hash:
        """Begin to compute one of the same kind."""
        import hashlib

        return hashlib.new(self.algorithm, usedforsecurity=True)

    def compare(self, found: Hash, what: str) -> None:
        """Raise ImageError where what was computed is another one."""
        if found.hexdigest() != self.hex:
            raise ImageError(f"{what} has the digest {self.algorithm}:{found.hexdigest()}, not {self}")

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


class Part:
    """A stretch of an open file, whose owner closes it.

    fd       the file
    offset   where it begins, in bytes
    size     bytes
    """

    __slots__ = ("fd", "offset", "size")

    def __init__(self, fd: int, offset: int, size: int) -> None:
        self.fd = fd
        self.offset = offset
        self.size = size

    def read(self, offset: int, size: int) -> bytes:
        """Read bytes from an offset in it, fewer at its end.  Raises HostError."""
        size = min(size, self.size - offset)
        try:
            return os.pread(self.fd, size, self.offset + offset) if size > 0 else b""
        except OSError as error:
            raise HostError.from_os("read", error, call="pread64") from None

    def pieces(self, digest: Digest | None = None, *, told: Callable[[int], None] | None = None) -> Iterator[bytes]:
        """Read all of it, in pieces.

        digest   compared when the last piece has been taken
        told     called with the number of bytes of each piece
        Raises ImageError for another digest, and for a file that is shorter by now; HostError.
        """
        found = digest.new() if digest else None
        offset = 0
        while offset < self.size:
            piece = self.read(offset, PIECE)
            if not piece:
                raise ImageError(f"is cut off behind {offset} of {self.size} bytes")
            offset += len(piece)
            if found:
                found.update(piece)
            if told:
                told(len(piece))
            yield piece
        if digest:
            digest.compare(found, "the content")


def compression(head: bytes) -> str:
    """Tell how something is compressed that begins with these six bytes: gzip, zstd, "" for not at all.

    Raises UnsupportedError for others.
    """
    if head.startswith(_GZIP):
        return "gzip"
    if head.startswith(_ZSTD) or (head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] < 0x60):
        return "zstd"
    for magic, name in _OTHERS:
        if head.startswith(magic):
            raise UnsupportedError(f"is compressed with {name}", remedy="decompress it first")
    return ""


def decompressed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Pass pieces on, decompressed if they begin like gzip or zstd: what is said of them elsewhere does not count.

    Raises ImageError for damaged data, UnsupportedError for zstd without a library, and other compressions.
    """
    head = b""
    while len(head) < 6 and (piece := next(pieces, b"")):
        head += piece
    pieces = _chained(head, pieces)
    kind = compression(head)
    return _gunzipped(pieces) if kind == "gzip" else _unzstd(pieces) if kind == "zstd" else pieces


def _chained(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from pieces


def _gunzipped(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Read one member of gzip or several, each with the check sum that the library compares."""
    import zlib

    machine = zlib.decompressobj(31)
    begun = False
    for piece in pieces:
        rest = piece
        while rest:
            if machine.eof:
                machine = zlib.decompressobj(31)
            try:
                out = machine.decompress(rest, PIECE)
            except zlib.error as error:
                raise ImageError(f"the gzip data are damaged: {error}") from None
            begun = True
            if out:
                yield out
            rest = machine.unused_data if machine.eof else machine.unconsumed_tail
            # What the library holds back comes without more input.
            while not rest and not machine.eof and len(out) == PIECE:
                out = machine.decompress(b"", PIECE)
                if out:
                    yield out
    if not begun or not machine.eof:
        raise ImageError("the gzip data are cut off")


def _unzstd(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Read frames of zstd, by the library of Python 3.14 or the package zstandard."""
    try:
        library: Any = __import__("compression.zstd", fromlist=("ZstdDecompressor",))
    except ImportError:
        return _unzstd_by_package(pieces)
    return _unzstd_by_python(pieces, library)


def _unzstd_by_python(pieces: Iterator[bytes], library: Any) -> Iterator[bytes]:
    options = {library.DecompressionParameter.window_log_max: _WINDOW.bit_length() - 1}
    machine = library.ZstdDecompressor(options=options)
    for piece in pieces:
        rest = piece
        while rest or not (machine.needs_input or machine.eof):
            if machine.eof:
                machine = library.ZstdDecompressor(options=options)
            try:
                out = machine.decompress(rest, PIECE)
            except library.ZstdError as error:
                raise ImageError(f"the zstd data are damaged: {error}") from None
            if out:
                yield out
            rest = machine.unused_data if machine.eof else b""
    if not machine.eof:
        raise ImageError("the zstd data are cut off")


class _Source:
    """A file of pieces, for the package zstandard."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, size: int) -> bytes:
        del size  # a reader of zstandard takes what it gets
        return next(self._pieces, b"")


def _unzstd_by_package(pieces: Iterator[bytes]) -> Iterator[bytes]:
    try:
        import zstandard
    except ImportError:
        raise UnsupportedError(
            "is compressed with zstd, and this Python has no library for it",
            remedy="install the package zstandard, as `pip install 'ocirun[zstd]'` does, or use Python 3.14",
        ) from None
    machine = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
    reader = machine.stream_reader(_Source(pieces), read_across_frames=True)  # type: ignore[arg-type]
    while True:
        try:
            piece = reader.read(PIECE)
        except zstandard.ZstdError as error:
            raise ImageError(f"the zstd data are damaged: {error}") from None
        if not piece:
            return
        yield piece


class Stream:
    """Pieces read as a file is read.

    position   bytes that were taken
    """

    __slots__ = ("_digest", "_found", "_limit", "_pieces", "_rest", "position")

    def __init__(self, pieces: Iterator[bytes], *, limit: Limit, digest: Digest | None = None) -> None:
        """Make one of pieces.

        limit    how much may come
        digest   compared by `end`
        """
        self._pieces = pieces
        self._limit = limit
        self._digest = digest
        self._found = digest.new() if digest else None
        self._rest = memoryview(b"")
        self.position = 0

    def some(self, most: int) -> memoryview:
        """Take the next bytes, from one to `most` of them; none at the end."""
        if not self._rest:
            piece = next(self._pieces, b"")
            if not piece:
                return self._rest
            self._limit.take(len(piece))
            if self._found:
                self._found.update(piece)
            self._rest = memoryview(piece)
        part = self._rest[:most]
        self._rest = self._rest[most:]
        self.position += len(part)
        return part

    def read(self, size: int) -> bytes:
        """Take the next bytes, fewer than `size` only at the end."""
        part = self.some(size)
        if len(part) == size:
            return bytes(part)
        parts = [part]
        left = size - len(part)
        while left and (part := self.some(left)):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def exactly(self, size: int) -> bytes:
        """Take the next bytes.  Raises ImageError where there are fewer."""
        data = self.read(size)
        if len(data) < size:
            raise self.cut_off()
        return data

    def skip(self, size: int) -> None:
        """Pass bytes over.  Raises ImageError where there are fewer."""
        while size > 0:
            part = self.some(size)
            if not part:
                raise self.cut_off()
            size -= len(part)

    def cut_off(self) -> ImageError:
        """Make the error of an archive that ends too early."""
        return ImageError(f"the archive is cut off, at byte {self.position}")

    def end(self) -> None:
        """Take all that is left, and compare the digest.  Raises ImageError."""
        while self.some(PIECE):
            pass
        if self._digest:
            self._digest.compare(self._found, "the decompressed content")


class Limit:
    """How many bytes may come of all parts of an image together, decompressed."""

    __slots__ = ("_left", "_size")

    def __init__(self, size: int) -> None:
        self._size = self._left = size

    def take(self, size: int) -> None:
        """Count bytes.  Raises ImageError for more than may come."""
        self._left -= size
        if self._left < 0:
            from ..errors import option

            raise ImageError(
                f"is larger than {self._size} bytes when decompressed",
                remedy=f"if it is meant to be, give a larger {option('size-limit')}",
            )
