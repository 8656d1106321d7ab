"""Containers: create, start, exec, kill, pause, resume, update, delete.

Safe from any thread: nothing that belongs to the whole process is changed.
"""

from __future__ import annotations

import os

from .errors import (
    ContainerNotFoundError,
    HookError,
    HostError,
    OcirunError,
    StateDamagedError,
    StateError,
)
from .launch.options import CreateOptions, ExecOptions
from .state import record as records
from .state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from .cgroup.driver import Driver
    from .plan.ops import Plan
    from .state.record import Record

SIGKILL = 9


class Container:
    """A container that exists.  Made by `create` or `load`, never directly."""

    __slots__ = ("_cgroup", "_record", "id", "root")

    def __init__(self, container_id: str, root: str, record: Record) -> None:
        self.id = container_id
        self.root = root
        self._record = record
        self._cgroup: Driver | None = None

    @classmethod
    def create(cls, container_id: str, *, root: str, options: CreateOptions) -> Container:
        """Create a container: everything of its config except the program is in place when this returns.

        Raises InvalidIdError, ContainerExistsError, ConfigError, UnsupportedError, StepError, HookError,
        HostError; after any of them nothing is left.
        """
        from .launch import create

        record, session = create.create(container_id, root, options, stay=False)
        session.close()
        return cls(container_id, root, record)

    @classmethod
    def load(cls, container_id: str, *, root: str) -> Container:
        """The container of that id.

        Raises ContainerNotFoundError, InvalidIdError, StateDamagedError.
        """
        directory = store.open_container(root, container_id)
        try:
            return cls(container_id, root, records.load(directory))
        finally:
            os.close(directory)

    @property
    def cgroup(self) -> Driver:
        """The driver that the container was created with."""
        if self._cgroup is None:
            from .cgroup import driver

            self._cgroup = driver.from_record(self._record.cgroup)
        return self._cgroup

    @property
    def pid(self) -> int:
        """Pid of the init process, 0 before there is one."""
        return self._record.pid

    def _directory(self) -> int:
        return store.open_container(self.root, self.id)

    def _locked(self, *, force: bool = False) -> int:
        """`_directory`, locked.  Raises ContainerNotFoundError if it is removed meanwhile.

        force   end a creation that holds the lock, and go on without it if it is not given back soon: the
                creation may be waiting for a hook, and the hook for us
        """
        directory = self._directory()
        try:
            if not store.lock(directory, 0):
                self._record = records.load(directory)
                killed = force and records.end_init(self._record)
                store.lock(directory, 1.0 if killed else 10.0)
            if store.is_removed(directory):
                raise ContainerNotFoundError("container does not exist")
        except BaseException:
            os.close(directory)
            raise
        return directory

    def status(self) -> str:
        """creating, created, running, paused or stopped."""
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

    def state(self) -> dict[str, Any]:
        """The state as the OCI spec and runc print it."""
        from .host import facts as host
        from .version import SPEC_VERSION

        record = self._record
        status = self.status()
        return {
            "ociVersion": SPEC_VERSION,
            "id": self.id,
            "pid": 0 if status == records.STOPPED else record.pid,
            "status": status,
            "bundle": record.bundle,
            "rootfs": record.rootfs,
            "created": record.created,
            "annotations": record.annotations,
            "owner": host.user_name(record.owner),
        }

    def start(self) -> None:
        """Run the program of a created container, and its startContainer and poststart hooks.

        Raises StateError when it is not created, ProgramError, HookError; a container whose poststart
        hook fails is stopped and deleted.
        """
        from .launch import notify, start

        status = self.status()
        if status in (records.RUNNING, records.PAUSED):
            raise StateError("cannot start an already running container", status=status)
        if status != records.CREATED:
            raise StateError("cannot start a container that has stopped", status=status)
        directory = self._directory()
        try:
            listener = notify.in_start(directory)
            start.start(self._record, directory)
            if listener is not None:
                self._wait_ready(listener)
            if "poststart" in self._record.hooks:
                self._run_hooks("poststart", "running", directory)
        except HookError:
            self.delete(force=True)
            raise
        finally:
            os.close(directory)

    def _wait_ready(self, listener: Any) -> None:
        from .launch import notify

        pidfd = records.open_init(self._record)
        if pidfd >= 0:
            notify.wait_ready(listener, pidfd, os.environ["NOTIFY_SOCKET"], self._record.pid)
            os.close(pidfd)
        listener.close()

    def kill(self, signal: int, *, all: bool = False) -> None:
        """Send a signal to the init process, or to every process of the container.

        Raises StateError "container not running" for a stopped one (not with `all`).
        """
        # The end of init ends all others of its own pid namespace; where that is shared or the host's,
        # killing init alone would leave the rest.
        everyone = all or (signal == SIGKILL and self._record.shared_pids)
        with self.cgroup as cgroup:
            if everyone:
                cgroup.kill(signal)
            if not all:
                self._kill_init(signal, cgroup, may_be_gone=everyone)

    def _kill_init(self, signal: int, cgroup: Driver, *, may_be_gone: bool) -> None:
        import _signal

        pidfd = records.open_init(self._record)
        if pidfd < 0:
            if may_be_gone:
                return
            raise StateError("container not running", status=records.STOPPED)
        try:
            _signal.pidfd_send_signal(pidfd, signal)
            if signal == SIGKILL and cgroup.frozen():
                # On cgroup v1 a frozen process does not even die.
                cgroup.thaw()
        except ProcessLookupError:
            raise StateError("container not running", status=records.STOPPED) from None
        except OSError as error:
            raise HostError.from_os(f"kill {self._record.pid}", error, call="pidfd_send_signal") from None
        finally:
            os.close(pidfd)

    def exec(self, process: dict[str, Any], options: ExecOptions) -> int:
        """Run one more process in a created or running container.

        process   an object like ``process`` of config.json
        Returns its exit code (128 plus the signal), or 0 as soon as it runs when detached.
        Raises StateError, ConfigError, ProgramError, StepError, HostError.
        """
        from .launch import execute

        directory = self._directory()
        try:
            with self.cgroup as cgroup:
                return execute.run(self._record, cgroup, directory, process, options)
        finally:
            os.close(directory)

    def base_process(self) -> dict[str, Any]:
        """The ``process`` of the container's config, to be changed and given to `exec`."""
        from .launch import execute

        directory = self._directory()
        try:
            return execute.base_process(directory, self._record)
        finally:
            os.close(directory)

    def pause(self) -> None:
        """Freeze every process.  Raises StateError unless created or running."""
        status = self.status()
        if status not in (records.CREATED, records.RUNNING):
            raise StateError("container not running", status=status)
        with self.cgroup as cgroup:
            cgroup.freeze()

    def resume(self) -> None:
        """Let a paused container go on.  Raises StateError unless paused."""
        status = self.status()
        if status != records.PAUSED:
            raise StateError("container not paused", status=status)
        with self.cgroup as cgroup:
            cgroup.thaw()

    def update(self, resources: object, *, source: str = "resources") -> list[str]:
        """Give a container that has not stopped new limits, all or none; returns warnings.

        resources   ``linux.resources`` of the spec, as plain values or JSON; what is absent stays as it is
        source      where they are from, for messages
        Raises StateError "container not running", ConfigError, HostError.
        """
        from . import resources as limits

        directory = self._locked()
        try:
            self._refuse_stopped("container not running")
            with self.cgroup as cgroup:
                return limits.update(directory, cgroup, resources, source=source)
        finally:
            os.close(directory)

    def pids(self) -> list[int]:
        """Its processes as we number them, in ascending order; none when it has stopped."""
        with self.cgroup as cgroup:
            if cgroup.groups:
                return sorted(cgroup.pids())
        from .host import processes

        return sorted(processes.descendants(self.pid)) if records.is_alive(self._record) else []

    def stats(self) -> dict[str, Any]:
        """What it uses now, in the shape of runc's stats events.  StateError, UnsupportedError without a cgroup."""
        from . import stats

        self._refuse_stopped(f"container with id {self.id} is not running")
        with self.cgroup as cgroup:
            return stats.data(cgroup)

    def watch(self, interval: float) -> Iterator[dict[str, Any]]:
        """Its events until it stops: lack of memory, and its `stats` every `interval` seconds.  Raises as `stats`."""
        from . import stats

        return stats.watch(self._record, self.cgroup, interval)

    def _refuse_stopped(self, text: str) -> None:
        status = self.status()
        if status not in (records.CREATED, records.RUNNING, records.PAUSED):
            raise StateError(text, status=status)

    def delete(self, *, force: bool = False) -> list[str]:
        """Remove the container: its processes if allowed, its cgroup, its state; then the poststop hooks.

        force   kill a running one
        Returns warnings: a failing poststop hook does not stop the deletion (runtime-spec runtime.md).
        Raises StateError for a running container without `force`, HostError.
        """
        from .launch import destroy

        directory = self._locked(force=force)
        try:
            # What another command has changed before we had the lock.
            self._record = records.load(directory)
            self._cgroup = None
            status = self._status(directory)
            if status not in (records.STOPPED, records.CREATED) and not force:
                raise StateError(
                    f"cannot delete container {self.id} that is not stopped: {status}",
                    status=status,
                    remedy="`delete --force` kills it first",
                )
            with self.cgroup as cgroup:
                return destroy.destroy(self.root, self._record, cgroup, directory)
        finally:
            os.close(directory)

    def _run_hooks(self, kind: str, status: str, directory: int) -> None:
        from .launch import late_hooks

        late_hooks.run_all(self._record, directory, kind, status)


