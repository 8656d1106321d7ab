"""The host's side of one plan, as csrc/host carries it out: its descriptors, its helper, what has failed."""

from __future__ import annotations

import os
from _functools import partial

from .._native import ffi, lib
from ..errors import HostError
from ..plan import encode
from ..state import record as records
from .spawn import Helper, call_name, remedy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ..plan.ops import Plan

# csrc/module/native.cdef.h, enum host_turn
DONE, ASK, READY, INTERRUPTED, SILENT, ENDED, LATE, WAIT, SERVED, ROOT, OUTPUT = range(11)
# enum host_end
END_TIME, END_PROCESSOR, END_OUTPUT = 1, 2, 3


_NO_FILE = 0xFFFF
# Each call of C gives the interpreter away and asks for it back, which takes long beside busy threads: so a run that
# goes well is one call, and its memory is got without another.
_MEMORY = lib.ocirun_host_memory()
_allocate = ffi.new_allocator(should_clear_after_alloc=False)


class HostSide:
    """One execution.  With `free`, at the latest with this object, it gives up what it holds.

    What it has made it takes back then, unless that was committed: whoever is torn out of the work, by an exception
    from a signal handler for one, leaves nothing.

    native   struct host
    """

    __slots__ = ("_keep", "_record", "native")

    def __init__(self, content: bytes, *, stamps: int = 0) -> None:
        """Prepare to run encoded operations.

        content   as `encode.host` gives it
        stamps    operations whose begin is noted, for a trace
        """
        self._record = ffi.new("char[]", records.progress_bytes(stamps))
        header = records.progress_header(stamps)
        ffi.buffer(self._record)[: len(header)] = header
        plan, memory = ffi.from_buffer(content), _allocate("char[]", _MEMORY)
        # C has addresses only: what they lead to lives as long as this.
        self._keep: list[Any] = [content, plan, memory, self._record]
        # Freed by a function of C: one in Python, such as __del__, a signal handler may leave with an exception.
        end: Any = partial(lib.ocirun_host_free)
        end.keep = self._keep
        self.native: Any = ffi.gc(ffi.new("struct host *"), end)
        self.native.plan, self.native.plan_size = plan, len(content)
        self.native.record, self.native.memory = self._record, memory
        self.native.given = (-1, -1, -1)

    def lend(self, content: bytes) -> Any:
        """Return the address of bytes that live as long as this."""
        address = ffi.from_buffer(content)
        self._keep.append((content, address))
        return address

    def hold(self, *what: object) -> None:
        """Keep what addresses lead to as long as this lives."""
        self._keep.extend(what)

    def keep_descriptors(self, numbers: Sequence[int]) -> None:
        """Say which descriptors from 3 up the program keeps."""
        array = ffi.new("int[]", list(numbers) or [0])
        self._keep.append(array)
        self.native.keep, self.native.keep_count = array, len(numbers)

    def run(self) -> int:
        """Go on until it is somebody else's turn: DONE, ASK, ..., or -errno."""
        turn: int = lib.ocirun_host_run(self.native)
        return turn

    def progress(self) -> records.Progress:
        """Return what failed, and when each operation began."""
        return records.Progress(bytes(ffi.buffer(self._record)))

    def inodes(self, count: int) -> list[int]:
        """Return those of the groups that it has made, 0 for one that it has not."""
        return [lib.ocirun_host_inode(self.native, number) for number in range(count)]

    def let_directory_go(self) -> None:
        """Close the state directory, and so let others lock it."""
        if self.native.directory >= 0:
            os.close(self.native.directory)
            self.native.directory = -1

    def let_go(self) -> None:
        """Give back the descriptors that only a creation needs."""
        lib.ocirun_host_let_go(self.native)

    def commit(self) -> None:
        """Commit: what was made stays when this is freed."""
        lib.ocirun_host_commit(self.native)

    def take_back(self) -> int:
        """Take back what it has made; how much of that is left."""
        left: int = lib.ocirun_host_undo(self.native)
        return left

    def allow(self, seconds: float) -> None:
        """Allow so many seconds after the program was killed for a limit, then come back.  Raises HostError."""
        result = lib.ocirun_host_allow(self.native, int(seconds * 1000))
        if result < 0:
            raise HostError.from_os("timer", OSError(-result, ""), call="timerfd_settime")

    def output(self, number: int) -> tuple[bytes, bool]:
        """Return (what is kept of standard output, 0, or error, 1; there was more)."""
        stream = self.native.output[number]
        return bytes(ffi.buffer(stream.kept, stream.size)) if stream.size else b"", bool(stream.cut)

    def fresh(self) -> list[tuple[int, bytes]]:
        """Take what the program has written since the last turn: number as in `output`, bytes."""
        found = []
        for number, stream in enumerate(self.native.output):
            if stream.fresh_size:
                found.append((number, bytes(ffi.buffer(stream.fresh, stream.fresh_size))))
                stream.fresh_size = 0
        return found

    def usage_texts(self) -> list[str]:
        """Return what `read_usage` has read: the text of each file, "" for one that the kernel has not."""
        raw = bytes(ffi.buffer(self.native.usage, self.native.usage_size))
        texts, at = [], 0
        while at < len(raw):
            length = int.from_bytes(raw[at : at + 2], "little")
            length, at = 0 if length == _NO_FILE else length, at + 2
            texts.append(raw[at : at + length].decode("utf-8", "replace"))
            at += length
        return texts

    def free(self) -> None:
        """Close everything.  What was made and not committed is taken back."""
        if self.native.begun:
            lib.ocirun_host_free(self.native)
        # Nothing is left for the end of the object, whose call would give the interpreter away once more.
        ffi.gc(self.native, None)


