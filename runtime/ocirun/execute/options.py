"""What `create`, `run` and `exec` may be told besides the config."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Protocol

    from ..plan.ops import Plan
    from ..state.record import Progress
    from .seccomp.learned import Learned
    from .spawn import Helper

    Debug = Callable[[str, Mapping[str, object]], None]

    class Witness(Protocol):
        """Who is told of the end of a plan's course, good or bad: the helper, if there was one, how far the host's side
        came, the container's id.
        """

        def end(self, plan: Plan, helper: Helper | None, own: Progress, container_id: str, /) -> None:
            """Take note."""


#: Who makes the cgroup; "" is cgroupfs.
MANAGERS = ("", "cgroupfs", "systemd", "disabled")


#: What becomes of refused calls in a learning run; "" for another run.
LEARN = ("", "allow", "refuse")


class CreateOptions:
    """What `create` and `run` may be told besides the config.

    bundle           directory with config.json; "" is the working directory
    config           path of another file in place of the bundle's config.json; "" for that one
    console_socket   path of a socket that receives the terminal's master
    pidfd_socket     path of a socket that receives a pidfd of init
    pid_file         where the pid of init is written
    no_pivot         move the root instead of pivot_root
    no_new_keyring   keep the caller's session keyring
    preserve_fds     how many descriptors from 3 up the program keeps
    systemd_cgroup   use systemd's cgroup driver
    rootless         "true", "false" or "auto"
    foreground       the caller stays and is the terminal's other end
    cgroup_manager   "cgroupfs", "systemd" or "disabled"; "" is cgroupfs
    warn             called with one line for what does not stop the container
    debug            called for each operation of the plan, before the first: one line, and its parts by name
    trace            path of a file for the time of each operation; "" for none
    witnesses        are told of the end of the plan's course, with the time of each operation
    stdio            descriptors for the program's standard input, output and error; -1: the caller's own
    activation       LISTEN_FDS and NOTIFY_SOCKET of the environment are meant for the container
    init             the program is the child of an init of ours and not the first process itself; None: where that
                     can be
    bound            with an init: everything in the container ends when the calling process does
    ahead            the container is made, and waits for what it is to run: see `ocirun.Pool`
    learn            "allow" or "refuse": calls that the seccomp filter refuses are listed, and let through, or
                     answered as the filter says; only for a program that is waited for. "" for no list
    learned          called with the list, a `Learned`, when the program of a `run` in the foreground has ended
    sessions         with cgroup v2 its first process gets a group below the container's, so that programs that are run
                     in it can have groups beside that with counters of their own: see `Container.run`. None: by
                     `Container.create` alone
    """

    __slots__ = (
        "activation",
        "ahead",
        "bound",
        "bundle",
        "cgroup_manager",
        "config",
        "console_socket",
        "debug",
        "foreground",
        "init",
        "learn",
        "learned",
        "no_new_keyring",
        "no_pivot",
        "pid_file",
        "pidfd_socket",
        "preserve_fds",
        "rootless",
        "sessions",
        "stdio",
        "systemd_cgroup",
        "trace",
        "warn",
        "witnesses",
    )

    def __init__(
        self,
        *,
        bundle: str = "",
        config: str = "",
        console_socket: str = "",
        pidfd_socket: str = "",
        pid_file: str = "",
        no_pivot: bool = False,
        no_new_keyring: bool = False,
        preserve_fds: int = 0,
        systemd_cgroup: bool = False,
        rootless: str = "auto",
        foreground: bool = False,
        cgroup_manager: str = "",
        warn: Callable[[str], None] | None = None,
        debug: Debug | None = None,
        stdio: tuple[int, int, int] = (-1, -1, -1),
        trace: str = "",
        activation: bool = True,
        init: bool | None = False,
        bound: bool = False,
        ahead: bool = False,
        learn: str = "",
        learned: Callable[[Learned], None] | None = None,
        witnesses: Sequence[Witness] = (),
        sessions: bool | None = None,
    ) -> None:
        self.activation = activation
        self.sessions = sessions
        self.ahead = ahead
        self.learn = learn
        self.learned = learned
        self.init = init
        self.bound = bound
        self.bundle = bundle
        self.config = config
        self.console_socket = console_socket
        self.pidfd_socket = pidfd_socket
        self.pid_file = pid_file
        self.no_pivot = no_pivot
        self.no_new_keyring = no_new_keyring
        self.preserve_fds = preserve_fds
        self.systemd_cgroup = systemd_cgroup
        self.rootless = rootless
        self.foreground = foreground
        self.cgroup_manager = cgroup_manager
        self.warn = warn or _silent
        self.debug = debug
        self.stdio = stdio
        self.trace = trace
        self.witnesses = witnesses

    def replace(self, **changes: Any) -> CreateOptions:
        """Return a copy with other values for some of the names above."""
        copy = CreateOptions()
        for name in self.__slots__:
            setattr(copy, name, changes[name] if name in changes else getattr(self, name))
        return copy


class ExecOptions:
    """What `exec` may be told besides the process.

    console_socket, pidfd_socket, pid_file, preserve_fds   as in CreateOptions
    detach          return as soon as the program runs
    foreground      this process is the caller's own: forward its signals and its terminal, and wait
    ignore_paused   join a frozen container, and wait there until it is resumed
    cgroup          ``[CONTROLLER,...:]PATH`` of groups below the container's
    trace           path of a file for the time of each operation; "" for none
    source          where the process description comes from, for messages
    warn            called with one line for what does not stop the process
    debug           as in CreateOptions
    stdio           as in CreateOptions
    own_group       the process gets a group of its own below the container's, wherever that can be: it counts, limits
                    and ends what it has started
    resources       ``linux.resources`` of that group
    keeper          where it has no such group, its parent is a small process of ours, by which that is found
    """

    __slots__ = (
        "cgroup",
        "console_socket",
        "debug",
        "detach",
        "foreground",
        "ignore_paused",
        "keeper",
        "own_group",
        "pid_file",
        "pidfd_socket",
        "preserve_fds",
        "resources",
        "source",
        "stdio",
        "trace",
        "warn",
    )

    def __init__(
        self,
        *,
        console_socket: str = "",
        pidfd_socket: str = "",
        pid_file: str = "",
        preserve_fds: int = 0,
        detach: bool = False,
        foreground: bool = False,
        ignore_paused: bool = False,
        cgroup: list[str] | None = None,
        source: str = "",
        trace: str = "",
        warn: Callable[[str], None] | None = None,
        debug: Debug | None = None,
        stdio: tuple[int, int, int] = (-1, -1, -1),
        own_group: bool = False,
        resources: dict[str, Any] | None = None,
        keeper: bool = False,
    ) -> None:
        self.keeper = keeper
        self.own_group = own_group
        self.resources = resources or {}
        self.console_socket = console_socket
        self.pidfd_socket = pidfd_socket
        self.pid_file = pid_file
        self.preserve_fds = preserve_fds
        self.detach = detach
        self.foreground = foreground
        self.ignore_paused = ignore_paused
        self.cgroup = cgroup or []
        self.source = source
        self.stdio = stdio
        self.trace = trace
        self.warn = warn or _silent
        self.debug = debug


def _silent(text: str) -> None:
    """Drop a warning, as the caller takes none."""
