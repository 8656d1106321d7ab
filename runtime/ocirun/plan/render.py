"""A plan for readers: text for people, plain values for programs, one phrase for an error."""

from __future__ import annotations

from .._base import jsonio
from . import constants as c
from . import sections
from .ops import (
    CALLERS_UMASK,
    HOST,
    LINK_OR_NOTHING,
    OPEN_CREATE,
    OPEN_DIRECTORY,
    OPEN_ITSELF,
    OPEN_LIKE_PROC,
    OPEN_NOFOLLOW,
    OPEN_NOT_PROC,
    OPEN_PLAIN,
)
from .process.identity import expand_clone_flags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from .ops import Op, Plan

_ATTRIBUTES = (
    (c.MOUNT_ATTR_RDONLY, "ro"),
    (c.MOUNT_ATTR_NOSUID, "nosuid"),
    (c.MOUNT_ATTR_NODEV, "nodev"),
    (c.MOUNT_ATTR_NOEXEC, "noexec"),
    (c.MOUNT_ATTR_NOATIME, "noatime"),
    (c.MOUNT_ATTR_STRICTATIME, "strictatime"),
    (c.MOUNT_ATTR_NODIRATIME, "nodiratime"),
    (c.MOUNT_ATTR_NOSYMFOLLOW, "nosymfollow"),
)
_PROPAGATION = (
    (c.MS_SHARED, "shared"),
    (c.MS_SLAVE, "slave"),
    (c.MS_PRIVATE, "private"),
    (c.MS_UNBINDABLE, "unbindable"),
)

_OPEN = (
    (OPEN_CREATE, "create"),
    (OPEN_PLAIN, "no-links"),
    (OPEN_DIRECTORY, "directory"),
    (OPEN_NOFOLLOW, "no-last-link"),
    (OPEN_NOT_PROC, "not-in-proc"),
    (OPEN_LIKE_PROC, "procfs-only"),
    (OPEN_ITSELF, "last-link-itself"),
)

