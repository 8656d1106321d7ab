"""Read a tree that is to be put into a container: a directory of the caller, or a tar archive that nobody trusts.

Nothing is written, and no name leads out: an entry is a path of plain names, and what it is.
"""

from __future__ import annotations

import os
import re

from .._base import parameters
from ..errors import HostError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from tarfile import TarInfo
    from typing import IO

#: The most entries of a tree.
ENTRIES = 100_000
_FORMAT, _DIRECTORY, _LINK, _FILE = 0o170000, 0o040000, 0o120000, 0o100000
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PATH_MAX = 4000
# Nanoseconds since 1970 in a signed word: from 1677 to 2262.  What an archive says of them is decimal, without an end.
_TIME_MAX = (1 << 63) - 1
_TIME = re.compile(r"(-?[0-9]{1,11})(?:\.([0-9]{0,9})[0-9]*)?")
# What an archive may have besides the contents: headers, padding.
_MORE = 64 << 20


class Entry:
    """One entry of a tree.

    path     of plain names, from the top of the tree
    mode     permission bits; -1 of a link
    content  bytes of a file; None for all else
    target   the text of a link; None for all else
    owner    uid and gid, None: whoever the tree is for
    time     when it was changed last, in nanoseconds since 1970
    """

    __slots__ = ("content", "mode", "owner", "path", "target", "time")

    def __init__(
        self,
        path: str,
        mode: int,
        time: int,
        *,
        content: bytes | None = None,
        target: str | None = None,
        owner: tuple[int, int] | None = None,
    ) -> None:
        self.path = path
        self.mode = mode
        self.time = time
        self.content = content
        self.target = target
        self.owner = owner


def entries(source: object, max_bytes: int, *, owners: bool) -> Iterator[Entry]:
    """Read a tree, directories before what is in them.

    source     the path of a directory, the bytes of a tar archive, or an open file with one
    max_bytes  of all files together
    owners     with those of the archive
    Raises UsageError, HostError.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        import io

        return _of_archive(io.BytesIO(source), max_bytes, owners=owners)
    if hasattr(source, "read"):
        return _of_archive(source, max_bytes, owners=owners)
    path = os.fspath(source) if hasattr(source, "__fspath__") else source
    if not isinstance(path, str):
        raise parameters.wrong(
            "source", "the path of a directory, or a tar archive as bytes or as an open file", source
        )
    if owners:
        raise UsageError("owners: is for an archive", remedy="give `user`: ids of the host are others in the container")
    return _of_directory(parameters.text("source", path), max_bytes)


class _Room:
    """What is left of the limits."""

    def __init__(self, most: int) -> None:
        self._most = self._bytes = most
        self._entries = ENTRIES

    def take(self, name: str, size: int) -> None:
        self._bytes -= size
        self._entries -= 1
        if self._bytes < 0:
            raise UsageError(f"max_bytes: with {name!a} the files have more than {self._most} bytes")
        if self._entries < 0:
            raise UsageError(f"source: has more than {ENTRIES} entries")


def _of_directory(path: str, max_bytes: int) -> Iterator[Entry]:
    room = _Room(max_bytes)
    try:
        top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise HostError.from_os(f"source: {path}", error, call="openat") from None
    pending = [""]
    try:
        while pending:
            above = pending.pop()
            fd = os.dup(top) if not above else os.open(above, _OPEN | os.O_DIRECTORY, dir_fd=top)
            try:
                for name in sorted(os.listdir(fd)):
                    inner = f"{above}/{name}" if above else name
                    entry = _read(fd, name, inner, room)
                    if entry.content is None and entry.target is None:
                        pending.append(inner)
                    yield entry
            finally:
                os.close(fd)
    except OSError as error:
        raise HostError.from_os(f"source: {path}", error) from None
    finally:
        os.close(top)


def _read(fd: int, name: str, path: str, room: _Room) -> Entry:
    status = os.stat(name, dir_fd=fd, follow_symlinks=False)
    kind, mode = status.st_mode & _FORMAT, status.st_mode & 0o777
    room.take(path, status.st_size if kind == _FILE else 0)
    time = _in_range(path, status.st_mtime_ns)
    if kind == _DIRECTORY:
        return Entry(path, mode, time)
    if kind == _LINK:
        return Entry(path, -1, time, target=os.readlink(name, dir_fd=fd))
    if kind != _FILE:
        raise UsageError(f"source: {path!a} is no file, directory or symbolic link")
    with open(os.open(name, _OPEN, dir_fd=fd), "rb") as file:
        content = file.read(status.st_size + 1)
    if len(content) > status.st_size:
        raise UsageError(f"source: {path!a} grows while it is read")
    return Entry(path, mode, time, content=content)


class _Counted:
    """An archive of which no more is read than its files may have, with what goes with them."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self._file = file
        self._left = 2 * most + _MORE

    def read(self, size: int = -1) -> bytes:
        """Read no more than there may be."""
        found = self._file.read(self._left + 1 if size < 0 else min(size, self._left + 1))
        if not isinstance(found, bytes):
            raise UsageError("source: gives no bytes", remedy="open it as binary")
        self._left -= len(found)
        if self._left < 0:
            raise UsageError("max_bytes: the archive is much larger")
        return found


