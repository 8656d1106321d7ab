"""The docstring of a function begins with a verb: what the function does."""

from __future__ import annotations

import ast
import re

import pytest

from .sources import ROOT, modules, tree

FILES = [*modules(), *sorted((ROOT / "csrc").rglob("*.py")), ROOT / "hatch_build.py"]
# Add one that a function needs.
_WORDS = """
Add Allow Append Apply Ask Attach Authenticate Become Begin Bring Build Call Carry Change Check Choose Clean
Clear Close Collect Commit Compare Compile Connect Convert Copy Count Create Cut Decide Delete Detach Discard
Do Drop Encode End Enter Execute Fetch Fill Find Finish Flush Forget Fork Format Free Freeze Get Give Go
Handle Have Hide Hold Ignore Import Insert Join Keep Kill Label Leave Let Load Lock Log Look Make Map Mark
Match Merge Mount Move Narrow Note Notice Open Parse Pass Pause Plan Poll Prepare Print Probe Put Raise Read
Reap Record Refuse Register Reject Remember Remove Rename Replace Report Reserve Reset Resolve Restore Resume
Return Reuse Rewrite Run Save Say See Send Set Show Signal Skip Sort Split Start Stop Store Switch Take Tell
Thaw Translate Try Turn Undo Unlock Unmount Update Use Verify Wait Wake Walk Warn Watch Widen Work Wrap Write
Yield
"""
VERBS = frozenset(_WORDS.split())
NAMES = frozenset({"property", "cached_property", "setter"})


def docstrings(source: ast.Module) -> list[tuple[int, str]]:
    """Line and docstring of each function; a property has a value, and its docstring says which."""
    found = []
    for node in ast.walk(source):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (text := ast.get_docstring(node)):
            words = {ast.unparse(one).rpartition(".")[2] for one in node.decorator_list}
            if not words & NAMES:
                found.append((node.lineno, text))
    return found


def wrong(source: ast.Module) -> list[str]:
    """Line and beginning of each docstring that does not begin with a verb."""
    return [
        f"{line}: {text.splitlines()[0]}"
        for line, text in docstrings(source)
        if re.match(r"\w*", text)[0] not in VERBS  # type: ignore[index]
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_begins_with_a_verb(path) -> None:  # type: ignore[no-untyped-def]
    assert not wrong(tree(path))


@pytest.mark.parametrize("text", ["What it is.", "Whether it is.", "The thing.", "`text`, quoted.", "Returns it."])
def test_what_does_not(text: str) -> None:
    assert wrong(ast.parse(f'def f():\n    """{text}"""\n'))
    assert not wrong(ast.parse(f'class A:\n    @property\n    def f(self):\n        """{text}"""\n'))
