"""Every test that docs/attacks.md names is there."""

from __future__ import annotations

import re

import pytest

from .tour import ROOT

PAGE = (ROOT / "docs" / "attacks.md").read_text(encoding="utf-8")
ROWS = {
    cells[0].strip(): cells[-1]
    for line in PAGE.splitlines()
    if (cells := line.strip("|").split("|")) and re.match(r" [A-Z]\d\d $", cells[0])
}


def test_the_page_is_read() -> None:
    assert len(ROWS) > 80


@pytest.mark.parametrize("row", ROWS)
def test_tests_are_there(row: str) -> None:
    for part in ROWS[row].split(";"):
        found = re.match(r"\s*`([\w/]+\.py)`(?:: ([\w, ]+))?\s*$", part)
        assert found, part
        text = (ROOT / found[1]).read_text(encoding="utf-8")
        for name in (found[2] or "").split(", ") if found[2] else ():
            assert f"def test_{name.strip()}(" in text, f"{found[1]}: {name}"
