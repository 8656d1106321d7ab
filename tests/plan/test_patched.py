"""Encoded operations with other arguments for some: what is new goes behind, and all else stays as it is."""

from __future__ import annotations

from struct import Struct

from hypothesis import given
from hypothesis import strategies as st

from ocirun.plan import encode
from ocirun.plan.ops import HOST, HOST_CALLS, INIT, INIT_OPS, Op, Plan

ROW = Struct("<HHI7Q")
HEADER = Struct("<8I")
WORDS = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9), max_size=5)


def rows(content: bytes) -> list[tuple[int, ...]]:
    header = HEADER.unpack_from(content)
    assert header[2] == len(content)
    assert content[-1] == 0
    return [ROW.unpack_from(content, header[4] + number * ROW.size) for number in range(header[3])]


def text(content: bytes, at: int) -> str:
    return content[at : content.index(b"\0", at)].decode()


def vector(content: bytes, at: int) -> list[str]:
    assert at % 4 == 0
    (count,) = Struct("<I").unpack_from(content, at)
    return [text(content, one) for one in Struct(f"<{count}I").unpack_from(content, at + 4)]


def program(args: list[str], env: list[str]) -> Op:
    return Op("find_program", INIT, "/process/args", {"args": args, "env": env, "search": "/bin"})


@given(WORDS, WORDS, WORDS, WORDS)
def test_program(args: list[str], env: list[str], new_args: list[str], new_env: list[str]) -> None:
    ops = [Op("set_hostname", INIT, "", {"name": "a"}), program(args, env), Op("execute", INIT, "", {})]
    whole = Plan(ops, ["plan", "progress", "sync"], 3, [], [])
    old = encode.encode(whole)
    new = program(new_args, new_env)
    content = encode.patched(old, [(new.name, new.args)], INIT_OPS, whole.slots, {})
    before, after = rows(old), rows(content)
    assert [before[0], before[2]] == [after[0], after[2]]
    assert before[1][:3] == after[1][:3]
    assert vector(content, after[1][3]) == new_args
    assert vector(content, after[1][4]) == new_env
    assert text(content, after[1][5]) == "/bin"
    assert content[HEADER.size + 3 * ROW.size : len(old)] == old[HEADER.size + 3 * ROW.size :]


def test_the_next_one_of_its_name() -> None:
    files = [
        Op("save_file", HOST, "", {"name": name, "content": name, "replace": replace})
        for name, replace in (("a", 0), ("b", 1))
    ]
    whole = Plan(files, ["plan", "progress", "sync"], 3, [], [])
    old = encode.host(whole, {"a": b"first", "b": b"second"})
    changes = [(op.name, op.args) for op in files]
    content = encode.patched(old, changes, HOST_CALLS, whole.slots, {"a": b"1", "b": b"longer than before"})
    found = [row for row in rows(content) if row[0] == HOST_CALLS["save_file"][0]]
    assert [text(content, row[3]) for row in found] == ["a", "b"]
    assert [content[row[4] : row[4] + row[5]] for row in found] == [b"1", b"longer than before"]
    assert [row[6] for row in found] == [0, 1]
