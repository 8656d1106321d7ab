"""Write a file that must not be there yet."""

from __future__ import annotations

import os

from ..errors import HostError


def write_new(path: str, data: bytes) -> None:
    """Write a file of the mode 0644.  Raises HostError, where it is there already too; then nothing has changed."""
    try:
        # O_EXCL also refuses a symbolic link in place of the file, see open(2).
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        raise HostError(f"{path} exists", call="openat", remedy="remove it first") from None
    except OSError as error:
        raise HostError.from_os(f"create {path}", error, call="openat") from None
    try:
        os.fchmod(fd, 0o644)  # whatever the umask
        write_all(fd, data)
    except OSError as error:
        os.unlink(path)
        raise HostError.from_os(f"write {path}", error, call="write") from None
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data` to a file.  Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
