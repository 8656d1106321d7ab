"""Take over what a container has changed: into a directory, or into the root file system that it began with.

Both trees are walked by descriptors, a directory at a time, and no link is followed in either.  Each file gets its name
when it is complete.  What would give somebody rights outside of the container is left out: set-user-ID and set-group-ID
of files, extended attributes such as file capabilities, devices.  A socket is nothing without its program.  And what
cannot be taken at all, as any program may make such entries: they must not cost the caller all else.
"""

from __future__ import annotations

import os
from errno import EACCES, EEXIST, EFBIG, EISDIR, EMLINK, ENAMETOOLONG, ENOTDIR, ENXIO

from ..errors import HostError
from ..state import store
from .below import DIRECTORY, PATH_MAX, opened
from .layers import is_opaque, is_whiteout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .changes import Upper

_FORMAT, _DIRECTORY, _LINK, _FILE, _FIFO = 0o170000, 0o040000, 0o120000, 0o100000, 0o010000
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK = 1 << 20
_TOO_MUCH = {EFBIG: "too large for the file system", ENAMETOOLONG: "too long for the file system"}
_CLOSED = "closed to the caller"


class _Closed(OSError):
    """A file that its own mode closes to the caller."""


class Taking:
    """One taking over.

    upper    the layer that it comes from
    target   descriptor of the directory that it goes to
    replaces the directory is the root file system below the layer: what was removed is removed there, owners are kept
    left_out paths of what was not taken, with the reason
    """

    _kinds: tuple[int, ...] = (_FILE, _LINK, _FIFO)
    _whole = False  # what cannot be taken is an error, and not left out

    def __init__(self, upper: Upper, target: int, *, replaces: bool) -> None:
        self._upper = upper
        self._target = target
        self._replaces = replaces
        self._owners = replaces and os.geteuid() == 0
        self._first: dict[int, bytes] = {}
        self._made: list[tuple[bytes, os.stat_result]] = []
        # No more than there can be, unless somebody moves it to where it is looked for next.  With room for copies of
        # files that have too many names; a file system that tells no size has none.
        room = os.fstatvfs(upper.fd)
        self._bytes, self._entries = 2 * room.f_blocks * room.f_frsize, 2 * room.f_files
        self._counts = bool(room.f_blocks and room.f_files)
        self.left_out: list[tuple[str, str]] = []

    def run(self) -> None:
        """Do it.  Raises OSError, HostError; the files that were complete are there then."""
        pending = [b""]
        while pending:
            pending += self._directory(pending.pop())
        # Last, and from below: a directory that is closed, or whose time is set, is no place to write to.
        for path, status in reversed(self._made):
            fd = opened(self._target, path, DIRECTORY)
            try:
                self._finish_directory(fd, path, status)
            finally:
                os.close(fd)

    def _directory(self, path: bytes) -> list[bytes]:
        """Take what is in one directory; the directories in it."""
        try:
            fd = opened(self._upper.fd, path, DIRECTORY)
        except OSError as error:
            if error.errno != EACCES or self._whole:
                raise
            self._leave_out(path, _CLOSED)
            return []
        try:
            to = opened(self._target, path, DIRECTORY)
        except BaseException:
            os.close(fd)
            raise
        deeper = []
        try:
            if self._replaces and is_opaque(fd, self._upper.opaque):
                store.empty_directory(to)
            for text in os.listdir(fd):
                name = os.fsencode(text)
                inner = path + b"/" + name if path else name
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if self._entry(fd, to, name, inner, status):
                    deeper.append(inner)
            return deeper
        finally:
            os.close(fd)
            os.close(to)

    def _entry(self, fd: int, to: int, name: bytes, path: bytes, status: os.stat_result) -> bool:
        """Take one entry; whether it is a directory, whose entries follow."""
        kind = status.st_mode & _FORMAT
        self._entries -= 1
        if self._counts and min(self._entries, self._bytes) < 0:
            raise HostError(
                f"/{os.fsdecode(path)}: more than the container can have was found: its files are moved meanwhile",
                remedy="pause it, or wait for its end",
            )
        if is_whiteout(status):
            self._whiteout(to, name)
            return False
        if kind == _DIRECTORY:
            if len(path) > PATH_MAX - 256 and not self._whole:
                self._leave_out(path, "deeper than a path can name")
                return False
            _make_directory(to, name)
            self._made.append((path, status))
            return True
        if kind not in self._kinds:
            self._leave_out(path, "a device or a socket")
            self._without(to, name)
            return False
        hidden = b".ocirun." + os.urandom(8).hex().encode()
        try:
            self._fill(fd, to, name, hidden, path, status)
            _rename(to, hidden, name)
        except BaseException as error:
            _unlink(to, hidden)
            why = self._why(error)
            if not why:
                raise
            if self._first.get(status.st_ino) == path:
                del self._first[status.st_ino]
            self._leave_out(path, why)
        return False

    def _why(self, error: BaseException) -> str:
        """Return why an entry may be left out that could not be taken, "" for an error."""
        if self._whole:
            return ""
        if isinstance(error, _Closed):
            return _CLOSED
        return _TOO_MUCH.get(error.errno or 0, "") if isinstance(error, OSError) else ""

    def _fill(self, fd: int, to: int, name: bytes, hidden: bytes, path: bytes, status: os.stat_result) -> None:
        """Make an entry under a name of our own."""
        kind = status.st_mode & _FORMAT
        first = self._first.setdefault(status.st_ino, path) if status.st_nlink > 1 else path
        if first != path:
            above, _, last = first.rpartition(b"/")
            parent = opened(self._target, above, DIRECTORY)
            try:
                os.link(last, hidden, src_dir_fd=parent, dst_dir_fd=to, follow_symlinks=False)
                return
            except OSError as error:
                if error.errno != EMLINK:
                    raise
                self._first[status.st_ino] = path  # from here on they are links to another copy
            finally:
                os.close(parent)
        if kind == _LINK:
            os.symlink(os.readlink(name, dir_fd=fd), hidden, dir_fd=to)
        elif kind == _FIFO:
            os.mkfifo(hidden, 0o600, dir_fd=to)
        else:
            self._bytes -= _copy(fd, name, to, hidden, status.st_size)
        self._finish(fd, name, to, hidden, path, status)

    def _finish_directory(self, fd: int, path: bytes, status: os.stat_result) -> None:
        """Give a directory whose entries are there its attributes."""
        del path
        if self._owners:
            os.fchown(fd, *self._owner(status))
        os.fchmod(fd, status.st_mode & 0o1777)
        os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))

    def _finish(self, fd: int, name: bytes, to: int, hidden: bytes, path: bytes, status: os.stat_result) -> None:
        """Give an entry that is complete its attributes."""
        del fd, name
        kind = status.st_mode & _FORMAT
        if self._owners:
            os.chown(hidden, *self._owner(status), dir_fd=to, follow_symlinks=False)
        if kind != _LINK:
            os.chmod(hidden, status.st_mode & 0o777, dir_fd=to)
        if status.st_mode & 0o6000 and kind == _FILE:
            self._leave_out(path, "set-user-ID or set-group-ID")
        os.utime(hidden, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=to, follow_symlinks=False)

    def _whiteout(self, to: int, name: bytes) -> None:
        """Take over that a name was removed."""
        if self._replaces:
            _remove(to, name)

    def _without(self, to: int, name: bytes) -> None:
        """Do what is due for an entry that is left out."""

    def _owner(self, status: os.stat_result) -> tuple[int, int]:
        """Return whose it is on the file system below, which may be id-mapped."""
        return self._upper.stored[0](status.st_uid), self._upper.stored[1](status.st_gid)

    def _leave_out(self, path: bytes, why: str) -> None:
        self.left_out.append(("/" + os.fsdecode(path), why))