def delete(container_id: str, *, root: str, force: bool = False) -> list[str]:
    """Delete a container by id, one with a damaged state too if `force`; returns warnings.

    Raises ContainerNotFoundError unless `force`.
    """
    try:
        return Container.load(container_id, root=root).delete(force=force)
    except ContainerNotFoundError:
        if force:
            return []
        raise
    except StateDamagedError:
        if not force:
            raise
        from .launch import destroy

        return destroy.destroy_damaged(root, container_id)


def run(
    container_id: str,
    *,
    root: str,
    options: CreateOptions,
    detach: bool = False,
    keep: bool = False,
    no_subreaper: bool = False,
) -> int:
    """Create, start, and unless `detach` wait and delete; returns the program's exit code.

    The code is 128 plus the signal for a program that a signal ended.  Not for threads: in the foreground
    the signals of this process are forwarded to the container.
    """
    from .launch import foreground

    return foreground.run(container_id, root, options, detach=detach, keep=keep, no_subreaper=no_subreaper)


def explain(bundle: str, *, options: CreateOptions, id: str, root: str) -> Plan:
    """The plan that `create` would carry out, without touching anything.

    Raises ConfigError, UnsupportedError.
    """
    from .launch import planning

    return planning.explain(bundle, id, root, options)


def read_process(path: str) -> dict[str, Any]:
    """The process description in a JSON file, for `Container.exec`.  Raises HostError, ConfigError."""
    from .launch import execute

    return execute.process_file(path)


def list_states(root: str, *, warn: Callable[[str], None]) -> list[dict[str, Any]]:
    """The states of all containers of a root; one that vanishes or is damaged is passed over with a warning."""
    states = []
    for container_id in store.ids(root):
        try:
            states.append(Container.load(container_id, root=root).state())
        except ContainerNotFoundError:
            continue
        except OcirunError as error:
            warn(f"container {container_id}: {error.message}")
    return states


__all__ = ["Container", "CreateOptions", "ExecOptions", "delete", "explain", "list_states", "read_process", "run"]
