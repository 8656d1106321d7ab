"""Write a tree that nobody changes any more as a tar archive."""

from __future__ import annotations

import os

from .below import DIRECTORY, opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

    from .changes import Ids

_FORMAT, _DIRECTORY, _LINK, _FILE, _FIFO = 0o170000, 0o040000, 0o120000, 0o100000, 0o010000
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def write(fd: int, file: IO[bytes], *, inside: tuple[Ids, Ids]) -> list[tuple[str, str]]:
    """Write what is in a directory; (path, reason) of what was left out.

    fd       of the directory
    file     to which the archive goes
    inside   an id of the host as the archive is to have it
    Raises OSError.
    """
    import tarfile

    kinds = {_DIRECTORY: tarfile.DIRTYPE, _LINK: tarfile.SYMTYPE, _FILE: tarfile.REGTYPE, _FIFO: tarfile.FIFOTYPE}
    left_out: list[tuple[str, str]] = []
    first: dict[int, str] = {}
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT, errors="surrogateescape") as archive:
        pending = [""]
        while pending:
            above = pending.pop()
            folder = opened(fd, os.fsencode(above), DIRECTORY)
            try:
                for name in sorted(os.listdir(folder)):
                    path = f"{above}/{name}" if above else name
                    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                    kind = status.st_mode & _FORMAT
                    if kind not in kinds:
                        left_out.append(("/" + path, "a device or a socket"))
                        continue
                    entry = tarfile.TarInfo(path)
                    entry.type, entry.mode = kinds[kind], status.st_mode & 0o7777
                    entry.uid, entry.gid = inside[0](status.st_uid), inside[1](status.st_gid)
                    entry.mtime = status.st_mtime_ns // 10**9
                    entry.pax_headers = {"mtime": _seconds(status.st_mtime_ns)}
                    if kind == _DIRECTORY:
                        pending.append(path)
                    elif kind == _LINK:
                        entry.linkname = os.readlink(name, dir_fd=folder)
                    elif status.st_nlink > 1 and first.setdefault(status.st_ino, path) != path:
                        entry.type, entry.linkname = tarfile.LNKTYPE, first[status.st_ino]
                    if entry.type != tarfile.REGTYPE:
                        archive.addfile(entry)
                        continue
                    entry.size = status.st_size
                    with open(os.open(name, _READ, dir_fd=folder), "rb") as content:
                        archive.addfile(entry, content)
            finally:
                os.close(folder)
    return left_out


def _seconds(nanoseconds: int) -> str:
    whole, part = divmod(abs(nanoseconds), 10**9)
    return f"{'-' if nanoseconds < 0 else ''}{whole}.{part:09}"
