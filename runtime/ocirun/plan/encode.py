"""A plan as the bytes that the helper maps.

Layout (csrc/executor/ops.h): a header of eight 32-bit words, the operations of
64 bytes each, then data: strings with a NUL, vectors of offsets.  All lengths
are 32-bit and checked; the last byte is NUL, so that every string ends.
"""

from __future__ import annotations

from struct import Struct

from ..errors import ConfigError, Problem
from .ops import BARRIERS, HOST_CALLS, INIT, INIT_OPS, SLOT_LIMIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from .ops import Plan

    Encoder = Callable[[Plan, Mapping[str, bytes] | None], bytes]

MAGIC = 0x31504E41
FORMAT = 2
SIZE_LIMIT = 1 << 30

_HEADER = Struct("<8I")
_OP = Struct("<HHI7Q")
_INDEX, _INDEX_AT = Struct("<I"), 4
_NOTHING = [0] * 7
_NO_TIME = 1 << 63
NO_VALUE = "\x01"


class _Data:
    """The data part under construction; equal strings are stored once, and equal vectors."""

    __slots__ = ("base", "known", "parts", "size", "vectors")

    def __init__(self, base: int) -> None:
        self.base = base
        self.size = 0
        self.parts: list[bytes] = []
        self.known: dict[str, int] = {}
        self.vectors: dict[tuple[str, ...], int] = {}

    def put(self, raw: bytes) -> int:
        at = self.base + self.size
        self.parts.append(raw)
        self.size += len(raw)
        return at

    def text(self, value: str) -> int:
        at = self.known.get(value)
        if at is None:
            at = self.known[value] = self.put(value.encode("utf-8", "surrogateescape") + b"\0")
        return at

    def align(self, to: int) -> None:
        spare = -(self.base + self.size) % to
        if spare:
            self.put(b"\0" * spare)

    def vector(self, values: Sequence[str]) -> int:
        key = tuple(values)
        at = self.vectors.get(key)
        if at is None:
            offsets = [self.text(value) for value in key]
            self.align(4)
            at = self.vectors[key] = self.put(Struct(f"<{len(offsets) + 1}I").pack(len(offsets), *offsets))
        return at


def _arguments(
    args: Mapping[str, Any],
    fields: tuple[tuple[str, str], ...],
    slots: Mapping[str, int],
    made: Mapping[str, bytes],
    data: _Data,
) -> list[int]:
    out: list[int] = []
    asked = args.get
    known = data.known.get
    for name, kind in fields:
        value: Any = asked(name)
        if kind == "slot":
            out.append(SLOT_LIMIT if value is None else slots[value])
        elif kind == "int":
            out.append(value & 0xFFFFFFFFFFFFFFFF if value else 0)
        elif kind == "text":
            out.append(0 if value is None else known(value) or data.text(value))
        elif kind == "vector":
            out.append(0 if value is None else data.vector(value))
        elif kind == "options":
            out.append(data.vector([text for key, item in value for text in (key, NO_VALUE if item is None else item)]))
        elif kind == "pair":
            out.append((value[0] & 0xFFFFFFFF) << 32 | (value[1] & 0xFFFFFFFF))
        elif kind == "timed":
            out.append((data.text(value[0]) if value[0] else 0) << 32 | value[1])
        elif kind == "time":
            out.append(_NO_TIME if value is None else value & 0xFFFFFFFFFFFFFFFF)
        elif kind in ("bytes", "made"):
            value = made[value] if kind == "made" else value
            data.align(8)
            out += [data.put(bytes(value)) if value else 0, len(value)]
        else:  # gids
            data.align(4)
            out += [data.put(Struct(f"<{len(value)}I").pack(*value)) if value else 0, len(value)]
    return out if len(out) == 7 else out + _NOTHING[len(out) :]


def encode(plan: Plan, made: Mapping[str, bytes] | None = None) -> bytes:
    """Return the bytes of `plan` for the helper.

    made   what host operations have made for arguments of the kind "made", by name
    Raises ConfigError when the plan is larger than 1 GiB.
    """
    ops = [(index, op) for index, op in enumerate(plan.ops) if op.actor == INIT]
    slots = {name: number for number, name in enumerate(plan.slots)}
    data = _Data(_HEADER.size + _OP.size * len(ops))
    packed: list[bytes] = []
    # Mounts of one kind share the objects that their arguments are, see Builder.again.
    known: dict[tuple[str, int], list[int]] = {}
    for index, op in ops:
        code, fields = INIT_OPS[op.name]
        key = (op.name, id(op.args))
        arguments = known.get(key)
        if arguments is None:
            arguments = known[key] = _arguments(op.args, fields, slots, made or {}, data)
        packed.append(_OP.pack(code, 0, index, *arguments))
    data.put(b"\0")
    size = _checked_size(data.base + data.size)
    return b"".join([_header(plan, size, len(ops), _HEADER.size), *packed, *data.parts])


