"""One more program in a container that is there: the course of an exec."""

from __future__ import annotations

import os

from .._base import parameters
from ..cgroup import choose
from ..commands import exec as execute
from ..execute.options import ExecOptions
from ..execute.stall import Stall
from ..plan import encode
from ..state import store
from .process import Process
from .program_run import ProgramRun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ..execute.session import Session
    from ..state.record import Record
    from .program_run import Factory


class ExecRun(ProgramRun):
    """A course that ends with its program; the container goes on.

    A time-out kills the program alone: what else it has started belongs to the container.
    """

    def __init__(self, output_limit: int) -> None:
        super().__init__("", output_limit)

    def _what_follows(self, session: Session) -> encode.AfterStart:
        """Return the program's end."""
        del session
        return encode.AfterStart()

    def _is_removed(self, session: Session) -> bool:
        """Return True, as nothing was made but the program."""
        del session
        return True

    def _kill(self, session: Session) -> None:
        """Send SIGKILL to the program."""

    def _usage(self, session: Session) -> dict[str, int]:
        del session
        return {}

    def _remove(self, session: Session) -> None:
        session.take_back()


def exec_factory(
    record: Record,
    root: str,
    args: Sequence[str],
    *,
    process: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    user: tuple[int, int] | None = None,
) -> Factory:
    """Return what starts the program of an `ExecRun`; see `Container.run`."""
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
    return lambda: _planned(record, root, own)


def _planned(record: Record, root: str, process: dict[str, Any]) -> Session:
    directory = store.open_container(root, record.container_id)
    try:
        # Not the driver of the handle: several programs may be started at once.
        cgroup = choose.recorded_driver(record.cgroup)
        try:
            session = execute.session(record, cgroup, directory, process, ExecOptions())
        except BaseException:
            cgroup.close()
            raise
        session.idle = Stall(session.plan, cgroup, None, ignore_paused=False)
        return session
    finally:
        os.close(directory)


def start_process(make: Factory, stdio: tuple[int, int, int]) -> Process:
    """Start a program and leave it to the caller."""
    session = make()
    session.stdio = stdio
    try:
        session.create()
        try:
            session.start()
        except BaseException:
            session.take_back()
            raise
        return Process(session)
    finally:
        session.close()