class Slots:
    """Descriptors by the name of their slot; those of no slot, which are the runtime's own, are here."""

    __slots__ = ("_numbers", "_own", "_side")

    def __init__(self, names: Sequence[str], side: HostSide) -> None:
        self._numbers = {name: number for number, name in enumerate(names)}
        self._own: dict[str, int] = {}
        self._side = side

    def __setitem__(self, name: str, fd: int) -> None:
        if name in self._numbers:
            self._side.native.slot[self._numbers[name]] = fd
        else:
            self._own[name] = fd

    def __getitem__(self, name: str) -> int:
        fd = self.get(name, -1)
        if fd < 0:
            raise KeyError(name)
        return fd

    def get(self, name: str, missing: int) -> int:
        """Return the descriptor, or `missing`."""
        if name not in self._numbers:
            return self._own.get(name, missing)
        fd: int = self._side.native.slot[self._numbers[name]]
        return missing if fd < 0 else fd

    def pop(self, name: str, missing: int) -> int:
        """Return the descriptor, which is the caller's from now on, or `missing`."""
        if name not in self._numbers:
            return self._own.pop(name, missing)
        fd = self.get(name, missing)
        self._side.native.slot[self._numbers[name]] = -1
        return fd

    def close_own(self, but: str = "") -> None:
        """Close those of no slot, but one."""
        for name in [name for name in self._own if name != but]:
            os.close(self._own.pop(name))


class _Field:
    """An attribute that is a number in struct host."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, helper: SideHelper, owner: object) -> int:
        value: int = getattr(helper.side.native, self._name)
        return value

    def __set__(self, helper: SideHelper, value: int) -> None:
        setattr(helper.side.native, self._name, value)


class SideHelper(Helper):
    """The helper of a host's side, which both know."""

    __slots__ = ("side",)

    pid = _Field("pid")
    pidfd = _Field("pidfd")
    sync = _Field("sync")
    progress_fd = _Field("progress")
    first = _Field("first")
    adopted = _Field("adopted")
    claim = _Field("claim")

    def __init__(self, side: HostSide) -> None:
        self.side = side


def start(plan: Plan, fds: Mapping[str, int], *, flags: int) -> SideHelper:
    """Start a helper of its own, beside that of a container, with the init operations of `plan`.

    fds    descriptors for the inherited slots behind the fixed ones, by slot name
    flags  CLONE_NEW* for clone3(2)
    Raises HostError.  Safe in any thread: nothing of this process changes.
    """
    # The descriptors are given where the first step asks.
    side = HostSide(encode.host_steps(plan, [(0, "ask", {}), (0, "spawn", {"flags": flags})], {}))
    native, content = side.native, encode.encode(plan)
    native.init_plan, native.init_size = side.lend(content), len(content)
    native.inherited, native.fd_base, native.stdio = plan.inherited, encode.fd_base(plan), (-1, -1, -1)
    side.run()
    try:
        for number, name in enumerate(plan.slots[3 : plan.inherited], 3):
            native.slot[number] = os.dup(fds[name])
    except OSError as error:
        raise HostError.from_os("descriptors of the init helper", error, call="fcntl") from None
    turn = side.run()
    side.let_go()
    if turn < 0:
        call, number = call_name(side.progress().call), -turn
        side.free()
        failed = OSError(number, os.strerror(number))
        raise HostError.from_os("start of the init helper", failed, call=call, remedy=remedy(number, flags))
    return SideHelper(side)
