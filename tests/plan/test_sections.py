"""The parts of a plan: each sample has them in their order, a summary is a screenful, and lines fit a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocirun.plan import render, sections
from ocirun.plan.ops import HOST_OPS, INIT_OPS

from .samples import NAMES, sample


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_is_in_one(name: str) -> None:
    made = sample(name)
    found = list(sections.split(made))
    assert [first for _, first, _ in found] == [0, *(end for _, _, end in found[:-1])]
    assert found[-1][2] == len(made.ops)
    names = [section for section, _, _ in found]
    assert names == [section for section in sections.NAMES if section in names]
    assert {"state", "namespaces", "identity", "program"} <= set(names)


def test_where_they_begin() -> None:
    made = sample("hello")
    begin = {section: made.ops[first].name for section, first, _ in sections.split(made)}
    assert begin["state"] == "reserve_state"
    assert begin["namespaces"] == "spawn"
    assert begin["files"] == "propagate"
    assert begin["root"] == "pivot"
    assert begin["identity"] == "set_umask"
    assert begin["program"] == "ready"


def test_only_operations_that_there_are() -> None:
    assert {name for names in sections._BEGIN.values() for name in names} <= {*HOST_OPS, *INIT_OPS}
    assert {*HOST_OPS, *INIT_OPS} >= sections._MINOR


@pytest.mark.parametrize("name", NAMES)
def test_headings_stand_before_their_first_operation(name: str) -> None:
    made = sample(name)
    lines = [line for line in render.plan_text(made).splitlines()[1:] if "because " not in line]
    for section, first, _ in sections.split(made):
        place = lines.index(section)
        assert lines[place + 1].startswith(f"{first:4}  ")


@pytest.mark.parametrize("name", NAMES)
def test_short_is_a_screenful(name: str) -> None:
    made = sample(name)
    text = "".join(render.short(made, 100))
    assert len(text.splitlines()) <= 30 + 3 * len(made.warnings)
    assert max(map(len, text.splitlines())) <= 100
    assert f"-{len(made.ops) - 1}" in text


@pytest.mark.parametrize("name", NAMES)
def test_lines_fit(name: str) -> None:
    made = sample(name)
    wide = "".join(render.lines(made))
    for columns in (80, 60, 40):
        narrow = "".join(render.lines(made, columns))
        assert max(map(len, narrow.splitlines())) <= columns
        assert _joined(narrow) == _joined(wide)


def _joined(text: str) -> str:
    """Return a text without blanks: a word that is longer than a line is broken."""
    return "".join(text.split())


@given(st.text(st.characters(codec="ascii", min_codepoint=32), max_size=300), st.integers(0, 60), st.integers(0, 120))
def test_nothing_is_lost(text: str, margin: int, columns: int) -> None:
    broken = render.fitted(text + "\n", margin, columns)
    assert _joined(broken) == _joined(text)
    assert broken.endswith("\n")
    if columns >= 24:  # the margin gives way
        assert all(len(line) <= columns for line in broken.splitlines())
