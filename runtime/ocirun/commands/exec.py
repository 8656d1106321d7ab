"""`exec`: one more process in a container that runs."""

from __future__ import annotations

import os

from .._base import jsonio, procfile
from ..cgroup.paths import UNIFIED
from ..config import check
from ..errors import ConfigError, HostError, Problem, Spelling, StateError, UnsupportedError, UsageError, option
from ..execute.exec_session import ExecSession
from ..execute.stall import Stall, paused
from ..plan.build import without_parent
from ..plan.builder import Request, clean
from ..plan.constants import NAMESPACE_FILES
from ..plan.exec_plan import build_exec
from ..state import record as records
from ..state import saved
from ..state.exit_status import Detached
from . import create as creation
from . import planning
from . import run as foreground

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..cgroup.driver import Driver
    from ..execute.options import ExecOptions
    from ..plan.builder import Facts
    from ..plan.ops import Plan
    from ..state.record import Record

# What a process has of the container unless its description says otherwise: what confines it, and how it is
# scheduled. Its environment, user, directory and no_new_privs are its own.
_INHERITED = (
    *("capabilities", "rlimits", "oomScoreAdj", "scheduler", "ioPriority", "execCPUAffinity"),
    *("apparmorProfile", "selinuxLabel"),
)


def exec_process(
    record: Record,
    cgroup: Driver,
    directory: int,
    process: dict[str, Any],
    options: ExecOptions,
    detached: Callable[[Detached], object],
) -> int:
    """Run a process; its exit code, or 0 as soon as it runs when detached.

    process    an object like ``process`` of config.json; checked here
    detached   called with a detached one, which is our child
    """
    return _carry_out(session(record, cgroup, directory, process, options), options, detached)


def session(
    record: Record, cgroup: Driver, directory: int, process: dict[str, Any], options: ExecOptions
) -> ExecSession:
    """Return what will run a process in a container that is there, with nothing of it done yet.

    Raises StateError, ConfigError, UsageError, UnsupportedError.
    """
    plan, below, own = plan_of(record, cgroup, directory, process, options)
    made = ExecSession(plan, record, cgroup, directory, own)
    made.stdio = options.stdio
    made.witnesses = creation.tracers(options.trace, "exec", options.warn)
    made.sub_groups = below
    for problem in plan.warnings:
        options.warn(problem.line())
    if options.debug is not None:
        from ..plan import render

        render.tell(plan, options.debug)
    return made


def plan_of(
    record: Record, cgroup: Driver, directory: int, process: dict[str, Any], options: ExecOptions
) -> tuple[Plan, dict[str, str], Driver | None]:
    """Return the plan of a process in a container that is there, and where it goes: a path for each group,
    and the groups that are made for it.

    Nothing is changed.  Raises StateError, ConfigError, UsageError, UnsupportedError.
    """
    data = saved.config(directory, record.bundle)
    own: dict[str, Any] = data.get("process") or {}
    data["process"] = process = dict(process)
    _check_process(data, options.source)
    planning.check_terminal(
        process,
        options.console_socket,
        here=options.foreground and not options.detach,
        without=f"leave out {option('tty')}" if Spelling.flags else "set terminal to false",
        to_use=f"give {option('tty')} and {option('detach')}" if Spelling.flags else "set terminal to true, and detach",
    )
    why = _check_status(record, cgroup, directory, options)
    for name in _INHERITED:
        if name in own:
            process.setdefault(name, own[name])
    return _build(record, cgroup, directory, data, (own.get("user") or {}).get("umask"), options, why)


def _check_process(data: dict[str, Any], source: str) -> None:
    """Raise ConfigError for what is wrong with the process; pointers are those of its own file, if it has one."""
    found = check.checked_parts(data, ("process",))
    problems = [problem for problem in found if problem.pointer.startswith("/process")]
    if all(problem.warning for problem in problems):
        return
    if source:
        for problem in problems:
            problem.pointer = problem.pointer.removeprefix("/process")
    raise ConfigError(problems, path=source or "process")


def _check_status(record: Record, cgroup: Driver, directory: int, options: ExecOptions) -> str:
    """Raise StateError where no process can be started; returns why it joins other groups than the container's, ""."""
    status = records.status(record, records.load_progress(directory))
    if status == records.CREATING:
        raise StateError("cannot exec in a container that is being created", status=status)
    if status not in (records.CREATED, records.RUNNING):
        raise StateError("cannot exec in a stopped container", status=status)
    why = cgroup.follow(record.pid)
    if not options.ignore_paused and cgroup.frozen():
        raise paused()
    return why