def _of_archive(file: object, max_bytes: int, *, owners: bool) -> Iterator[Entry]:
    import tarfile

    room = _Room(max_bytes)
    files: dict[str, bytes] = {}
    counted: IO[bytes] = _Counted(file, max_bytes)  # type: ignore[assignment, arg-type]
    try:
        with tarfile.open(fileobj=counted, mode="r|", errors="surrogateescape") as archive:
            for member in archive:
                archive.members = []  # type: ignore[attr-defined]  # which it keeps for others
                entry = _of_member(archive, member, files, room)
                if entry is None:
                    continue
                if owners:
                    entry.owner = _owner(member)
                yield entry
    except (tarfile.TarError, EOFError, LookupError, ValueError, OverflowError) as error:
        raise UsageError(f"source: is no tar archive, or a damaged one: {error}") from None
    except OSError as error:
        raise HostError.from_os("source", error, call="read") from None


def _of_member(archive: object, member: TarInfo, files: dict[str, bytes], room: _Room) -> Entry | None:
    """Return an entry; None for the top of the archive itself."""
    path = _plain(member.name)
    mode = member.mode & 0o7777
    if not path:
        if member.isdir():
            return None
        raise UsageError(f"source: {member.name!a} names nothing")
    time = _time(path, member)
    if member.isdir():
        room.take(path, 0)
        return Entry(path, mode, time)
    if member.issym():
        room.take(path, 0)
        if not member.linkname or "\0" in member.linkname or len(os.fsencode(member.linkname)) > _PATH_MAX:
            raise UsageError(f"source: {path!a} is a link to nothing that can be")
        return Entry(path, -1, time, target=member.linkname)
    if member.islnk():
        target = _plain(member.linkname)
        if target not in files:
            raise UsageError(f"source: {path!a} is a hard link to {target!a}, which is no file before it")
        room.take(path, len(files[target]))
        files[path] = files[target]
        return Entry(path, mode, time, content=files[target])
    if not member.isreg() or member.issparse():
        raise UsageError(f"source: {path!a} is a device, a fifo, a sparse file, or of an unknown kind")
    if member.size < 0:
        raise UsageError(f"source: {path!a} has a size that cannot be")
    room.take(path, member.size)
    taken = archive.extractfile(member)  # type: ignore[attr-defined]
    content = b"" if taken is None else taken.read()
    if len(content) != member.size:
        raise UsageError(f"source: the archive is cut off in {path!a}")
    files[path] = content
    return Entry(path, mode, time, content=content)


def _plain(name: str) -> str:
    """Return the name of an entry without what means nothing in it.  Raises UsageError for one that leads out."""
    if name.startswith("/") or ".." in name.split("/"):
        raise UsageError(f"source: {name[:300]!a} leads out of the tree")
    if "\0" in name or len(os.fsencode(name)) > _PATH_MAX:
        raise UsageError(f"source: {name[:300]!a} cannot be a path")
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _time(path: str, member: TarInfo) -> int:
    # tarfile makes a float of what has a fraction, and 0 of what is no number.
    found = _TIME.fullmatch(member.pax_headers.get("mtime", str(member.mtime)))
    if found is None:
        return _in_range(path, _TIME_MAX + 1)
    whole, part = found[1], int((found[2] or "").ljust(9, "0"))
    return _in_range(path, int(whole) * 10**9 + (-part if whole.startswith("-") else part))


def _in_range(path: str, time: int) -> int:
    if abs(time) > _TIME_MAX:
        raise UsageError(f"source: {path[:300]!a} has a time that cannot be read, or is not between 1678 and 2261")
    return time


def _owner(member: TarInfo) -> tuple[int, int]:
    if not (0 <= member.uid < 0xFFFFFFFF and 0 <= member.gid < 0xFFFFFFFF):
        raise UsageError(f"source: {member.name[:300]!a} belongs to ids that cannot be")
    return member.uid, member.gid
