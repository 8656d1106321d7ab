"""Build the plan of a container: one function for each stretch of the life cycle, in order."""

from __future__ import annotations

from .._base import jsonio
from .._base.jsonio import pointer_token
from ..config import sysctl
from . import cgroups, hooks, namespaces
from . import constants as c
from .builder import Builder
from .mounts import devices, mounts, rootfs
from .ops import OPEN_CREATE, Op, Plan
from .process import program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..cgroup.driver import Driver
    from .builder import Facts, Request


def build(data: dict[str, Any], facts: Facts, request: Request, cgroup: Driver) -> Plan:
    """The plan for a checked config on a host.

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


def finished(b: Builder) -> Plan:
    """What the builder has collected, as a plan.

    Raises ConfigError where it would change a namespace that is not the container's own.
    """
    _hold_to_own_namespaces(b)
    return Plan(b.ops, b.slots, b.inherited, _kept_descriptors(b), b.warnings)


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
    """The type of the namespace that an operation changes, "" for none."""
    if op.name == "write_proc":
        return sysctl.namespace(op.args["path"].removeprefix("sys/")) or "host"
    return _CHANGES.get(op.name, "")


def _hold_to_own_namespaces(b: Builder) -> None:
    """Whatever the rules let through, no operation changes a namespace of the host.

    One that is made is the container's own. Of one that is joined, only the runtime that opens it can tell.
    """
    joined: dict[str, str] = {}
    for op in b.ops:
        kind = changed_namespace(op)
        if not kind or kind in b.new:
            continue
        if kind not in b.joined:
            raise b.error(op.pointer, f"needs a {kind} namespace: without one the host would be changed")
        joined.setdefault(kind, op.pointer or b.joined[kind][1])
    for place, op in enumerate(b.ops):
        if op.name == "open_namespace" and op.args["type"] in joined:
            args = {**op.args, "not_own_for": joined[op.args["type"]]}
            b.ops[place] = Op(op.name, op.actor, op.pointer, args, why=op.why)


def need_process(b: Builder) -> None:
    """Raise ConfigError where there is nothing to run."""
    if not b.process:
        raise b.error("/process", "is missing: there is nothing to run", expected="an object")


def _kept_descriptors(b: Builder) -> list[int]:
    """Descriptors from 3 that go to the program: socket activation's, then --preserve-fds.

    Only those that came through execve: a hole in the range must not be filled with one of our own.
    """
    last = 2 + b.facts.listen_fds + b.request.keep_fds
    return [fd for fd in b.facts.inherited if 3 <= fd <= last]


def without_init(data: Any) -> str:
    """Return why the program of a config cannot have an init of ours, "" if it can."""
    linux, process = data.get("linux") or {}, data.get("process") or {}
    if not any(entry.get("type") == "pid" and not entry.get("path") for entry in linux.get("namespaces") or ()):
        return "an init needs a pid namespace of the container's own: its end is what ends all processes there"
    if linux.get("seccomp"):
        from .process import seccomp

        if seccomp.NOTIFY in jsonio.dumps(linux["seccomp"]):
            return f"a filter with {seccomp.NOTIFY} would hold for init too, whose calls nobody answers"
    scheduler = process.get("scheduler") or {}
    if scheduler.get("policy") == "SCHED_DEADLINE" or "SCHED_FLAG_RESET_ON_FORK" in (scheduler.get("flags") or ()):
        return "the program is a child of init, and would not have this scheduling policy"
    return ""


def _prepare(b: Builder) -> None:
    """What the host does before there is a process."""
    b.reserve()
    if b.linux.get("seccomp"):
        from .process import seccomp

        seccomp.compile_filter(b)
    b.inherit("proc")
    b.host("open_procfs", slot="proc")
    if b.request.detach:
        b.inherit("start")
        b.host("make_start_fifo", path=f"{b.request.directory}/start", slot="start")
    if b.request.bound and b.request.init:
        b.inherit("caller")
        b.host("open_caller", slot="caller")
        b.host("save_link", name="caller", text="caller")
    if b.facts.notify_socket:
        b.host("make_notify_socket", directory=f"{b.request.directory}/notify")
    namespaces.open_joined(b)
    cgroups.make_cgroup(b)
    if b.linux.get("intelRdt") is not None:
        from . import rdt

        rdt.make(b)


def _names(b: Builder) -> None:
    """In the new namespaces: keys, names, sysctls."""
    if b.facts.keyrings and not b.request.no_new_keyring:
        if b.process.get("selinuxLabel"):
            from .mounts import labels

            labels.for_keyring(b)
        b.init("join_keyring", name=f"_ses.{b.request.container_id}")
    # An empty name is none, as in every peer.
    for key in ("hostname", "domainname"):
        if b.data.get(key):
            b.init(f"set_{key}", f"/{key}", name=b.data[key])
    for key, value in (b.linux.get("sysctl") or {}).items():
        b.init(
            "write_proc",
            f"/linux/sysctl/{pointer_token(key)}",
            proc="proc",
            path="sys/" + sysctl.path(key),
            value=value,
        )


def _file_system(b: Builder) -> None:
    """The root file system and all that is made below it."""
    rootfs.enter_root(b)
    rootfs.open_null(b)
    mounts.add_mounts(b)
    if b.facts.notify_socket:
        _notify_mount(b)
    devices.make_devices(b)
    if b.process.get("terminal"):
        rootfs.console_target(b)
    rootfs.make_cwd(b)


def _change_root(b: Builder) -> None:
    """Hooks, the change of root, the standard streams, and what turns read-only."""
    if any(hooks.hooks(b, kind) for kind in ("prestart", "createRuntime", "createContainer")):
        # Hooks take their time, and may ask for the state.
        b.init("sync")
        b.host("record_state", status="creating")
        hooks.host_hooks(b, "prestart", "creating")
        hooks.host_hooks(b, "createRuntime", "creating")
    hooks.init_hooks(b, "createContainer", "creating", env=list(b.facts.environ), cwd=b.root_path)
    rootfs.change_root(b)
    if b.process.get("terminal"):
        _console(b)
    else:
        uid = (b.process.get("user") or {}).get("uid", 0)
        b.init("fix_stdio", "/process/user/uid", root="root", uid=uid)
    mounts.finish_readonly(b)
    rootfs.protect(b)
    mounts.finish_propagation(b)


def _program(b: Builder) -> None:
    """Labels, credentials, directory, environment, the program."""
    if b.process.get("apparmorProfile") or b.process.get("selinuxLabel"):
        from .mounts import labels

        labels.for_program(b)
    program.become(b, program.environment_of(b))


def _ready(b: Builder) -> None:
    """Limits, `ready`, what the host does then, and the wait for `start`."""
    program.confine(b, "creating")
    b.init("ready", detach=1 if b.request.detach else 0)
    program.limits(b)
    cgroups.write_late(b)
    if b.linux.get("intelRdt") is not None:
        from . import rdt

        rdt.join(b)
    if b.request.pidfd_socket:
        b.host("pass_pidfd", socket=b.request.pidfd_socket)
    b.host("record_state", status="created")
    if b.request.pid_file:
        b.host("write_pid_file", path=b.request.pid_file)
    if b.request.ahead:
        b.init("receive_program", "/process/args", caller="caller")
    else:
        b.init("wait_start", slot="start" if b.request.detach else "sync")
    hooks.init_hooks(b, "startContainer", "created", env=None, cwd=None)


def _notify_mount(b: Builder) -> None:
    """The directory with the socket that stands for the caller's NOTIFY_SOCKET, read-only in the container."""
    b.init("clone_tree", slot=b.slot("mount"), path=f"{b.request.directory}/notify", recursive=0, root=None)
    rootfs.target(b, "", "/run/notify", OPEN_CREATE, like="mount")
    b.init("set_mount_attr", slot="mount", set=c.MOUNT_ATTR_RDONLY)
    b.init("attach", slot="mount", target="target")


