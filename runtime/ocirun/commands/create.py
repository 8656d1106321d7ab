"""`create`: config and facts to a plan, the id reserved, the plan carried out."""

from __future__ import annotations

import os
import time

from ..errors import ConfigError, HookError, HostError, Problem
from ..execute.session import Session
from ..plan.builder import join
from ..state import caller, store
from ..state import record as records
from . import planning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from ..cgroup.driver import Driver
    from ..config.load import Config
    from ..execute.options import CreateOptions, Witness
    from ..plan.ops import Plan
    from ..state.record import Record

_HOST_KINDS_LATER = ("poststart", "poststop")


def create(
    container_id: str, root: str, options: CreateOptions, *, keeps_session: bool, config: Config | None = None
) -> tuple[Record, Session]:
    """Return everything up to the program's start.

    keeps_session     the caller keeps the session and starts the program itself; else `start` comes from elsewhere
    config   in place of the bundle's config.json
    Returns the record and a session that the caller closes.
    """
    session = planned(container_id, root, options, keeps_session=keeps_session, config=config)
    carry_out(session, options)
    return session.record, session


def planned(
    container_id: str, root: str, options: CreateOptions, *, keeps_session: bool, config: Config | None = None
) -> Session:
    """Return what will do that, with nothing of it done yet; the parameters are those of `create`."""
    store.check_id(container_id)
    if config is None:
        config = planning.read_config(options.bundle, options)
    planning.check_terminal(
        config.data.get("process"), options.console_socket, here=keeps_session and options.foreground
    )
    plan, cgroup = planning.plan(config, container_id, root, options, keeps_session=keeps_session)
    return session_of(container_id, options, config=config, plan=plan, cgroup=cgroup)


def session_of(container_id: str, options: CreateOptions, *, config: Config, plan: Plan, cgroup: Driver) -> Session:
    """Return the session of a plan that makes a container, with nothing of it done yet."""
    record = _record(config, container_id, cgroup, plan)
    record.own_keyring = not options.no_new_keyring
    session = Session(plan, record, cgroup)
    session.made = intent(record, config) | _device_programs(plan) | dict(config.contents)
    _check_contents(plan, session.made)
    session.stdio = options.stdio
    session.witnesses = [*tracers(options.trace, "create", options.warn), *options.witnesses]
    session.profile = (config.data.get("linux") or {}).get("seccomp")
    if options.debug is not None:
        from ..plan import render

        render.tell(plan, options.debug)
    if record.host_mounts is not None:
        from ..execute.mounts import hostmounts

        kept = record.host_mounts
        session.undo.append(lambda: hostmounts.remove(record.rootfs, kept))
    return session


def _check_contents(plan: Plan, made: Mapping[str, bytes]) -> None:
    """Check that the bytes of each file are there, which are in no config.  Raises ConfigError."""
    for op in plan.ops:
        if op.name == "put_file" and op.args["content"] not in made:
            text = (
                f"the content of {op.args['path']} is not there: it is a parameter of the Python API, files or secrets"
            )
            raise ConfigError([Problem(op.pointer, text)])


def _device_programs(plan: Plan) -> dict[str, bytes]:
    """Return what device rules become on cgroup v2, by the name of the bytes."""
    found = {}
    for op in plan.ops:
        if op.name == "filter_devices":
            from ..cgroup.files import device_filter

            found[op.args["program"]] = device_filter.assemble("\n".join(op.args["rules"]))
    return found


def carry_out(session: Session, options: CreateOptions) -> None:
    """Reserve the id and run a plan, up to the program's start; that of a restoration to its end."""
    try:
        try:
            session.create()
        except HookError:
            stopped(session)
            raise
        if session.restoration is not None:
            session.start()
            session.side.commit()
    except BaseException:
        session.take_back()
        raise
    session.side.let_directory_go()
    for problem in session.plan.warnings:
        options.warn(problem.line())
    if session.unknown_calls:
        options.warn(_unknown_calls(session.unknown_calls))


def stopped(session: Session) -> None:
    """Run the poststop hooks of a container that was not created.

    runtime.md, "Lifecycle": a failed hook leads to destruction, and that to the poststop hooks.
    """
    for index in session.hook_numbers("poststop"):
        try:
            session.run_hook(index)
        except (HookError, HostError):
            continue


INTENT = frozenset(("config", "state", "spare", "caller"))


def intent(record: Record, config: Config) -> dict[str, bytes]:
    """Return what is written before anything is made: whoever finds the directory later knows what to remove."""
    state, spare = record.texts()
    return {
        "config": config.raw,
        "state": state.encode(),
        "spare": spare.encode() + b"\0" if spare else b"",
        "caller": caller.link_text(record.boot_id).encode() + b"\0",
    }


def _unknown_calls(names: list[str]) -> str:
    from ..host import libseccomp

    count = f"{len(names)} system calls are" if len(names) > 1 else "a system call is"
    version = libseccomp.load().version
    return f"/linux/seccomp/syscalls: {count} not known to libseccomp {version} and left out: {', '.join(names)}"


def tracers(path: str, command: str, warn: Callable[[str], None]) -> list[Witness]:
    """Return what writes a trace of a command to `path`; nothing for "".  Raises HostError if it cannot be opened."""
    if not path:
        return []
    from ..execute.trace import Trace

    return [Trace(path if path.startswith("unix:") else os.path.abspath(path), command, warn)]


def _record(config: Config, container_id: str, cgroup: Driver, plan: Plan) -> Record:
    data: Any = config.data
    root = data["root"]["path"]
    kinds = [kind for kind in _HOST_KINDS_LATER if (data.get("hooks") or {}).get(kind)]
    namespaces = {entry["type"]: entry.get("path") or "" for entry in (data.get("linux") or {}).get("namespaces") or ()}
    rootfs = join(config.bundle, root)
    host_mounts = None
    if "mount" not in namespaces:
        from ..execute.mounts import hostmounts

        host_mounts = hostmounts.ids_below(rootfs)
    return records.Record(
        container_id,
        bundle=config.bundle,
        rootfs=rootfs,
        created=utc_now(),
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
    """Return the operations that may fail after this process has gone, with what an error will name."""
    found: list[list[object]] = []
    args: object = []
    started = False
    for index, op in enumerate(plan.ops):
        if op.name == "find_program":
            args = op.args["args"][:1]
        elif op.name in ("wait_start", "receive_program"):
            started = True
        if started and op.name in ("wait_start", "receive_program", "run_hook"):
            found.append([index, op.name, op.pointer, {"path": op.args.get("path", "")}])
        elif op.name == "execute":
            found.append([index, op.name, op.pointer, {"args": args}])
    return found


def utc_now() -> str:
    """Return this moment as RFC 3339 has it, always of the same length."""
    now = time.time_ns()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 1_000_000_000)) + f".{now % 1_000_000_000:09d}Z"
