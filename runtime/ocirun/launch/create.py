"""`create`: config and facts to a plan, the id reserved, the plan carried out."""

from __future__ import annotations

import os
import time

from ..config import load
from ..errors import HookError, HostError
from ..plan import encode
from ..plan.builder import join
from ..state import record as records
from ..state import store
from . import planning
from .interrupts import Held
from .session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..cgroup.driver import Driver
    from ..config.load import Config
    from ..plan.ops import Plan
    from ..state.record import Record
    from .options import CreateOptions
    from .restore import Restoration
    from .trace import Trace

_HOST_KINDS_LATER = ("poststart", "poststop")


def create(
    container_id: str, root: str, options: CreateOptions, *, stay: bool, config: Config | None = None
) -> tuple[Record, Session]:
    """Everything up to the program's start.

    stay     the caller keeps the session and starts the program itself; else `start` comes from elsewhere
    config   in place of the bundle's config.json
    Returns the record and a session that the caller closes.
    """
    store.check_id(container_id)
    if config is None:
        config = load.load(os.path.abspath(options.bundle or "."))
    planning.check_terminal(config.data.get("process"), options.console_socket, here=stay and options.foreground)
    plan, cgroup = planning.plan(config, container_id, root, options, stay=stay)
    return carry_out(container_id, root, options, config=config, plan=plan, cgroup=cgroup)


def carry_out(
    container_id: str,
    root: str,
    options: CreateOptions,
    *,
    config: Config,
    plan: Plan,
    cgroup: Driver,
    encoder: encode.Encoder = encode.encode,
    restoration: Restoration | None = None,
) -> tuple[Record, Session]:
    """Reserve the id and run a plan, up to the program's start.

    encoder       makes the plan's bytes for the helper
    restoration   of a plan that brings a container back: then it is carried out to its end
    Returns as `create`.
    """
    record = _record(config, container_id, cgroup, plan)
    record.own_keyring = not options.no_new_keyring
    session = Session(plan, record, cgroup, -1)
    session.encoder = encoder
    session.stdio = options.stdio
    session.trace = tracer(options.trace, options.warn)
    session.restoration = restoration
    if options.debug is not None:
        from ..plan import render

        render.tell(plan, options.debug)
    try:
        session.reserve.fill()
        with Held():
            session.directory = store.reserve(root, container_id)
            session.undo.append(lambda: store.remove(root, container_id))
        _note_intent(session, config)
        _create(session)
        if restoration is not None:
            session.start()
            session.finish()
    except BaseException:
        session.take_back()
        raise
    finally:
        session.reserve.free()
        if session.directory >= 0:
            os.close(session.directory)
            session.directory = -1
    for problem in plan.warnings:
        options.warn(problem.line())
    if session.unknown_calls:
        options.warn(_unknown_calls(session.unknown_calls))
    return record, session


def _note_intent(session: Session, config: Config) -> None:
    """Write the record before anything is made: whoever finds the directory later knows what to remove."""
    record, directory = session.record, session.directory
    if record.host_mounts is not None:
        from . import hostmounts

        kept = record.host_mounts
        session.undo.append(lambda: hostmounts.remove(record.rootfs, kept))
    try:
        # Until we end, one way or the other: `delete` must not take away what we are still making.
        store.lock(directory)
        record.save(directory)
        store.write_file(directory, "config.json", config.raw)
    except OSError as error:
        raise HostError.from_os(f"state of {record.container_id}", error, call="write") from None


def _unknown_calls(names: list[str]) -> str:
    from ..host import libseccomp

    count = f"{len(names)} system calls are" if len(names) > 1 else "a system call is"
    version = libseccomp.load().version
    return f"/linux/seccomp/syscalls: {count} not known to libseccomp {version} and left out: {', '.join(names)}"


def tracer(path: str, warn: Callable[[str], None]) -> Trace | None:
    """What writes a trace to `path`; None for "".  Raises HostError when that cannot be opened."""
    if not path:
        return None
    from .trace import Trace

    return Trace(os.path.abspath(path), warn)


def _create(session: Session) -> None:
    try:
        session.create()
    except HookError:
        # runtime.md, "Lifecycle": a failed hook leads to destruction, and that to the poststop hooks.
        for index in session.hook_numbers("poststop"):
            try:
                session.run_hook(index)
            except (HookError, HostError):
                continue
        raise


def _record(config: Config, container_id: str, cgroup: Driver, plan: Plan) -> Record:
    data: Any = config.data
    root = data["root"]["path"]
    kinds = [kind for kind in _HOST_KINDS_LATER if (data.get("hooks") or {}).get(kind)]
    namespaces = {entry["type"]: entry.get("path") or "" for entry in (data.get("linux") or {}).get("namespaces") or ()}
    rootfs = join(config.bundle, root)
    host_mounts = None
    if "mount" not in namespaces:
        from . import hostmounts

        host_mounts = hostmounts.ids_below(rootfs)
    return records.Record(
        container_id,
        bundle=config.bundle,
        rootfs=rootfs,
        created=_utc_now(),
        owner=os.geteuid(),
        annotations=data.get("annotations") or {},
        cgroup=cgroup.record(),
        hooks=kinds,
        boot_id=records.boot_id(),
        host_mounts=host_mounts,
        late=_late(plan),
        shared_pids=namespaces.get("pid", "host") != "",
    )


def _late(plan: Plan) -> list[list[object]]:
    """The operations that may fail after this process has gone, with what an error will name."""
    found: list[list[object]] = []
    args: object = []
    started = False
    for index, op in enumerate(plan.ops):
        if op.name == "find_program":
            args = op.args["args"][:1]
        elif op.name == "wait_start":
            started = True
        if started and op.name in ("wait_start", "run_hook"):
            found.append([index, op.name, op.pointer, {"path": op.args.get("path", "")}])
        elif op.name == "execute":
            found.append([index, op.name, op.pointer, {"args": args}])
    return found


def _utc_now() -> str:
    now = time.time_ns()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 1_000_000_000)) + f".{now % 1_000_000_000:09d}Z"
