"""The plan of one more process in a running container.

The runtime opens everything it needs of the host first: a pidfd of init, the
files of the cgroup.  The helper joins by the pidfd (setns(2) with several
flags, Linux 5.8), so nothing of the container's own /proc is looked at, then
forks the process that will be seen inside.  When that one becomes visible it
holds no descriptor of the host but its own plan and the sync socket.
"""

from __future__ import annotations

from .._base.jsonio import pointer_token
from . import cgroups
from . import constants as c
from .build import need_process
from .builder import Builder
from .crun_annotations import keeps_groups
from .ops import Plan
from .process import program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..cgroup.driver import Driver
    from .builder import Facts, Request


def build_exec(
    data: dict[str, Any],
    facts: Facts,
    request: Request,
    cgroup: Driver,
    *,
    pid: int,
    foreign: frozenset[str] | None,
    own_umask: int | None,
    status: str,
    cgroup_files: list[tuple[str, str]],
    start_in: str = "",
    join_why: str = "",
    attach: str | None = None,
    own: Driver | None = None,
    resources: dict[str, Any] | None = None,
    keeper: bool = False,
) -> Plan:
    """Return the plan for a process in a container.

    data           the container's config, with ``process`` replaced by the process to run
    pid            of the container's init
    foreign        types of the namespaces of init that are not the runtime's; None if unknown: those of the config
    own_umask      umask of the container's config, for a process without one, or None
    status         of the container
    cgroup_files   (group name, path below the container's group) for each group to join
    start_in       path of the cgroup in which the helper is started (cgroup v2), "" for none
    join_why       why these cgroups, where they are not the container's own
    attach         the group below that of the container's unit into which systemd moves the helper; None for none
    own            the groups below the container's that are made for it, None for none
    resources      ``linux.resources`` of these
    keeper         its parent is a small process of ours, which all that it starts has for an ancestor
    Raises ConfigError and UnsupportedError; touches nothing.
    """
    b = Builder(data, facts, request, cgroup)
    need_process(b)
    last = 2 + facts.listen_fds + request.keep_fds
    keep = [fd for fd in facts.inherited if 3 <= fd <= last]
    if b.linux.get("seccomp"):
        from .process import seccomp

        seccomp.compile_filter(b)
    b.inherit("init")
    b.host("open_init", pid=pid, slot="init")
    if b.process.get("apparmorProfile") or b.process.get("selinuxLabel"):
        b.inherit("proc")
        b.host("open_procfs", slot="proc")
    if own is not None:
        cgroups.make_below(b, own, resources or {})
    for name, below in cgroup_files:
        slot = b.inherit(f"cgroup_{name}")
        b.host("open_cgroup", "/linux/cgroupsPath", why=join_why, controller=name, path=below, slot=slot)
    if start_in:
        b.host("start_in_cgroup", "/linux/cgroupsPath", why=join_why, path=start_in)
    b.host("spawn", flags=0, slots=list(b.slots[: b.inherited]))
    _join(b, foreign, cgroup_files, attach)
    _prepare(b, own_umask, status)
    if own is not None:
        cgroups.write_late(b, own)
    b.init("wait_start", slot="sync")
    if keeper:
        why = "without a cgroup of its own, what the program has started is known by its ancestor"
        b.init("fork_program", why=why, sync="sync", caller=None, terminal=0, keeps=1)
    b.init("execute", "/process/args")
    return Plan(b.ops, b.slots, b.inherited, keep, b.warnings)


def _join(
    builder: Builder, foreign: frozenset[str] | None, cgroup_files: list[tuple[str, str]], attach: str | None
) -> None:
    builder.init("guard")
    affinity = builder.process.get("execCPUAffinity") or {}
    if affinity.get("initial"):
        builder.init("set_affinity", "/process/execCPUAffinity/initial", mask=_mask(affinity["initial"], "initial"))
    if attach is not None and builder.cgroup.unit is not None:
        why = "only systemd may move a process out of a user's session"
        if not builder.cgroup.unit.user:
            why = "systemd counts processes in a hierarchy of its own"
        builder.init("sync")
        builder.host("attach_unit", "/linux/cgroupsPath", why=why, unit=builder.cgroup.unit.name, below=attach)
    for name, _ in cgroup_files:
        builder.init("join_cgroup", "/linux/cgroupsPath", slot=f"cgroup_{name}")
    others, user = namespaces(builder, foreign)
    join_namespaces(builder, others, user)
    if not builder.own_mounts:
        builder.init("open_root", "/root/path", slot=builder.slot("root"), path=builder.rootfs)
        builder.init("change_root", "/root/path", root="root")
    become_root(builder, user)
    if "proc" in builder.slots:
        from .mounts import labels

        labels.for_program(builder)
        if _own_keyring(builder):
            labels.for_keyring(builder)
        builder.init("close", slot="proc")
    builder.init("fork_init", why="a pid namespace holds for children only", flags=0)
    builder.init("new_session")
    if _own_keyring(builder):
        builder.init("join_keyring", name=f"_ses.{builder.request.container_id}")