def _make_directory(to: int, name: bytes) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=to)
    except FileExistsError:
        status = os.stat(name, dir_fd=to, follow_symlinks=False)
        if status.st_mode & _FORMAT != _DIRECTORY:
            os.unlink(name, dir_fd=to)
            os.mkdir(name, 0o700, dir_fd=to)


def _rename(to: int, hidden: bytes, name: bytes) -> None:
    try:
        os.rename(hidden, name, src_dir_fd=to, dst_dir_fd=to)
    except OSError as error:
        if error.errno not in (EISDIR, EEXIST, ENOTDIR):
            raise
        _remove(to, name)
        os.rename(hidden, name, src_dir_fd=to, dst_dir_fd=to)
    _unlink(to, hidden)  # rename(2) does nothing where both are links to one file


def _unlink(to: int, name: bytes) -> None:
    try:
        os.unlink(name, dir_fd=to)
    except FileNotFoundError:
        return


def _remove(to: int, name: bytes) -> None:
    """Remove what has a name, a directory with all in it; nothing is fine."""
    try:
        os.unlink(name, dir_fd=to)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        fd = store.open_directory(name, to)
        try:
            store.empty_directory(fd)
        finally:
            os.close(fd)
        os.rmdir(name, dir_fd=to)


def _copy(fd: int, name: bytes, to: int, hidden: bytes, size: int) -> int:
    """Copy a file, and return how many bytes it has; its holes stay holes, and are none."""
    try:
        source = os.open(name, _READ, dir_fd=fd)
    except PermissionError as error:
        raise _Closed(*error.args) from None
    try:
        out = os.open(hidden, _NEW, 0o600, dir_fd=to)
        try:
            os.ftruncate(out, size)  # first: nothing is copied of what the file system has no room for
            at = copied = 0
            while at < size:
                try:
                    at = os.lseek(source, at, os.SEEK_DATA)
                except OSError as error:
                    if error.errno != ENXIO:  # a hole up to the end
                        raise
                    break
                end = os.lseek(source, at, os.SEEK_HOLE)
                os.lseek(source, at, os.SEEK_SET)
                os.lseek(out, at, os.SEEK_SET)
                while at < end:
                    sent = os.sendfile(out, source, None, min(end - at, _CHUNK))
                    if not sent:
                        return copied
                    at += sent
                    copied += sent
            return copied
        finally:
            os.close(out)
    finally:
        os.close(source)