def _build(
    record: Record,
    cgroup: Driver,
    directory: int,
    data: dict[str, Any],
    umask: int | None,
    options: ExecOptions,
    why: str,
) -> tuple[Plan, dict[str, str], Driver | None]:
    request = Request(
        container_id=record.container_id,
        bundle=record.bundle,
        directory="",
        detach=False,
        console_socket=planning.absolute(options.console_socket),
        pidfd_socket=planning.absolute(options.pidfd_socket),
        pid_file=planning.absolute(options.pid_file),
        keep_fds=options.preserve_fds,
        no_new_keyring=not record.own_keyring,
    )
    below = sub_groups(cgroup, options.cgroup)
    own = None if why or not options.own_group else _own_group(cgroup, data["process"], below)
    if options.resources and own is None:
        raise UnsupportedError(
            "/linux/resources: a program gets limits of its own in a cgroup of its own only",
            pointer="/linux/resources",
            remedy="give the container a cgroup that we may write to",
        )
    files = [(name, below.get(name, "")) for name, _ in cgroup.joined_by_child()]
    start_in = ""
    if cgroup.clones:
        inside, no = (below[UNIFIED], "") if UNIFIED in below else cgroup.home(record.pid)
        below[UNIFIED], why = inside, why or no
        if options.ignore_paused or (data["process"].get("execCPUAffinity") or {}).get("initial"):
            # A helper that starts in a frozen group keeps us waiting where no signal can reach us; and the
            # first affinity is to hold before the group is joined (config.md, "execCPUAffinity").
            files.append((UNIFIED, inside))
        else:
            start_in = clean(f"{cgroup.path(UNIFIED)}/{inside}")
    facts = planning.facts(None, data, preserve_fds=options.preserve_fds)
    look_at_groups(facts, data, record.pid)
    plan = build_exec(
        data,
        facts,
        request,
        cgroup,
        pid=record.pid,
        foreign=foreign_namespaces(record.pid),
        own_umask=umask,
        status=records.status(record, records.load_progress(directory)),
        cgroup_files=files,
        start_in=start_in,
        join_why=why,
        attach=cgroup.attach_point(record.pid, below),
        own=own,
        resources=options.resources,
        keeper=options.keeper and own is None and not without_parent(data),
    )
    return plan, below, own


def _own_group(cgroup: Driver, process: dict[str, Any], below: dict[str, str]) -> Driver | None:
    """Return the groups that are made for a process, and note them in `below`; None where there can be none."""
    from ..cgroup import below as groups

    # With CONFIG_RT_GROUP_SCHED a new group has no time for these policies.
    policy = (process.get("scheduler") or {}).get("policy")
    without = ("cpu",) if policy in ("SCHED_FIFO", "SCHED_RR") else ()
    name = groups.new_name()
    own = groups.driver_below(cgroup, name, without=without)
    if own is not None:
        below.update(dict.fromkeys((group.name for group in own.groups), name))
    return own


def look_at_groups(facts: Facts, data: dict[str, Any], pid: int) -> None:
    """Note whether setgroups(2) is allowed in the user namespace of a container."""
    namespaces = (data.get("linux") or {}).get("namespaces") or ()
    if facts.caller is not None and any(entry["type"] == "user" for entry in namespaces):
        from ..host import users

        facts.setgroups = users.allows_setgroups(str(pid))


def foreign_namespaces(pid: int) -> frozenset[str] | None:
    """Return the types of the namespaces of a process that are not ours; None where we may not see that.

    Whoever calls `exec` may be elsewhere than the caller of `create` was, so the config alone cannot tell.
    """
    found = set()
    try:
        for kind, name in NAMESPACE_FILES.items():
            if os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}"):
                found.add(kind)
    except OSError as error:
        return procfile.unanswered(error, f"/proc/{pid}/ns", None)
    return frozenset(found)


def sub_groups(cgroup: Driver, wanted: list[str]) -> dict[str, str]:
    """Return ``--cgroup [CONTROLLER,...:]PATH`` as a path for each group.  Raises UsageError."""
    found: dict[str, str] = {}
    names = {name: group for group in cgroup.groups for name in group.controllers}
    for text in wanted:
        head, colon, path = text.partition(":")
        controllers = head.split(",") if colon else [group.name for group in cgroup.groups]
        path = path if colon else head
        if ".." in path.split("/"):
            raise UsageError(f"cgroup {text!a}: leads out of the container's cgroup", remedy="leave out '..'")
        for controller in controllers:
            if controller not in names:
                raise UsageError(f"cgroup {text!a}: unknown controller {controller!a}")
            found[names[controller].name] = path.strip("/")
    return found


def _carry_out(session: ExecSession, options: ExecOptions, detached: Callable[[Detached], object]) -> int:
    front = foreground.Foreground(session)
    try:
        if not options.detach and options.foreground:
            front.take_signals()
        session.idle = Stall(session.plan, session.cgroup, front.signals, ignore_paused=options.ignore_paused)
        if front.signals is None or "master" not in session.plan.slots:
            # Nothing of ours comes between: the word for the start is given with the answer at `ready`.
            session.side.native.go = 1
        session.create()
        try:
            front.take_terminal()
            session.start()
        except BaseException:
            session.take_back()
            raise
        if options.detach:
            detached(Detached(os.dup(session.helper.pidfd)))  # the session closes its own
            return 0
        return front.wait()
    finally:
        front.close()


def base_process(directory: int, record: Record) -> dict[str, Any]:
    """Return the process that flags of `exec` change: that of the container, without what belongs to its init."""
    process: dict[str, Any] = dict(saved.config(directory, record.bundle).get("process") or {"cwd": "/"})
    process["terminal"] = False
    return process


def process_file(path: str) -> dict[str, Any]:
    """Return ``--process FILE``.  Raises HostError, ConfigError."""
    raw = _read(path)
    try:
        value = jsonio.loads(raw)
    except jsonio.JsonError as error:
        raise ConfigError([Problem("", str(error))], path=path) from None
    if not isinstance(value, dict):
        raise ConfigError([Problem("", "must be an object")], path=path)
    return value


def _read(path: str) -> bytes:
    """Return all of a file, of a pipe too: shells give one for ``--process <(command)``."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            raw = jsonio.contents(fd)
        finally:
            os.close(fd)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError):
            raise HostError.from_os(f"process file {path}", error, call="read") from None
        raise UsageError(f"process file {path!a}: the path holds a NUL character") from None
    if len(raw) > jsonio.SIZE_LIMIT:
        raise ConfigError([Problem("", f"is larger than the limit of {jsonio.SIZE_LIMIT} bytes")], path=path)
    return raw