class Shared:
    """The encoded operations of one plan, for others that have most of them in common.

    A value that threads may share: what a plan adds goes behind the common data, and its table of
    operations behind that.
    """

    def __init__(self, plan: Plan) -> None:
        self._slots = plan.slots
        self._ops = plan.ops  # kept, so that no other operation can have the id() of one of them
        data = _Data(_HEADER.size)
        slots = {name: number for number, name in enumerate(plan.slots)}
        self._packed: dict[int, bytes] = {}
        for op in plan.ops:
            code, fields = INIT_OPS[op.name] if op.actor == INIT else (0, ())
            # What is made for each container is known only then.
            if code and not any(kind == "made" for _, kind in fields):
                self._packed[id(op)] = _OP.pack(code, 0, 0, *_arguments(op.args, fields, slots, {}, data))
        data.align(8)
        self._known, self._vectors = data.known, data.vectors
        self._data = b"".join(data.parts)

    def encode(self, plan: Plan, made: Mapping[str, bytes] | None = None) -> bytes:
        """Do the same as the function `encode`, with less work for each operation of `plan` that is one of ours."""
        if plan.slots[: len(self._slots)] != self._slots:
            return encode(plan, made)
        slots: dict[str, int] = {}
        data = _Data(_HEADER.size + len(self._data))
        data.known, data.vectors = self._known.copy(), self._vectors.copy()
        table = bytearray()
        count = 0
        for index, op in enumerate(plan.ops):
            if op.actor != INIT:
                continue
            packed = self._packed.get(id(op))
            if packed is None:
                slots = slots or {name: number for number, name in enumerate(plan.slots)}
                code, fields = INIT_OPS[op.name]
                packed = _OP.pack(code, 0, index, *_arguments(op.args, fields, slots, made or {}, data))
            at = len(table)
            table += packed
            _INDEX.pack_into(table, at + _INDEX_AT, index)
            count += 1
        data.align(8)
        at = data.base + data.size
        size = _checked_size(at + len(table) + 1)
        return b"".join([_header(plan, size, count, at), self._data, *data.parts, table, b"\0"])


def _checked_size(size: int) -> int:
    if size > SIZE_LIMIT:
        raise ConfigError([Problem("", f"the plan would take {size} bytes; the limit is {SIZE_LIMIT}")])
    return size


def _header(plan: Plan, size: int, count: int, ops_at: int) -> bytes:
    return _HEADER.pack(MAGIC, FORMAT, size, count, ops_at, fd_base(plan), plan.inherited, keep_limit(plan))


def fd_base(plan: Plan) -> int:
    """Return the descriptor of slot 0 in the child: above everything the program keeps."""
    return keep_limit(plan)


def keep_limit(plan: Plan) -> int:
    """Return descriptors below this number stay open at execve."""
    return max(plan.keep, default=2) + 1


def init_count(plan: Plan) -> int:
    """Return how many operations the helper runs; the size of its time stamp table."""
    return sum(1 for op in plan.ops if op.actor == INIT)


def host_batches(plan: Plan) -> tuple[list[int], dict[int, list[int]]]:
    """Return the host operations before `spawn`, and those behind each barrier, by number of the barrier."""
    first: list[int] = []
    batches: dict[int, list[int]] = {}
    current = first
    for index, op in enumerate(plan.ops):
        if op.actor != INIT:
            current.append(index)
        elif op.name in BARRIERS or op.name in ("wait_start", "execute"):
            current = batches[index] = []
    return first, batches


def patched(
    content: bytes,
    changes: Sequence[tuple[str, Mapping[str, Any]]],
    table: Mapping[str, tuple[int, tuple[tuple[str, str], ...]]],
    slots: Sequence[str],
    made: Mapping[str, bytes],
) -> bytes:
    """Return encoded operations with other arguments for some; what these refer to goes behind the rest.

    changes   name and arguments, in the order of the operations; each is the next one of its name
    table     INIT_OPS or HOST_CALLS
    """
    words = _HEADER.unpack_from(content)
    out, data = bytearray(content), _Data(len(content))
    numbers = {name: number for number, name in enumerate(slots)}
    row, at = 0, words[4]
    for name, args in changes:
        code, fields = table[name]
        while _OP.unpack_from(out, at + row * _OP.size)[0] != code:
            row += 1
        place = at + row * _OP.size
        index = _INDEX.unpack_from(out, place + _INDEX_AT)[0]
        _OP.pack_into(out, place, code, 0, index, *_arguments(args, fields, numbers, made, data))
        row += 1
    data.put(b"\0")
    _HEADER.pack_into(out, 0, *words[:2], _checked_size(data.base + data.size), *words[3:])
    return b"".join([out, *data.parts])