def _console(b: Builder) -> None:
    size = b.process.get("consoleSize") or {}
    words = (size.get("height", 0) & 0xFFFF) << 16 | (size.get("width", 0) & 0xFFFF)
    uid = (b.process.get("user") or {}).get("uid", 0)
    pointer = "/process/terminal"
    b.init("open_console", pointer, root="root", master=b.slot("master"), slave=b.slot("slave"), size=words, uid=uid)
    b.init("send_fd", pointer, slot="master")
    b.host("pass_console", pointer, socket=b.request.console_socket)
    b.init("use_console", pointer, slave="slave", target="console")
    b.init("close", pointer, slot="console")


def _finish(b: Builder) -> None:
    """The program, and the hooks that follow it in `start` and in `delete`.

    Without ``process`` there is no program, which only `start` may be told (runtime-spec runtime.md, Start).
    """
    if b.process:
        if b.request.init:
            b.init(
                "fork_program",
                sync=None if b.request.detach else "sync",
                caller="caller" if b.request.bound else None,
                terminal=int(bool(b.process.get("terminal"))),
            )
        b.init("execute", "/process/args")
    hooks.host_hooks(b, "poststart", "running")
    hooks.host_hooks(b, "poststop", "stopped")


# The stretches in their order.  Behind each what it reads of the parts of a config that may differ between two
# containers of one template (plan.template): where none of them differs, its operations are taken over.
STRETCHES: tuple[tuple[Callable[[Builder], None], frozenset[str]], ...] = (
    (_prepare, frozenset(("resources", "mounts"))),
    (namespaces.enter, frozenset(("resources", "mounts"))),
    (_names, frozenset()),
    (_file_system, frozenset(("mounts", "cwd"))),
    (_change_root, frozenset(("mounts", "cwd"))),
    (_program, frozenset(("args", "env", "cwd"))),
    (_ready, frozenset(("resources",))),
    (_finish, frozenset()),
)
