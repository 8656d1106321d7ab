"""The workbench of the plan builder: the list so far, the slots, the questions about the config."""

from __future__ import annotations

from .._base.rights import is_confined
from ..errors import ConfigError, Problem
from . import constants as c
from .ops import FIXED_SLOTS, HOST, INIT, Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..cgroup.driver import Driver
    from ..cgroup.settings.translation import Setting


class Facts:
    """What the plan must know of the host and of the caller; plain values, so that a test can make any host.

    privileged     the caller has CAP_SYS_ADMIN in the initial user namespace
    caller         a host.users.Caller, if it is not privileged
    setgroups      setgroups(2) is allowed: for `create` in the caller's user namespace, for `exec` in the container's
    capabilities   mask of the capabilities that the caller may give away
    last_cap       highest capability number of the kernel
    layout         the cgroup hierarchies, a host.cgroups.Layout
    inherited      descriptors from 3 up that came to this process through execve
    listen_fds     number of descriptors passed by socket activation
    environ        the caller's environment as ``KEY=value``, for hooks without one
    notify_socket  NOTIFY_SOCKET of the caller, or ""
    keyrings       the kernel has keyrings
    apparmor       file below /proc/PID for the AppArmor profile of the program, "" where AppArmor is off
    selinux        SELinux is on
    resctrl        where resctrl is mounted, or ""
    root_closed    the root of the container's new user namespace may not search all directories above its root file
                   system, which the caller may
    hard_limits    the caller's hard resource limits by number; the container starts with them
    seccomp_flags  mask of the flags of seccomp(2) that the kernel knows
    tree_namespace the kernel makes a mount namespace of one tree alone (OPEN_TREE_NAMESPACE); False where no plan asks
    links          symbolic links of the host among the sources of mounts with copy-symlink: path -> text
    """

    __slots__ = (
        "apparmor",
        "caller",
        "capabilities",
        "environ",
        "hard_limits",
        "inherited",
        "keyrings",
        "last_cap",
        "layout",
        "links",
        "listen_fds",
        "notify_socket",
        "privileged",
        "resctrl",
        "root_closed",
        "seccomp_flags",
        "selinux",
        "setgroups",
        "tree_namespace",
    )

    def __init__(
        self,
        *,
        privileged: bool = True,
        capabilities: int = (1 << 41) - 1,
        last_cap: int = 40,
        layout: Any = None,
        inherited: tuple[int, ...] = (),
        listen_fds: int = 0,
        environ: tuple[str, ...] = (),
        notify_socket: str = "",
        keyrings: bool = True,
        hard_limits: dict[int, int] | None = None,
        caller: Any = None,
        setgroups: bool = True,
        seccomp_flags: int = 0x3F,
        apparmor: str = "attr/apparmor/exec",
        selinux: bool = True,
        resctrl: str = "/sys/fs/resctrl",
        root_closed: bool = False,
        tree_namespace: bool = False,
        links: dict[str, str] | None = None,
    ) -> None:
        self.privileged = privileged
        self.capabilities = capabilities
        self.last_cap = last_cap
        self.layout = layout
        self.inherited = inherited
        self.listen_fds = listen_fds
        self.environ = environ
        self.notify_socket = notify_socket
        self.keyrings = keyrings
        self.hard_limits = {} if hard_limits is None else hard_limits
        self.caller = caller
        self.setgroups = setgroups
        self.seccomp_flags = seccomp_flags
        self.apparmor = apparmor
        self.selinux = selinux
        self.resctrl = resctrl
        self.root_closed = root_closed
        self.tree_namespace = tree_namespace
        self.links = {} if links is None else links


