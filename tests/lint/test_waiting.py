"""A test that waits has an end: what does not come fails the test that waits for it, by name."""

from __future__ import annotations

import ast

import pytest

from .sources import ROOT, files, tree

# What a loop waits with: it sleeps, or asks again and again for what another process does.
WAITS = {"sleep", "poll", "select", "pause"}
# They serve until somebody else ends.
SERVERS = {"tests/live/agent.py", "tests/live/tree_kernel.py", "tests/vm/agent.py"}

TESTS = [path for path in files(".py") if path.is_relative_to(ROOT / "tests")]


def endless(module: ast.Module) -> list[int]:
    """Lines of the loops that wait and look at no clock; `waiting.eventually` is there for them."""
    return [
        node.lineno
        for node in ast.walk(module)
        if isinstance(node, ast.While) and (called := _called(node)) & WAITS and "monotonic" not in called
        if node.lineno not in _timed(module)
    ]


def _called(below: ast.AST) -> set[str]:
    calls = [node.func for node in ast.walk(below) if isinstance(node, ast.Call)]
    return {func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "") for func in calls}


def _timed(module: ast.Module) -> set[int]:
    # `async with asyncio.timeout(...)`
    blocks = [node for node in ast.walk(module) if isinstance(node, ast.AsyncWith)]
    return {
        getattr(node, "lineno", 0)
        for block in blocks
        if any("timeout" in _called(item.context_expr) for item in block.items)
        for node in ast.walk(block)
    }


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_loop_that_waits_has_an_end(path) -> None:  # type: ignore[no-untyped-def]
    name = str(path.relative_to(ROOT))
    assert name in SERVERS or not [f"{name}:{line}" for line in endless(tree(path))]


def test_the_rule_refuses() -> None:
    text = """
while not os.listdir(where):
    assert process.poll() is None
    time.sleep(0.01)
while len(own.names()) > 2:
    sleep(1)
while not (left := own.files()) and process.poll() is None:
    pass
while time.monotonic() < end:
    time.sleep(1)
while not ready:
    time.sleep(1)
    assert time.monotonic() < end
while pending:
    pending.pop()
async def f():
    async with asyncio.timeout(60):
        while not ready:
            await asyncio.sleep(1)
    while not ready:
        await asyncio.sleep(1)
"""
    assert endless(ast.parse(text)) == [2, 5, 7, 20]


def test_every_server_is_there() -> None:
    assert all(endless(tree(ROOT / name)) for name in SERVERS)
