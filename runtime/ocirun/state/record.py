"""What is known of a container between two commands, and its status.

The status is never stored.  It follows from the init process and from the
phase that the helper left in its progress record, so a runtime that died at
any point leaves a record that is still right.
"""

from __future__ import annotations

import os
from errno import EINVAL
from struct import Struct

from .._base import jsonio
from ..errors import HostError, StateDamagedError, errno_words
from . import store
from .init import boot_id as boot_id
from .init import end_init as end_init
from .init import is_alive as is_alive
from .init import may_have_processes as may_have_processes
from .init import of_other_boot as of_other_boot
from .init import open_init as open_init
from .init import process_stat as process_stat
from .init import reap_init as reap_init

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..plan.ops import Op


FORMAT = 1
# Bytes of a link's text, with its NUL (PATH_MAX); only a very long cgroupsPath reaches it.
_LINK_MAX = 4096

CREATING, CREATED, RUNNING, PAUSED, STOPPED = "creating", "created", "running", "paused", "stopped"

# csrc/executor/ops.h: struct progress and enum phase
PHASE_SETUP, PHASE_CREATED, PHASE_STARTING, PHASE_RUNNING, PHASE_FAILED, PHASE_DONE = 1, 2, 3, 4, 5, 6
_PROGRESS = Struct("<IIIIiIQIIIHHQ")
PROGRESS_MAGIC = 0x31475250
PROGRESS_OUTPUT, PROGRESS_OBJECT = 3840, 256
_STAMP = Struct("<IIQ")
PROGRESS_SIZE = _PROGRESS.size + PROGRESS_OUTPUT + PROGRESS_OBJECT


def progress_header(stamps: int) -> bytes:
    """Return the first bytes of a fresh progress record with room for `stamps` time stamps."""
    return _PROGRESS.pack(PROGRESS_MAGIC, 0, 0, 0, 0, 0, 0, 0, 0, stamps, 0, 0, 0)


def progress_bytes(stamps: int) -> int:
    """Return the size of a progress record in bytes."""
    return PROGRESS_SIZE + stamps * _STAMP.size


# Behind the helper's record the runtime writes the number of its own operation, as far as that takes time, and the
# names of all, so that another command can say at which one a creation is.
_OWN = Struct("<I")


def names_bytes(ops: list[Op]) -> bytes:
    """Return what stands behind the helper's part of a progress record:
    the names and pointers of a plan's operations.
    """
    text = "\n".join([f"{op.name} {op.pointer}" for op in ops])
    return _OWN.pack(0) + text.encode("utf-8", "surrogateescape")


def write_own(progress_fd: int, stamps: int, index: int) -> None:
    """Say that the runtime itself is at operation `index`."""
    os.pwrite(progress_fd, _OWN.pack(index), progress_bytes(stamps))


