"""The files of a container: into it, out of it, and what it has changed."""

from __future__ import annotations

import os

from .._base import parameters
from .._base.boundary import methods_raise_ocirun_errors
from ..errors import ContainerNotFoundError, StateError, UsageError
from ..state import record as records
from ..state.stored import StoredContainer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

    from ..files.changes import Changes
    from ..state.record import Record
    from .snapshot import Snapshot
    from .written import Held


@methods_raise_ocirun_errors
class ContainerFiles(StoredContainer):
    """What `Container` can do with files."""

    __slots__ = ("_written",)

    def __init__(self, container_id: str, root: str, record: Record, written: Held | None = None) -> None:
        super().__init__(container_id, root, record)
        # Of a root that is thrown away; only who has created the container has it.
        self._written = written

    def changes(self) -> Changes:
        """Return what it has changed in a root that is thrown away, of a container that is created, paused or stopped.

        Only the handle that `create` has returned can tell, until it deletes the container.
        Raises UsageError, StateError, HostError.
        """
        return self._still_written().changes()

    def keep(self, path: str) -> list[tuple[str, str]]:
        """Copy what it has added and changed into a directory, which is made, as `ocirun.run` does for `keep`.

        Returns (path, reason) of what was left out.  Raises as `changes`.
        """
        return self._still_written().keep(path)

    def commit(self) -> list[tuple[str, str]]:
        """Take over into its root file system what it has changed, as `ocirun.run` does for `commit`.

        Returns (path, reason) of what was left out.  Raises as `changes`.
        """
        return self._still_written().commit()

    def snapshot(self, path: str | os.PathLike[str] | None = None, *, live: bool = False) -> Snapshot:
        """Save what it has changed in a root that is thrown away, as a layer from which any number of others may begin.

        path    where it is to be: a directory that is not there yet, closed to others; None: a new one in TMPDIR, or
                in /var/tmp
        live    the container is not frozen meanwhile: a file that is written at the time may be half of it
        A running container is frozen by its cgroup, and goes on after it, or after an error.  Only the handle that
        `create` has returned can, until it deletes the container.
        Raises UsageError, StateError, UnsupportedError, HostError; then nothing of it is there.
        """
        from . import snapshot, still

        place = snapshot.new_path(path)
        live = parameters.boolean("live", live)
        written = self._of_this_handle()
        directory = self._locked()
        try:
            status = self._status(directory)
            if live:
                status = records.PAUSED if status != records.CREATING else status
            with self.cgroup as cgroup:
                return still.taken(written, place, directory, status=status, freeze=cgroup.freeze, thaw=cgroup.thaw)
        finally:
            os.close(directory)

    def _of_this_handle(self) -> Held:
        if self._written is None:
            raise UsageError("this handle has no root that is thrown away: create the container here, with `disk`")
        return self._written

    def _still_written(self) -> Held:
        """Return what it has written, while nobody writes."""
        written = self._of_this_handle()
        try:
            status = self.status()
        except ContainerNotFoundError:
            return written
        if status not in (records.PAUSED, records.STOPPED, records.CREATED):
            raise StateError("container is running, and changes what would be read", status=status, remedy="pause it")
        return written

    def _let_go(self) -> None:
        if self._written is not None:
            self._written.close()

    def put(self, path: str, content: bytes, *, mode: int = 0o644, user: tuple[int, int] | None = None) -> None:
        """Put a file into a created, running or paused container, in place of what has its name.

        path     absolute, as the container sees it: links on the way are followed in there, directories that are
                 missing are made; the file is there whole or not at all
        mode     permission bits
        user     uid and gid inside that own it; None: those of the container's process
        Raises UsageError, StateError, StepError, HostError.
        """
        from ..commands import files

        files.put(self._record, self.cgroup, self._directory(), path, content, mode=mode, user=user)

    def put_tree(
        self,
        path: str,
        source: str | os.PathLike[str] | bytes | IO[bytes],
        *,
        max_bytes: int = 64 << 20,
        user: tuple[int, int] | None = None,
        owners: bool = False,
    ) -> None:
        """Put what is in a directory, or in a tar archive, into a directory of a created, running or paused container.

        path       absolute, as the container sees it, where links are followed in there; it is made if it is missing
        source     path of a directory; or an archive that is not compressed, as bytes or as an open file
        max_bytes  of all files together, at most 512 MiB; more is an error
        user       uid and gid inside that own all of it; None: those of the container's process
        owners     they are those of the archive, as the container numbers them
        All is read, and what is wrong with it is an error, before anything is put.  Each file is there whole or not at
        all, in place of what has its name; directories that are there keep mode and owner.  Times of change are those
        of the source, also of directories that are there if something is put into them.
        Raises UsageError, StateError, StepError, HostError.
        """
        from ..commands import files

        files.put_tree(
            self._record, self.cgroup, self._directory(), path, source, max_bytes=max_bytes, user=user, owners=owners
        )

    def get_tree(
        self, path: str, target: str | os.PathLike[str] | IO[bytes], *, max_bytes: int = 64 << 20
    ) -> list[tuple[str, str]]:
        """Take a copy of a directory of a created, running or paused container.

        path       absolute, as the container sees it: links on the way to it are followed in there, and none below
        target     path of a directory, which is made, or is empty, and which gets files of the caller's; or a file that
                   is open for writing, which gets a tar archive with owners as the container numbers them
        max_bytes  of all that is copied, in pages, at most 512 MiB; more is an error, as are more than 100,000 entries,
                   or directories deeper than 64
        Times of change are kept.  Returns (path, reason) of what was left out: sockets are without a word; a device is
        an error.
        Raises UsageError, StateError, StepError, HostError; then no new directory is there.
        """
        from ..commands import files
        from . import trees

        return trees.taken(
            target, lambda: files.get_tree(self._record, self.cgroup, self._directory(), path, max_bytes=max_bytes)
        )

    def get(self, path: str, *, limit: int = 64 << 20) -> bytes:
        """Return the content of a file of a created, running or paused container.

        path     absolute, as the container sees it: links are followed in there; only a regular file is read
        limit    bytes; more are an error
        Raises UsageError, StateError, StepError, HostError.
        """
        from ..commands import files

        return files.get(self._record, self.cgroup, self._directory(), path, limit=limit)
