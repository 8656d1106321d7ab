"""The bytes of a plan: limits, sharing of strings, strange text."""

from __future__ import annotations

import pytest

from ocirun.errors import ConfigError
from ocirun.plan import encode
from ocirun.plan.ops import INIT, Op, Plan

from .decoder import Decoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def one(name: str, /, slots: tuple[str, ...] = (), **args: Any) -> list[Any]:
    """The decoded arguments of a single operation."""
    made = Plan([Op(name, INIT, "", args)], ["plan", "progress", "sync", *slots], 3, [], [])
    return Decoded(encode.encode(made)).ops[0][2]


@pytest.mark.parametrize("text", ["", "x", "ä€𝄞", "a" * 100000, "\udcff", "with\nline"])
def test_texts(text: str) -> None:
    assert one("set_hostname", name=text) == [text]


def test_numbers_of_64_bits() -> None:
    assert one("set_rlimit", resource=7, soft=2**64 - 1, hard=0) == [7, 2**64 - 1, 0]
    assert one("set_rlimit", resource=7, soft=-1, hard=0)[1] == 2**64 - 1


def test_pairs_of_32_bits() -> None:
    got = one("make_node", slots=("r",), root="r", path="/x", mode=0o20666, device=(1, 2**32 - 1), owner=(2**32 - 2, 5))
    assert got[3:] == [(1, 2**32 - 1), (2**32 - 2, 5)]


@pytest.mark.parametrize("time", [None, 0, 1, -1, 2**63 - 1, 1 - 2**63])
def test_times(time: int | None) -> None:
    assert one("set_time", slots=("r",), root="r", path="/x", time=time)[2] == time


def test_vectors() -> None:
    args = ["", "a", "a", "b" * 5000]
    assert one("find_program", args=args, env=[], search="/x")[:2] == [args, []]


def test_options_with_and_without_value() -> None:
    got = one("new_filesystem", slots=("s",), slot="s", type="t", options=[("a", None), ("b", ""), ("c", "d")])
    assert got[2] == [("a", None), ("b", ""), ("c", "d")]


def test_absent_arguments() -> None:
    assert one("open_path", slots=("s", "r"), slot="s", root="r", path="/", flags=0)[4] is None
    assert one("mount_classic", slots=("s",), slot="s", source="x", type="y", flags=0, data=None)[4] is None


def test_equal_strings_are_stored_once() -> None:
    ops = [Op("set_hostname", INIT, "", {"name": "n" * 1000}) for _ in range(50)]
    assert len(encode.encode(Plan(ops, ["plan", "progress", "sync"], 3, [], []))) < 6000


def test_equal_vectors_are_stored_once() -> None:
    args = {"slot": None, "type": "t", "options": [("a", None), ("b", "c")]}

    def size(count: int) -> int:
        ops = [Op("new_filesystem", INIT, "", args) for _ in range(count)]
        return len(encode.encode(Plan(ops, ["plan", "progress", "sync"], 3, [], [])))

    assert size(3) - size(2) == size(2) - size(1) == 64  # an operation, and nothing in the data


def test_operations_with_one_object_of_arguments() -> None:
    args = {"slot": "a", "target": "b"}
    slots = ["plan", "progress", "sync", "a", "b"]
    ops = [Op("attach", INIT, "", args), Op("close", INIT, "", args), Op("attach", INIT, "", args)]
    apart = [Op(op.name, INIT, "", dict(args)) for op in ops]
    assert encode.encode(Plan(ops, slots, 3, [], [])) == encode.encode(Plan(apart, slots, 3, [], []))


def test_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "SIZE_LIMIT", 1000)
    with pytest.raises(ConfigError, match="the limit is 1000"):
        one("set_hostname", name="x" * 1000)


def test_unknown_slot() -> None:
    with pytest.raises(KeyError):
        one("close", slot="nowhere")


def test_only_operations_of_the_helper_are_in_it() -> None:
    from .samples import sample

    made = sample("hello")
    decoded = Decoded(encode.encode(made))
    assert [index for index, _, _ in decoded.ops] == [i for i, op in enumerate(made.ops) if op.actor == INIT]
    assert encode.init_count(made) == len(decoded.ops)
