"""The handle of a container: its record, its directory, its status."""

from __future__ import annotations

import os

from .._base.boundary import methods_raise_ocirun_errors
from .._base.roots import default_root
from .._base.version import SPEC_VERSION
from ..errors import ContainerNotFoundError, StateError, stays_here
from ..host import user_names
from . import record as records
from . import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Never, Self

    from ..cgroup.driver import Driver
    from .record import Record
    from .usage import Usage


_SHOWN = ("pid", "bundle", "rootfs", "created", "annotations")


def document(container_id: str, values: dict[str, Any], status: str, owner: str) -> dict[str, Any]:
    """Return a container's state as `state` prints it.

    values   of its record, by name
    owner    the user's name
    """
    return {
        "ociVersion": SPEC_VERSION,
        "id": container_id,
        "pid": 0 if status == records.STOPPED else values["pid"],
        "status": status,
        "bundle": values["bundle"],
        "rootfs": values["rootfs"],
        "created": values["created"],
        "annotations": values["annotations"],
        "owner": owner,
    }


class _Opened:
    """A descriptor that is closed at the end of a ``with``."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __enter__(self) -> int:
        return self._fd

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


@methods_raise_ocirun_errors
class StoredContainer:
    """What is known of a container, and what can be asked about it.

    id, root   its id and the state root
    """

    __slots__ = ("_record", "_used", "id", "root")

    def __init__(self, container_id: str, root: str, record: Record) -> None:
        self.id = container_id
        self.root = root
        self._record = record
        self._used: dict[str, int] = {}

    def __reduce__(self) -> Never:
        """Raise UsageError: it may have descriptors and children of this process."""
        raise stays_here("the handle of a container", f"load it there: Container.load({self.id!r}, root={self.root!r})")

    @classmethod
    def load(cls, container_id: str, *, root: str = "") -> Self:
        """Return the container of that id.

        root   the state root; "" is the default one
        Raises ContainerNotFoundError, InvalidIdError, StateDamagedError.
        """
        root = root or default_root(os.environ)
        directory = store.open_container(root, container_id)
        try:
            return cls(container_id, root, records.load(directory, container_id))
        finally:
            os.close(directory)

    @property
    def cgroup(self) -> Driver:
        """The driver that the container was created with; a new one, as threads must not share one."""
        from ..cgroup import choose

        return choose.recorded_driver(self._record.cgroup)

    @property
    def record(self) -> Record:
        """What the state directory says of it."""
        return self._record

    @property
    def pid(self) -> int:
        """Pid of the init process, 0 before there is one."""
        return self._record.pid

    def _directory(self) -> int:
        return store.open_container(self.root, self.id)

    def _opened(self) -> _Opened:
        return _Opened(self._directory())

    def _change(self, wanted: tuple[str, ...], refusal: str, act: Callable[[Driver], None]) -> None:
        """Do something to its cgroup in one of these states, not while a snapshot has it frozen.  Raises StateError."""
        directory = self._locked()
        try:
            status = self._status(directory)
            if status not in wanted:
                raise StateError(refusal, status=status)
            with self.cgroup as cgroup:
                act(cgroup)
        finally:
            os.close(directory)

    def _locked(self, *, force: bool = False) -> int:
        """Return `_directory`, locked.  Raises ContainerNotFoundError if it is removed meanwhile.

        force   end a creation that holds the lock, and go on without it if it is not given back soon: the
                creation may be waiting for a hook, and the hook for us
        """
        directory = self._directory()
        try:
            if not store.lock(directory, 0):
                self._record = records.load(directory, self.id)
                killed = force and records.end_init(self._record)
                store.lock(directory, 1.0 if killed else 10.0)
            if store.is_removed(directory):
                raise store.missing(self.root, self.id)
        except BaseException:
            os.close(directory)
            raise
        return directory

    def status(self) -> str:
        """Return creating, created, running, paused or stopped."""
        directory = self._directory()
        try:
            if not self._record.pid and not store.lock(directory, 0):
                return records.CREATING  # somebody is at it
            return self._status(directory)
        finally:
            os.close(directory)

    def _status(self, directory: int) -> str:
        status = records.status(self._record, records.load_progress(directory))
        if status in (records.CREATED, records.RUNNING):
            with self.cgroup as cgroup:
                if cgroup.frozen():
                    return records.PAUSED
        return status

    def open_pidfd(self) -> int:
        """Return a pidfd of its first process, ready for reading when that has ended; -1 when that is gone.

        The caller closes it.  Raises StateError while the container is being created.
        """
        from . import exit_status

        return exit_status.open_pidfd(self._record)

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait until its first process has ended.

        timeout   seconds, None for no limit
        Returns the exit code, 128 plus the signal if one ended it, or None if that is not known: only the
        process that has created the container may ask for it, until `delete`.
        Raises TimeoutError, StateError while the container is being created.
        """
        from . import exit_status

        pidfd = exit_status.open_pidfd(self._record)
        if pidfd < 0:
            return None
        try:
            exit_status.wait(pidfd, timeout)
            return exit_status.status(pidfd)
        finally:
            os.close(pidfd)

    def usage(self) -> Usage:
        """Return what it has used so far, also after it has stopped, and by the handle that has deleted it."""
        from .usage import Usage

        try:
            directory = self._directory()
        except ContainerNotFoundError:
            return Usage(self._used)
        try:
            self._read_usage(directory)
        finally:
            os.close(directory)
        return Usage(self._used)

    def _read_usage(self, directory: int) -> None:
        from . import usage as used

        with self.cgroup as cgroup:
            # Where the cgroup is gone already, what was kept then.
            self._used = used.with_ended(directory, cgroup.usage()) or used.load(directory)

    def keep_oom_kills(self, count: int) -> None:
        """Keep how many processes were killed for lack of memory in a group that goes before the container's."""
        from . import usage as used

        with self._opened() as directory:
            used.add_oom_kills(directory, count)

    def state(self, *, details: bool = True) -> dict[str, Any]:
        """Return the state as the OCI spec and runc print it.

        details   with two things that they do not know.  While the container is being created, ``operation``
                  tells how far that is: ``number`` in the plan, ``name`` and ``pointer`` into the config.  Of a
                  stopped one ``usage`` tells ``memoryPeak`` (bytes), ``oomKills``, ``cpuSeconds``, ``pidsPeak``.
        """

        record = self._record
        status = self.status()
        more = self._details(status) if details else {}
        shown = {name: getattr(record, name) for name in _SHOWN}
        return {**document(self.id, shown, status, user_names.user_name(record.owner)), **more}

    def _details(self, status: str) -> dict[str, Any]:
        if status == records.STOPPED:
            used = self.usage().record()
            return {"usage": used} if used else {}
        if status != records.CREATING:
            return {}
        with self._opened() as directory:
            found = records.load_progress(directory).operation
        if found is None:
            return {}
        number, name, pointer = found
        return {"operation": {"number": number, "name": name, "pointer": pointer}}

    def _refuse_stopped(self, text: str) -> None:
        status = self.status()
        if status not in (records.CREATED, records.RUNNING, records.PAUSED):
            raise StateError(text, status=status)
