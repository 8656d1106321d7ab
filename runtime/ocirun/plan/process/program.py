"""The process: from the container's root to execve."""

from __future__ import annotations

from struct import Struct

from .. import crun_annotations
from ..ops import CALLERS_UMASK, INIT, Op
from . import identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..builder import Builder

# What execvp(3) and the shells use when PATH is not set.
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_SYS_ADMIN = 1 << 21

# struct sched_attr, its first 48 bytes (SCHED_ATTR_SIZE_VER0, sched_setattr(2))
_SCHED_ATTR = Struct("<IIQiIQQQ")


class Environment:
    """The program's environment, and whether the helper must add HOME.

    env           of ``process``
    listen_fds    number of descriptors that socket activation has passed
    tells_ready   the container has a NOTIFY_SOCKET of its own
    """

    __slots__ = ("entries", "needs_home")

    def __init__(self, env: list[str] | None, *, listen_fds: int = 0, tells_ready: bool = False) -> None:
        entries, self.needs_home = identity.environment(env)
        entries = identity.with_listen_fds(entries, listen_fds)
        if tells_ready:
            entries = [e for e in entries if not e.startswith("NOTIFY_SOCKET=")]
            entries.append("NOTIFY_SOCKET=/run/notify/notify.sock")
        self.entries = entries

    def search_path(self) -> str:
        """Return where a program without a slash is looked for."""
        for entry in reversed(self.entries):
            if entry.startswith("PATH="):
                return entry[5:]
        return DEFAULT_PATH


def environment_of(builder: Builder) -> Environment:
    """Return that of the config's process."""
    return Environment(
        builder.process.get("env"), listen_fds=builder.facts.listen_fds, tells_ready=bool(builder.facts.notify_socket)
    )


def find_program(args: list[str], environment: Environment) -> Op:
    """Return the operation that looks for the program, and makes ready what execve(2) takes."""
    values = {"args": args, "env": environment.entries, "search": environment.search_path()}
    return Op("find_program", INIT, "/process/args", values)


def become(builder: Builder, environment: Environment, *, reset_affinity: bool = True) -> None:
    """Plan everything between the change of root and `confine`; order matters (see the design page)."""
    process = builder.process
    user = process.get("user") or {}
    uid, gid = identity.user_ids(user)
    builder.init("set_umask", "/process/user/umask", umask=_umask(builder))
    if process.get("noNewPrivileges"):
        builder.init("no_new_privs", "/process/noNewPrivileges")
    if reset_affinity:
        builder.init("reset_affinity")
    _scheduling(builder)
    masks = _capabilities(builder)
    builder.init("drop_bounding", "/process/capabilities/bounding", keep=masks.bounding, last=builder.facts.last_cap)
    cwd = process.get("cwd", "/")
    builder.init("change_dir", "/process/cwd", path=cwd, tolerate=1)
    gids = identity.additional_gids(user)
    if crun_annotations.keeps_groups(builder):
        crun_annotations.keep_groups(builder)
    elif not builder.groups:
        from .. import rootless

        rootless.check_groups(builder)
    else:
        builder.init("set_groups", "/process/user/additionalGids", gids=list(gids))
    builder.init("set_ids", "/process/user/uid", uid=uid, gid=gid)
    loader, why = _loader(builder)
    builder.init(
        "set_capabilities",
        "/process/capabilities",
        why=why,
        effective=masks.effective | loader,
        permitted=masks.permitted | loader,
        inheritable=masks.inheritable,
        ambient=masks.ambient,
    )
    builder.init("change_dir", "/process/cwd", path=cwd, tolerate=0)
    if not process:
        return
    if environment.needs_home or builder.request.ahead:
        builder.init("find_home", "/process/env", uid=uid)
    if not builder.request.ahead:
        builder.ops.append(find_program(list(process["args"]), environment))


