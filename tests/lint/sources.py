"""The files of the project, and the syntax trees of the package's modules."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "runtime" / "ocirun"
SKIPPED = {
    ".git",
    ".venv",
    ".hypothesis",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    "__pycache__",
    "build",
    "dist",
}


def files(*suffixes: str) -> list[Path]:
    """All files of the checkout that belong to it, those with one of `suffixes` if any are given."""
    found = []
    pending = [ROOT]
    while pending:
        for path in sorted(pending.pop().iterdir()):
            if path.name in SKIPPED or (path.name.startswith((".rootfs", "rootfs")) and path.is_dir()):
                continue
            if path.is_dir() and not path.is_symlink():
                pending.append(path)
            elif path.is_file() and path.suffix not in (".so", ".pyc") and (not suffixes or path.suffix in suffixes):
                found.append(path)
    return sorted(found)


def modules() -> list[Path]:
    """The Python files of the package."""
    return sorted(PACKAGE.rglob("*.py"))


@functools.cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a Python file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def module_name(path: Path) -> str:
    """``runtime/ocirun/plan/ops.py`` -> ``ocirun.plan.ops``."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> list[tuple[int, str]]:
    """Line and absolute name of everything that a module imports, also inside functions.

    ``from ocirun.plan import ops`` gives ``ocirun.plan.ops`` where that is a
    module, else ``ocirun.plan``.
    """
    return _imports(path, tree(path))


def type_imports(path: Path) -> list[tuple[int, str]]:
    """Those of `imports` that only type checkers see."""
    return [
        found
        for node in ast.walk(tree(path))
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for found in _imports(path, node)
    ]


def _imports(path: Path, below: ast.AST) -> list[tuple[int, str]]:
    package = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    found = []
    for node in ast.walk(below):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parent, base] if base else parent)
            found += [(node.lineno, _submodule(base, alias.name) or base) for alias in node.names]
    return found


def _submodule(base: str, name: str) -> str:
    if base.partition(".")[0] != "ocirun":
        return ""
    at = PACKAGE.parent.joinpath(*base.split("."), name)
    known = at.with_suffix(".py").exists() or (at / "__init__.py").exists() or name == "_native"
    return f"{base}.{name}" if known else ""
