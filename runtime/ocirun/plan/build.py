"""Build the plan of a container: one function for each stretch of the life cycle, in order."""

from __future__ import annotations

from .._base import jsonio
from .._base.jsonio import pointer_token
from ..config import sysctl
from . import cgroups, crun_annotations, hooks, namespaces
from . import constants as c
from .builder import Builder
from .mounts import devices, files, mounts, rootfs
from .ops import OPEN_CREATE, Op, Plan
from .process import program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..cgroup.driver import Driver
    from .builder import Facts, Request


def build(data: dict[str, Any], facts: Facts, request: Request, cgroup: Driver) -> Plan:
    """Return the plan for a checked config on a host.

    data      config.json, as ``config.load`` returns it
    facts     of the host and the caller
    request   of the command
    cgroup    the chosen driver; asked for its paths only
    Raises ConfigError and UnsupportedError; touches nothing.
    """
    b = Builder(data, facts, request, cgroup)
    if not request.detach:
        need_process(b)
    for stretch, _ in STRETCHES:
        stretch(b)
    return finished(b)


def finished(builder: Builder) -> Plan:
    """Return what the builder has collected, as a plan.

    Raises ConfigError where it would change a namespace that is not the container's own.
    """
    _hold_to_own_namespaces(builder)
    return Plan(builder.ops, builder.slots, builder.inherited, _kept_descriptors(builder), builder.warnings)


# The operations that change a namespace, and its type.
_CHANGES = {
    **dict.fromkeys(("set_hostname", "set_domainname"), "uts"),
    **dict.fromkeys(("move_device", "loopback_up"), "network"),
    **dict.fromkeys(("propagate", "privatize_parent", "pivot", "move_root", "hide_host_mounts"), "mount"),
    **dict.fromkeys(("make_readonly", "mask"), "mount"),
    "write_time_offsets": "time",
    "write_id_maps": "user",
}


def changed_namespace(op: Op) -> str:
    """Return the type of the namespace that an operation changes, "" for none."""
    if op.name == "write_proc":
        return sysctl.namespace(op.args["path"].removeprefix("sys/")) or "host"
    return _CHANGES.get(op.name, "")


def _hold_to_own_namespaces(builder: Builder) -> None:
    """Check that no operation changes a namespace of the host, whatever the rules let through.

    One that is made is the container's own. Of one that is joined, only the runtime that opens it can tell.
    """
    joined: dict[str, str] = {}
    for op in builder.ops:
        kind = changed_namespace(op)
        if not kind or kind in builder.new:
            continue
        if kind not in builder.joined:
            raise builder.error(op.pointer, f"needs a {kind} namespace: without one the host would be changed")
        joined.setdefault(kind, op.pointer or builder.joined[kind][1])
    for place, op in enumerate(builder.ops):
        if op.name == "open_namespace" and op.args["type"] in joined:
            args = {**op.args, "not_own_for": joined[op.args["type"]]}
            builder.ops[place] = Op(op.name, op.actor, op.pointer, args, why=op.why)


def need_process(builder: Builder) -> None:
    """Raise ConfigError where there is nothing to run."""
    if not builder.process:
        raise builder.error("/process", "is missing: there is nothing to run", expected="an object")


def _kept_descriptors(builder: Builder) -> list[int]:
    """Return descriptors from 3 that go to the program: socket activation's, then --preserve-fds.

    Only those that came through execve: a hole in the range must not be filled with one of our own.
    """
    last = 2 + builder.facts.listen_fds + builder.request.keep_fds
    return [fd for fd in builder.facts.inherited if 3 <= fd <= last]


def without_init(data: Any) -> str:
    """Return why the program of a config cannot have an init of ours, "" if it can."""
    linux = data.get("linux") or {}
    if not any(entry.get("type") == "pid" and not entry.get("path") for entry in linux.get("namespaces") or ()):
        return "an init needs a pid namespace of the container's own: its end is what ends all processes there"
    return without_parent(data)


def without_parent(data: Any) -> str:
    """Return why the program of a config cannot be the child of a process of ours, "" if it can."""
    linux, process = data.get("linux") or {}, data.get("process") or {}
    if linux.get("seccomp"):
        from .process import seccomp

        if seccomp.NOTIFY in jsonio.dumps(linux["seccomp"]):
            return f"a filter with {seccomp.NOTIFY} would hold for init too, whose calls nobody answers"
    scheduler = process.get("scheduler") or {}
    if scheduler.get("policy") == "SCHED_DEADLINE" or "SCHED_FLAG_RESET_ON_FORK" in (scheduler.get("flags") or ()):
        return "the program is a child of init, and would not have this scheduling policy"
    return ""


def _prepare(builder: Builder) -> None:
    """Plan what the host does before there is a process."""
    crun_annotations.check(builder)
    builder.reserve()
    if builder.linux.get("seccomp") or builder.request.learn:
        from .process import seccomp

        seccomp.compile_filter(builder)
    builder.inherit("proc")
    builder.host("open_procfs", slot="proc")
    if builder.request.detach:
        builder.inherit("start")
        builder.host("make_start_fifo", path=f"{builder.request.directory}/start", slot="start")
    if builder.request.bound and builder.request.init:
        builder.inherit("caller")
        builder.host("open_caller", slot="caller")
        builder.host("save_link", name="caller", text="caller")
    if builder.facts.notify_socket:
        builder.host("make_notify_socket", directory=f"{builder.request.directory}/notify")
    hooks.open_logs(builder)
    namespaces.open_joined(builder)
    cgroups.make_cgroup(builder)
    if builder.linux.get("intelRdt") is not None:
        from . import rdt

        rdt.make_group(builder)


