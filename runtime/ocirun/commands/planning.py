"""From a config and this host to a plan: the facts, the cgroup driver, the request, the builder."""

from __future__ import annotations

import os
from errno import EINVAL, ENOENT, ENOTDIR

from .._base import parameters, rights
from ..config import load
from ..errors import HostError, UnsupportedError, UsageError, option
from ..execute.options import LEARN, MANAGERS
from ..host import facts as host
from ..plan.build import build, without_init
from ..plan.builder import Facts, Request, join

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..cgroup.driver import Driver
    from ..cgroup.systemd.unit import Manager
    from ..config.load import Config
    from ..execute.options import CreateOptions
    from ..host.cgroups import Layout
    from ..host.facts_file import FactsFile
    from ..plan.difference import Difference
    from ..plan.ops import Plan


def plan(
    config: Config,
    container_id: str,
    root: str,
    options: CreateOptions,
    *,
    keeps_session: bool,
    for_show: bool = False,
    where: Any = host,
) -> tuple[Plan, Driver]:
    """Return the plan that makes a container of a config on a host, and its cgroup driver; changes nothing.

    where   answers what is asked about the host: the module `host.facts` for this one, a `FactsFile` for another
    Raises ConfigError, UnsupportedError, HostError.
    """
    data: Any = config.data
    layout = where.cgroup_layout()
    cgroup = choose_driver(config, container_id, options, layout, where)
    wanted = request(config, container_id, root, options, keeps_session=keeps_session)
    made = build(data, create_facts(config, options, layout, for_show=for_show, where=where), wanted, cgroup)
    add_warnings(made, config)
    return made, cgroup


def explain(
    bundle: str,
    container_id: str,
    root: str,
    options: CreateOptions,
    *,
    config: Config | None = None,
    where: FactsFile | None = None,
) -> Plan:
    """Return the plan alone; reads config.json, unless it is given, and facts; changes nothing.

    where   another host than this one
    """
    if config is None:
        config = read_config(bundle, options)
    if where is not None:
        options = options.replace(activation=False)
    made, _ = plan(
        config, container_id, root, options, keeps_session=options.foreground, for_show=True, where=where or host
    )
    return made


def compare(
    bundle: str,
    other: str,
    container_id: str,
    root: str,
    options: CreateOptions,
    *,
    where: FactsFile | None = None,
) -> Difference:
    """Return what the plan of another config does differently.

    other   directory of another bundle, or another config for this one
    """
    from ..plan import difference

    configs = (read_config(bundle, options), _other_config(bundle, other, options))
    old, new = (
        difference.without_bundle(
            explain("", container_id, root, options, config=config, where=where), bundle=config.bundle
        )
        for config in configs
    )
    return difference.Difference(old, new, _later(*(config.data for config in configs)))


def _other_config(bundle: str, other: str, options: CreateOptions) -> Config:
    try:
        return read_config(other, options.replace(config=""))
    except HostError as error:
        if error.errno != ENOTDIR:
            raise
    return read_config(bundle, options.replace(config=other))


def _later(old: Any, new: Any) -> list[str]:
    """Return the pointers of what differs and is no part of a plan."""
    stop = [(data.get("hooks") or {}).get("poststop") or [] for data in (old, new)]
    notes = [data.get("annotations") or {} for data in (old, new)]
    pairs = (("/hooks/poststop", stop), ("/annotations", notes))
    return [pointer for pointer, (before, after) in pairs if before != after]


def read_config(bundle: str, options: CreateOptions) -> Config:
    """Return the config that the options name, checked.  Raises HostError, ConfigError.

    bundle   directory of the bundle, "" for the current one: relative paths in the config start there, whatever
             file it is in
    """
    return load.load(os.path.abspath(bundle or "."), config_name=absolute(options.config) or "config.json")


