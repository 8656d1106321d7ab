"""Both sides of a plan with the fake kernel, as a library; and what a run of the executor gives."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shlex
import subprocess
import tempfile
from pathlib import Path
from struct import Struct

from ocirun.plan import encode
from ocirun.plan.ops import INIT, Plan
from ocirun.state import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ocirun.plan.ops import Op

CSRC = Path(__file__).resolve().parents[2] / "csrc"
EXECUTOR, HOST_SIDE, MODULE = CSRC / "executor", CSRC / "host", CSRC / "module"
FAKE_KERNEL = Path(__file__).resolve().parents[1] / "fake_kernel"
# Of the module, what the host's side calls: the start of the helper, the files in memory, the messages.
PARTS = [MODULE / name for name in ("spawn.c", "memory.c", "sync.c")]
FLAGS = ["-std=gnu11", "-ffreestanding", "-g", "-Wall", "-Wextra", "-Werror", "-DOCIRUN_RECORD"]
FLAGS += [f"-I{path}" for path in (EXECUTOR, HOST_SIDE, MODULE, FAKE_KERNEL)]
RETURNED, EXITED, EXECUTED, REFUSED = range(4)
AT_FDCWD = -100
# What a host operation would have made: one instruction, "allow".
MADE = {"filter": bytes.fromhex("060000000000ff7f")}
O_CLOEXEC = 0o2000000


def operations() -> Any:
    """The module of the build that makes the header with the operations."""
    spec = importlib.util.spec_from_file_location("csrc_operations", CSRC / "operations.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compile_c(target: str, *arguments: str) -> None:
    """Run the C compiler; a failure fails the test with its output."""
    with tempfile.TemporaryDirectory(prefix="ocirun-operations-") as made:
        Path(made, "operations.h").write_text(operations().init_operations(), encoding="ascii")
        Path(made, "host_operations.h").write_text(operations().host_operations(), encoding="ascii")
        Path(made, "helper_image.h").write_text('static const char helper_image[] = "helper";\n', encoding="ascii")
        compiler = shlex.split(os.environ.get("CC") or "cc")
        command = [*compiler, *FLAGS, f"-I{made}", *arguments, "-o", target]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def sources() -> list[str]:
    """The C files of both sides and of the fake kernel."""
    folders = (EXECUTOR, HOST_SIDE, FAKE_KERNEL)
    return [str(path) for path in [*PARTS, *(path for folder in folders for path in sorted(folder.glob("*.c")))]]


@functools.cache
def library() -> tuple[Any, Any]:
    """(ffi, lib) of the recorder, compiled at the first use."""
    import cffi

    ffi = cffi.FFI()
    for header in (FAKE_KERNEL / "record_kernel.h", MODULE / "native.cdef.h"):
        text = header.read_text(encoding="utf-8")
        ffi.cdef("\n".join(line for line in text.splitlines() if not line.startswith("#")))
    with tempfile.TemporaryDirectory(prefix="ocirun-recorder-") as directory:
        target = f"{directory}/recorder.so"
        compile_c(target, "-O1", "-fPIC", "-shared", *sources())
        return ffi, ffi.dlopen(target)


@functools.cache
def letters() -> dict[str, str]:
    """What each argument of a call is, by the table of the fake kernel: "d" and "f" descriptors, "s" text."""
    source = (FAKE_KERNEL / "record_table.c").read_text(encoding="utf-8")
    return dict(re.findall(r'X\((\w+), "(\w*)"\)', source))


def rule(
    call: str = "",
    result: int = 0,
    *,
    text: str | None = None,
    index: int = -1,
    skip: int = 0,
    times: int = -1,
    mode: int = 0,
    device: tuple[int, int] = (0, 0),
    inode: int = 0,
    links: int = 0,
    plain: bool = False,
    data: bytes | None = None,
    size: int | None = None,
) -> dict[str, Any]:
    """What the fake kernel answers; the fields are those of struct record_rule."""
    return {
        "call": call,
        "text": text,
        "data": data,
        "fields": {
            "result": result,
            "index": index,
            "skip": skip,
            "times": times,
            "mode": mode,
            "major": device[0],
            "minor": device[1],
            "inode": inode,
            "links": links,
            "plain": int(plain),
            "size": len(data or b"") if size is None else size,
        },
    }


# struct record_call
_CALL = Struct("<iI6qq6I6I6I")


@functools.cache
def _call_names() -> dict[int, str]:
    ffi, lib = library()
    return {number: ffi.string(lib.record_name(number)).decode() for number in range(600)}


class Call:
    """One call.

    name    of the system call           index  number of the operation in the plan
    args    the six arguments            result what the kernel answered
    texts   argument number -> string    blobs  argument number -> the bytes it points to
    number  its place in Run.all
    """

    __slots__ = ("_words", "index", "name", "number", "result", "store")

    def __init__(self, number: int, words: tuple[int, ...], store: bytes) -> None:
        self.number = number
        self.name = _call_names()[words[0]]
        self.index = words[1]
        self.result = words[8]
        self._words = words
        self.store = store

    @property
    def args(self) -> list[int]:
        """The arguments; an int is sign-extended or not, depending on the cast in C."""
        return list(self._words[2:8])

    @property
    def texts(self) -> dict[int, str]:
        """The strings among the arguments."""
        places = {i: at - 1 for i, at in enumerate(self._words[9:15]) if at}
        return {i: os.fsdecode(self.store[at : self.store.index(b"\0", at)]) for i, at in places.items()}

    @property
    def blobs(self) -> dict[int, bytes]:
        """The structures and buffers among the arguments."""
        places = zip(range(6), self._words[15:21], self._words[21:27], strict=True)
        return {i: self.store[at - 1 : at - 1 + size] for i, at, size in places if at}

    @property
    def fd(self) -> int:
        """The first argument as a descriptor."""
        return (self.args[0] & 0xFFFFFFFF) - (1 << 32 if self.args[0] & 0x80000000 else 0)

    def __repr__(self) -> str:
        texts = self.texts
        shown = [repr(texts[i]) if i in texts else hex(value) for i, value in enumerate(self.args)]
        return f"#{self.index} {self.name}({', '.join(shown)}) = {self.result}"


class Run:
    """One execution.

    calls     every call, those of the clock left out
    outcome   RETURNED, EXITED, EXECUTED or REFUSED; status: the result of it
    progress  the progress record
    open      descriptors the executor opened and did not close
    slots     descriptors in its slots, those of the runtime included
    wrong     how many calls used a descriptor that was not open
    mappings  how many mappings it has left
    """

    def __init__(self, plan: Plan | None, raw: bytes, rules: Sequence[dict[str, Any]], fail: tuple[int, int]) -> None:
        ffi, lib = library()
        stamps = encode.init_count(plan) if plan else 8
        content = record.progress_header(stamps).ljust(record.progress_bytes(stamps), b"\0")
        progress = ffi.new("uint64_t[]", len(content) // 8 + 1)
        ffi.memmove(progress, content, len(content))
        memory = ffi.new("uint64_t[]", len(raw) // 8 + 1)
        ffi.memmove(memory, raw, len(raw))
        keep = begin(rules, fail)
        self.outcome: int = lib.record_run(memory, len(raw), progress)
        self.status: int = lib.record_status()
        self.progress = record.Progress(bytes(ffi.buffer(progress, len(content))))
        del keep
        self.all = recorded()
        self.calls = [call for call in self.all if call.name != "clock_gettime"]
        self.slots = {lib.record_slot(slot) for slot in range(96)} - {-1}
        self.open = descriptors()
        self.wrong: int = lib.record_wrong_descriptors()
        self.mappings: int = lib.record_mappings()

    def names(self, *only: str) -> list[str]:
        """The calls by name, in order; `only` those if any are given."""
        return [call.name for call in self.calls if not only or call.name in only]

    def of(self, name: str) -> list[Call]:
        """The calls of one name."""
        return [call for call in self.calls if call.name == name]


def begin(rules: Sequence[dict[str, Any]], fail: tuple[int, int]) -> Any:
    """Give the fake kernel its rules; what must live as long as they are used."""
    ffi, lib = library()
    keep: list[Any] = []
    lib.record_begin(_rules(ffi, rules, keep), len(rules), fail[0], fail[1])
    return keep


def recorded() -> list[Call]:
    """All calls since `begin`."""
    ffi, lib = library()
    count, size = ffi.new("size_t *"), ffi.new("size_t *")
    table, texts = lib.record_calls(count), lib.record_texts(size)
    store = bytes(ffi.buffer(texts, size[0]))
    words = _CALL.iter_unpack(ffi.buffer(table, count[0] * _CALL.size))
    return [Call(number, entry, store) for number, entry in enumerate(words)]


def descriptors() -> set[int]:
    """Those that the fake kernel has given and that are open."""
    _, lib = library()
    return {fd for fd in range(200, lib.record_next_descriptor()) if lib.record_is_open(fd)}


def _rules(ffi: Any, rules: Sequence[dict[str, Any]], keep: list[Any]) -> Any:
    numbers = {name: nr for nr, name in _call_names().items()}
    array = ffi.new("struct record_rule[]", max(len(rules), 1))
    for target, wanted in zip(array, rules, strict=False):
        for name, value in wanted["fields"].items():
            setattr(target, name, value)
        target.nr = numbers[wanted["call"]] if wanted["call"] else -1
        for name, value in (("text", wanted["text"]), ("data", wanted["data"])):
            if value is not None:
                keep.append(ffi.new("char[]", value.encode() if isinstance(value, str) else value))
                setattr(target, name, keep[-1])
    keep.append(array)
    return array


def run(plan: Plan, *rules: dict[str, Any], fail: tuple[int, int] = (-1, 0)) -> Run:
    """Run a whole plan.

    fail   (number of the call in Run.all, errno) that fails
    """
    return Run(plan, encode.encode(plan, MADE), rules, fail)


def run_bytes(raw: bytes, *rules: dict[str, Any]) -> Run:
    """Run a plan that is encoded already, or is none."""
    return Run(None, raw, rules, (-1, 0))


SLOTS = ["plan", "progress", "sync", "proc", "start", "ns", "tasks"]


def run_ops(*ops: Op, rules: Sequence[dict[str, Any]] = (), fail: tuple[int, int] = (-1, 0)) -> Run:
    """Run single operations; slots beyond SLOTS are made for every name their arguments use."""
    from ocirun.plan.ops import INIT_OPS

    slots = list(SLOTS)
    for op in ops:
        for name, kind in INIT_OPS[op.name][1]:
            value = op.args.get(name)
            if kind == "slot" and value is not None and value not in slots:
                slots.append(value)
    return run(Plan(list(ops), slots, len(SLOTS), [], []), *rules, fail=fail)


def fd_of(slot: str) -> int:
    """The descriptor of an inherited slot in `run_ops`."""
    return 3 + SLOTS.index(slot)


def op(name: str, /, **args: Any) -> Op:
    """An init operation."""
    from ocirun.plan.ops import Op

    return Op(name, INIT, "", args)
