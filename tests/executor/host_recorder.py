"""The host's side of a plan on the fake kernel: its turns, its calls, and what it makes and takes back."""

from __future__ import annotations

import errno
import os
import platform
from struct import Struct

from ocirun.plan import encode
from ocirun.plan.ops import Plan
from ocirun.state import record

from .recorder import AT_FDCWD, begin, descriptors, letters, library, recorded, rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .recorder import Call

    Step = tuple[str, dict[str, Any]]

# csrc/module/native.cdef.h, enum host_turn
DONE, ASK, READY, INTERRUPTED, SILENT, ENDED, LATE, WAIT, SERVED, ROOT = range(10)
SLOTS = ["plan", "progress", "sync", "proc", "start", "caller", "tasks"]
STATE = "/run/ocirun/c"
PID = 5000  # of the helper
REMOVE = 0x200  # AT_REMOVEDIR
KILL = 9
MUTE = ("clock_gettime", "getpid")
EVENT = Struct("<IQ" if platform.machine() == "x86_64" else "<IxxxxQ")  # epoll_event

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
READ, WRITE = (way | os.O_NOFOLLOW | os.O_CLOEXEC for way in (os.O_RDONLY, os.O_WRONLY))
NEW = WRITE | os.O_CREAT | os.O_EXCL
ABOVE, GROUP = "/sys/fs/cgroup/pids", "/sys/fs/cgroup/pids/c"
CPUSET, FREEZER, UNIFIED = 1, 2, 4
EMPTY_PATH, NOFOLLOW, RECURSIVE, REMOVE = 0x1000, 0x100, 0x8000, 0x200
NEW_PID = 0x20000000

RESERVE: Step = ("reserve_state", {"directory": STATE})
MAKE: Step = ("make_cgroup", {"controller": "pids"})
SPAWN: Step = ("spawn", {"flags": NEW_PID})
HELPER: dict[str, Any] = {"init_plan": b"plan", "init_size": 4, "inherited": 3}
ABSENT = rule("faccessat2", -errno.ENOENT)