def choose_driver(
    config: Config, container_id: str, options: CreateOptions, layout: Layout, where: Any = host
) -> Driver:
    """Return the cgroup driver for a container, by its config, the options and the hierarchies of the host."""
    from ..cgroup import choose

    parameters.one_of("cgroup_manager", options.cgroup_manager, MANAGERS)
    manager = None
    if options.cgroup_manager == "systemd" or (options.systemd_cgroup and not options.cgroup_manager):
        manager = _manager(where)
    return choose.new_driver(
        layout,
        cgroups_path=(config.data.get("linux") or {}).get("cgroupsPath") or "",
        container_id=container_id,
        manager=manager,
        annotations=config.data.get("annotations") or {},
        disabled=options.cgroup_manager == "disabled",
        rootless=rights.is_rootless(options.rootless, where.privileged),
    )


def _manager(where: Any) -> Manager:
    from ..cgroup.drivers import systemd
    from ..cgroup.systemd.unit import POINTER, Manager

    user = not where.privileged()
    if where is host:
        return systemd.find_manager(user=user)
    found = where.systemd(user=user)
    if found is None:
        raise UnsupportedError("systemd does not run on that host, so it cannot make the cgroup", pointer=POINTER)
    return Manager(user=user, version=found[0], control_group=found[1])


def request(config: Config, container_id: str, root: str, options: CreateOptions, *, keeps_session: bool) -> Request:
    """Return what the builder must know of the caller's wishes.  Raises UnsupportedError for an init that cannot be."""
    reason = "" if options.init is False else without_init(config.data)
    if reason and options.init:
        raise UnsupportedError(reason, pointer="/linux/namespaces", remedy="do without an init")
    parameters.one_of("learn", options.learn, LEARN)
    if options.learn and not keeps_session:
        raise UsageError(
            "learn: somebody must be there for what the program asks; a container that waits for `start` has nobody",
            remedy="use `run` in the foreground",
        )
    return Request(
        container_id=container_id,
        bundle=config.bundle,
        config=config.path,
        directory=join(root, container_id),
        detach=not keeps_session,
        console_socket=absolute(options.console_socket),
        pidfd_socket=absolute(options.pidfd_socket),
        pid_file=absolute(options.pid_file),
        keep_fds=options.preserve_fds,
        no_pivot=options.no_pivot,
        no_new_keyring=options.no_new_keyring,
        init=options.init is not False and not reason,
        bound=options.bound and not reason,
        ahead=options.ahead,
        sessions=bool(options.sessions),
        learn=options.learn,
    )


def add_warnings(made: Plan, config: Config) -> None:
    """Put the config's warnings first; what the plan says again of the same place is left out."""
    told = {problem.pointer for problem in config.warnings}
    made.warnings[:] = [*config.warnings, *(one for one in made.warnings if one.pointer not in told)]


def create_facts(
    config: Config, options: CreateOptions, layout: Layout, *, for_show: bool = False, where: Any = host
) -> Facts:
    """Return the facts that `create` needs of the host and this process."""
    data: Any = config.data
    known = facts(
        layout,
        data,
        preserve_fds=options.preserve_fds,
        for_show=for_show,
        activation=options.activation,
        learn=bool(options.learn),
        where=where,
    )
    if known.privileged and where is host:
        known.root_closed = _is_root_closed(config)
    if where is host:
        known.links = links(config.data, config.bundle)
    if options.activation:
        known.notify_socket = os.environ.get("NOTIFY_SOCKET", "")
    return known


def links(data: Mapping[str, Any], bundle: str) -> dict[str, str]:
    """Return the text of each symbolic link that is to be copied, by its path.  Raises HostError."""
    found = {}
    for mount in data.get("mounts") or ():
        source = mount.get("source")
        if not source or not any("copy-symlink" in option for option in mount.get("options") or ()):
            continue
        path = join(bundle, source)
        # One that is no link is bound.  One that is missing fails when it is.
        text = link(path)
        if text is not None:
            found[path] = text
    return found


def link(path: str) -> str | None:
    """Return the text of a symbolic link; None for what is none, or not there.  Raises HostError."""
    try:
        return os.readlink(path)
    except OSError as error:
        if error.errno not in (EINVAL, ENOENT, ENOTDIR):
            raise HostError.from_os(f"read the link {path}", error, call="readlink") from None
        return None


