"""The C side has the numbers, layouts and operations of the Python side."""

from __future__ import annotations

import re
import struct

import pytest

from ocirun.execute import report
from ocirun.plan import encode, ops, render
from ocirun.state import record

from .recorder import EXECUTOR, operations

HEADER = (EXECUTOR / "ops.h").read_text(encoding="utf-8")
SIZES = {"uint16_t": 2, "uint32_t": 4, "int32_t": 4, "uint64_t": 8, "char": 1}


def constant(name: str) -> int:
    found = re.search(rf"^#define {name}\s+(\w+)", HEADER, re.MULTILINE)
    assert found, name
    return int(found[1].rstrip("u"), 0)


def enumeration(name: str) -> dict[str, int]:
    found = re.search(rf"enum {name} {{(.*?)}};", HEADER, re.DOTALL)
    assert found, name
    return {word: int(value) for word, value in re.findall(r"(\w+) = (\d+)", found[1])}


def fields(name: str) -> list[tuple[str, str, int]]:
    """(type, name, count) of the fields of a structure, up to a flexible array."""
    found = re.search(rf"struct {name} {{\n(.*?)\n}};", HEADER, re.DOTALL)
    assert found, name
    body = re.sub(r"/\*.*?\*/|struct {.*?}\s*\w+\[\];", "", found[1], flags=re.DOTALL)
    sizes = {"": 1, **{name: constant(name) for name in ("PROGRESS_OUTPUT", "PROGRESS_OBJECT")}}
    return [
        (kind, field, sizes[count] if count in sizes else int(count))
        for kind, field, count in re.findall(r"(\w+) (\w+)(?:\[(\w*)\])?;", body)
    ]


def size(name: str) -> int:
    return sum(SIZES[kind] * count for kind, _, count in fields(name))


def test_every_operation_has_a_function() -> None:
    bodies = "".join(path.read_text(encoding="utf-8") for path in EXECUTOR.glob("op_*.c"))
    assert sorted(re.findall(r"^int op_(\w+)\(", bodies, re.MULTILINE)) == sorted(ops.INIT_OPS)


# A value of each kind of argument.
VALUES = {
    "int": 1,
    "slot": "s",
    "text": "t",
    "vector": ["v"],
    "options": [("o", None)],
    "bytes": b"b",
    "gids": [1, 2],
    "pair": (1, 2),
    "timed": ("t", 3),
    "time": -1,
    "made": "m",
}


@pytest.mark.parametrize("kind", VALUES)
def test_structures_have_the_words_of_the_encoding(kind: str) -> None:
    arguments = (("value", kind), ("after", "int"))
    header = operations().header("LIST", {"none": (8, ()), "some": (7, arguments)})
    assert re.findall(r"\t(X0?\(.*\))", header) == ["X(7, some)", "X0(8, none)"]
    assert re.findall(r"struct (\w+) {", header) == ["some_args"]
    op = ops.Op("some", ops.INIT, "", {"value": VALUES[kind], "after": 77})
    words = encode._arguments(op.args, arguments, {"s": 5}, {"m": b"made"}, encode._Data(1000))
    assert re.findall(r"uint64_t (\w+);", header).index("after") == words.index(77)


def test_every_kind_is_known() -> None:
    assert {kind for _, arguments in ops.INIT_OPS.values() for _, kind in arguments} == set(VALUES)


def test_constants() -> None:
    assert constant("OCIRUN_PLAN_MAGIC") == encode.MAGIC
    assert constant("OCIRUN_PLAN_FORMAT") == encode.FORMAT
    assert constant("OCIRUN_PROGRESS_MAGIC") == record.PROGRESS_MAGIC
    assert constant("SLOT_LIMIT") == ops.SLOT_LIMIT
    assert constant("PROGRESS_OUTPUT") == record.PROGRESS_OUTPUT
    assert constant("PROGRESS_OBJECT") == record.PROGRESS_OBJECT
    for number, name in enumerate(ops.FIXED_SLOTS):
        assert constant(f"SLOT_{name.upper()}") == number


