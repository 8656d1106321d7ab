"""Directories and files under the state root.

    ROOT/                0700, ours
      ID/                0711, made with mkdir: the one step that decides who owns an id
        state.json       the record (state/record.py), replaced by rename
        config.json      the config as it was at create
        resources.json   the limits as `update` left them, once there was one (commands/update.py)
        usage.json       what it has used, kept where its cgroup goes before its state (usage.py)
        start            a fifo: the init process waits at it for `start`
        progress         shared memory of the helper (csrc/executor/ops.h)

    and links, of which only the text counts, as it is written in one step:

        spare            enough of the record to clean up by, should state.json be damaged (record.py)
        looked, made     what is known only after the record was written (record.py)
        caller           the process with which a run ends (caller.py)

Nothing here follows a link below the root: the container's directory is opened
once, and its files by descriptor.
"""

from __future__ import annotations

import os
import time
from errno import EACCES, EISDIR, ELOOP, ENOENT, ENOTDIR, EPERM

from .._base import procfile
from ..errors import (
    ContainerExistsError,
    ContainerNotFoundError,
    HostError,
    InvalidIdError,
    StateDamagedError,
    option,
    with_force,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# NAME_MAX of the file systems and of cgroups: the id is the name of a directory in both.
ID_MAX = 255
_ID_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-.")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# A damaged or hostile file must not fill memory; the largest real one is a copy of config.json.
_FILE_MAX = 20 << 20
# What says of a file of ours that it is not there, or is none.
NO_FILE = (*procfile.GONE, EISDIR, ELOOP)


def remedy() -> str:
    """Return what to do about a damaged state."""
    return f"{with_force('delete')} removes the container all the same"


def check_id(container_id: str) -> str:
    """Return the id itself, if it is one.

    Raises InvalidIdError unless it has 1 to 255 letters of ``A-Za-z0-9_+-.`` and is neither ``.`` nor ``..``.
    """
    good = 0 < len(container_id) <= ID_MAX and _ID_LETTERS.issuperset(container_id)
    if not good or container_id in (".", ".."):
        shown = ascii(container_id[:64])
        if len(container_id) > ID_MAX:
            shown += f"... of {len(container_id)} letters"
        remedy = f"use 1 to {ID_MAX} of A-Z a-z 0-9 _ + - . and neither . nor .."
        if ":" in container_id or "/" in container_id:
            remedy += "; an image is no container: `ocirun bundle IMAGE DIR` makes a bundle of one"
        raise InvalidIdError(f"invalid container ID format: {shown}", remedy=remedy)
    return container_id


def open_root(root: str, *, create: bool = False) -> int:
    """Return a descriptor of the state root.

    Raises HostError when it cannot be opened or made, or belongs to or can be written by someone else:
    then anybody could tell us which processes to kill.
    """
    try:
        if create:
            _make_root(root)
        # The root itself may be reached through links, /var/run for one.
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        status = procfile.stat_or_close(fd)
    except OSError as error:
        remedy = f"choose another {option('root')}, or set XDG_RUNTIME_DIR" if error.errno in (EPERM, EACCES) else ""
        raise HostError.from_os(f"state root {root}", error, call="open", remedy=remedy) from None
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        os.close(fd)
        raise HostError(
            f"state root {root}: belongs to uid {status.st_uid} with mode {status.st_mode & 0o7777:04o}",
            remedy=f"it must belong to the caller and be writable by nobody else; choose another {option('root')}",
        )
    return fd


def _make_root(root: str) -> None:
    if procfile.exists(root):
        return
    parent = os.path.dirname(root.rstrip("/"))
    if parent and not procfile.exists(parent):
        _make_root(parent)
    try:
        os.mkdir(root, 0o700)
    except FileExistsError:
        return
    # Whatever the umask was.  The sticky bit keeps a directory in XDG_RUNTIME_DIR from being cleaned up as
    # unused (XDG base directory specification); elsewhere it changes nothing, as nobody else may write here.
    os.chmod(root, 0o1700)


def reserve(root: str, container_id: str) -> int:
    """Make the container's directory; returns its descriptor.

    Raises ContainerExistsError when the id is taken, HostError when the disk says no.
    """
    root_fd = open_root(root, create=True)
    try:
        os.mkdir(container_id, 0o711, dir_fd=root_fd)
        try:
            fd = os.open(container_id, _DIRECTORY, dir_fd=root_fd)
            try:
                os.fchmod(fd, 0o711)
            except BaseException:
                os.close(fd)
                raise
        except BaseException:
            os.rmdir(container_id, dir_fd=root_fd)
            raise
        return fd
    except FileExistsError:
        raise ContainerExistsError("container with given ID already exists").about(container_id, root) from None
    except OSError as error:
        raise HostError.from_os(f"state directory {root}/{container_id}", error, call="mkdir") from None
    finally:
        os.close(root_fd)


def open_container(root: str, container_id: str) -> int:
    """Return a descriptor of the container's directory.

    Raises ContainerNotFoundError when there is none (also when the root is missing), InvalidIdError,
    StateDamagedError for a file in its place.
    """
    check_id(container_id)
    try:
        root_fd = open_root(root)
    except HostError as error:
        if error.errno in (ENOENT, ENOTDIR):
            raise missing(root, container_id) from None
        raise
    try:
        return os.open(container_id, _DIRECTORY, dir_fd=root_fd)
    except FileNotFoundError:
        raise missing(root, container_id) from None
    except NotADirectoryError:
        # The id is taken by it all the same.
        raise StateDamagedError(f"{root}/{container_id}: is no directory", remedy=remedy()) from None
    except OSError as error:
        raise HostError.from_os(f"state directory {root}/{container_id}", error, call="open") from None
    finally:
        os.close(root_fd)


def missing(root: str, container_id: str) -> ContainerNotFoundError:
    """Return the error of a container that is not there, in the words of runc, which engines match."""
    return ContainerNotFoundError("container does not exist").about(container_id, root)


def lock(directory: int, limit: float = 10.0) -> bool:
    """Lock the container's directory until the descriptor is closed; False if `limit` seconds were not enough.

    `create` and `delete` exclude each other by it.  A holder that is stopped must not make a container
    undeletable, hence the limit.
    """
    import fcntl

    end = time.monotonic() + limit
    pause = 0.001
    while True:
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
        except OSError as error:
            raise HostError.from_os("lock of a state directory", error, call="flock") from None
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def is_removed(directory: int) -> bool:
    """Return whether the directory behind this descriptor has been removed."""
    return os.fstat(directory).st_nlink == 0


def read_file(directory: int, name: str) -> bytes:
    """Return the bytes of a file in the container's directory; OSError as it comes."""
    fd = os.open(name, _READ, dir_fd=directory)
    try:
        parts = []
        left = _FILE_MAX
        while left > 0:
            part = os.read(fd, min(left, 1 << 20))
            if not part:
                break
            parts.append(part)
            left -= len(part)
        return b"".join(parts)
    finally:
        os.close(fd)


def write_file(directory: int, name: str, content: bytes, mode: int = 0o600) -> None:
    """Replace a file in one step: a hidden new file, then rename.  OSError leaves the old one."""
    hidden = f".{name}.{os.getpid()}"
    try:
        os.unlink(hidden, dir_fd=directory)
    except FileNotFoundError:
        pass
    fd = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=directory)
    try:
        try:
            os.fchmod(fd, mode)
            write_all(fd, content)
        finally:
            os.close(fd)
        os.rename(hidden, name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError as error:
        error.filename = error.filename or name  # calls on descriptors do not say it
        os.unlink(hidden, dir_fd=directory)
        raise


def write_link(directory: int, name: str, text: str) -> None:
    """Replace a symbolic link in one step.  Its text is what counts; OSError as it comes."""
    hidden = f".{name}.{os.getpid()}"
    try:
        os.unlink(hidden, dir_fd=directory)
    except FileNotFoundError:
        pass
    os.symlink(text, hidden, dir_fd=directory)
    os.rename(hidden, name, src_dir_fd=directory, dst_dir_fd=directory)


def read_link(directory: int, name: str) -> str:
    """Return the text of a symbolic link, "" where there is none.  Raises HostError."""
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError as error:
        if error.errno not in (*NO_FILE, 22):  # EINVAL: it is no link
            raise HostError.from_os(name, error, call="readlinkat") from None
        return ""


def write_all(fd: int, content: bytes) -> None:
    """Write every byte; OSError as it comes."""
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def remove(root: str, container_id: str) -> None:
    """Remove the container's directory with all that is in it, whatever that is.

    Raises HostError.  Needs no space on the disk and no new file.
    """
    root_fd = open_root(root)
    try:
        fd = os.open(container_id, _DIRECTORY, dir_fd=root_fd)
        try:
            empty_directory(fd)
        finally:
            os.close(fd)
        os.rmdir(container_id, dir_fd=root_fd)
    except NotADirectoryError:
        os.unlink(container_id, dir_fd=root_fd)
    except FileNotFoundError:
        pass  # somebody else was quicker
    except OSError as error:
        raise HostError.from_os(f"remove {root}/{container_id}", error, call="unlink") from None
    finally:
        os.close(root_fd)


def remove_directory(path: str) -> None:
    """Do the same as `remove`, by the absolute path of the directory."""
    root, _, container_id = path.rpartition("/")
    remove(root or "/", container_id)


def open_directory(name: bytes | str, parent: int) -> int:
    """Open a directory by its name in another one, and no link.  Raises OSError."""
    return os.open(name, _DIRECTORY, dir_fd=parent)


def empty_directory(fd: int, opened: Callable[[bytes | str, int], int] = open_directory) -> None:
    """Remove all that is in a directory.

    However deep it is, one more descriptor is enough, or two with another `opened`: what is in a directory below is
    moved up.

    opened   opens a directory so that it can be read, changed and moved
    Raises OSError.
    """
    while names := os.listdir(fd):
        for name in names:
            try:
                os.unlink(name, dir_fd=fd)
                continue
            except IsADirectoryError:
                inner = opened(name, fd)
            try:
                for below in os.listdir(inner):
                    try:
                        os.unlink(below, dir_fd=inner)
                    except IsADirectoryError:
                        if opened is not open_directory:
                            os.close(opened(below, inner))
                        os.rename(below, f"~{os.urandom(8).hex()}", src_dir_fd=inner, dst_dir_fd=fd)
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=fd)


def ids(root: str, *, must_exist: bool = False) -> list[str]:
    """Return all container ids of a root, sorted; none of one that does not exist, unless it must.
    Raises HostError.
    """
    try:
        fd = open_root(root)
    except HostError as error:
        if must_exist or error.errno != ENOENT:
            raise
        return []
    try:
        return sorted(name for name in os.listdir(fd) if _ID_LETTERS.issuperset(name))
    finally:
        os.close(fd)