class Request:
    """What the caller of `create` asks for besides the config.

    container_id, bundle, directory   the id, the absolute bundle path, the container's state directory
    config         path of the config, for messages
    detach         the runtime leaves after `create`; else it stays and starts the program itself
    terminal_here  a foreground terminal: the runtime keeps the console itself
    keep_fds       number of descriptors from 3 up that --preserve-fds passes on
    init           the program is the child of an init of ours
    bound          that init ends everything when the process of the runtime ends
    ahead          what the container is to run comes when it is made
    learn          of a learning run: what becomes of calls that the seccomp filter refuses, "allow" or "refuse"
    sessions       the first process is in a group of its own below the container's, where another process could not
                   have one beside it otherwise (cgroup v2)
    """

    __slots__ = (
        "ahead",
        "bound",
        "bundle",
        "config",
        "console_socket",
        "container_id",
        "detach",
        "directory",
        "init",
        "keep_fds",
        "learn",
        "no_new_keyring",
        "no_pivot",
        "pid_file",
        "pidfd_socket",
        "sessions",
    )

    def __init__(
        self,
        *,
        container_id: str,
        bundle: str,
        directory: str,
        config: str = "",
        detach: bool = True,
        console_socket: str = "",
        pidfd_socket: str = "",
        pid_file: str = "",
        keep_fds: int = 0,
        no_pivot: bool = False,
        no_new_keyring: bool = False,
        init: bool = False,
        bound: bool = False,
        ahead: bool = False,
        learn: str = "",
        sessions: bool = False,
    ) -> None:
        self.ahead = ahead
        self.sessions = sessions
        self.learn = learn
        self.init = init
        self.bound = bound
        self.container_id = container_id
        self.bundle = bundle
        self.config = config or join(bundle, "config.json")
        self.directory = directory
        self.detach = detach
        self.console_socket = console_socket
        self.pidfd_socket = pidfd_socket
        self.pid_file = pid_file
        self.keep_fds = keep_fds
        self.no_pivot = no_pivot
        self.no_new_keyring = no_new_keyring