class Progress:
    """A progress record as read; the helper wrote it, so every number may be anything.

    object, object_slot  of the failed call: the text among its arguments, "" for none; the slot of its descriptor,
                         SLOT_LIMIT to SLOT_LIMIT + 2 for a standard stream, -1 for none
    """

    __slots__ = (
        "_stamps",
        "_tail",
        "call",
        "detail",
        "errno",
        "fault",
        "index",
        "object",
        "object_slot",
        "output",
        "phase",
        "warn_detail",
        "warnings",
    )

    def __init__(self, raw: bytes) -> None:
        if len(raw) < PROGRESS_SIZE:
            raw = progress_header(0).ljust(PROGRESS_SIZE, b"\0")
        words = _PROGRESS.unpack_from(raw)
        _, self.phase, self.index, self.fault, self.errno, self.call, self.detail = words[:7]
        self.warnings, length, count, slot, object_length, self.warn_detail = words[7:]
        self.object_slot = slot - 1
        end = _PROGRESS.size + min(length, PROGRESS_OUTPUT)
        self.output = raw[_PROGRESS.size : end].decode("utf-8", "replace")
        self.object = raw[PROGRESS_SIZE - PROGRESS_OBJECT : PROGRESS_SIZE][:object_length].decode("utf-8", "replace")
        count = min(count, (len(raw) - PROGRESS_SIZE) // _STAMP.size)
        self._stamps = raw[PROGRESS_SIZE : PROGRESS_SIZE + count * _STAMP.size]
        self._tail = raw[progress_bytes(count) :]

    @property
    def operation(self) -> tuple[int, str, str] | None:
        """(number, name, pointer) of the operation that is under way; None where that is not told."""
        if len(self._tail) < _OWN.size:
            return None
        index = max(self.index, _OWN.unpack_from(self._tail)[0])
        names = self._tail[_OWN.size :].decode("utf-8", "surrogateescape").split("\n")
        name, _, pointer = names[index].partition(" ") if index < len(names) else ("", "", "")
        return (index, name, pointer) if name else None

    @property
    def stamps(self) -> list[tuple[int, int]]:
        """(number, monotonic nanoseconds) of each operation begun; parsed when asked for, as only a trace is."""
        return [(index, begin) for index, _, begin in _STAMP.iter_unpack(self._stamps)]


class Record:
    """The content of state.json.

    pid, start_time   the init process and field 22 of its /proc/PID/stat, in clock ticks since boot; 0 before
                      there is one
    boot_id           of the kernel that ran it
    cgroup            the driver's own record (cgroup.driver.from_record)
    created           RFC 3339, UTC
    owner             uid of the creator
    hooks             kinds of hooks that later commands must run
    host_mounts       mount ids below the rootfs that were there before us, where the container has no mount
                      namespace of its own; else None
    late              what the helper does after start, to name it in an error: [number, name, pointer, args]
    shared_pids       init is not the first of a new pid namespace, so its end does not end the others
    rdt               resctrl groups that were made for it
    own_keyring       init has a session keyring of its own, not that of the creator
    """

    __slots__ = (
        "annotations",
        "boot_id",
        "bundle",
        "cgroup",
        "container_id",
        "created",
        "hooks",
        "host_mounts",
        "late",
        "own_keyring",
        "owner",
        "pid",
        "rdt",
        "rootfs",
        "shared_pids",
        "start_time",
    )

    def __init__(
        self,
        container_id: str,
        *,
        bundle: str,
        rootfs: str,
        created: str,
        owner: int,
        annotations: dict[str, str],
        cgroup: dict[str, Any],
        hooks: list[str],
        boot_id: str,
        host_mounts: list[int] | None = None,
        shared_pids: bool = False,
        own_keyring: bool = True,
        rdt: list[str] | None = None,
        late: list[list[Any]] | None = None,
        pid: int = 0,
        start_time: int = 0,
    ) -> None:
        self.container_id = container_id
        self.bundle = bundle
        self.rootfs = rootfs
        self.created = created
        self.owner = owner
        self.annotations = annotations
        self.cgroup = cgroup
        self.hooks = hooks
        self.boot_id = boot_id
        self.host_mounts = host_mounts
        self.shared_pids = shared_pids
        self.own_keyring = own_keyring
        self.rdt = rdt or []
        self.late = late or []
        self.pid = pid
        self.start_time = start_time

    @property
    def has_program(self) -> bool:
        """Whether config.json has a ``process``; without, the container can be created, and not started."""
        return any(entry[1] == "execute" for entry in self.late)

    def late_op(self, number: int) -> tuple[int, Op]:
        """Return the operation behind `wait_start` of that number; the last one if there is none."""
        from ..plan.ops import INIT, Op

        entry = next((entry for entry in self.late if entry[0] == number), self.late[-1])
        return entry[0], Op(entry[1], INIT, entry[2], entry[3])

    def copy(self) -> Record:
        """Return the same in an object of its own."""
        return Record(**{name: getattr(self, name) for name in self.__slots__})

    def texts(self) -> tuple[str, str]:
        """Return (content of state.json, text of the link `spare`, "" where it would be too long for one)."""
        values = {name: getattr(self, name) for name in self.__slots__}
        values["format"] = FORMAT
        state = jsonio.dumps(values)
        # The text of a link is written in one step and cannot be cut: enough of the record to clean up
        # by, whatever happens to the file.
        if self.host_mounts is None:
            values["bundle"] = values["rootfs"] = ""
        spare = jsonio.dumps([values[name] for name in _SPARE])
        return state, spare if len(spare) < _LINK_MAX else ""

    def save(self, directory: int) -> None:
        """Write state.json in the container's directory; OSError as it comes."""
        state, spare = self.texts()
        store.write_file(directory, "state.json", state.encode())
        if spare:
            store.write_link(directory, "spare", spare)


def load(directory: int, container_id: str) -> Record:
    """Read state.json of a container.

    container_id   its id, which is the name of its directory
    Raises StateDamagedError when it is missing, cut, of another format or of the wrong shape, or another
    container's; HostError when it cannot be read.
    """
    try:
        values = jsonio.loads(store.read_file(directory, "state.json"))
    except OSError as error:
        if error.errno not in store.NO_FILE:
            raise HostError.from_os("state.json", error, call="openat") from None
        raise _damaged(errno_words(error.errno or 0)) from None
    except jsonio.JsonError as error:
        raise _damaged(str(error)) from None
    wrong = not isinstance(values, dict) or values.pop("format", None) != FORMAT
    if wrong or set(values) != set(Record.__slots__):
        raise _damaged("is not a state of this version")
    reason = _wrong(values)
    if reason:
        raise _damaged(reason)
    if values.pop("container_id") != container_id:
        raise _damaged("is that of another container")
    record = Record(container_id, **values)
    _add_late(record, directory)
    return _of_this_boot(record)


def _damaged(reason: str) -> StateDamagedError:
    return StateDamagedError(f"state.json: {reason}", remedy=store.remedy())


def load_spare(directory: int, container_id: str) -> Record | None:
    """Return what the link beside state.json tells: process, cgroup, what else is on the host.
    None without a good one.
    """
    try:
        values = jsonio.loads(os.fsencode(os.readlink("spare", dir_fd=directory)))
    except OSError as error:
        if error.errno not in (*store.NO_FILE, EINVAL):  # EINVAL: it is no link
            raise HostError.from_os("spare", error, call="readlinkat") from None
        return None
    except jsonio.JsonError:
        return None
    # Older ones end with rdt.
    if not isinstance(values, list) or len(values) not in (6, len(_SPARE)):
        return None
    found: dict[str, Any] = {"shared_pids": True, "bundle": "", "rootfs": "", **dict(zip(_SPARE, values, strict=False))}
    if _wrong(found) or found.pop("container_id") != container_id:
        return None
    record = Record(container_id, created="", owner=os.geteuid(), annotations={}, hooks=[], **found)
    try:
        _add_late(record, directory)
    except StateDamagedError:
        return None
    return _of_this_boot(record)


def _add_late(record: Record, directory: int) -> None:
    """Add what is known only after the record was written: its first process, the inodes of its groups.

    csrc/host writes the record before anything is made, and these as the texts of links beside it, each in one step:
    ``looked`` when it has seen that no group is there yet, ``made`` when all is made, "PID START INODE...".

    Raises StateDamagedError for a text that was never written, HostError.
    """
    # A record that was written whole has it all, and no such links.
    if record.cgroup.get("prepared") or not store.read_link(directory, "looked"):
        return
    try:
        groups = [str(group["controllers"][0]) for group in record.cgroup["groups"]]
    except (TypeError, KeyError, IndexError):
        return  # whoever makes a driver of it will say so
    record.cgroup = {**record.cgroup, "checked": True, "found": []}
    words = store.read_link(directory, "made").split()
    if not words:
        return
    if len(words) != 2 + len(groups) or not all(word.isdigit() for word in words):
        raise StateDamagedError("what stands beside state.json was never written", remedy=store.remedy())
    record.pid, record.start_time, *inodes = map(int, words)
    record.cgroup = {**record.cgroup, "prepared": True, "inodes": dict(zip(groups, inodes, strict=True))}


def _of_this_boot(record: Record) -> Record:
    """Forget what another boot took along: cgroups, resctrl groups and mounts; their names are somebody else's now."""
    if of_other_boot(record):
        record.cgroup = {"driver": "none"}
        record.rdt = []
        record.host_mounts = None
    return record


def _wrong(values: dict[str, Any]) -> str:
    """Return what is wrong with values of a record, "" for nothing; those that are not there are not looked at."""
    for name, kind in _KINDS.items():
        if name in values and type(values[name]) is not kind:
            return f"{name} has the wrong type"
    good = (
        0 <= values["pid"] <= PID_MAX
        and _is_late(values.get("late"))
        and _is_ids(values.get("host_mounts"))
        and _is_texts(values["rdt"])
        and _is_texts(values.get("hooks", []))
        and _is_texts(list(values.get("annotations", {}).values()))
    )
    return "" if good else "holds values that were never written"


def _is_late(entries: list[Any] | None) -> bool:
    """Return whether late_op and the words of an error read it;
    a plan has at least one such operation, `wait_start`.
    """
    return entries is None or (bool(entries) and all(type(entry) is list and _is_late_op(entry) for entry in entries))


def _is_late_op(entry: list[Any]) -> bool:
    if [type(item) for item in entry] != [int, str, str, dict]:
        return False
    args = entry[3]
    return _is_texts(args.get("args")) if entry[1] == "execute" else type(args.get("path")) is str


def _is_ids(value: Any) -> bool:
    return value is None or (type(value) is list and all(type(item) is int for item in value))


def _is_texts(value: Any) -> bool:
    return type(value) is list and all(type(item) is str for item in value)


PID_MAX = 2**31 - 1
_KINDS: dict[str, Any] = {
    "container_id": str,
    "bundle": str,
    "rootfs": str,
    "created": str,
    "owner": int,
    "annotations": dict,
    "cgroup": dict,
    "hooks": list,
    "late": list,
    "shared_pids": bool,
    "own_keyring": bool,
    "boot_id": str,
    "pid": int,
    "start_time": int,
}
# What `spare` has, in this order.
_SPARE = (
    *("container_id", "pid", "start_time", "boot_id", "cgroup", "rdt"),
    *("shared_pids", "host_mounts", "bundle", "rootfs"),
)


def load_progress(directory: int) -> Progress:
    """Return the progress record; one with phase 0 when it is missing."""
    try:
        return Progress(store.read_file(directory, "progress"))
    except OSError as error:
        if error.errno not in store.NO_FILE:
            raise HostError.from_os("progress", error, call="openat") from None
        return Progress(b"")


def whole_phase(raw: bytes) -> int | None:
    """Return the phase in the first PROGRESS_SIZE bytes of a progress record, None where there are less."""
    return _PROGRESS.unpack_from(raw)[1] if len(raw) >= PROGRESS_SIZE else None


def status(record: Record, progress: Progress) -> str:
    """Return creating, created, running or stopped; whether it is paused only the cgroup knows."""
    return of_phase(progress.phase) if is_alive(record) else STOPPED


def of_phase(phase: int) -> str:
    """Return the status of a container whose first process is alive."""
    if phase in (PHASE_CREATED, PHASE_STARTING):
        return CREATED
    if phase == PHASE_SETUP:
        return CREATING
    return STOPPED if phase == PHASE_FAILED else RUNNING
