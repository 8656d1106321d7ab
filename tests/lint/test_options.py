"""Texts that Python programs may see have no options of the command line in them: `errors.option` spells them."""

from __future__ import annotations

import ast
import re

import pytest

from .sources import PACKAGE, modules, tree

# Programs' own options, which are the same for everybody; and a reason that only `ocirun explain` shows.
OTHERS = (
    "`usermod --add-sub",
    "`ocirun spec --rootless`",
    "`ocirun explain --print-host-facts`",
    "`numactl --hardware`",
    "`unshare --mount`",
    "`--security-opt ",  # of Docker and podman
    "`--cap-add ",
    "`mount --bind",
    "`systemd-run --user",
)
SHOWN = {"--no-pivot was given", "--user "}  # systemctl's
OPTION = re.compile(r"(?<![\w-])--[a-z]")


def texts(top: ast.AST) -> list[tuple[int, str]]:
    """Every string of a module but docstrings."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(top)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        (node.lineno, node.value)
        for node in ast.walk(top)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]


def named(text: str) -> bool:
    """An option of the command line is in the text."""
    return OPTION.search(text) is not None and text not in SHOWN and not any(other in text for other in OTHERS)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_option_is_named(path) -> None:  # type: ignore[no-untyped-def]
    name = str(path.relative_to(PACKAGE))
    if name.startswith(("cli/", "preload/")) or name == "errors.py":  # arguments of programs; the spelling itself
        return
    assert [f"{name}:{line}: {text}" for line, text in texts(tree(path)) if named(text)] == []


def test_the_rule_refuses() -> None:
    assert named("give --console-socket")
    assert named("`delete --force` does it")
    assert not named("a--b")