class Builder:
    """Collects operations; one method for each question that several parts ask.

    data      the config, checked
    cgroup    the chosen cgroup driver, not yet used for anything but its paths
    kept      destination -> slot of the mount there, for what is covered in it later
    groups    setgroups(2) is allowed where the program will run
    running   the container runs already, and the helper is in its mount namespace
    tree      the mount namespace begins with the root file system alone
    no_tree   why it does not, where the kernel could
    copied    slots with the source of a bind mount, which was copied while the helper could see the host's mounts
    """

    def __init__(self, data: dict[str, Any], facts: Facts, request: Request, cgroup: Driver) -> None:
        self.data = data
        self.facts = facts
        self.request = request
        self.cgroup = cgroup
        self.ops: list[Op] = []
        self.slots = list(FIXED_SLOTS)
        self.inherited = len(self.slots)
        # The slots asked for, in order, each with whether it is inherited.
        self.asked: list[tuple[str, bool]] = []
        self.warnings: list[Problem] = []
        self.settings: list[Setting] = []
        self.late_settings: list[Setting] = []
        self.late_readonly: list[tuple[str, str]] = []
        self.late_propagation: list[tuple[str, str, list[tuple[int, bool]]]] = []
        self.kept: dict[str, str] = {}
        self.id_maps = ("", "")
        self.running = False
        self.copied: set[str] = set()
        self.tree = False
        self.no_tree = ""
        self.groups = facts.setgroups
        self.process: dict[str, Any] = data.get("process") or {}
        self.linux: dict[str, Any] = data.get("linux") or {}
        root = (data.get("root") or {}).get("path", "")
        self.rootfs: str = root if root.startswith("/") else join(request.bundle, root)
        self.new: dict[str, str] = {}
        self.joined: dict[str, tuple[str, str]] = {}
        for index, entry in enumerate(self.linux.get("namespaces") or ()):
            pointer = f"/linux/namespaces/{index}"
            if entry.get("path"):
                self.joined[entry["type"]] = (entry["path"], pointer)
            else:
                self.new[entry["type"]] = pointer

    @property
    def own_mounts(self) -> bool:
        """The container has a mount namespace that is not ours."""
        return "mount" in self.new or "mount" in self.joined

    @property
    def user_namespace(self) -> bool:
        """The container's user namespace is not ours: no unmapped files."""
        return "user" in self.new or "user" in self.joined

    @property
    def enters_root(self) -> bool:
        """The helper goes to the root file system while it is the host's root still, and finds it there later."""
        return self.facts.root_closed and self.user_namespace and "mount" in self.new

    @property
    def root_path(self) -> str:
        """The root file system, as the helper finds it before the change of root."""
        return "." if self.enters_root else self.rootfs

    @property
    def confined(self) -> bool:
        """See `rights.is_confined`."""
        return is_confined(user_namespace=self.user_namespace, privileged=self.facts.privileged)

    def destination(self, mount: dict[str, Any]) -> str:
        """Return where a mount goes, below the root."""
        return below(self.rootfs, mount["destination"])

    def host(self, name: str, pointer: str = "", /, *, why: str = "", **args: Any) -> None:
        """Append an operation of the runtime."""
        self.ops.append(Op(name, HOST, pointer, args, why=why))

    def init(self, name: str, pointer: str = "", /, *, why: str = "", **args: Any) -> None:
        """Append an operation of the helper."""
        self.ops.append(Op(name, INIT, pointer, args, why=why))

    def again(self, name: str, pointer: str, args: dict[str, Any]) -> None:
        """Append an operation of the helper whose arguments are those of others: `encode` knows them by identity."""
        self.ops.append(Op(name, INIT, pointer, args))

    def reserve(self) -> None:
        """Take the id, and say in the record what will be made before any of it is there."""
        self.host("reserve_state", directory=self.request.directory)
        self.host("save_file", name="config.json", content="config", replace=0)
        self.host("save_link", name="spare", text="spare")
        self.host("save_file", name="state.json", content="state", replace=1)

    def inherit(self, name: str) -> str:
        """Reserve a slot that the host fills before `spawn`."""
        self.asked.append((name, True))
        self.slots.append(name)
        self.inherited = len(self.slots)
        return name

    def slot(self, name: str) -> str:
        """Return a slot of the helper's own; made at first use, so ask only after all inherited ones."""
        self.asked.append((name, False))
        if name not in self.slots:
            self.slots.append(name)
        return name

    def error(self, pointer: str, message: str, *, expected: str = "", found: str = "") -> ConfigError:
        """Return a ConfigError of one problem, to be raised."""
        problem = Problem(pointer, message, expected=expected, found=found)
        return ConfigError([problem], path=self.request.config)


def below(rootfs: str, destination: str) -> str:
    """Return where a mount goes, below the root.

    Engines of the first years gave the path on the host: what begins with that of the root loses this part.
    """
    path = clean(destination)
    if rootfs != "/" and (path + "/").startswith(rootfs + "/"):
        return path[len(rootfs) :] or "/"
    return path


def join(base: str, path: str) -> str:
    """Return `path` below `base`, cleaned of ``.``, ``..`` and double slashes as text; no file is looked at."""
    if path.startswith("/"):
        return clean(path)
    return clean(f"{base}/{path}")


def clean(path: str) -> str:
    """Return an absolute path without ``.``, ``..``, empty components and a trailing slash, as text."""
    if path[:1] == "/" and path[-1] != "/" and "//" not in path and "/." not in path:
        return path  # as nearly all are
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if parts:
                parts.pop()
        elif part and part != ".":
            parts.append(part)
    return "/" + "/".join(parts)


PROPAGATION = {
    "private": c.MS_PRIVATE,
    "rprivate": c.MS_PRIVATE | c.MS_REC,
    "slave": c.MS_SLAVE,
    "rslave": c.MS_SLAVE | c.MS_REC,
    "shared": c.MS_SHARED,
    "rshared": c.MS_SHARED | c.MS_REC,
    "unbindable": c.MS_UNBINDABLE,
    "runbindable": c.MS_UNBINDABLE | c.MS_REC,
}
