"""The operations that a plan is made of.

An operation is a name, arguments, the actor that runs it ("host": the runtime
itself; "init": the helper in the container) and its origin in config.json.
From the init operations csrc/operations.py makes the list, and the structures of the arguments, of the C side.

Kinds of arguments of init operations, in the order of the words of the C side's ``struct NAME_args``:

    int      a number                      slot     a named descriptor, or None
    text     a string, or None             vector   a list of strings
    options  a list of (key, value|None)   bytes    bytes; takes two arguments: place and length
    gids     a list of 32-bit numbers; two arguments: place and count
    pair     two 32-bit numbers in one     timed    a text and a 32-bit number in one
    time     nanoseconds since 1970, of either sign; None: whenever it is done
    made     the name of bytes that are made for this container, some by a host operation before `spawn`; two
             arguments: place and length
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HOST = "host"
INIT = "init"

# What the slot numbers 0 to 2 hold, in every plan.
FIXED_SLOTS = ("plan", "progress", "sync")
SLOT_LIMIT = 96

# open_path
OPEN_CREATE = 2
OPEN_PLAIN = 4
OPEN_DIRECTORY = 8
OPEN_NOFOLLOW = 16
OPEN_NOT_PROC = 32
OPEN_LIKE_PROC = 64
OPEN_ITSELF = 128

# make_link: what is there already must be that link
LINK_OR_NOTHING = 2

# set_umask: keep what the caller has
CALLERS_UMASK = 0x10000

_Fields = tuple[tuple[str, str], ...]

INIT_OPS: dict[str, tuple[int, _Fields]] = {
    "guard": (1, (("dumpable", "int"),)),
    "join_cgroup": (2, (("slot", "slot"),)),
    "join_namespace": (3, (("slot", "slot"), ("flag", "int"), ("keep", "int"))),
    "unshare": (4, (("flags", "int"),)),
    "sync": (5, ()),
    "receive_fd": (6, (("slot", "slot"),)),
    "send_fd": (7, (("slot", "slot"), ("keep", "int"))),
    "fork_init": (8, (("flags", "int"),)),
    "become_root": (9, (("drop_groups", "int"),)),
    "set_hostname": (10, (("name", "text"),)),
    "set_domainname": (11, (("name", "text"),)),
    "new_session": (12, ()),
    "join_keyring": (13, (("name", "text"),)),
    "propagate": (14, (("path", "text"), ("flags", "int"))),
    "privatize_parent": (15, (("slot", "slot"),)),
    "open_root": (16, (("slot", "slot"), ("path", "text"), ("enter", "int"))),
    "open_path": (
        17,
        (("slot", "slot"), ("root", "slot"), ("path", "text"), ("flags", "int"), ("like", "slot")),
    ),
    "clone_tree": (
        18,
        (("slot", "slot"), ("path", "text"), ("recursive", "int"), ("root", "slot"), ("nofollow", "int")),
    ),
    "clone_mount": (19, (("slot", "slot"), ("source", "slot"), ("recursive", "int"))),
    "set_mount_attr": (
        20,
        (
            ("slot", "slot"),
            ("set", "int"),
            ("clear", "int"),
            ("propagation", "int"),
            ("recursive", "int"),
            ("locked", "int"),
        ),
    ),
    "new_filesystem": (
        21,
        (("slot", "slot"), ("type", "text"), ("options", "options"), ("attributes", "int"), ("mode_from", "slot")),
    ),
    "mount_classic": (
        22,
        (("slot", "slot"), ("source", "text"), ("type", "text"), ("flags", "int"), ("data", "text")),
    ),
    "reconfigure": (23, (("slot", "slot"), ("options", "options"))),
    "attach": (24, (("slot", "slot"), ("target", "slot"))),
    "close": (25, (("slot", "slot"),)),
    "make_node": (
        26,
        (("root", "slot"), ("path", "text"), ("mode", "int"), ("device", "pair"), ("owner", "pair")),
    ),
    "make_link": (
        27,
        (("root", "slot"), ("path", "text"), ("text", "text"), ("needs", "text"), ("replace", "int")),
    ),
    "copy_up": (28, (("slot", "slot"), ("source", "slot"))),
    "write_proc": (29, (("proc", "slot"), ("path", "text"), ("value", "text"))),
    "pivot": (30, (("root", "slot"),)),
    "move_root": (31, (("root", "slot"), ("top", "slot"))),
    "change_root": (32, (("root", "slot"),)),
    "run_hook": (
        33,
        (
            ("path", "text"),
            ("args", "vector"),
            ("env", "vector"),
            ("state_head", "text"),
            ("state_tail", "text"),
            ("cwd_timeout", "timed"),
        ),
    ),
    "open_console": (
        34,
        (("root", "slot"), ("master", "slot"), ("slave", "slot"), ("size", "int"), ("uid", "int")),
    ),
    "use_console": (35, (("slave", "slot"), ("target", "slot"))),
    "fix_stdio": (36, (("root", "slot"), ("uid", "int"))),
    "set_umask": (37, (("umask", "int"),)),
    "no_new_privs": (38, ()),
    "set_scheduler": (39, (("attr", "bytes"),)),
    "set_io_priority": (40, (("which", "int"), ("priority", "int"))),
    "set_personality": (41, (("persona", "int"),)),
    "reset_affinity": (42, ()),
    "set_rlimit": (43, (("resource", "int"), ("soft", "int"), ("hard", "int"))),
    "drop_bounding": (44, (("keep", "int"), ("last", "int"))),
    "set_groups": (45, (("gids", "gids"),)),
    "set_ids": (46, (("uid", "int"), ("gid", "int"))),
    "set_capabilities": (
        47,
        (("effective", "int"), ("permitted", "int"), ("inheritable", "int"), ("ambient", "int")),
    ),
    "change_dir": (48, (("path", "text"), ("tolerate", "int"))),
    "find_home": (49, (("uid", "int"),)),
    "find_program": (50, (("args", "vector"), ("env", "vector"), ("search", "text"))),
    "ready": (51, (("detach", "int"),)),
    "wait_start": (52, (("slot", "slot"),)),
    "execute": (53, ()),
    "loopback_up": (54, ()),
    "mask": (55, (("root", "slot"), ("path", "text"), ("null", "slot"), ("empty", "slot"), ("label", "text"))),
    "set_affinity": (57, (("mask", "bytes"),)),
    "set_memory_policy": (60, (("mode", "int"), ("nodes", "bytes"))),
    "set_label": (61, (("proc", "slot"), ("path", "text"), ("value", "text"))),
    "set_file_label": (62, (("slot", "slot"), ("label", "text"))),
    "hide_mount": (63, (("slot", "slot"), ("path", "text"), ("cover", "int"), ("pass_over", "int"))),
    "make_readonly": (56, (("root", "slot"), ("path", "text"))),
    "load_seccomp": (58, (("filter", "made"), ("flags", "int"))),
    "fork_program": (64, (("sync", "slot"), ("caller", "slot"), ("terminal", "int"), ("keeps", "int"))),
    "receive_program": (65, (("caller", "slot"),)),
    "unmount": (66, (("slot", "slot"), ("proc", "slot"))),
    "put_file": (
        68,
        (
            *(("root", "slot"), ("path", "text"), ("mode", "int"), ("owner", "pair"), ("content", "made")),
            ("time", "time"),
        ),
    ),
    "get_file": (
        69,
        (("slot", "slot"), ("root", "slot"), ("path", "text"), ("proc", "slot"), ("limit", "int")),
    ),
    "new_overlay": (
        67,
        (
            ("slot", "slot"),
            ("lower", "slot"),
            ("upper", "slot"),
            ("proc", "slot"),
            ("options", "options"),
            ("layers", "slot"),
        ),
    ),
    "log_hooks": (70, (("stdout", "slot"), ("stderr", "slot"))),
    "put_directory": (
        73,
        (("root", "slot"), ("path", "text"), ("mode", "int"), ("owner", "pair"), ("time", "time")),
    ),
    "put_link": (
        74,
        (("root", "slot"), ("path", "text"), ("text", "text"), ("owner", "pair"), ("time", "time")),
    ),
    "set_time": (75, (("root", "slot"), ("path", "text"), ("time", "time"))),
    "prepare_upper": (71, (("slot", "slot"), ("like", "slot"), ("mark", "text"))),
    "add_layer": (72, (("overlay", "slot"), ("slot", "slot"), ("proc", "slot"))),
    "copy_root": (81, (("slot", "slot"), ("source", "slot"))),
    "enter_tree": (80, (("slot", "slot"), ("source", "slot"), ("namespace", "slot"))),
    "hold_seccomp": (59, (("filter", "made"), ("flags", "int"))),
}

# Run by the runtime: csrc/host has those of HOST_CALLS, execute/host_operations.py the others.  The barriers of the
# init operations (sync, receive_fd, send_fd, fork_init, ready, load_seccomp) hand the turn to the host operations
# that follow them.
HOST_OPS: dict[str, tuple[str, ...]] = {
    "reserve_state": ("directory",),
    "save_file": ("name", "content", "replace"),
    "save_link": ("name", "text"),
    "look_at_cgroup": ("controller", "path", "device", "kind"),
    "make_cgroup": ("controller", "path"),
    "make_subgroup": ("path",),
    "write_cgroup": ("controller", "path", "file", "value"),
    "open_cgroup": ("controller", "path", "slot"),
    "start_unit": ("unit", "slice", "instance", "properties"),
    "set_unit": ("unit", "properties"),
    "attach_unit": ("unit", "below"),
    "place_process": ("path",),
    "enable_controllers": ("path", "controllers", "others"),
    "filter_devices": ("path", "rules", "program"),
    "give_cgroup": ("path", "uid", "files"),
    "start_in_cgroup": ("path",),
    "open_namespace": ("path", "type", "slot", "not_own_for"),
    "make_rdt_group": ("path", "schemata", "existing"),
    "join_rdt_group": ("path",),
    "open_procfs": ("slot",),
    "open_init": ("pid", "slot"),
    "open_caller": ("slot",),
    "open_hook_log": ("path", "slot"),
    "make_start_fifo": ("path", "slot"),
    "compile_seccomp": ("filter", "default", "architectures", "rules", "newer", "unknown", "learn"),
    "make_notify_socket": ("directory",),
    "spawn": ("flags", "slots"),
    "write_id_maps": ("uid_map", "gid_map", "uid_program", "gid_program", "setgroups"),
    "write_time_offsets": ("offsets",),
    "open_source": ("path", "recursive", "nofollow"),
    "make_nodes": ("nodes", "context"),
    "make_user_namespace": ("uid_map", "gid_map"),
    "idmap_mount": ("path", "by", "recursive"),
    "keep_upper": (),
    "take_file": (),
    "hide_host_mounts": ("namespaces",),
    "move_device": ("device", "name"),
    "host_hook": ("kind", "index", "path", "args", "env", "timeout", "status", "logs"),
    "limit_process": ("resource", "soft", "hard"),
    "write_process": ("file", "value"),
    "pass_console": ("socket",),
    "pass_pidfd": ("socket",),
    "pass_listener": ("socket", "metadata", "status"),
    "write_pid_file": ("path",),
    "record_state": ("status",),
    "restore_processes": ("external",),
}

# What csrc/host carries out, by its number, with kinds of arguments as above.  Those from 40 on are no operations of
# a plan: the encoder puts them between.
HOST_CALLS: dict[str, tuple[int, _Fields]] = {
    "reserve_state": (1, (("directory", "text"),)),
    "save_file": (2, (("name", "text"), ("content", "made"), ("replace", "int"))),
    "save_link": (3, (("name", "text"), ("text", "made"))),
    "open_procfs": (4, (("slot", "slot"),)),
    "open_caller": (5, (("slot", "slot"),)),
    "make_start_fifo": (6, (("slot", "slot"),)),
    "look_at_cgroup": (7, (("controller", "text"), ("path", "text"), ("device", "pair"), ("kind", "int"))),
    "make_cgroup": (8, (("controller", "text"),)),
    "write_cgroup": (9, (("path", "text"), ("file", "text"), ("value", "text"))),
    "open_cgroup": (10, (("controller", "text"), ("slot", "slot"))),
    "start_in_cgroup": (11, (("path", "text"),)),
    "spawn": (12, (("flags", "int"),)),
    "write_id_maps": (
        13,
        (
            *(("uid_map", "text"), ("gid_map", "text")),
            *(("uid_program", "text"), ("gid_program", "text"), ("setgroups", "text")),
        ),
    ),
    "write_time_offsets": (14, (("offsets", "text"),)),
    "write_process": (15, (("file", "text"), ("value", "text"))),
    "open_source": (16, (("path", "text"), ("recursive", "int"), ("nofollow", "int"))),
    "limit_process": (17, (("resource", "int"), ("soft", "int"), ("hard", "int"))),
    "record_state": (18, (("status", "text"),)),
    "enable_controllers": (19, (("path", "text"), ("controllers", "vector"), ("others", "vector"))),
    "filter_devices": (20, (("path", "text"), ("program", "made"))),
    "keep_upper": (21, ()),
    "make_subgroup": (22, (("path", "text"),)),
    "open_hook_log": (23, (("path", "text"), ("slot", "slot"))),
    "hold_descriptors": (39, ()),
    "ask": (40, ()),
    "await": (41, (("forks", "int"),)),
    "answer": (42, ()),
    "detach": (43, ()),
    "unlock_state": (44, ()),
    "open_streams": (45, ()),
    "start_program": (46, (("waits", "int"),)),
    "serve": (47, (("processor", "text"),)),
    "read_usage": (48, (("files", "vector"),)),
    "remove_run": (49, ()),
    "pause": (50, (("go", "int"),)),
}

BARRIERS = frozenset(("sync", "receive_fd", "send_fd", "fork_init", "ready", "load_seccomp"))


class Op:
    """One operation; a value.

    name     key of INIT_OPS or HOST_OPS
    actor    "host" or "init"
    pointer  JSON pointer of the config value it comes from, or "" for the runtime's own steps
    args     its arguments by name; ``places`` of a mount are the numbers of its options in the config, ``within``
             is where the mount stands in which a path is looked up
    why      the reason where the builder chose between ways, else ""
    """

    __slots__ = ("actor", "args", "name", "pointer", "why")

    def __init__(
        self,
        name: str,
        actor: str,
        pointer: str,
        args: dict[str, Any],
        *,
        why: str = "",
    ) -> None:
        self.name = name
        self.actor = actor
        self.pointer = pointer
        self.args = args
        self.why = why

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Op) and self.record() == other.record()

    def __hash__(self) -> int:
        return hash((self.name, self.pointer))

    def __repr__(self) -> str:
        return f"Op({self.actor} {self.name} {self.args} {self.pointer})"

    def record(self) -> dict[str, Any]:
        """Return the operation as plain values."""
        record: dict[str, Any] = {"op": self.name, "actor": self.actor, "args": self.args}
        if self.pointer:
            record["pointer"] = self.pointer
        if self.why:
            record["why"] = self.why
        return record


class Plan:
    """Everything that will be done, in order; a value.

    ops        the operations
    slots      names of the slots; the number of a slot is its place here
    inherited  how many of them, from 0, the host opens before `spawn`
    keep       descriptors from 3 up that the program keeps
    warnings   Problems that do not stop the container
    """

    __slots__ = ("inherited", "keep", "ops", "slots", "warnings")

    def __init__(self, ops: list[Op], slots: list[str], inherited: int, keep: list[int], warnings: list[Any]) -> None:
        self.ops = ops
        self.slots = slots
        self.inherited = inherited
        self.keep = keep
        self.warnings = warnings

    def record(self) -> dict[str, Any]:
        """Return the plan as plain values, the form of ``explain --json`` and of the golden files."""
        return {
            "ops": [op.record() for op in self.ops],
            "slots": self.slots,
            "inherited": self.inherited,
            "keep": self.keep,
            "warnings": [problem.record() for problem in self.warnings],
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and self.record() == other.record()

    def __hash__(self) -> int:
        return hash(len(self.ops))
