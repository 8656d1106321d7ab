"""`create`: config and facts to a plan, the id reserved, the plan carried out."""

from __future__ import annotations

import os
import time

from ..config import load
from ..errors import HookError, HostError, UnsupportedError, UsageError
from ..host import facts as host
from ..plan.build import build
from ..plan.builder import Facts, Request, join
from ..state import record as records
from ..state import store
from .session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..cgroup.driver import Driver
    from ..config.load import Config
    from ..plan.ops import Plan
    from ..state.record import Record
    from .options import CreateOptions
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
    _check_terminal(config, options, stay=stay)
    environ = list(host.environment())
    plan, cgroup = _plan(config, container_id, root, options, stay=stay)
    record = _record(config, container_id, cgroup, plan)
    record.own_keyring = not options.no_new_keyring
    directory = store.reserve(root, container_id)
    # Held until we end, one way or the other: `delete` must not take away what we are still making.
    store.lock(directory)
    session = Session(plan, record, cgroup, directory, environ)
    session.stdio = options.stdio
    session.trace = tracer(options.trace)
    session.undo.append(lambda: store.remove(root, container_id))
    if record.host_mounts is not None:
        from . import hostmounts

        kept = record.host_mounts
        session.undo.append(lambda: hostmounts.remove(record.rootfs, kept))
    try:
        try:
            # Before anything is made: whoever finds this directory later knows what to remove.
            record.save(directory)
            store.write_file(directory, "config.json", config.raw)
        except OSError as error:
            session.take_back()
            raise HostError.from_os(f"state of {container_id}", error, call="write") from None
        _create(session)
    finally:
        os.close(directory)
    session.directory = -1
    for problem in plan.warnings:
        options.warn(problem.line())
    return record, session


def tracer(path: str) -> Trace | None:
    """What writes a trace to `path`; None for ""."""
    if not path:
        return None
    from .trace import Trace

    return Trace(os.path.abspath(path))


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


def explain(bundle: str, container_id: str, root: str, options: CreateOptions, *, config: Config | None = None) -> Plan:
    """The plan alone; reads config.json, unless it is given, and facts; changes nothing."""
    if config is None:
        config = load.load(os.path.abspath(bundle or "."))
    plan, _ = _plan(config, container_id, root, options, stay=options.foreground, for_show=True)
    return plan


def _plan(
    config: Config, container_id: str, root: str, options: CreateOptions, *, stay: bool, for_show: bool = False
) -> tuple[Plan, Driver]:
    from ..cgroup import driver

    if options.systemd_cgroup or options.cgroup_manager == "systemd":
        raise UnsupportedError("the systemd cgroup driver is not supported by this version")
    layout = host.cgroup_layout()
    cgroup = driver.choose(
        layout,
        cgroups_path=(config.data.get("linux") or {}).get("cgroupsPath") or "",
        container_id=container_id,
        disabled=options.cgroup_manager == "disabled",
        rootless=options.rootless == "true" or (options.rootless == "auto" and not host.privileged()),
    )
    request = Request(
        container_id=container_id,
        bundle=config.bundle,
        directory=join(root, container_id),
        detach=not stay,
        console_socket=absolute(options.console_socket),
        pidfd_socket=absolute(options.pidfd_socket),
        pid_file=absolute(options.pid_file),
        keep_fds=options.preserve_fds,
        no_pivot=options.no_pivot,
        no_new_keyring=options.no_new_keyring,
    )
    data: Any = config.data
    limited = bool((data.get("process") or {}).get("rlimits"))
    known = facts(layout, preserve_fds=options.preserve_fds, limited=limited, for_show=for_show)
    plan = build(data, known, request, cgroup)
    told = {problem.pointer for problem in config.warnings}
    plan.warnings[:] = [*config.warnings, *(one for one in plan.warnings if one.pointer not in told)]
    return plan, cgroup


def absolute(path: str) -> str:
    """`path` from the root; "" stays."""
    return os.path.abspath(path) if path else ""


def facts(layout: object, *, preserve_fds: int, limited: bool, for_show: bool) -> Facts:
    """What a plan must know; `limited`: also of resource limits, `for_show`: without the environment."""
    permitted, bounding = host.own_capabilities()
    listen = _listen_fds()
    caller = None
    if not (privileged := host.privileged()):
        from ..host import users

        caller = users.caller()
    return Facts(
        privileged=privileged,
        caller=caller,
        setgroups=caller is None or (caller.setgroups and bool(permitted >> host.CAP_SETGID & 1)),
        capabilities=permitted & bounding,
        last_cap=host.last_capability(),
        layout=layout,
        inherited=_inherited(listen + preserve_fds) if listen + preserve_fds else (),
        listen_fds=listen,
        environ=() if for_show else host.environment(),
        notify_socket=os.environ.get("NOTIFY_SOCKET", ""),
        keyrings=host.has_keyrings(),
        hard_limits=host.hard_limits() if limited else {},
    )


def _listen_fds() -> int:
    """The number of sockets passed by socket activation, if they are meant for this process (sd_listen_fds(3))."""
    text, pid = os.environ.get("LISTEN_FDS", ""), os.environ.get("LISTEN_PID", "")
    if not (text.isascii() and text.isdigit() and len(text) < 5) or pid != str(os.getpid()):
        return 0
    return int(text)


def _inherited(count: int) -> tuple[int, ...]:
    from .._native import lib

    return tuple(fd for fd in range(3, 3 + count) if lib.ocirun_inherited(fd))


def _check_terminal(config: Config, options: CreateOptions, *, stay: bool) -> None:
    data: Any = config.data
    terminal = bool((data.get("process") or {}).get("terminal"))
    here = stay and options.foreground
    if terminal and not here and not options.console_socket:
        raise UsageError(
            "cannot allocate tty if ocirun will detach without setting console socket",
            pointer="/process/terminal",
            remedy="give --console-socket, or set process.terminal to false",
        )
    if options.console_socket and (not terminal or here):
        raise UsageError(
            "cannot use console socket if ocirun will not detach or allocate tty",
            pointer="/process/terminal",
            remedy="leave out --console-socket, or set process.terminal to true and detach",
        )


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
