"""Words that have no place in the project's files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .sources import ROOT, files

FORBIDDEN = {
    "unfinished work": r"\b(TODO|FIXME|XXX|HACK)\b|not (yet )?implemented|not supported yet",
    "a path of one machine": re.escape(str(ROOT)) + r"/|/\.pyenv/versions|/home/(?!ada\b)[a-z]+/",
    "the address of a package index": r"https?://[\w.-]*(pypi|pythonhosted|registry|mirror)",
    "a debugging leftover": r"\bbreakpoint\(\)|\bpdb\.set_trace|print\(.*DEBUG",
}


@pytest.mark.parametrize("what", sorted(FORBIDDEN))
def test_no(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])
    found = []
    for path in files():
        if path == Path(__file__):
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
            for number, line in enumerate(text.splitlines(), 1)
            if pattern.search(line)
        ]
    assert not found, what


@pytest.mark.parametrize("path", files(".py"), ids=lambda path: str(path.relative_to(ROOT)))
def test_python_files_begin_well(path) -> None:  # type: ignore[no-untyped-def]
    text = path.read_text(encoding="utf-8")
    if not text.strip():
        return
    assert re.match(r'(#![^\n]*\n)?(#[^\n]*\n)*r?"""', text), "a module begins with its docstring"
    if "import " in text or "def " in text:
        assert "from __future__ import annotations" in text