def open_console(builder: Builder) -> None:
    """Plan a terminal: opened in the container's root, its master passed on; the slave is in a slot then."""
    size = builder.process.get("consoleSize") or {}
    builder.init(
        "open_console",
        "/process/terminal",
        root="root",
        master=builder.slot("master"),
        slave=builder.slot("slave"),
        size=(size.get("height", 0) & 0xFFFF) << 16 | (size.get("width", 0) & 0xFFFF),
        uid=(builder.process.get("user") or {}).get("uid", 0),
    )
    builder.init("send_fd", "/process/terminal", slot="master")
    builder.host("pass_console", "/process/terminal", socket=builder.request.console_socket)


def _loader(builder: Builder) -> tuple[int, str]:
    """Return what capabilities loading the seccomp filter takes, besides those of the program, and why."""
    wanted = builder.linux.get("seccomp") or builder.request.learn
    if not wanted or builder.process.get("noNewPrivileges"):
        return 0, ""
    return _SYS_ADMIN, "CAP_SYS_ADMIN loads the seccomp filter, and execve drops it"


def _umask(builder: Builder) -> int:
    umask = identity.umask(builder.process.get("user"))
    return CALLERS_UMASK if umask is None else umask


def _scheduling(builder: Builder) -> None:
    if not (
        builder.process.get("scheduler")
        or builder.process.get("ioPriority")
        or builder.linux.get("personality")
        or builder.linux.get("memoryPolicy")
    ):
        return
    from . import scheduling

    wanted = scheduling.scheduler(builder.process.get("scheduler"))
    if wanted is not None:
        size = _SCHED_ATTR.size
        builder.init(
            "set_scheduler",
            "/process/scheduler",
            attr=list(
                _SCHED_ATTR.pack(
                    size,
                    wanted.policy,
                    wanted.flags,
                    wanted.nice,
                    wanted.priority,
                    wanted.runtime,
                    wanted.deadline,
                    wanted.period,
                )
            ),
        )
    io = scheduling.io_priority(builder.process.get("ioPriority"))
    if io is not None:
        which, priority = io
        builder.init("set_io_priority", "/process/ioPriority", which=which, priority=priority)
    persona = scheduling.personality(builder.linux.get("personality"))
    if persona is not None:
        builder.init("set_personality", "/linux/personality", persona=persona)
    policy = scheduling.memory_policy(builder.linux.get("memoryPolicy"))
    if policy is not None:
        mode, nodes = policy
        builder.init("set_memory_policy", "/linux/memoryPolicy", mode=mode, nodes=scheduling.bit_set(nodes))


def _capabilities(builder: Builder) -> identity.CapabilityMasks:
    grantable = (1 << 64) - 1 if builder.user_namespace else builder.facts.capabilities
    masks = identity.capabilities(
        builder.process.get("capabilities"), last_cap=builder.facts.last_cap, grantable=grantable
    )
    builder.warnings += masks.warnings
    return masks


def confine(builder: Builder, status: str) -> None:
    """Plan the seccomp filter, and the limits that the process may set itself:
    last, so that they do not bind the set-up.

    status   of the container, for the listener of the filter
    """
    if builder.linux.get("seccomp") or builder.request.learn:
        from . import seccomp

        seccomp.add_filter(builder, status)
    for index, (resource, soft, hard) in enumerate(identity.rlimits(builder.process.get("rlimits"))):
        if hard <= builder.facts.hard_limits.get(resource, 0):
            pointer = f"/process/rlimits/{index}"
            builder.init("set_rlimit", pointer, resource=resource, soft=soft, hard=hard)


def limits(builder: Builder) -> None:
    """Plan what only the runtime may set, on the finished process."""
    for index, (resource, soft, hard) in enumerate(identity.rlimits(builder.process.get("rlimits"))):
        if hard > builder.facts.hard_limits.get(resource, 0):
            pointer = f"/process/rlimits/{index}"
            why = "only the runtime may raise a hard limit"
            builder.host("limit_process", pointer, why=why, resource=resource, soft=soft, hard=hard)
    score = identity.oom_score_adj(builder.process)
    if score is not None:
        builder.host("write_process", "/process/oomScoreAdj", file="oom_score_adj", value=str(score))
