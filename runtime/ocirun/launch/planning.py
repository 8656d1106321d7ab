"""From a config and this host to a plan: the facts, the cgroup driver, the request, the builder."""

from __future__ import annotations

import os

from ..config import load
from ..errors import UsageError
from ..host import facts as host
from ..plan.build import build
from ..plan.builder import Facts, Request, join

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..cgroup.driver import Driver
    from ..config.load import Config
    from ..host.cgroups import Layout
    from ..plan.ops import Plan
    from .options import CreateOptions


def plan(
    config: Config, container_id: str, root: str, options: CreateOptions, *, stay: bool, for_show: bool = False
) -> tuple[Plan, Driver]:
    """The plan that makes a container of a config on this host, and its cgroup driver; changes nothing.

    Raises ConfigError, UnsupportedError, HostError.
    """
    data: Any = config.data
    layout = host.cgroup_layout()
    cgroup = choose(config, container_id, options, layout)
    wanted = request(config, container_id, root, options, stay=stay)
    made = build(data, create_facts(config, options, layout, for_show=for_show), wanted, cgroup)
    add_warnings(made, config)
    return made, cgroup


def explain(bundle: str, container_id: str, root: str, options: CreateOptions, *, config: Config | None = None) -> Plan:
    """The plan alone; reads config.json, unless it is given, and facts; changes nothing."""
    if config is None:
        config = load.load(os.path.abspath(bundle or "."))
    made, _ = plan(config, container_id, root, options, stay=options.foreground, for_show=True)
    return made


def choose(config: Config, container_id: str, options: CreateOptions, layout: Layout) -> Driver:
    """The cgroup driver for a container, by its config, the options and the hierarchies of the host."""
    from ..cgroup import driver

    manager = None
    if options.cgroup_manager == "systemd" or (options.systemd_cgroup and not options.cgroup_manager):
        from ..cgroup import systemd

        manager = systemd.find(user=not host.privileged())
    return driver.choose(
        layout,
        cgroups_path=(config.data.get("linux") or {}).get("cgroupsPath") or "",
        container_id=container_id,
        manager=manager,
        annotations=config.data.get("annotations") or {},
        disabled=options.cgroup_manager == "disabled",
        rootless=is_rootless(options),
    )


def is_rootless(options: CreateOptions) -> bool:
    """Cgroups are made only where we happen to be allowed to."""
    return options.rootless == "true" or (options.rootless == "auto" and not host.privileged())


def request(config: Config, container_id: str, root: str, options: CreateOptions, *, stay: bool) -> Request:
    """What the builder must know of the caller's wishes."""
    return Request(
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


def add_warnings(made: Plan, config: Config) -> None:
    """Put the config's warnings first; what the plan says again of the same place is left out."""
    told = {problem.pointer for problem in config.warnings}
    made.warnings[:] = [*config.warnings, *(one for one in made.warnings if one.pointer not in told)]


def create_facts(config: Config, options: CreateOptions, layout: Layout, *, for_show: bool = False) -> Facts:
    """The facts that `create` needs of this host and this process."""
    data: Any = config.data
    known = facts(layout, data, preserve_fds=options.preserve_fds, for_show=for_show, activation=options.activation)
    if options.activation:
        known.notify_socket = os.environ.get("NOTIFY_SOCKET", "")
    return known


def absolute(path: str) -> str:
    """`path` from the root; "" stays."""
    return os.path.abspath(path) if path else ""


def facts(
    layout: object, data: dict[str, Any], *, preserve_fds: int, for_show: bool = False, activation: bool = True
) -> Facts:
    """What the plan of a config must know; what few configs need is asked for those alone.

    for_show     without the environment
    activation   with the sockets that were passed to this process (sd_listen_fds(3))
    """
    process, linux = data.get("process") or {}, data.get("linux") or {}
    apparmor, selinux = "", False
    if process.get("apparmorProfile") or process.get("selinuxLabel") or linux.get("mountLabel"):
        from ..host import security

        apparmor, selinux = security.apparmor_file(), security.selinux()
    mount = ""
    if linux.get("intelRdt") is not None:
        from ..host import resctrl

        mount = resctrl.mount_point()
    permitted, bounding = host.own_capabilities()
    listen = _listen_fds() if activation else 0
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
        keyrings=host.has_keyrings(),
        hard_limits=host.hard_limits() if process.get("rlimits") else {},
        seccomp_flags=host.seccomp_flags() if linux.get("seccomp") else 0,
        apparmor=apparmor,
        selinux=selinux,
        resctrl=mount,
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


def check_terminal(config: Config, options: CreateOptions, *, stay: bool) -> None:
    """A terminal needs somebody at its other end.  Raises UsageError."""
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
