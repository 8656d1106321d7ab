"""Containers: create, start, exec, kill, pause, resume, update, delete.

Safe from any thread: nothing that belongs to the whole process is changed.
"""

from __future__ import annotations

import os

from ._base import parameters, signals
from ._base.boundary import methods_raise_ocirun_errors, raises_ocirun_errors
from ._base.roots import default_root
from .errors import ContainerNotFoundError, HookError, HostError, StateError, UsageError, with_force
from .execute.criu.options import CheckpointOptions, RestoreOptions
from .execute.options import CreateOptions, ExecOptions
from .runs.container_files import ContainerFiles
from .state import record as records
from .state import store
from .state.stored import StoredContainer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import Any, Unpack

    from .config.load import Config
    from .execute.seccomp.learned import Learned as Learned
    from .host.facts_file import FactsFile
    from .plan.difference import Difference
    from .plan.ops import Plan
    from .runs.in_existing_container import Started
    from .runs.outcome import Outcome
    from .runs.overrides import Limits, Overrides
    from .runs.process import Process
    from .runs.snapshot import Snapshot
    from .runs.terms import ExecParameters, Output
    from .runs.written import Held
    from .state.record import Record


@methods_raise_ocirun_errors
class Container(ContainerFiles):
    """A container that exists.  Made by `create` or `load`, never directly; any thread may call its methods."""

    __slots__ = ("_entered", "_started")

    def __init__(self, container_id: str, root: str, record: Record, written: Held | None = None) -> None:
        super().__init__(container_id, root, record, written)
        self._started: list[Started] = []

    @classmethod
    def create(
        cls,
        container_id: str,
        *,
        root: str = "",
        options: CreateOptions | None = None,
        config: Mapping[str, Any] | None = None,
        memory: int | None = None,
        pids: int | None = None,
        cpus: float | None = None,
        disk: int | None = None,
        disk_inodes: int | None = None,
        files: Mapping[str, bytes | tuple[bytes, int]] | None = None,
        secrets: Mapping[str, bytes] | None = None,
        snapshot: Snapshot | str | os.PathLike[str] | None = None,
        open_files: int | None = None,
        file_size: int | None = None,
        cgroup_manager: str = "",
    ) -> Container:
        """Create a container: everything of its config except the program is in place when this returns.

        root     the state root; "" is the default one
        options  with the bundle; None: the working directory is the bundle
        config   in place of config.json; relative paths in it start at the bundle
        memory, pids, cpus, disk, disk_inodes, files, secrets, snapshot, open_files, file_size   as of `ocirun.run`
        cgroup_manager   likewise; "": that of `options`
        Raises InvalidIdError, ContainerExistsError, UsageError, ConfigError, UnsupportedError, StepError, HookError,
        HostError; after any of them nothing is left.
        """
        from .commands import create

        root, options = root or default_root(os.environ), options or CreateOptions()
        if cgroup_manager:
            options = options.replace(cgroup_manager=cgroup_manager)
        if options.sessions is None:
            options = options.replace(sessions=True)
        checked = _given(options.bundle, config, options)
        given: Overrides = {
            "memory": memory,
            "pids": pids,
            "cpus": cpus,
            "open_files": open_files,
            "file_size": file_size,
            "disk": disk,
            "disk_inodes": disk_inodes,
            "snapshot": snapshot,
            "files": files,
            "secrets": secrets,
        }
        if any(one is not None for one in given.values()):
            from .commands import planning
            from .runs import overrides

            checked, _ = overrides.with_overrides(checked or planning.read_config(options.bundle, options), **given)
        record, session = create.create(container_id, root, options, keeps_session=False, config=checked)
        written = None
        if session.side.native.upper >= 0:
            from .runs.written import Held

            written = Held(os.dup(session.side.native.upper), session.made["config"], record.rootfs)
        session.close()
        return cls(container_id, root, record, written)

    def __enter__(self) -> Container:
        self._entered = os.getpid()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Delete it with its processes, unless that was done; one that has come under its id since stays.

        What a root that is thrown away has is gone then.
        """
        if self._entered != os.getpid():
            return  # the block is that of the process this one was forked off
        try:
            there = StoredContainer.load(self.id, root=self.root)
            if there.record.created == self._record.created:
                self.delete(force=True)
        except ContainerNotFoundError:
            return
        finally:
            self._let_go()

    def start(self) -> None:
        """Run the program of a created container, and its startContainer and poststart hooks.

        Raises StateError when it is not created, ProgramError, HookError; a container whose poststart
        hook fails is stopped and deleted.
        """
        from .commands import start

        start.refuse(self.status())
        directory = self._directory()
        try:
            start.start(self._record, directory)
        except HookError:
            self.delete(force=True)
            raise
        finally:
            os.close(directory)

    def kill(self, signal: int | None = None, *, all: bool = False) -> None:
        """Send a signal to the init process, or to every process of the container; None: see `signals.of_image`.

        One that would end a program without a handler ends a container that is not started yet.
        Raises StateError "container not running" for a stopped one (not with `all`).
        """
        if signal is None:
            signal = signals.of_image(self._record.annotations)
        from .commands import kill

        with self._opened() as directory, self.cgroup as cgroup:
            kill.send_signal(self._record, cgroup, directory, signal, all=all)

    def run(
        self,
        args: Sequence[str],
        *,
        process: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: tuple[int, int] | None = None,
        **own: Unpack[ExecParameters],
    ) -> Outcome:
        """Run one more program in a created or running container, to its end, with its output kept.

        process    ``process`` of config.json for it, in place of the container's; its args are `args`
        env        added to the environment
        cwd        in place of the directory
        user       uid and gid in place of the user's
        The others are those of `ocirun.run`.  They hold for this program and all that it has started, which ends with
        it, and is in a group of its own below the container's; so the outcome tells what these have used, and nobody
        else.  Raises UsageError, UnsupportedError, StateError, ConfigError, ProgramError, StepError, HostError.
        """
        from .runs import in_existing_container, poll_loop
        from .runs.terms import Terms, split

        terms, limits = split(own)
        make = in_existing_container.exec_factory(
            self._record, self.root, args, process=process, env=env, cwd=cwd, user=user, **limits
        )
        return poll_loop.watch(in_existing_container.ExecRun(Terms(**terms), self), make)

    def popen(
        self,
        args: Sequence[str],
        *,
        stdin: Output = None,
        stdout: Output = None,
        stderr: Output = None,
        stdio: tuple[int, int, int] | None = None,
        text: bool | str = False,
        process: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: tuple[int, int] | None = None,
        timeout: float | None = None,
        cpu_time: float | None = None,
        **limits: Unpack[Limits],
    ) -> Process:
        """Start one more program in a created or running container, and go on beside it.

        stdin, stdout, stderr   None: the stream of this process; an open file or descriptor, which stays the caller's;
                                PIPE: a file of the `Process`; DEVNULL; stderr=STDOUT: where stdout goes
        stdio    three descriptors in place of these
        text     the files of the `Process` are of str: True, of UTF-8, or the name of an encoding
        timeout, cpu_time   seconds until it is killed with all that it has started; a thread of this process keeps them
        The others, and the errors, are those of `run`.
        """
        from .runs import in_existing_container, pipes

        timeout, cpu_time = parameters.seconds("timeout", timeout), parameters.seconds("cpu_time", cpu_time)
        given: tuple[Output, Output, Output] = (stdin, stdout, stderr)
        if stdio is not None:
            if any(one is not None for one in given):
                raise UsageError("stdio: is there besides stdin, stdout or stderr", remedy="leave one of them out")
            given = pipes.of_stdio(stdio)
        make = in_existing_container.exec_factory(
            self._record, self.root, args, process=process, env=env, cwd=cwd, user=user, keeper=False, **limits
        )
        files = pipes.Pipes(given, text)
        one = in_existing_container.start_process(make, self, files, timeout=timeout, cpu_time=cpu_time)
        self._keep(one)
        return one

    def _keep(self, started: Started) -> None:
        self._started = [one for one in self._started if one.fileno() >= 0] + [started]

    def exec(self, process: dict[str, Any], options: ExecOptions) -> int:
        """Run one more process in a created or running container.

        process   an object like ``process`` of config.json
        Returns its exit code (128 plus the signal), or 0 as soon as it runs when detached.
        Raises StateError, ConfigError, ProgramError, StepError, HostError.
        """
        from .commands import exec as execute

        with self._opened() as directory, self.cgroup as cgroup:
            return execute.exec_process(self._record, cgroup, directory, process, options, self._keep)

    def explain_exec(self, process: dict[str, Any], options: ExecOptions) -> Plan:
        """Return the plan that `exec` would carry out, without touching anything; raises as `exec` before it acts."""
        from .commands import exec as execute

        with self._opened() as directory, self.cgroup as cgroup:
            return execute.plan_of(self._record, cgroup, directory, process, options)[0]

    def base_process(self) -> dict[str, Any]:
        """Return the ``process`` of the container's config, to be changed and given to `exec`."""
        from .commands import exec as execute

        with self._opened() as directory:
            return execute.base_process(directory, self._record)

    def pause(self) -> None:
        """Freeze every process.  Raises StateError unless created or running."""
        self._change((records.CREATED, records.RUNNING), "container not running", lambda cgroup: cgroup.freeze())

    def resume(self) -> None:
        """Let a paused container go on.  Raises StateError unless paused."""
        self._change((records.PAUSED,), "container not paused", lambda cgroup: cgroup.thaw())

    def update(self, resources: object, *, source: str = "resources", schemata: Sequence[str] = ()) -> list[str]:
        """Give a container that has not stopped new limits, all or none; returns warnings.

        resources   ``linux.resources`` of the spec, as plain values or JSON; what is absent stays as it is
        source      where they are from, for messages
        schemata    lines for the schemata file of its resctrl group, such as ``L3:0=f``
        Raises StateError "container not running", ConfigError, HostError.
        """
        from .commands import update as limits

        directory = self._locked()
        try:
            self._refuse_stopped("container not running")
            with self.cgroup as cgroup:
                if not schemata:
                    return limits.update(directory, cgroup, resources, source=source)
                from .execute import rdt

                with rdt.Change(self._record, directory, schemata):
                    return limits.update(directory, cgroup, resources, source=source)
        finally:
            os.close(directory)

    def mount(self, mounts: object, *, source: str = "mounts") -> list[str]:
        """Add mounts to a created or running container, all or none; returns warnings.

        mounts   a list of mounts in the form of config.json; relative sources start at the bundle
        source   where they are from, for messages; mount points that are missing are made, and stay
        Raises StateError "container not running", ConfigError, UnsupportedError, StepError, HostError.
        """
        from .commands import mounts as changes

        return changes.carry_out(self._record, self.cgroup, self._locked(), mounts, adds=True, source=source)

    def unmount(self, mounts: object, *, source: str = "mounts") -> list[str]:
        """Take mounts off a created or running container, the newest first; returns warnings.

        mounts   a list of destinations, or of mounts, of which the destinations count
        Raises as `mount`; what was taken off before a StepError stays so.
        """
        from .commands import mounts as changes

        return changes.carry_out(self._record, self.cgroup, self._locked(), mounts, adds=False, source=source)

    def explain_mounts(self, mounts: object, *, adds: bool, source: str = "mounts") -> Plan:
        """Return the plan of `mount`, or of `unmount`; changes nothing."""
        from .commands import mounts as changes

        return changes.explain(self._record, self.cgroup, self._directory(), mounts, adds=adds, source=source)

    def mounts(self) -> list[dict[str, Any]]:
        """Return its mounts in the form of config.json, as `mount` and `unmount` have changed them.

        Raises StateDamagedError, HostError.
        """
        from .commands import mounts

        return mounts.current(self._record, self._directory())

    def pids(self) -> list[int]:
        """Return its processes as we number them, in ascending order; none when it has stopped."""
        if not records.may_have_processes(self._record):
            return []
        with self.cgroup as cgroup:
            found = set(cgroup.pids())
        if self.pid not in found and records.is_alive(self._record):
            # Without a cgroup, or moved to another one.
            from .host import processes

            found.update(processes.descendants(self.pid))
        return sorted(found)

    def stats(self) -> dict[str, Any]:
        """Return what it uses now, in the shape of runc's stats events.
        StateError, UnsupportedError without a cgroup.
        """
        from .commands import events

        self._refuse_stopped(f"container with id {self.id} is not running")
        with self.cgroup as cgroup:
            return events.data(cgroup, events.rdt_groups(self._record, self.root))

    def watch(self, interval: float) -> Iterator[dict[str, Any]]:
        """Return its events until it stops: lack of memory, and its `stats` every `interval` seconds.
        Raises as `stats`.
        """
        from .commands import events

        return events.watch(self._record, self.root, self.cgroup, interval)

    def delete(self, *, force: bool = False, if_stopped: bool = False) -> list[str]:
        """Remove the container: its processes if allowed, its cgroup, its state; then the poststop hooks.

        force       kill a running one
        if_stopped  refuse one that is created and not started, too (runtime-spec runtime.md, Delete)
        Returns warnings: a failing poststop hook does not stop the deletion (runtime-spec runtime.md).
        Raises StateError for a running container without `force`, HostError.
        """
        from .commands import delete as destroy

        directory = self._locked(force=force)
        try:
            # What another command has changed before we had the lock.
            self._record = records.load(directory, self.id)
            status = self._status(directory)
            if status != records.STOPPED and not force and (if_stopped or status != records.CREATED):
                raise StateError(
                    f"cannot delete container {self.id} that is not stopped: {status}",
                    status=status,
                    remedy=f"{with_force('delete')} kills it first",
                )
            self._keep_usage(directory)
            with self.cgroup as cgroup:
                warnings = destroy.delete_container(self.root, self._record, cgroup, directory, reap=self._reap)
        finally:
            os.close(directory)
        self._let_go()
        return warnings

    def _reap(self) -> None:
        """Wait for what `popen` and detached `exec` have started, which is killed; codes of `popen` stay known."""
        for one in self._started:
            try:
                one.wait(5.0)
            except (TimeoutError, UsageError):  # UsageError: the child of a process that this one was forked off
                continue  # the end of the container tells

    def _keep_usage(self, directory: int) -> None:
        """Read what it has used while its cgroup is there; no reason not to delete it if that fails."""
        from .state import usage

        try:
            self._read_usage(directory)
            usage.save(directory, self._used)
        except (OSError, HostError):
            return

    def checkpoint(self, options: CheckpointOptions) -> list[str]:
        """Save the processes of a running or paused container by CRIU, and remove it unless it is to go on.

        Returns warnings of the removal, as `delete`.
        Raises StateError, UsageError, UnsupportedError, and HostError with the end of CRIU's log.
        """
        from .commands import checkpoint

        directory = self._locked()
        try:
            with self.cgroup as cgroup:
                checkpoint.checkpoint(self._record, cgroup, directory, options)
                if options.leave_running or options.pre_dump:
                    return []
                return checkpoint.remove(self.root, self._record, cgroup, directory)
        finally:
            os.close(directory)


