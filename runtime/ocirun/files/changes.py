"""What a container has changed in its root file system, read from the upper layer of its overlay.

The layer is read by descriptors, and no link in it is followed; its only writer was the container, so nothing in it is
believed but what the kernel says.  overlayfs.rst has the form: a removed name is a device 0:0, and a directory that
hides the one below has an extended attribute.
"""

from __future__ import annotations

import os
from errno import EACCES

from .below import DIRECTORY, PATH_MAX, opened
from .layers import Merged, is_opaque, is_whiteout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .layers import Layers

    Ids = Callable[[int], int]

#: The most changes that are told.
LIMIT = 100_000
ADDED, CHANGED, REMOVED = "added", "changed", "removed"
_KINDS = {
    0o100000: "file",
    0o040000: "directory",
    0o120000: "link",
    0o010000: "fifo",
    0o140000: "socket",
    0o020000: "device",
    0o060000: "device",
}
_FORMAT, _DIRECTORY, _LINK = 0o170000, 0o040000, 0o120000


class Change:
    """One path that is not as it was in the image.

    path      from the root of the container, such as "/etc/passwd"; bytes that are no UTF-8 are in it as `os.fsdecode`
              has them
    how       "added", "changed", or "removed"; of a directory that was removed its own path alone is told
    kind      "file", "directory", "link", "fifo", "socket", "device"; of a removed path what was in the image
    size      bytes of a file, of the text of a link; else 0
    mode      permission bits, with those for set-user-id, set-group-id and sticky
    uid, gid  the owner, as the container numbers them
    target    the text of a link, else ""
    same_as   of a file with several names the path by which it was told first, else ""
    """

    __slots__ = ("gid", "how", "kind", "mode", "path", "same_as", "size", "target", "uid")

    def __init__(
        self, path: str, how: str, status: os.stat_result, ids: tuple[int, int], *, target: str = "", same_as: str = ""
    ) -> None:
        self.path = path
        self.how = how
        self.kind = _KINDS.get(status.st_mode & _FORMAT, "file")
        self.size = status.st_size if self.kind in ("file", "link") else 0
        self.mode = status.st_mode & 0o7777
        self.uid, self.gid = ids
        self.target = target
        self.same_as = same_as

    def __repr__(self) -> str:
        return f"<Change {self.how} {self.kind} {self.path!a} size={self.size}>"


class Changes:
    """All of them, in the order of their paths; a sequence of `Change`.

    cut      there are more than 100,000, or deeper ones than a path can name
    unread   paths of directories that belong to other ids of an ordinary user and are closed to it: what changed in
             them is not told
    """

    __slots__ = ("_all", "cut", "unread")

    def __init__(self, found: Sequence[Change], *, cut: bool, unread: Sequence[str]) -> None:
        self._all = list(found)
        self.cut = cut
        self.unread = list(unread)

    def _paths(self, how: str) -> list[str]:
        return [change.path for change in self._all if change.how == how]

    @property
    def added(self) -> list[str]:
        """Paths that the image does not have."""
        return self._paths(ADDED)

    @property
    def changed(self) -> list[str]:
        """Paths whose content, kind, mode or owner was written."""
        return self._paths(CHANGED)

    @property
    def removed(self) -> list[str]:
        """Paths of the image that are gone."""
        return self._paths(REMOVED)

    def __iter__(self) -> Iterator[Change]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, number: int) -> Change:
        return self._all[number]

    def __repr__(self) -> str:
        counts = f"added={len(self.added)} changed={len(self.changed)} removed={len(self.removed)}"
        return f"<Changes {counts}{' cut' if self.cut else ''}>"


class Upper:
    """The upper layer of a container that has ended.

    fd       the directory of the layer
    lower    the layers below it
    inside   (uids, gids): an id of the host as the container numbers it
    below    the same for the files below, which may be id-mapped
    stored   (uids, gids): an id of the host as the files below have it
    opaque   the extended attribute of a directory that hides the one below
    """

    __slots__ = ("below", "fd", "inside", "lower", "opaque", "stored")

    def __init__(
        self,
        fd: int,
        lower: Layers,
        *,
        inside: tuple[Ids, Ids],
        below: tuple[Ids, Ids],
        stored: tuple[Ids, Ids],
        opaque: str,
    ) -> None:
        self.fd = fd
        self.lower = lower
        self.inside = inside
        self.below = below
        self.stored = stored
        self.opaque = opaque

    def changes(self, *, limit: int = LIMIT) -> Changes:
        """Read all changes.  Raises OSError."""
        return _Reader(self, limit).read()


