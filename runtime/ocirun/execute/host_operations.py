"""The host operations of a plan that the interpreter does, one function each: those that decide, or talk to others.

The others are in csrc/host, and the plain case of some of these.  A function gets the session and the arguments of its
operation, and puts on the session's undo list what takes its effect back.
"""

from __future__ import annotations

import os

from .._native import lib
from ..cgroup.paths import UNIFIED
from ..errors import HostError, StateError
from ..plan.constants import NAMESPACE_FILES, NAMESPACE_FLAGS
from .block_sigint import BlockSigint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .context import Context

_NSFS_MAGIC = 0x6E736673
_NS_GET_NSTYPE = 0xB703  # ioctl_ns(2), Linux 4.11


def open_init(context: Context, pid: int, slot: str) -> None:
    """Open a pidfd of the container's init, known to be the one that the state tells of."""
    from ..state import record

    fd = record.open_init(context.record)
    if fd < 0:
        raise StateError("cannot exec in a stopped container", status=record.STOPPED)
    context.fds[slot] = fd


def make_notify_socket(context: Context, directory: str) -> None:
    """Make the socket to which the container says that it is ready."""
    from .streams import notify

    context.notify = notify.listen(context.directory)


def compile_seccomp(context: Context, filter: str, **rules: Any) -> None:
    """Compile the filter, or take it from the cache if it was made before."""
    from ..plan.process.seccomp import NOTIFY
    from .seccomp import filter_cache
    from .seccomp.program import Program

    asks_all = rules["default"][0] == NOTIFY  # a learning run without a profile
    program = Program(b"", []) if asks_all else filter_cache.compiled(context.directory, rules)
    if rules["unknown"] and program.unknown:
        from .seccomp import compiler

        raise compiler.unknown_error(program.unknown)
    context.made[filter] = program.code
    if rules["learn"]:
        from .seccomp.learning import Learning

        context.learning = Learning(program.code, rules, context.profile)
        context.made[filter] = context.learning.begin(context.side)
    context.unknown_calls = program.unknown
    context.give_plan()


def open_namespace(context: Context, path: str, type: str, slot: str, not_own_for: str) -> None:
    """Open a namespace file and make sure that it is one, of the right type, and not ours where that matters."""
    # O_PATH first: opening a FIFO or a device that stands there must not block or act.
    probe = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if lib.ocirun_fs_type(probe) != _NSFS_MAGIC:
            raise HostError(f"{path} is not a namespace", remedy="give a file such as /proc/PID/ns/net")
    finally:
        os.close(probe)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    context.fds[slot] = fd
    if lib.ocirun_fs_type(fd) != _NSFS_MAGIC:
        raise HostError(f"{path} is not a namespace")
    import fcntl

    found = fcntl.ioctl(fd, _NS_GET_NSTYPE)
    if found != NAMESPACE_FLAGS[type]:
        kinds = {flag: kind for kind, flag in NAMESPACE_FLAGS.items()}
        raise HostError(f"{path} is a {kinds.get(found, 'different')} namespace, not a {type} one")
    if not_own_for:
        own = os.stat(f"/proc/self/ns/{NAMESPACE_FILES[type]}")
        there = os.fstat(fd)
        if (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino):
            raise HostError(
                f"{not_own_for}: {path} is the host's own {type} namespace, in which nothing is to be changed",
                pointer=not_own_for,
            )


def make_cgroup(context: Context, controller: str, path: str) -> None:
    """Make all directories of the driver at once; the later ones find their work done."""
    if not context.cgroup_made:
        context.cgroup_made = True
        with BlockSigint():
            context.make_groups()


def start_unit(context: Context, unit: str, slice: str, instance: str, properties: list[Any]) -> None:
    """Start the unit with the helper in it; what is recorded before tells a later `delete` of it."""
    context.cgroup_made = True
    context.cgroup.check()
    context.record.cgroup = context.cgroup.record()
    context.record.save(context.directory)
    context.undo.append(context.remove_cgroup)
    context.cgroup.start(context.helper.pid, properties)


def set_unit(context: Context, unit: str, properties: list[Any]) -> None:
    """Set limits that come last."""
    context.cgroup.set(properties)


def attach_unit(context: Context, unit: str, below: str) -> None:
    """Attach another process of the container."""
    context.cgroup.attach(context.helper.pid, below)


def place_process(context: Context, path: str) -> None:
    """Put the helper into all hierarchies, by the runtime, or into the group `path` below the container's."""
    context.cgroup.place(context.helper.pid, _below(context, path) if path else "")


def make_subgroup(context: Context, path: str) -> None:
    """Make a group below the container's; it goes with that."""
    context.cgroup.make_below(_below(context, path))


def _below(context: Context, path: str) -> str:
    """Return where a group of v2 is below the container's."""
    return path.removeprefix(context.cgroup.path(UNIFIED)).strip("/")


def write_cgroup(context: Context, controller: str, path: str, file: str, value: str) -> None:
    """Write one limit."""
    context.driver_at(path).write(controller, file, value)


def make_rdt_group(context: Context, path: str, schemata: list[str], existing: int) -> None:
    """Make a resctrl group, or compare the one that is there."""
    from . import rdt

    with BlockSigint():
        rdt.make_group(context, path, schemata, existing=bool(existing))


def join_rdt_group(context: Context, path: str) -> None:
    """Make the finished process a task of a resctrl group."""
    from . import rdt

    rdt.join(path, context.helper.pid)


def enable_controllers(context: Context, path: str, controllers: list[str], others: list[str]) -> None:
    """Switch on controllers for the groups below one."""
    context.cgroup.enable(path, controllers, others)


