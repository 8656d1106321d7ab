"""One more program in a container that is there: the course of an exec."""

from __future__ import annotations

import os
from _signal import SIGKILL

from .._base import parameters
from ..cgroup import choose
from ..commands import exec as execute
from ..execute.options import ExecOptions
from ..execute.stall import Stall
from ..state import exit_status, store
from . import overrides
from .process import Process
from .program_run import ProgramRun, uncounted
from .tree import Tree, end_descendants, keep_oom_kills, kill_descendants, own_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Mapping, Sequence
    from typing import Any, TypeAlias

    from ..execute.session import Session
    from ..state.record import Record
    from ..state.stored import StoredContainer
    from .pipes import Pipes
    from .program_run import Factory
    from .terms import Terms

    Started: TypeAlias = "Process | exit_status.Detached | InLoop"


class ExecRun(ProgramRun):
    """A course that ends with its program, and with all that this has started; the container goes on."""

    def __init__(self, terms: Terms, container: StoredContainer) -> None:
        super().__init__("", terms)
        self._container = container

    @property
    def pidfd(self) -> int:
        """That of the program or its keeper, a child of this process; -1 where none runs."""
        session = self._session
        return session.helper.pidfd if session is not None and session.created else -1

    def _kill(self, session: Session) -> None:
        own = own_of(session)
        if own is not None:
            session.adopt_groups()
            own.kill(SIGKILL)
        else:
            kill_descendants(session.helper.pid)

    def _usage(self, session: Session) -> dict[str, int]:
        own = own_of(session)
        found = {} if own is None else super()._usage(session)
        keep_oom_kills(self._container, own, found)
        return found

    def _is_removed(self, session: Session) -> bool:
        """Return True: what the host's side has left of the group is removed here, with what is in it."""
        if own_of(session) is None:
            return False
        if not super()._is_removed(session):
            Tree(session).remove()
        return True

    def _remove(self, session: Session) -> None:
        if own_of(session) is None and session.created and session.helper.pidfd >= 0:
            end_descendants(session.helper.pid)
        session.take_back()


class InLoop:
    """What a task of an event loop runs in a container: a loop that is kept busy by `delete` cannot take its end.

    The container could not end then, as the kernel waits until everybody in it was waited for.
    """

    def __init__(self, program_run: ExecRun, loop: AbstractEventLoop) -> None:
        self._run: ExecRun | None = program_run
        self._loop = loop

    def let_go(self) -> None:
        """Forget it, as its task has ended."""
        self._run = None

    def fileno(self) -> int:
        """Return -1 once its task has ended; before, its pidfd, or 0 where it does not run yet."""
        return -1 if self._run is None else max(self._run.pidfd, 0)

    def wait(self, timeout: float | None = None) -> None:
        """Take its end where its loop runs in this thread, and so waits for us.  Raises TimeoutError."""
        from asyncio import _get_running_loop

        pidfd = -1 if self._run is None else self._run.pidfd
        if pidfd >= 0 and _get_running_loop() is self._loop:
            exit_status.wait(pidfd, timeout, what="process")
            exit_status.ended(pidfd, keep=False)


def exec_factory(
    record: Record,
    root: str,
    args: Sequence[str],
    *,
    process: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    user: tuple[int, int] | None = None,
    memory: int | None = None,
    pids: int | None = None,
    cpus: float | None = None,
    open_files: int | None = None,
    file_size: int | None = None,
    keeper: bool = True,
) -> Factory:
    """Return what starts the program of an `ExecRun`; see `Container.run`.

    keeper   as of `ExecOptions`; not for one whose process is the caller's own child
    """
    resources = overrides.resources({}, memory, pids, cpus)
    directory = store.open_container(root, record.container_id)
    try:
        own = execute.base_process(directory, record) if process is None else {**process, "terminal": False}
    finally:
        os.close(directory)
    own["args"] = parameters.words("args", args)
    if env:
        own["env"] = [*(own.get("env") or ()), *parameters.environment("env", env)]
    if cwd is not None:
        own["cwd"] = cwd
    if user is not None:
        uid, gid = parameters.pair("user", user, most=(1 << 32) - 2)
        own["user"] = {**(own.get("user") or {}), "uid": uid, "gid": gid}
    if open_files is not None or file_size is not None:
        own["rlimits"] = overrides.process_limits(own.get("rlimits") or (), open_files, file_size)
    return lambda: _planned(record, root, own, resources, keeper=keeper)


def _planned(record: Record, root: str, process: dict[str, Any], resources: dict[str, Any], *, keeper: bool) -> Session:
    directory = store.open_container(root, record.container_id)
    try:
        # Not the driver of the handle: several programs may be started at once.
        cgroup = choose.recorded_driver(record.cgroup)
        try:
            options = ExecOptions(own_group=True, resources=resources, keeper=keeper)
            session = execute.session(record, cgroup, directory, process, options)
        except BaseException:
            cgroup.close()
            raise
        session.idle = Stall(session.plan, cgroup, None, ignore_paused=False)
        return session
    finally:
        os.close(directory)


def start_process(
    make: Factory, container: StoredContainer, pipes: Pipes, *, timeout: float | None, cpu_time: float | None
) -> Process:
    """Start a program and leave it to the caller; the pipes are closed where it does not start."""
    try:
        session = make()
        if cpu_time is not None and not session.plan_after_start().processor:
            session.close()
            raise uncounted()
        session.stdio = (pipes.theirs[0], pipes.theirs[1], pipes.theirs[2])
        try:
            session.create()
            try:
                session.start()
                tree = Tree(session, container)
                try:
                    return Process(session, tree, pipes, timeout=timeout, cpu_time=cpu_time)
                except BaseException:
                    tree.kill()
                    tree.remove()
                    raise
            except BaseException:
                session.take_back()
                raise
        finally:
            session.close()
    except BaseException:
        pipes.close()
        raise
    finally:
        pipes.let_go()