class _Reader:
    def __init__(self, upper: Upper, limit: int) -> None:
        self._upper = upper
        self._limit = limit
        self._found: list[Change] = []
        self._cut = False
        self._unread: list[str] = []
        self._first: dict[int, str] = {}

    def read(self) -> Changes:
        root, below = os.fstat(self._upper.fd), os.fstat(self._upper.lower.fds[0])
        if root.st_mode != below.st_mode:
            self._found.append(Change("/", CHANGED, root, self._ids(root, self._upper.inside)))
        # Each with whether the layer below can be seen through it.
        pending: list[tuple[bytes, bool]] = [(b"", True)]
        while pending and not self._cut:
            pending += self._directory(*pending.pop())
        self._found.sort(key=lambda change: change.path.encode("utf-8", "surrogateescape").split(b"/"))
        return Changes(self._found, cut=self._cut, unread=sorted(self._unread))

    def _directory(self, path: bytes, seen: bool) -> list[tuple[bytes, bool]]:
        """Tell the changes in one directory; the directories in it that are to be read, and which see below."""
        try:
            fd = opened(self._upper.fd, path, DIRECTORY)
        except OSError as error:
            if error.errno != EACCES:
                raise
            self._unread.append(_shown(path))
            return []
        lower = Merged([], "")
        try:
            if seen:
                lower = self._upper.lower.directory(path)
            names = [os.fsencode(name) for name in os.listdir(fd)]
            if lower and is_opaque(fd, self._upper.opaque):
                self._hidden(path, lower, frozenset(names))
            deeper: list[tuple[bytes, bool]] = []
            for name in names:
                if len(self._found) >= self._limit:
                    self._cut = True
                    break
                inner = path + b"/" + name if path else name
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                below = lower.status(name)
                self._entry(fd, name, inner, status, below)
                if status.st_mode & _FORMAT != _DIRECTORY:
                    continue
                if len(inner) > PATH_MAX - 256:
                    self._cut = True
                    continue
                deeper.append((inner, below is not None and below.st_mode & _FORMAT == _DIRECTORY))
            return deeper
        finally:
            os.close(fd)
            lower.close()

    def _entry(self, fd: int, name: bytes, path: bytes, status: os.stat_result, below: os.stat_result | None) -> None:
        if is_whiteout(status):
            # Of a name that the image does not have it is what rename(2) has left for a moment.
            if below is not None:
                self._found.append(Change(_shown(path), REMOVED, below, self._ids(below, self._upper.below)))
            return
        ids = self._ids(status, self._upper.inside)
        is_same = below is not None and status.st_mode == below.st_mode and ids == self._ids(below, self._upper.below)
        if is_same and status.st_mode & _FORMAT == _DIRECTORY:
            return  # it is there only as something in it has changed
        target = same_as = ""
        if status.st_mode & _FORMAT == _LINK:
            target = os.fsdecode(os.readlink(name, dir_fd=fd))
        elif status.st_nlink > 1 and status.st_mode & _FORMAT != _DIRECTORY:
            same_as = self._first.setdefault(status.st_ino, _shown(path))
        how = ADDED if below is None else CHANGED
        shown = _shown(path)
        same_as = "" if same_as == shown else same_as
        self._found.append(Change(shown, how, status, ids, target=target, same_as=same_as))

    def _hidden(self, path: bytes, lower: Merged, kept: frozenset[bytes]) -> None:
        """Tell what a directory hides: one that was removed and made again."""
        for name in lower.names():
            if name in kept:
                continue
            if len(self._found) >= self._limit:
                self._cut = True
                return
            status = lower.status(name)
            if status is not None:
                inner = path + b"/" + name if path else name
                self._found.append(Change(_shown(inner), REMOVED, status, self._ids(status, self._upper.below)))

    def _ids(self, status: os.stat_result, way: tuple[Ids, Ids]) -> tuple[int, int]:
        return way[0](status.st_uid), way[1](status.st_gid)


def _shown(path: bytes) -> str:
    return "/" + os.fsdecode(path)
