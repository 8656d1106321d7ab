"""A directory tree that is being made, in which no path leads outside.

Directories are looked up with openat2(2) below the descriptor of the root, and what is in them by one name that is no
path; so it does not matter what links the tree holds.  The tree is nobody else's until it is complete.
"""

from __future__ import annotations

import os

from .._native import lib
from ..errors import ImageError, errno_words
from ..files.removing import empty_directory, remove
from .tar import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH, _IN_ROOT = 1, 2, 4, 8, 16
_STRICT = _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS | _NO_XDEV
_FOLLOWING = _IN_ROOT | _NO_MAGICLINKS | _NO_XDEV
_ENOENT, _EAGAIN, _ENOTDIR, _ELOOP = 2, 11, 20, 40
_TRIES = 128
# Descriptors of directories that are kept open: entries of an archive lie side by side.
_KEPT = 64
_PATH_MAX = 4095


class Tree:
    """The tree below a descriptor.

    fd     its root, which the caller closes after `close`
    call   the last system call that was made, for the message if it fails
    owner  uid and gid of the directories that are made without an entry
    made   paths of the directories that were made without an entry for them, in order
    """

    __slots__ = ("_open", "_place", "call", "fd", "made", "owner")

    def __init__(self, fd: int, owner: tuple[int, int]) -> None:
        self.fd = fd
        self.owner = owner
        self.call = ""
        self.made: list[bytes] = []
        self._open: dict[bytes, tuple[int, bytes]] = {}
        self._place = b""

    def close(self) -> None:
        """Let go of the directories that are kept open."""
        while self._open:
            os.close(self._open.popitem()[1][0])

    def directory(self, path: bytes) -> tuple[int, bytes]:
        """Open a directory: its descriptor, which stays the tree's, and its path without links.  Makes what is missing.

        path   from the root, without slashes at its ends and without dots; links in it are followed in the tree
        Raises ImageError where it leads to no directory; OSError.
        """
        found = self._open.pop(path, None)
        if found is None:
            found = self._find(path)
            while len(self._open) >= _KEPT:
                os.close(self._open.pop(next(iter(self._open)))[0])
        self._open[path] = found  # the newest is the last
        return found

    def _find(self, path: bytes) -> tuple[int, bytes]:
        self.call = "openat2"
        fd = _opened_below(self.fd, path or b".", _DIRECTORY, _STRICT)
        if fd in (-_ENOENT, -_ENOTDIR, -_ELOOP):
            return self._walk(path)
        if fd < 0:
            raise OSError(-fd, errno_words(-fd))
        return fd, path

    def _walk(self, path: bytes) -> tuple[int, bytes]:
        """Do the same name by name, for a path of which something is missing or a link."""
        fd, place = os.dup(self.fd), b""
        try:
            for name in path.split(b"/"):
                inner = place_of_inner = None
                self.call = "openat"
                try:
                    inner = os.open(name, _DIRECTORY, dir_fd=fd)
                except FileNotFoundError:
                    self.call = "mkdirat"
                    os.mkdir(name, 0o700, dir_fd=fd)
                    self.made.append(join(place, name))
                    self.call = "fchownat"
                    os.chown(name, *self.owner, dir_fd=fd, follow_symlinks=False)
                    self.call = "openat"
                    inner = os.open(name, _DIRECTORY, dir_fd=fd)
                except NotADirectoryError:
                    inner, place_of_inner = self._followed(join(place, name))
                os.close(fd)
                fd, place = inner, join(place, name) if place_of_inner is None else place_of_inner
        except BaseException:
            os.close(fd)
            raise
        return fd, place

    def look(self, path: str) -> tuple[os.stat_result, bytes] | None:
        """Look what a directory is: its status, and its path without links; None if there is none.

        Raises ImageError where the path leads to something else, OSError.
        """
        self.call = "openat2"
        name = os.fsencode(path)
        fd = _opened_below(self.fd, name, os.O_PATH, _FOLLOWING)
        if fd == -_ENOENT:
            return None
        if fd >= 0:
            os.close(fd)
        fd, place = self._followed(name)
        try:
            return os.fstat(fd), place
        finally:
            os.close(fd)

    def _followed(self, path: bytes) -> tuple[int, bytes]:
        """Open the directory that a link leads to, and tell its path, as the kernel has it."""
        self.call = "openat2"
        fd = _opened_below(self.fd, path, _DIRECTORY & ~os.O_NOFOLLOW, _FOLLOWING)
        if fd in (-_ENOENT, -_ENOTDIR, -_ELOOP):
            raise ImageError(f"leads through {shown(path)}, which is neither a directory nor a link to one")
        if fd < 0:
            raise OSError(-fd, errno_words(-fd))
        try:
            self.call = "readlinkat"
            self._place = self._place or os.readlink(f"/proc/self/fd/{self.fd}".encode()).rstrip(b"/")
            return fd, os.readlink(f"/proc/self/fd/{fd}".encode())[len(self._place) + 1 :]
        except BaseException:
            os.close(fd)
            raise

    def _kind(self, parent: int, name: bytes) -> int:
        """Return the type bits of what has a name, 0 if nothing has it."""
        self.call = "newfstatat"
        try:
            return os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode & 0o170000
        except FileNotFoundError:
            return 0

    def is_directory(self, parent: int, name: bytes) -> bool:
        """Tell if a directory has a name."""
        return self._kind(parent, name) == 0o040000

    def clear(self, parent: int, name: bytes, *, but_directory: bool = False) -> bool:
        """Make room for a name; whether a directory is left there, which `but_directory` allows."""
        kind = self._kind(parent, name)
        if kind == 0o040000 and but_directory:
            return True
        if kind:
            self._drop(parent, name, kind)
        return False

    def _drop(self, parent: int, name: bytes, kind: int) -> None:
        if kind in (0o040000, 0o120000):
            # What paths lead to is another thing now.
            kept = os.dup(parent)
            try:
                self.close()
                self.call = "unlinkat"
                remove(kept, name)
            finally:
                os.close(kept)
            return
        self.call = "unlinkat"
        os.unlink(name, dir_fd=parent)

    def hide(self, place: bytes, name: bytes, kept: Container[bytes]) -> None:
        """Remove what has a name, but for the paths in `kept`: those of the layer that hides it.

        place   the path of the directory without links
        """
        parent, _ = self.directory(place)
        path = join(place, name)
        kind = self._kind(parent, name)
        if path not in kept:
            if kind:
                self._drop(parent, name, kind)
        elif kind == 0o040000:
            self.hide_all(path, kept)

    def hide_all(self, place: bytes, kept: Container[bytes]) -> None:
        """Remove all that is in a directory, but for the paths in `kept`."""
        pending = [place]
        while pending:
            place = pending.pop()
            fd, _ = self.directory(place)
            self.call = "getdents64"
            for name in os.listdir(fd):
                path = join(place, os.fsencode(name))
                parent, _ = self.directory(place)
                kind = self._kind(parent, os.fsencode(name))
                if path not in kept:
                    self._drop(parent, os.fsencode(name), kind)
                elif kind == 0o040000:
                    pending.append(path)

    def new_file(self, parent: int, name: bytes) -> int:
        """Make a new empty file, open for writing."""
        self.call = "openat"
        return os.open(name, _NEW_FILE, 0o600, dir_fd=parent)

    def find(self, path: bytes) -> tuple[int, bytes]:
        """Find what a hard link is to lead to: its directory and its name; the last name is not followed.

        Raises ImageError where a directory of it is missing.
        """
        above, name = split(path)
        made = len(self.made)
        parent, _ = self.directory(above)
        if len(self.made) > made:
            raise ImageError(f"is a hard link to {shown(path)}, which does not exist")
        return parent, name

    def existing(self, path: bytes) -> int:
        """Open a directory for the caller, without following a link; -1 where there is none."""
        self.call = "openat2"
        fd = _opened_below(self.fd, path or b".", _DIRECTORY, _STRICT)
        if fd in (-_ENOENT, -_ENOTDIR, -_ELOOP):
            return -1
        if fd < 0:
            raise OSError(-fd, errno_words(-fd))
        return fd

    def read(self, path: str, most: int) -> bytes | None:
        """Read a regular file, links followed in the tree; None where there is none.

        most   a longer file is an ImageError
        """
        self.call = "openat2"
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
        fd = _opened_below(self.fd, os.fsencode(path), flags, _FOLLOWING)
        if fd in (-_ENOENT, -_ENOTDIR, -_ELOOP):
            return None
        if fd < 0:
            raise OSError(-fd, errno_words(-fd))
        try:
            status = os.fstat(fd)
            if status.st_mode & 0o170000 != 0o100000:
                return None
            if status.st_size > most:
                raise ImageError(f"has {status.st_size} bytes, of which at most {most} are read", entry=path)
            self.call = "read"
            return os.read(fd, most)
        finally:
            os.close(fd)

    def empty(self) -> None:
        """Remove all that is in the tree."""
        self.close()
        empty_directory(self.fd)