# One phrase for each operation; the names in braces are its arguments.
_PHRASES = {
    "reserve_state": "make the state directory {directory}",
    "save_file": "write {name} in it",
    "save_link": "write {text} in it, as the text of a link",
    "look_at_cgroup": "look that the {controller} cgroup {path} is nobody's",
    "make_cgroup": "make the {controller} cgroup {path}",
    "enable_controllers": "switch controllers on for groups below {path}",
    "filter_devices": "allow and deny devices by an eBPF program on the cgroup {path}",
    "make_subgroup": "make the cgroup {path}",
    "give_cgroup": "give the cgroup {path} to uid {uid}",
    "start_in_cgroup": "have the helper start in the cgroup {path}",
    "write_cgroup": "write {value} to {file} of the {controller} cgroup",
    "make_rdt_group": "make the resctrl group {path}",
    "join_rdt_group": "put the process into the resctrl group {path}",
    "open_cgroup": "open the list of processes of the {controller} cgroup",
    "open_namespace": "open the {type} namespace {path}",
    "open_init": "open a pidfd of init, process {pid}",
    "open_caller": "open a pidfd of this process",
    "open_hook_log": "open {path}, to which the output of hooks goes too",
    "open_procfs": "open the host's procfs",
    "make_start_fifo": "make the fifo that `start` will write to",
    "make_notify_socket": "make the socket that stands for NOTIFY_SOCKET in {directory}",
    "start_unit": "have systemd start the unit {unit}",
    "set_unit": "set properties of the unit {unit}",
    "attach_unit": "have systemd move the process into the unit {unit}",
    "place_process": "move the process into every group",
    "spawn": "start the init helper",
    "write_id_maps": "write uid_map and gid_map",
    "write_time_offsets": "write the clock offsets",
    "open_source": "open the source {path} on the host",
    "make_nodes": "make the devices on the host, in a tmpfs that is mounted nowhere",
    "make_user_namespace": "make a user namespace that holds the mappings",
    "idmap_mount": "map the ids of the mount for {path} by the {by}",
    "keep_upper": "keep what the container writes, to be read at its end",
    "hide_host_mounts": "take the mounts of the host off",
    "move_device": "move the network device {device} into the container as {name}",
    "host_hook": "run {kind} hook #{index} {path}",
    "limit_process": "set {resource} to {soft} (hard {hard})",
    "write_process": "write {value} to /proc/PID/{file}",
    "pass_console": "hand the terminal over",
    "pass_pidfd": "send a pidfd of the init process to {socket}",
    "write_pid_file": "write the pid file {path}",
    "record_state": "record the state {status}",
    "guard": "die with the runtime, close inherited descriptors to others",
    "join_cgroup": "join the cgroup through {slot}",
    "join_namespace": "join the namespace {slot}",
    "unshare": "leave for new namespaces",
    "sync": "let the runtime act",
    "receive_fd": "receive a descriptor from the runtime",
    "send_fd": "send the {slot} to the runtime",
    "fork_init": "fork the process that becomes init",
    "become_root": "become root of the user namespace",
    "set_hostname": "set the host name {name}",
    "set_domainname": "set the domain name {name}",
    "new_session": "start a session",
    "join_keyring": "join the session keyring {name}",
    "propagate": "set the propagation of {path}",
    "privatize_parent": "make the mount that holds the root file system private",
    "open_root": "open the root file system {path}",
    "open_path": "open the mount point {path}",
    "clone_tree": "take a copy of the mount at {path}",
    "clone_mount": "take a copy of the mount in {source}",
    "set_mount_attr": "set mount attributes",
    "new_filesystem": "mount {type}",
    "put_file": "put the file {path}",
    "put_directory": "make the directory {path} where there is none",
    "put_link": "put the link {path} to {text}",
    "set_time": "give the directory {path} back its time",
    "get_file": "take a copy of the file {path}",
    "take_file": "take the copy",
    "prepare_upper": "make the directories for what is written, with the attributes of the root",
    "add_layer": "put a read-only layer below those of the overlay",
    "new_overlay": "mount overlay: what is written goes to {upper}, {lower} stays as it is",
    "mount_classic": "mount {type} with mount(2)",
    "reconfigure": "remount with new options",
    "attach": "attach the mount",
    "close": "close {slot}",
    "make_node": "make the device {path}",
    "make_link": "link {path} to {text}",
    "copy_up": "copy the covered directory into the tmpfs",
    "write_proc": "write {value} to /proc/{path}",
    "copy_root": "make a mount namespace that begins with the {source} alone",
    "enter_tree": "go into the mount namespace that begins with the {source} alone",
    "pivot": "change the root",
    "move_root": "move the root file system to /",
    "hide_mount": "take off what is mounted at {path}",
    "unmount": "take off the mount there",
    "change_root": "change the root with chroot",
    "log_hooks": "have the output of hooks written to these files too",
    "run_hook": "run the hook {path}",
    "open_console": "open the terminal /dev/pts/ptmx",
    "use_console": "make the terminal standard input and output",
    "fix_stdio": "give standard input and output to the user",
    "set_umask": "set the umask",
    "no_new_privs": "give up new privileges",
    "set_scheduler": "set the scheduler",
    "set_io_priority": "set the I/O priority",
    "set_personality": "set the personality",
    "set_affinity": "choose processors",
    "reset_affinity": "allow all processors",
    "set_rlimit": "set {resource} to {soft} (hard {hard})",
    "drop_bounding": "drop capabilities from the bounding set",
    "set_groups": "set supplementary groups",
    "set_ids": "become uid {uid} gid {gid}",
    "set_capabilities": "set capabilities",
    "change_dir": "chdir to cwd {path}",
    "find_home": "look up HOME in /etc/passwd",
    "find_program": "look up the program",
    "ready": "report that the container is created",
    "wait_start": "wait for start",
    "receive_program": "wait for a program with its arguments, environment and streams",
    "fork_program": "stay as init, and fork the process that becomes the program",
    "execute": "execute the program",
    "loopback_up": "bring up the loopback device",
    "mask": "mask {path}",
    "set_memory_policy": "set the memory policy",
    "set_label": "write {value} to /proc/{path}",
    "set_file_label": "give the mount the label {label}",
    "make_readonly": "make {path} read-only",
    "compile_seccomp": "compile the seccomp {filter}",
    "load_seccomp": "load the seccomp {filter} and send its listener to the runtime",
    "hold_seccomp": "keep the seccomp {filter}: hooks from here on and the program begin with it",
    "restore_processes": "have CRIU make the processes",
    "pass_listener": "send the seccomp listener to {socket}",
}