def namespaces(builder: Builder, foreign: frozenset[str] | None) -> tuple[int, str]:
    """Return the CLONE_NEW* flags of the namespaces of init to be joined but the user namespace, and where that is in
    the config, "" for none.

    foreign   as of `build_exec`
    """
    kinds = {**builder.new, **{kind: pointer for kind, (_, pointer) in builder.joined.items()}}
    wanted = frozenset(kinds) if foreign is None else foreign
    others = 0
    for kind in wanted:
        if kind != "user":
            others |= c.NAMESPACE_FLAGS[kind]
    # One that init has made for itself is not the container's.
    return others, kinds.get("user", "") if "user" in wanted else ""


def join_namespaces(builder: Builder, others: int, user: str) -> None:
    """Join namespaces of init, as `namespaces` has found them."""
    if others and builder.facts.privileged:
        # With the host's rights over all of them, before the user namespace takes these away.
        builder.init("join_namespace", "/linux/namespaces", slot="init", flag=others, keep=1)
    if user:
        flag = c.CLONE_NEWUSER if builder.facts.privileged else others | c.CLONE_NEWUSER
        builder.init("join_namespace", user, slot="init", flag=flag, keep=1)
    elif others and not builder.facts.privileged:
        builder.init("join_namespace", "/linux/namespaces", slot="init", flag=others, keep=1)
    builder.init("close", slot="init")


def become_root(builder: Builder, user: str) -> None:
    """Become root of the container's user namespace, which `user` is the pointer of, if there is one."""
    if user:
        builder.init("become_root", user, drop_groups=1 if builder.groups and not keeps_groups(builder) else 0)


def _own_keyring(builder: Builder) -> bool:
    return builder.facts.keyrings and not builder.request.no_new_keyring


def _mask(text: str, key: str) -> list[int]:
    """Return a list of processors as the bytes of a cpu_set_t."""
    from .process.scheduling import bit_set, cpu_list

    return bit_set(cpu_list(text, pointer=f"/process/execCPUAffinity/{pointer_token(key)}"))


def _prepare(builder: Builder, own_umask: int | None, status: str) -> None:
    uid = (builder.process.get("user") or {}).get("uid", 0)
    builder.init("open_root", "/root/path", slot=builder.slot("root"), path="/")
    if builder.process.get("terminal"):
        program.open_console(builder)
        builder.init("use_console", "/process/terminal", slave="slave", target=None)
    else:
        builder.init("fix_stdio", "/process/user/uid", root="root", uid=uid)
    builder.init("close", slot="root")
    if (builder.process.get("user") or {}).get("umask") is None and own_umask is not None:
        builder.process = {**builder.process, "user": {**(builder.process.get("user") or {}), "umask": own_umask}}
    affinity = builder.process.get("execCPUAffinity") or {}
    # Without `final` the kernel says what becomes of `initial` in the container's cgroup (config.md).
    program.become(builder, program.environment_of(builder), reset_affinity=not affinity.get("initial"))
    if affinity.get("final"):
        builder.init("set_affinity", "/process/execCPUAffinity/final", mask=_mask(affinity["final"], "final"))
    program.confine(builder, status)
    builder.init("ready", detach=0)
    program.limits(builder)
    if builder.linux.get("intelRdt") is not None:
        from . import rdt

        rdt.join(builder)
    if builder.request.pidfd_socket:
        builder.host("pass_pidfd", socket=builder.request.pidfd_socket)
    if builder.request.pid_file:
        builder.host("write_pid_file", path=builder.request.pid_file)