def _opened_below(fd: int, path: bytes, flags: int, resolve: int) -> int:
    """Open a path below a directory: a descriptor, or -errno.

    A rename or a mount anywhere on the host makes a look-up with ".." start again (EAGAIN, openat2(2)).
    """
    found = -_EAGAIN
    for _ in range(_TRIES):
        found = lib.ocirun_openat2(fd, path, flags, 0, resolve)
        if found != -_EAGAIN:
            break
    return found


def parts(name: bytes, what: str = "the path") -> bytes:
    """Return the path of an entry without slashes at its ends and without dots; "" is the root.

    A slash at its beginning is that of the root.  Raises ImageError for one that leads upward, or is too long.
    """
    found = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in found:
        raise ImageError(f"{what} {shown(name)!r} leads upward")
    path = b"/".join(found)
    if len(path) > _PATH_MAX:
        raise ImageError(f"{what} has {len(path)} bytes, the kernel's limit is {_PATH_MAX}")
    return path


def split(path: bytes) -> tuple[bytes, bytes]:
    """Return the directory of a path, and the last name in it."""
    above, _, name = path.rpartition(b"/")
    return above, name


def join(place: bytes, name: bytes) -> bytes:
    """Return the path of a name in a directory."""
    return place + b"/" + name if place else name