def filter_devices(context: Context, path: str, rules: list[str], program: str) -> None:
    """Attach the program that decides on devices."""
    context.cgroup.filter_devices("\n".join(rules))


def give_cgroup(context: Context, path: str, uid: int, files: list[str]) -> None:
    """Give the cgroup to the container's user."""
    context.cgroup.give(uid, files, _below(context, path))


def start_in_cgroup(context: Context, path: str) -> None:
    """Open the directory for CLONE_INTO_CGROUP, kept until `spawn`."""
    context.side.native.start_in = context.cgroup.open_directory(_below(context, path))


def open_cgroup(context: Context, controller: str, path: str, slot: str) -> None:
    """Open the file by which the helper joins one hierarchy."""
    context.fds[slot] = context.cgroup.open_join(controller, context.below(controller))


def write_id_maps(
    context: Context, uid_map: str, gid_map: str, uid_program: str, gid_program: str, setgroups: str
) -> None:
    """Write uid_map and gid_map of the helper, through the host's procfs or by newuidmap and newgidmap."""
    from .ids import idmaps

    # Groups first: newuidmap takes the right to write them away from nobody, but the order is usual.
    idmaps.write(context.helper.pid, "gid_map", gid_map, gid_program, deny=setgroups == "deny")
    idmaps.write(context.helper.pid, "uid_map", uid_map, uid_program)


def make_nodes(execution: Context, nodes: list[list[Any]], context: str | None) -> None:
    """Make the devices of a container in a user namespace, handed to the helper with the answer."""
    from .ids import nodes as making

    execution.side.native.answer = making.make_nodes(execution.helper.pid, nodes, context)


def make_user_namespace(context: Context, uid_map: str, gid_map: str) -> None:
    """Make a user namespace that holds a mapping, kept until the next one is made."""
    from .ids import idmount

    old = context.fds.pop("mapping", -1)
    if old >= 0:
        os.close(old)
    context.fds["mapping"] = idmount.user_namespace(uid_map, gid_map)


def idmap_mount(context: Context, path: str, by: str, recursive: int) -> None:
    """Give the mount that was just opened for the helper, or that it has just shown, a mapping."""
    from .ids import idmount

    mount = context.side.native.answer if context.side.native.answer >= 0 else context.side.native.message
    idmount.map_mount(context, mount, path=path, by=by, recursive=bool(recursive))


def hide_host_mounts(context: Context, namespaces: int) -> None:
    """Hide the host's mounts, which after --no-pivot are under the root still."""
    from .mounts import hiding

    hiding.hide_host_mounts(context.helper, context.side.native.message, namespaces)


def move_device(context: Context, device: str, name: str) -> None:
    """Move a network device of the host into the container."""
    from .net import netdevices

    with BlockSigint():
        netdevices.move(context, device, name)


def pass_console(context: Context, socket: str) -> None:
    """Send the terminal's master to the caller's socket, or keep it here for a foreground run."""
    master = context.side.native.message
    context.side.native.message = -1
    if not socket:
        context.console = master
        return
    from .streams import sockets

    try:
        sockets.send_descriptor(socket, master, b"/dev/ptmx")
    finally:
        os.close(master)


def take_file(context: Context) -> None:
    """Take the copy of a file that the helper has shown."""
    context.taken, context.side.native.message = context.side.native.message, -1


def pass_pidfd(context: Context, socket: str) -> None:
    """Send a pidfd of the init process to the caller."""
    from .streams import sockets

    sockets.send_descriptor(socket, context.helper.pidfd, b"pidfd")


def pass_listener(context: Context, socket: str, metadata: str, status: str) -> None:
    """Send the listener of the seccomp filter to whoever answers its questions."""
    from .seccomp import listener

    listener.send(context, socket, metadata, status)


def restore_processes(context: Context, external: list[list[str]]) -> None:
    """Restore the processes of a checkpoint, by CRIU."""
    from .criu import restoration

    restoration.make_processes(context, external, pass_console)


def record_state(context: Context, status: str) -> None:
    """Record the state: from here on other commands know the init process."""
    context.save_process()


def write_pid_file(context: Context, path: str) -> None:
    """Write the pid file: digits and nothing else, complete from the first moment."""
    directory, name = os.path.split(path)
    fd = os.open(directory or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    # The directory may be everybody's, who must not be able to have made this name before.
    hidden = f".{name}.{os.urandom(8).hex()}"
    try:
        file = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=fd)
        try:
            os.fchmod(file, 0o644)
            os.write(file, str(context.helper.pid).encode())
        finally:
            os.close(file)
        try:
            with BlockSigint():
                os.rename(hidden, name, src_dir_fd=fd, dst_dir_fd=fd)
                context.undo.append(lambda: _unlink(path))
        except OSError:
            os.unlink(hidden, dir_fd=fd)
            raise
    finally:
        os.close(fd)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def run_operation(context: Context, name: str, args: dict[str, Any]) -> None:
    """Run one host operation by name."""
    FUNCTIONS[name](context, **args)


FUNCTIONS: dict[str, Callable[..., None]] = {
    function.__name__: function
    for function in (
        open_init,
        make_notify_socket,
        compile_seccomp,
        open_namespace,
        make_cgroup,
        start_unit,
        set_unit,
        attach_unit,
        place_process,
        make_subgroup,
        write_cgroup,
        open_cgroup,
        make_rdt_group,
        join_rdt_group,
        enable_controllers,
        filter_devices,
        give_cgroup,
        start_in_cgroup,
        write_id_maps,
        *(make_nodes, make_user_namespace, idmap_mount, hide_host_mounts, move_device),
        *(take_file, pass_console, pass_pidfd, pass_listener, restore_processes, record_state, write_pid_file),
    )
}