# What is for no field of a config, see `files_plan.build_get_tree`.
_OF_FILES = {"open_path": "open the directory {path}", "copy_up": "copy what is in the directory"}


def phrase(op: Op) -> str:
    """Return what an operation does, in a few words, without a final stop."""
    if op.name == "open_path" and op.pointer == "/process/cwd":
        return f"open the working directory {op.args['path']}"
    if not op.pointer and op.name in _OF_FILES:
        return _OF_FILES[op.name].format_map(_Args(op.args))
    return _PHRASES[op.name].format_map(_Args(op.args))


def shown(op: Op) -> list[str]:
    """Return the texts among the arguments that the phrase of an operation shows."""
    words = _PHRASES[op.name]
    return [value for name, value in op.args.items() if isinstance(value, str) and "{" + name + "}" in words]


# Arguments that are in the phrase, or for reports only.
_FOR_OTHERS = ("slots", "places", "within")


class _Args(dict):  # type: ignore[type-arg]
    def __getitem__(self, key: str) -> object:
        value: object = super().__getitem__(key)
        if key == "path" and "within" in self:
            return f"{super().__getitem__('within')}{value}"
        if key == "resource":
            return next((name for name, number in c.RLIMITS.items() if number == value), value)
        if key in ("soft", "hard") and value == 2**64 - 1:
            return "unlimited"
        return value

    def __missing__(self, key: str) -> str:
        return "?"


def flag_words(value: int) -> str:
    """Mount attributes as option words."""
    words = [word for bit, word in _ATTRIBUTES if value & bit == bit]
    return ",".join(words)


def propagation_words(value: int) -> str:
    """Return propagation flags of mount(2) as the words of the spec."""
    recursive = "r" if value & c.MS_REC else ""
    return next((recursive + word for bit, word in _PROPAGATION if value & bit), "")


def details(op: Op) -> str:
    """Return the arguments that the phrase does not show, ``name=value`` each."""
    if op.name == "compile_seccomp":
        from .process import seccomp

        return seccomp.summary(op.args)
    shown = _PHRASES[op.name]
    parts = []
    for name, value in op.args.items():
        if "{" + name + "}" in shown or value is None or value in ("", [], ()) or name in _FOR_OTHERS:
            continue
        text = argument(op, name, value)
        if text:
            parts.append(f"{name}={text}")
    return " ".join(parts)


_NAMESPACES = ("spawn", "unshare", "join_namespace", "hide_host_mounts")


def argument(op: Op, name: str, value: Any) -> str:
    """Return the value of an argument of an operation in words, "" for one that is not to be shown."""
    return _value(op.name, name, value)


def _value(op: str, name: str, value: Any) -> str:
    if op in _NAMESPACES and name in ("flags", "flag", "namespaces"):
        return ",".join(expand_clone_flags(value)) or "none"
    if op in ("load_seccomp", "hold_seccomp") and name == "flags":
        from .process import seccomp

        return seccomp.flag_words(value)
    if op == "propagate" and name == "flags":
        return propagation_words(value)
    if op == "set_mount_attr" and name in ("set", "clear", "locked"):
        return flag_words(value)
    if op == "set_mount_attr" and name == "propagation":
        return propagation_words(value)
    if name == "attributes":
        return flag_words(value)
    if op in ("drop_bounding", "set_capabilities") and name != "last":
        return capability_words(value)
    if op == "open_path" and name == "flags":
        return ",".join(word for bit, word in _OPEN if value & bit)
    if name == "options":
        return ",".join(key if item is None else f"{key}={item}" for key, item in value)
    if name == "time":
        return f"{value}ns"
    if name in ("mode", "umask"):
        return "the caller's" if value == CALLERS_UMASK else f"{value & 0o7777:04o}"
    if name in ("uid_map", "gid_map", "offsets"):
        return "; ".join(str(value).splitlines())
    if name == "env":
        return f"{len(value)} variables"
    if name == "replace" and value == LINK_OR_NOTHING:
        return "nothing"
    if name in ("recursive", "tolerate", "replace", "detach", "keep", "nofollow") and not value:
        return ""
    if name in ("state_head", "state_tail", "attr", "mask", "nodes"):
        return ""
    if name == "existing":
        return "must be there" if value else ""
    if isinstance(value, (list, tuple)):
        return jsonio.dumps(value)
    return str(value)