@raises_ocirun_errors
def explain(
    bundle: str = "",
    *,
    config: Mapping[str, Any] | None = None,
    options: CreateOptions | None = None,
    id: str = "<id>",
    root: str = "",
    where: FactsFile | None = None,
) -> Plan:
    """Return the plan that `create` would carry out, without touching anything.

    bundle, config, options, root   as of `Container.create`
    id      of the container; as it is given: of one that has no id yet
    where   the host that it is for, see `hostfacts.read`; None for this one
    Raises ConfigError, UnsupportedError, UsageError, InvalidIdError.
    """
    from .commands import planning

    if id != "<id>":  # a stand-in, which no container can have
        store.check_id(id)
    root, options = root or default_root(os.environ), options or CreateOptions(sessions=True)
    return planning.explain(bundle, id, root, options, config=_given(bundle, config, options), where=where)


@raises_ocirun_errors
def compare(
    bundle: str, other: str, *, options: CreateOptions, id: str = "<id>", root: str = "", where: FactsFile | None = None
) -> Difference:
    """Return what the plan of another bundle, or of another config for this one, does differently; see `explain`.

    other   directory of the bundle, or path of the config
    """
    from .commands import planning

    if id != "<id>":
        store.check_id(id)
    return planning.compare(bundle, other, id, root or default_root(os.environ), options, where=where)


def _given(bundle: str, config: Mapping[str, Any] | None, options: CreateOptions) -> Config | None:
    """Return a config that came as values, None where there is none.  Raises UsageError, ConfigError."""
    if config is None:
        return None
    if options.config:
        raise UsageError("config: is there twice, as values and as the path in the options")
    from .runs import overrides

    return overrides.given_config(bundle, config)


__all__ = [
    "CheckpointOptions",
    "Container",
    "CreateOptions",
    "ExecOptions",
    "RestoreOptions",
    "compare",
    "explain",
]