def test_flags_of_open_path() -> None:
    source = (EXECUTOR / "op_mount.c").read_text(encoding="utf-8")
    flags = {word: int(value) for word, value in re.findall(r"\b(OPEN_[A-Z_]+) = (\d+)", source)}
    assert flags == {name: getattr(ops, name) for name in dir(ops) if name.startswith("OPEN_")}
    assert all(value & (value - 1) == 0 for value in flags.values())


def test_link_or_nothing() -> None:
    source = (EXECUTOR / "op_fs.c").read_text(encoding="utf-8")
    assert f"LINK_OR_NOTHING = {ops.LINK_OR_NOTHING} " in source


def test_callers_umask_is_no_mode() -> None:
    assert ops.CALLERS_UMASK > 0o777


def test_no_time() -> None:
    assert "#define NO_TIME (1ull << 63)\n" in HEADER and encode._NO_TIME == 1 << 63


def test_faults() -> None:
    faults = {name.removeprefix("FAULT_"): number for name, number in enumeration("fault").items()}
    assert faults == {name: getattr(report, name) for name in faults}
    assert sorted(faults.values()) == list(range(len(faults)))


def test_phases() -> None:
    assert enumeration("phase") == {name: getattr(record, name) for name in enumeration("phase")}


def test_warnings_are_bits() -> None:
    values = list(enumeration("warning").values())
    assert all(value & (value - 1) == 0 for value in values)
    assert len(set(values)) == len(values)


def test_plan_header() -> None:
    assert [name for _, name, _ in fields("plan_header")] == [
        *("magic", "format", "size", "op_count", "ops_offset", "fd_base", "inherited", "keep_fds"),
    ]
    assert size("plan_header") == struct.calcsize("<8I")
    assert size("op") == struct.calcsize("<HHI7Q")


def test_progress() -> None:
    assert size("progress") == record.PROGRESS_SIZE
    places = {}
    at = 0
    for kind, name, count in fields("progress"):
        assert at % SIZES[kind] == 0, "the compiler would pad"
        places[name] = at
        at += SIZES[kind] * count
    raw = bytearray(record.progress_header(0).ljust(record.PROGRESS_SIZE, b"\0"))
    numbers = {"phase": 2, "index": 3, "fault": 4, "call": 6, "warnings": 9}
    for name, value in numbers.items():
        struct.pack_into("<I", raw, places[name], value)
    struct.pack_into("<i", raw, places["error"], 5)
    struct.pack_into("<Q", raw, places["detail"], 1 << 40)
    struct.pack_into("<Q", raw, places["warn_detail"], 1 << 41)
    struct.pack_into("<I", raw, places["output_length"], 3)
    raw[places["output"] : places["output"] + 3] = b"out"
    struct.pack_into("<HH", raw, places["object_slot"], 8, 4)
    raw[places["object"] : places["object"] + 4] = b"/tmp"
    progress = record.Progress(bytes(raw))
    assert {name: getattr(progress, name) for name in numbers} == numbers
    assert (progress.errno, progress.detail, progress.warn_detail) == (5, 1 << 40, 1 << 41)
    assert progress.output == "out"
    assert (progress.object_slot, progress.object) == (7, "/tmp")


def test_every_operation_has_a_phrase() -> None:
    for name in (*ops.INIT_OPS, *ops.HOST_OPS):
        op = ops.Op(name, ops.INIT if name in ops.INIT_OPS else ops.HOST, "", {})
        assert render.phrase(op)
        assert not render.phrase(op).endswith(".")


def test_barriers_are_operations() -> None:
    assert set(ops.INIT_OPS) >= ops.BARRIERS
    assert not set(ops.INIT_OPS) & set(ops.HOST_OPS)
