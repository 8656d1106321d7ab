"""Apply a layer, or the archive of a root file system, to a tree.

Whiteouts are those of image-spec layer.md: a file ``.wh.NAME`` hides NAME of the layers below, ``.wh..wh..opq`` all
that they have in its directory.  Neither touches what its own layer has.
"""

from __future__ import annotations

import os

from ..errors import HostError, ImageError, errno_words
from . import tar
from .tar import shown
from .tree import join, parts, split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .owners import Owners
    from .streams import Stream
    from .tree import Tree

_HIDES, _OPAQUE, _OF_AUFS = b".wh.", b".wh..wh..opq", b".wh..wh."
_PIECE = 1 << 20
_EPERM = 1
_NOTES_MAX = 30
_NODES = "device nodes, which only root of the host can make, for a container without a user namespace"


class Unpacking:
    """The layers of one image on their way into a tree.

    tree    where they go
    notes   what was left out, by its reason: how often, and the first path
    """

    __slots__ = ("_directories", "_layer", "_owners", "notes", "tree")

    def __init__(self, tree: Tree, owners: Owners) -> None:
        self.tree = tree
        self._owners = owners
        self.notes: dict[str, tuple[int, str]] = {}
        # Mode and time of directories, which are set at the end: what is made in them changes the time, and an
        # ordinary user could make nothing in a directory that is read-only.
        self._directories: dict[bytes, tuple[int, int | None]] = {b"": (0o755, None)}
        self._layer: set[bytes] = set()
        os.fchown(tree.fd, *tree.owner)

    def apply(self, stream: Stream, *, whiteouts: bool, marked: bool, first: bool = False) -> None:
        """Apply one archive.

        whiteouts   it is a layer, and no archive of a root file system
        marked      it must have its mark of the end
        first       there is no layer below, so there is nothing to hide
        Raises ImageError and HostError with the entry's path; OSError of what is read.
        """
        self._layer = set()
        for entry in tar.entries(stream, marked=marked):
            try:
                self._entry(entry, stream, whiteouts=whiteouts, first=first)
            except ImageError as error:
                raise error.inside(entry=shown(entry.name)) from None
            except OSError as error:
                raise HostError(
                    f"{shown(entry.name)}: {entry.kind}: {errno_words(error.errno or 0)}",
                    call=self.tree.call,
                    errno=error.errno or 0,
                    remedy=_REMEDIES.get(error.errno or 0, ""),
                ) from None

    def directory(self, path: str) -> tuple[int, int, int]:
        """Return mode, uid and gid, as in the container, of what a path leads to; those of a new directory if to none.

        Raises OSError, and ImageError where it is no directory.
        """
        found = self.tree.look(path)
        if found is None:
            return 0o755, 0, 0
        status, place = found
        mode, _ = self._directories.get(place, (status.st_mode & 0o7777, None))
        return (mode, *self._owners.inside(status.st_uid, status.st_gid))

    def finish(self) -> None:
        """Set modes and times of the directories.  Raises HostError."""
        self.tree.close()
        # The innermost first: who may not search a directory cannot change what is below.
        for path in sorted(self._directories, key=lambda path: path.count(b"/") + bool(path), reverse=True):
            mode, time = self._directories[path]
            try:
                fd = self.tree.existing(path)
                if fd < 0:
                    continue  # a later layer has hidden it
                try:
                    self.tree.call = "fchmod"
                    os.fchmod(fd, mode)
                    if time is not None:
                        self.tree.call = "utimensat"
                        os.utime(fd, ns=(time, time))
                finally:
                    os.close(fd)
            except OSError as error:
                what = f"{shown(path)}: directory: {errno_words(error.errno or 0)}"
                raise HostError(what, call=self.tree.call, errno=error.errno or 0) from None

    def _entry(self, entry: tar.Entry, stream: Stream, *, whiteouts: bool, first: bool) -> None:
        path = parts(entry.name)
        above, name = split(path)
        if not path:
            if entry.kind != tar.DIRECTORY:
                raise ImageError("is the root, and not a directory")
            self._directory(entry, b"", self.tree.fd)
            return
        hiding = whiteouts and name.startswith(_HIDES)
        if whiteouts:
            if name != _OPAQUE and (path.startswith(_OF_AUFS) or name.startswith(_OF_AUFS)):
                return  # what aufs notes for itself
            if above.startswith(_HIDES) or b"/" + _HIDES in above:
                raise ImageError("lies in a whiteout")
        parent, place = self.tree.directory(above)
        self._take_made()
        if hiding:
            self._hide(place, name, first=first)
            return
        path = join(place, name)
        if entry.kind == tar.DIRECTORY:
            self._make_directory(entry, parent, above, name, path)
        else:
            self._make(entry, stream, parent, above, name)
            self._directories.pop(path, None)
        if whiteouts and not first:
            self._note_own(path)

    def _hide(self, place: bytes, name: bytes, *, first: bool) -> None:
        hidden = name[len(_HIDES) :]
        if name == _OPAQUE:
            if not first:
                self.tree.hide_all(place, self._layer)
            return
        if hidden in (b"", b".", b".."):
            raise ImageError(f"is a whiteout of {shown(hidden)!r}")
        if not first:
            self.tree.hide(place, hidden, self._layer)

    def _note_own(self, path: bytes) -> None:
        """Remember what this layer has, and the directories around it."""
        while path and path not in self._layer:
            self._layer.add(path)
            path = split(path)[0]

    def _take_made(self) -> None:
        """Note that directories without an entry can be read by everybody."""
        for path in self.tree.made:
            self._directories[path] = (0o755, None)
        self.tree.made.clear()

    def _make_directory(self, entry: tar.Entry, parent: int, above: bytes, name: bytes, path: bytes) -> None:
        self.tree.call = "mkdirat"
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            if not self.tree.clear(parent, name, but_directory=True):
                parent, _ = self.tree.directory(above)
                self.tree.call = "mkdirat"
                os.mkdir(name, 0o700, dir_fd=parent)
        fd, _ = self.tree.directory(path)
        self._directory(entry, path, fd)

    def _directory(self, entry: tar.Entry, path: bytes, fd: int) -> None:
        self.tree.call = "fchown"
        os.fchown(fd, *self._owner(entry))
        self._attributes(entry, f"/proc/self/fd/{fd}".encode(), link=True)
        self._directories[path] = (entry.mode, entry.time)

    def _make(self, entry: tar.Entry, stream: Stream, parent: int, above: bytes, name: bytes) -> None:
        """Make anything but a directory; what has the name makes room."""
        kind = entry.kind
        if kind in (tar.CHARACTER, tar.BLOCK_DEVICE) and not self._owners.nodes:
            self.tree.clear(parent, name)
            self._leave_out(_NODES, entry)
            return
        target = self._target(entry, above, name) if kind == tar.LINK else b""
        create = _CREATE[kind]
        try:
            try:
                fd = create(self, entry, parent, name, target)
            except FileExistsError:
                self.tree.clear(parent, name)
                parent, _ = self.tree.directory(above)
                fd = create(self, entry, parent, name, target)
        except PermissionError as error:
            if error.errno != _EPERM or kind not in (tar.CHARACTER, tar.BLOCK_DEVICE):
                raise
            self._leave_out(_NODES, entry)  # without CAP_MKNOD, as in a container
            return
        if kind == tar.FILE:
            try:
                self._fill(entry, stream, fd)
                self.tree.call = "fchown"
                os.fchown(fd, *self._owner(entry))
                self.tree.call = "fchmod"
                os.fchmod(fd, entry.mode)
                if entry.xattrs:
                    self._attributes(entry, f"/proc/self/fd/{fd}".encode(), link=True)
                self.tree.call = "utimensat"
                os.utime(fd, ns=(entry.time, entry.time))
            finally:
                os.close(fd)
        elif kind != tar.LINK:
            self._finish_node(entry, parent, name)

    def _finish_node(self, entry: tar.Entry, parent: int, name: bytes) -> None:
        """Set owner, mode, attributes and time of what cannot be opened."""
        self.tree.call = "fchownat"
        os.chown(name, *self._owner(entry), dir_fd=parent, follow_symlinks=False)
        place = f"/proc/self/fd/{parent}/".encode() + name
        if entry.kind != tar.SYMLINK:
            self.tree.call = "fchmodat"
            os.chmod(name, entry.mode, dir_fd=parent)  # a node that was just made, and no link
        self._attributes(entry, place, link=False)
        self.tree.call = "utimensat"
        os.utime(name, ns=(entry.time, entry.time), dir_fd=parent, follow_symlinks=False)

    def _target(self, entry: tar.Entry, above: bytes, name: bytes) -> bytes:
        target = parts(entry.target, "the target of the hard link")
        if not target:
            raise ImageError("is a hard link to the root")
        if target == join(above, name):
            raise ImageError("is a hard link to itself")
        return target

    def _create_file(self, entry: tar.Entry, parent: int, name: bytes, target: bytes) -> int:
        del entry, target
        return self.tree.new_file(parent, name)

    def _create_symlink(self, entry: tar.Entry, parent: int, name: bytes, target: bytes) -> int:
        del target
        if not entry.target:
            raise ImageError("is a symbolic link to nothing")
        self.tree.call = "symlinkat"
        os.symlink(entry.target, name, dir_fd=parent)
        return -1

    def _create_node(self, entry: tar.Entry, parent: int, name: bytes, target: bytes) -> int:
        del target
        self.tree.call = "mknodat"
        kind = {tar.CHARACTER: 0o020000, tar.BLOCK_DEVICE: 0o060000, tar.FIFO: 0o010000}[entry.kind]
        os.mknod(name, 0o600 | kind, os.makedev(*entry.device), dir_fd=parent)
        return -1

    def _create_link(self, entry: tar.Entry, parent: int, name: bytes, target: bytes) -> int:
        del entry
        # The look-up of the target may close `parent`, if it is not one of the last that were used.
        held = os.dup(parent)
        try:
            source, last = self.tree.find(target)
            if self.tree.is_directory(source, last):
                raise ImageError(f"is a hard link to {shown(target)}, which is a directory")
            self.tree.call = "linkat"
            os.link(last, name, src_dir_fd=source, dst_dir_fd=held, follow_symlinks=False)
        except FileNotFoundError:
            raise ImageError(f"is a hard link to {shown(target)}, which does not exist") from None
        finally:
            os.close(held)
        return -1

    def _fill(self, entry: tar.Entry, stream: Stream, fd: int) -> None:
        """Write the content of a file."""
        self.tree.call = "write"
        if entry.holes is None:
            self._copy(stream, fd, entry.size)
            return
        for offset, size in entry.holes:
            os.lseek(fd, offset, os.SEEK_SET)
            self._copy(stream, fd, size)
        self.tree.call = "ftruncate"
        os.ftruncate(fd, entry.size)

    @staticmethod
    def _copy(stream: Stream, fd: int, size: int) -> None:
        while size > 0:
            part = stream.some(min(size, _PIECE))
            if not part:
                raise stream.cut_off()
            size -= len(part)
            while part:
                part = part[os.write(fd, part) :]

    def _attributes(self, entry: tar.Entry, place: bytes, *, link: bool) -> None:
        """Set the extended attributes that the bundle gets.

        place   a path below /proc/self/fd, of an open file or of a name in an open directory
        link    it is the link of an open file
        """
        for name, value in entry.xattrs.items():
            kept = self._owners.attribute(name, value)
            # Links and nodes have none of a user, see xattr(7).
            if kept is None or (name.startswith(b"user.") and entry.kind not in (tar.FILE, tar.DIRECTORY)):
                what = f"extended attributes {shown(name)}"
                self._leave_out(what if len(self.notes) < _NOTES_MAX else "further extended attributes", entry)
                continue
            try:
                os.setxattr(place, name, kept, follow_symlinks=link)
            except OSError as error:
                number = error.errno or 0
                raise HostError(
                    f"{shown(entry.name)}: extended attribute {shown(name)}: {errno_words(number)}",
                    call="setxattr",
                    errno=number,
                    remedy=_OF_ATTRIBUTES.get(number, ""),
                ) from None

    def _owner(self, entry: tar.Entry) -> tuple[int, int]:
        """Return whose on the host it becomes."""
        if self._owners.why and (entry.uid or entry.gid):
            self._leave_out(f"owners other than root, as {self._owners.why}", entry)
        return self._owners.of(entry.uid, entry.gid)

    def _leave_out(self, what: str, entry: tar.Entry) -> None:
        count, path = self.notes.get(what, (0, shown(entry.name)))
        self.notes[what] = (count + 1, path)


_CREATE: dict[str, Callable[[Unpacking, tar.Entry, int, bytes, bytes], int]] = {
    tar.FILE: Unpacking._create_file,
    tar.SYMLINK: Unpacking._create_symlink,
    tar.LINK: Unpacking._create_link,
    tar.CHARACTER: Unpacking._create_node,
    tar.BLOCK_DEVICE: Unpacking._create_node,
    tar.FIFO: Unpacking._create_node,
}
# EINVAL, ENOSPC, EDQUOT
_REMEDIES = {
    22: "in a user namespace an id that it does not map cannot own a file",
    28: "make room, or choose a directory on another file system",
    122: "the quota of the file system is used up",
}
# ENOSPC, EDQUOT, EOPNOTSUPP; of ext4 ENOSPC also says that one is larger than there can be
_OF_ATTRIBUTES = {
    28: _REMEDIES[28],
    122: _REMEDIES[122],
    95: "the file system of the bundle has no extended attributes of this kind",
}