def capability_words(mask: int) -> str:
    """Return a capability set as names without CAP_, ``all`` and ``none`` for the extremes."""
    names = [name for name, number in c.CAPABILITIES.items() if mask >> number & 1]
    if not names:
        return "none"
    if len(names) == len(c.CAPABILITIES):
        return "all"
    return ",".join(name.removeprefix("CAP_").lower() for name in names)


def plan_text(plan: Plan) -> str:
    """Return the plan as a numbered list: number, actor, what, details, and where in config.json it comes from."""
    return "".join(lines(plan))


def lines(plan: Plan, columns: int = 0) -> Iterator[str]:
    """Yield `text` line by line: a plan may have a million operations.

    columns   of the terminal, for which longer lines are broken; 0 for none
    """
    width = max((len(op.pointer) for op in plan.ops), default=0)
    width = min(width, 34)
    yield fitted(f"{'op':>4}  {'by':4}  {'from config.json':{width}}  what\n", width + 14, columns)
    section = ""
    for index, op in enumerate(plan.ops):
        if begun := sections.begins(op, section):
            section = begun
            yield f"{section}\n"
        extra = details(op)
        body = phrase(op) + (f"  [{extra}]" if extra else "")
        actor = "host" if op.actor == HOST else "init"
        yield fitted(f"{index:4}  {actor}  {op.pointer or '-':{width}}  {body}\n", width + 14, columns)
        if op.why:
            yield fitted(f"{'':{width + 14}}because {op.why}\n", width + 14, columns)
    for problem in plan.warnings:
        yield fitted(f"warning: {problem.line()}\n", 9, columns)


def short(plan: Plan, columns: int = 0) -> Iterator[str]:
    """Yield a few lines for each section of the plan: what it does, and the numbers of its operations.

    columns   as for `lines`
    """
    for section, first, end in sections.split(plan):
        told = "; ".join(sections.summary(plan.ops[first:end], phrase))
        yield fitted(f"{section:<10}  {f'{first}-{end - 1}':>9}  {told}\n", 23, columns)
    for problem in plan.warnings:
        yield fitted(f"warning: {problem.line()}\n", 9, columns)


# Columns behind the margin, at the least.
_ROOM = 20


def fitted(line: str, margin: int, columns: int) -> str:
    """Return a line, or several of at most so many columns, broken at blanks; all but the first begin at the margin."""
    if columns - margin < _ROOM:
        margin = 4  # a narrow terminal
    if len(line) <= columns + 1 or columns - margin < _ROOM:
        return line
    parts, rest = [], line.rstrip("\n")
    while len(rest) > columns:
        at = rest.rfind(" ", margin + 1, columns + 1)
        if at < 0 or not rest[margin:at].strip():
            at = columns  # no blank: within the word
        parts.append(rest[:at].rstrip())
        rest = " " * margin + rest[at:].lstrip()
    return "\n".join([*parts, rest]) + "\n"


def json(plan: Plan, refused: str = "") -> str:
    """Return the plan as JSON; see Plan.record.

    refused   why the caller would be refused, where this is the plan of root
    """
    record = plan.record()
    if refused:
        record["refused"] = refused
    return jsonio.dumps_pretty(record) + "\n"


def tell(plan: Plan, debug: Callable[[str, Mapping[str, object]], None]) -> None:
    """Report the operations one by one, without the values that only the program is to see."""
    for index, op in enumerate(plan.ops):
        place = f"{op.pointer}: " if op.pointer else ""
        parts = {"index": index, "actor": op.actor, "operation": op.name, "pointer": op.pointer}
        debug(f"operation {index} ({op.actor}): {place}{phrase(op)}", parts)
