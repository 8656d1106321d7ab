"""Protocol buffers: bytes of the documentation, round trips, and nonsense."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocirun.execute.criu.protobuf import BOOL, INT, TEXT, decode, encode

TABLE = {"a": (1, INT), "b": (2, TEXT), "c": (3, {"a": (1, INT)}), "flag": (20, BOOL)}

values = st.fixed_dictionaries(
    {},
    optional={
        "a": st.integers(-(2**63), 2**63 - 1),
        "b": st.text(max_size=300),
        "c": st.fixed_dictionaries({}, optional={"a": st.integers(-5, 5)}),
        "flag": st.booleans(),
    },
)


def test_bytes_of_the_documentation() -> None:
    assert encode({"a": 150}, TABLE) == bytes.fromhex("089601")
    assert encode({"b": "testing"}, TABLE) == bytes.fromhex("120774657374696e67")
    assert encode({"c": {"a": 150}}, TABLE) == bytes.fromhex("1a03089601")
    assert encode({"a": -2}, TABLE) == bytes.fromhex("08feffffffffffffffff01")


def test_lists_are_repeated_fields_and_none_is_left_out() -> None:
    assert encode({"b": ["x", "y"], "a": None, "flag": False}, TABLE) == bytes.fromhex(
        "1201781201 79a00100".replace(" ", "")
    )


@given(values)
def test_round_trip(message: dict[str, object]) -> None:
    assert decode(encode(message, TABLE), TABLE) == message


def test_unknown_fields_are_passed_over() -> None:
    # 64-bit, 32-bit, bytes and a number of fields that the table does not have
    raw = bytes.fromhex("59" + "11" * 8 + "5d" + "22" * 4 + "6203616263" + "6863")
    assert decode(raw + encode({"a": 1}, TABLE), TABLE) == {"a": 1}


@pytest.mark.parametrize("raw", ["08", "12", "1205", "120561", "08" + "ff" * 11, "0b", "59", "1a0208"])
def test_nonsense(raw: str) -> None:
    with pytest.raises(ValueError, match="message"):
        decode(bytes.fromhex(raw), TABLE)


@given(st.binary(max_size=40))
def test_anything_is_read_or_refused(raw: bytes) -> None:
    try:
        decode(raw, TABLE)
    except ValueError:
        pass