class Host:
    """One execution of the host's side.

    native  struct host, which the test is the interpreter for
    calls   those of the last run or way back, without those that only ask for the time or for our number
    made    in this order: the paths of directories, "process"
    taken   what is taken back, in this order
    """

    def __init__(
        self, content: bytes, rules: Sequence[dict[str, Any]] = (), *, fail: tuple[int, int] = (-1, 0), **fields: Any
    ) -> None:
        ffi, self.lib = library()
        self._record = ffi.new("char[]", record.progress_header(0).ljust(record.progress_bytes(0), b"\0"))
        self._keep = [begin(rules, fail), content]
        self.native = ffi.new("struct host *")
        self.set(
            **{
                "plan": content,
                "record": self._record,
                "idle": -1,
                "stdio": [-1, -1, -1],
                "given": [-1, -1, -1],
                "fd_base": 3,
                **fields,
            }
        )
        self.set(memory=ffi.new("uint64_t[]", self.lib.ocirun_host_memory() // 8 + 1))
        self.native.plan_size = len(content)
        self.lib.record_host(self._record)
        self.all: list[Call] = []
        self.calls: list[Call] = []
        self.made: list[str] = []
        self.taken: list[str] = []
        self._names: dict[int, str] = {AT_FDCWD: "", -1: "none"}

    def set(self, **fields: Any) -> None:
        """Give fields of `native` their values; what they lead to lives as long as this."""
        for name, value in fields.items():
            given = library()[0].from_buffer(value) if isinstance(value, bytes) else value
            self._keep.append((value, given))
            setattr(self.native, name, given)

    def run(self) -> int:
        """Go on; the turn, or -errno."""
        return self._follow(self.lib.ocirun_host_run)

    def take_back(self) -> int:
        """Undo; how much is left."""
        return self._follow(self.lib.ocirun_host_undo)

    def free(self) -> None:
        """Give up everything; nothing may be open then, and no call may have met a closed descriptor."""
        self._follow(self.lib.ocirun_host_free)
        assert not descriptors()
        assert self.lib.record_wrong_descriptors() == 0

    def progress(self) -> record.Progress:
        """What has failed."""
        return record.Progress(bytes(library()[0].buffer(self._record)))

    def step(self, index: int = -1) -> list[tuple[Any, ...]]:
        """The calls of one step, the last one as it is: name and arguments.

        A descriptor is what it was opened as, "" the working directory; an address is "*".
        """
        last = max((call.index for call in self.all), default=0) if index < 0 else index
        return [self._shown(call) for call in self.all if call.index == last and call.name not in MUTE]

    def shown(self) -> list[tuple[Any, ...]]:
        """`calls`, as `step` shows them."""
        return [self._shown(call) for call in self.calls]

    def _follow(self, function: Any) -> int:
        before = len(self.all)
        result: int = function(self.native)
        self.all = recorded()
        self.calls = [call for call in self.all[before:] if call.name not in MUTE]
        for call in self.all[before:]:
            self._account(call)
        return result or 0

    def _account(self, call: Call) -> None:
        if call.name == "pidfd_send_signal" and call.args[1] == KILL and "process" not in self.taken:
            self.taken.append("process")
        if call.result < 0:
            return
        if call.name in ("openat", "open_tree"):
            self._names[call.result] = self._path(call)
        elif call.name == "fcntl" and call.args[1] == 1030:  # F_DUPFD_CLOEXEC
            self._names[call.result] = self._names.get(call.fd, f"fd {call.fd}")
        elif call.result >= 200 and call.name not in ("write", "pwrite64", "read", "clone3"):
            self._names[call.result] = call.texts.get(0, call.name)
        elif call.name == "mkdirat":
            self.made.append(self._path(call))
        elif call.name == "clone3":
            self.made.append("process")
        elif call.name == "wait4":  # it has not become the helper
            self.made.remove("process")
        elif call.name == "unlinkat" and call.args[2] == REMOVE:
            self.taken.append(self._path(call))

    def _path(self, call: Call) -> str:
        above, name = self._names.get(call.fd, f"fd {call.fd}"), call.texts[1]
        return name if name.startswith("/") or not above else f"{above}/{name}"

    def _shown(self, call: Call) -> tuple[Any, ...]:
        shown: list[Any] = [call.name]
        texts, blobs = call.texts, call.blobs
        for number, (kind, value) in enumerate(zip(letters()[call.name], call.args, strict=False)):
            if kind in "df":
                fd = (value & 0xFFFFFFFF) - (1 << 32 if value & 0x80000000 else 0)
                shown.append(self._names.get(fd, f"fd {fd}"))
            elif number in texts:
                shown.append(texts[number])
            elif number in blobs:
                shown.append(blobs[number])
            else:
                shown.append("*" if abs(value) > 1 << 40 else value)
        return tuple(shown)


def host(
    *steps: Step,
    rules: Sequence[dict[str, Any]] = (),
    made: dict[str, bytes] | None = None,
    fail: tuple[int, int] = (-1, 0),
    **fields: Any,
) -> Host:
    """The host's side of some steps: names of HOST_CALLS with their arguments."""
    numbered = [(number, name, args) for number, (name, args) in enumerate(steps)]
    return Host(encode.host_steps(Plan([], SLOTS, 3, [], []), numbered, made or {}), rules, fail=fail, **fields)


def look(kind: int = 0) -> Step:
    return "look_at_cgroup", {"controller": "pids", "path": GROUP, "device": (0, 30), "kind": kind}


def file(name: str, content: bytes, **more: Any) -> dict[str, Any]:
    """What is in a file that is opened by this name."""
    return rule("openat", text=name, data=content, **more)


def ran(*steps: Step, rules: tuple[dict[str, Any], ...] = (), **more: Any) -> Host:
    result = host(*steps, rules=[*rules, ABSENT, rule("statx", index=1, device=(0, 30))], **more)
    while (turn := result.run()) == ASK:
        pass
    assert turn == DONE, result.progress().errno
    return result


def grouped(*steps: Step, kind: int = 0, rules: tuple[dict[str, Any], ...] = (), **more: Any) -> Host:
    """Steps after a group was made."""
    return ran(RESERVE, look(kind), MAKE, *steps, rules=(*rules, file("cgroup.type", b"domain\n")), **more)


def stat(fields: bytes = b" ".join(b"%d" % number for number in range(4, 30)), *, pid: int = PID) -> dict[str, Any]:
    """What procfs tells of the helper: its start time is 22."""
    return file(f"/proc/{pid}/stat", b"%d (a) b) S " % pid + fields)