def _is_root_closed(config: Config) -> bool:
    """Return whether the root of the container's user namespace, if it has one,
    may not search all directories above its root.
    """
    data: Any = config.data
    linux = data.get("linux") or {}
    if not any(entry["type"] == "user" for entry in linux.get("namespaces") or ()):
        return False
    ids = [_host_id(linux.get(key) or ()) for key in ("uidMappings", "gidMappings")]
    return not host.may_search(join(config.bundle, (data.get("root") or {}).get("path", "")), *ids)


def _host_id(maps: Any) -> int:
    """Return what id 0 of a user namespace is outside, -1 where the maps do not say: of a namespace that is joined."""
    return next((one["hostID"] for one in maps if one["containerID"] == 0), -1)


def absolute(path: str) -> str:
    """Return `path` from the root; "" stays."""
    return os.path.abspath(path) if path else ""


def facts(
    layout: object,
    data: dict[str, Any],
    *,
    preserve_fds: int,
    for_show: bool = False,
    activation: bool = True,
    learn: bool = False,
    where: Any = host,
) -> Facts:
    """Return what the plan of a config must know; what few configs need is asked for those alone.

    for_show     without the environment
    activation   with the sockets that were passed to this process (sd_listen_fds(3))
    learn        for a learning run
    where        as in `plan`
    """
    process, linux = data.get("process") or {}, data.get("linux") or {}
    kinds = {entry["type"]: entry.get("path") for entry in linux.get("namespaces") or ()}
    labels = process.get("apparmorProfile") or process.get("selinuxLabel") or linux.get("mountLabel")
    permitted, bounding = where.own_capabilities()
    listen = _listen_fds() if activation else 0
    privileged = where.privileged()
    caller = None if privileged else where.caller()
    return Facts(
        privileged=privileged,
        caller=caller,
        setgroups=caller is None or (caller.setgroups and bool(permitted >> host.CAP_SETGID & 1)),
        capabilities=permitted & bounding,
        last_cap=where.last_capability(),
        layout=layout,
        inherited=_inherited(listen + preserve_fds) if listen + preserve_fds else (),
        listen_fds=listen,
        environ=() if for_show else where.environment(),
        keyrings=where.has_keyrings(),
        hard_limits=where.hard_limits() if process.get("rlimits") else {},
        seccomp_flags=where.seccomp_flags() if linux.get("seccomp") or learn else 0,
        apparmor=where.apparmor_file() if labels else "",
        selinux=where.selinux() if labels else False,
        tree_namespace=privileged and not kinds.get("mount", "none") and "user" not in kinds and where.tree_namespace(),
        resctrl=where.resctrl_mount() if linux.get("intelRdt") is not None else "",
    )


def _listen_fds() -> int:
    """Return the number of sockets passed by socket activation,
    if they are meant for this process (sd_listen_fds(3)).
    """
    text, pid = os.environ.get("LISTEN_FDS", ""), os.environ.get("LISTEN_PID", "")
    if not (text.isascii() and text.isdigit() and len(text) < 5) or pid != str(os.getpid()):
        return 0
    return int(text)


def _inherited(count: int) -> tuple[int, ...]:
    from .._native import lib

    return tuple(fd for fd in range(3, 3 + count) if lib.ocirun_inherited(fd))


def check_terminal(
    process: Mapping[str, object] | None,
    console_socket: str,
    *,
    here: bool,
    without: str = "set process.terminal to false",
    to_use: str = "set process.terminal to true and detach",
) -> None:
    """Check that a terminal has somebody at its other end.  Raises UsageError.

    process   an object like ``process`` of config.json
    here      this process stays, and is at the other end itself
    without   what to do for no terminal, as a part of the remedy
    to_use    what to do for the socket to be used, likewise
    """
    terminal = bool((process or {}).get("terminal"))
    if terminal and not here and not console_socket:
        raise UsageError(
            "cannot allocate tty if ocirun will detach without setting console socket",
            pointer="/process/terminal",
            remedy=f"give {option('console-socket')}, or {without}",
        )
    if console_socket and (not terminal or here):
        raise UsageError(
            "cannot use console socket if ocirun will not detach or allocate tty",
            pointer="/process/terminal",
            remedy=f"leave out {option('console-socket')}, or {to_use}",
        )