def _names(builder: Builder) -> None:
    """Plan keys, names and sysctls, in the new namespaces."""
    if builder.facts.keyrings and not builder.request.no_new_keyring:
        if builder.process.get("selinuxLabel"):
            from .mounts import labels

            labels.for_keyring(builder)
        builder.init("join_keyring", name=f"_ses.{builder.request.container_id}")
    # An empty name is none, as in every peer.
    for key in ("hostname", "domainname"):
        if builder.data.get(key):
            builder.init(f"set_{key}", f"/{key}", name=builder.data[key])
    for key, value in (builder.linux.get("sysctl") or {}).items():
        builder.init(
            "write_proc",
            f"/linux/sysctl/{pointer_token(key)}",
            proc="proc",
            path="sys/" + sysctl.path(key),
            value=value,
        )


def _file_system(builder: Builder) -> None:
    """Plan the root file system and all that is made below it."""
    if builder.tree:
        from .mounts import tree

        tree.enter(builder)
    else:
        rootfs.enter_root(builder)
        rootfs.open_null(builder)
    mounts.add_mounts(builder)
    if builder.facts.notify_socket:
        _notify_mount(builder)
    devices.make_devices(builder)
    if builder.process.get("terminal"):
        rootfs.console_target(builder)
    rootfs.make_cwd(builder)
    if files.ANNOTATIONS & (builder.data.get("annotations") or {}).keys():
        files.put(builder)


def _change_root(builder: Builder) -> None:
    """Plan hooks, the change of root, the standard streams, and what turns read-only."""
    if any(hooks.hooks(builder, kind) for kind in ("prestart", "createRuntime", "createContainer")):
        # Hooks take their time, and may ask for the state.
        builder.init("sync")
        builder.host("record_state", status="creating")
        hooks.host_hooks(builder, "prestart", "creating")
        hooks.host_hooks(builder, "createRuntime", "creating")
    hooks.keep_logs(builder)
    hooks.init_hooks(builder, "createContainer", "creating", env=list(builder.facts.environ), cwd=builder.root_path)
    rootfs.change_root(builder)
    if builder.process.get("terminal"):
        _console(builder)
    else:
        uid = (builder.process.get("user") or {}).get("uid", 0)
        builder.init("fix_stdio", "/process/user/uid", root="root", uid=uid)
    mounts.finish_readonly(builder)
    rootfs.protect(builder)
    mounts.finish_propagation(builder)


def _program(builder: Builder) -> None:
    """Plan labels, credentials, directory, environment, the program."""
    if builder.process.get("apparmorProfile") or builder.process.get("selinuxLabel"):
        from .mounts import labels

        labels.for_program(builder)
    program.become(builder, program.environment_of(builder))


def _ready(builder: Builder) -> None:
    """Plan limits, `ready`, what the host does then, and the wait for `start`."""
    program.confine(builder, "creating")
    builder.init("ready", detach=1 if builder.request.detach else 0)
    program.limits(builder)
    cgroups.write_late(builder)
    if builder.linux.get("intelRdt") is not None:
        from . import rdt

        rdt.join(builder)
    if builder.request.pidfd_socket:
        builder.host("pass_pidfd", socket=builder.request.pidfd_socket)
    crun_annotations.pass_pidfd(builder)
    builder.host("record_state", status="created")
    if builder.request.pid_file:
        builder.host("write_pid_file", path=builder.request.pid_file)
    if builder.request.ahead:
        builder.init("receive_program", "/process/args", caller="caller")
    else:
        builder.init("wait_start", slot="start" if builder.request.detach else "sync")
    hooks.init_hooks(builder, "startContainer", "created", env=None, cwd=None)
    hooks.let_logs_go(builder)


def _notify_mount(builder: Builder) -> None:
    """Plan the mount of the socket that stands for the caller's NOTIFY_SOCKET, read-only in the container."""
    builder.init(
        "clone_tree", slot=builder.slot("mount"), path=f"{builder.request.directory}/notify", recursive=0, root=None
    )
    rootfs.target(builder, "", "/run/notify", OPEN_CREATE, like="mount")
    builder.init("set_mount_attr", slot="mount", set=c.MOUNT_ATTR_RDONLY)
    builder.init("attach", slot="mount", target="target")


def _console(builder: Builder) -> None:
    program.open_console(builder)
    builder.init("use_console", "/process/terminal", slave="slave", target="console")
    builder.init("close", "/process/terminal", slot="console")


def _finish(builder: Builder) -> None:
    """Plan the program, and the hooks that follow it in `start` and in `delete`.

    Without ``process`` there is no program, which only `start` may be told (runtime-spec runtime.md, Start).
    """
    if builder.process:
        if builder.request.init:
            builder.init(
                "fork_program",
                sync=None if builder.request.detach else "sync",
                caller="caller" if builder.request.bound else None,
                terminal=int(bool(builder.process.get("terminal"))),
                keeps=0,
            )
        builder.init("execute", "/process/args")
    hooks.host_hooks(builder, "poststart", "running")
    hooks.host_hooks(builder, "poststop", "stopped")


# The stretches in their order.  Behind each what it reads of the parts of a config that may differ between two
# containers of one template (plan.template): where none of them differs, its operations are taken over.
STRETCHES: tuple[tuple[Callable[[Builder], None], frozenset[str]], ...] = (
    (_prepare, frozenset(("resources", "mounts"))),
    (namespaces.enter, frozenset(("resources", "mounts", "annotations"))),
    (_names, frozenset()),
    (_file_system, frozenset(("mounts", "cwd", "annotations"))),
    (_change_root, frozenset(("mounts", "cwd", "annotations"))),
    (_program, frozenset(("args", "env", "cwd"))),
    (_ready, frozenset(("resources", "annotations", "rlimits"))),
    # Hooks are told the annotations.
    (_finish, frozenset(("annotations",))),
)