class AfterStart:
    """What follows the program's start in the call that has started it.

    usage     path of a cgroup and name of a file in it, in turn, of all that say what was used
    processor path of the file that says how much processor time was used, "" for none
    removes   the container goes when the program has ended
    ahead     the caller comes back for the program, and once more for the removal
    """

    __slots__ = ("ahead", "processor", "removes", "usage")

    def __init__(
        self, usage: Sequence[str] = (), *, processor: str = "", removes: bool = False, ahead: bool = False
    ) -> None:
        self.usage = usage
        self.processor = processor
        self.removes = removes
        self.ahead = ahead


def host(plan: Plan, made: Mapping[str, bytes], after_start: AfterStart | None = None) -> bytes:
    """Return the bytes of the host's side of `plan`: its operations, and between them the turns of the two sides.

    made    the bytes of arguments of the kind "made", by name
    after_start  of a run that is one call; None where the caller watches the program itself
    An operation that csrc/host does not have is an `ask`.  Raises ConfigError as `encode`.
    """
    return host_steps(plan, list(_host_steps(plan, made, after_start)), made)


def host_steps(plan: Plan, steps: Sequence[tuple[int, str, Mapping[str, Any]]], made: Mapping[str, bytes]) -> bytes:
    """Encode single steps of the host's side: numbers in `plan`, names in HOST_CALLS, arguments.

    Raises ConfigError as `encode`.
    """
    slots = {name: number for number, name in enumerate(plan.slots)}
    data = _Data(_HEADER.size + _OP.size * len(steps))
    packed: list[bytes] = []
    for index, name, args in steps:
        code, fields = HOST_CALLS[name]
        packed.append(_OP.pack(code, 0, index, *_arguments(args, fields, slots, made, data)))
    data.put(b"\0")
    size = _checked_size(data.base + data.size)
    return b"".join([_header(plan, size, len(steps), _HEADER.size), *packed, *data.parts])


def _host_steps(
    plan: Plan, made: Mapping[str, bytes], after_start: AfterStart | None
) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    """Yield (number in the plan, name in HOST_CALLS, arguments);
    what is no operation has the number behind the last.
    """
    own = len(plan.ops)
    first, batches = host_batches(plan)
    if any(op.name == "reserve_state" for op in plan.ops):
        yield own, "hold_descriptors", {}
    if after_start is not None and not after_start.ahead:
        yield own, "open_streams", {}
    yield from _calls(plan, made, first)
    for index, numbers in batches.items():
        barrier = plan.ops[index]
        if barrier.name == "wait_start":
            continue
        if barrier.name == "execute":
            if after_start is not None and after_start.ahead:
                yield own, "pause", {"go": 1}
                yield own, "open_streams", {}
            hook = "" if after_start is None else "poststart"
            behind = [number for number in numbers if plan.ops[number].args.get("kind", hook) == hook]
            # Where nothing stands between, the watch of the program sees both, its beginning and its end.
            yield index, "start_program", {"waits": int(after_start is None or bool(behind))}
            yield from _calls(plan, made, behind)
            continue
        yield index, "await", {"forks": int(barrier.name == "fork_init")}
        yield from _calls(plan, made, numbers)
        yield index, "answer", {}
        if barrier.name == "ready" and barrier.args["detach"]:
            yield index, "detach", {}
            return
    if after_start is not None:
        yield own, "serve", {"processor": after_start.processor}
    if after_start is not None and after_start.removes:
        yield own, "read_usage", {"files": after_start.usage}
        if after_start.ahead:
            yield own, "pause", {"go": 2}
        yield own, "remove_run", {}


def _calls(
    plan: Plan, made: Mapping[str, bytes], numbers: Sequence[int]
) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    for number in numbers:
        op = plan.ops[number]
        if op.name == "compile_seccomp" and op.args["filter"] in made:
            continue  # it was compiled for an earlier container of this plan
        yield number, op.name if op.name in HOST_CALLS else "ask", op.args
