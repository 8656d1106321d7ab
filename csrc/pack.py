"""Make a pack: the package's modules in one file, from which the command line imports them.

`csrc/start/importer.py` says what is in it; `csrc/build.py` calls this.  The code in a pack has no docstrings and no
``from __future__`` (a search for one more module); its annotations are as if that were there.
"""

from __future__ import annotations
import __future__

import ast
import importlib.util
import marshal
import struct
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType

IMPORTER = Path(__file__).resolve().parent / "start" / "importer.py"
# No command comes by these on its way to a container; the API's own modules are not the command line's.
COLD = (
    "ocirun.audit",
    "ocirun.cli.commands.bundle",
    "ocirun.cli.commands.check",
    "ocirun.cli.commands.completion",
    "ocirun.cli.completion",
    "ocirun.cli.help",
    "ocirun.cli.manual",
    "ocirun.cli.run_image",
    "ocirun.image",
)
API = ("ocirun.aio", "ocirun.runs")
# It would run the command line.
ENTRY = "ocirun.__main__"
# Compiled modules that are looked for by name.  Those that this interpreter has built in never get here.
COMPILED = (
    *("_bisect", "_cffi_backend", "_json", "_socket", "_struct", "fcntl", "ocirun._native", "resource", "select"),
    "termios",
)


class Module:
    """One module of a pack.

    name      its full name
    package   it is a package
    path      its file
    shown     the file's name as tracebacks show it
    """

    def __init__(self, name: str, path: Path, shown: str) -> None:
        self.name = name
        self.package = path.name == "__init__.py"
        self.path = path
        self.tree = bare(path.read_bytes(), shown)
        self.code = marshal.dumps(_compile(self.tree, shown))

    def imports(self) -> Iterator[str]:
        """Yield the names that it imports when it is imported itself; of ``from a import b`` both ``a`` and ``a.b``."""
        for node in self.tree.body:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    parents = self.name.split(".")
                    above = parents[: len(parents) - node.level + self.package]
                    base = ".".join([*above, base] if base else above)
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)


def make(package: Path, suffix: str, *, installed: bool) -> bytes:
    """Return the pack of a package directory.

    suffix      how the names of compiled modules end
    installed   for a place that is not known yet, whose files stay as they are
    """
    found = {}
    for path in sorted(package.rglob("*.py")):
        file = path.relative_to(package)
        name = ".".join([package.name, *file.with_suffix("").parts]).removesuffix(".__init__")
        if not name.startswith((*COLD, *API)) and name != ENTRY:
            found[name] = Module(name, path, f"{package.name}/{file}" if installed else str(path))
    # Of the standard library, but on the way of every command.
    found["struct"] = Module("struct", Path(struct.__file__), struct.__file__)

    modules: dict[str, tuple[bool, int, int, str, int, int, tuple[str, ...]]] = {}
    code = b""
    for name, module in found.items():
        own = module.path.is_relative_to(package)
        stat = module.path.stat()
        seen = (stat.st_size, stat.st_mtime_ns) if own and not installed else (-1, 0)
        shown = str(module.path.relative_to(package) if own else module.path)
        needs = tuple(_needs(name, found, {}))[:-1]
        modules[name] = (module.package, len(code), len(module.code), shown, *seen, needs)
        code += module.code
    importer = _compile(bare(IMPORTER.read_bytes(), IMPORTER.name), "ocirun/importer.py")
    head = marshal.dumps((importer, modules, tuple(modules), COMPILED, suffix, "" if installed else str(package)))
    return importlib.util.MAGIC_NUMBER + b"%08d" % len(head) + head + code


def _needs(name: str, found: dict[str, Module], done: dict[str, bool]) -> list[str]:
    """Return a module and those of the pack that must be there before it, in the order in which they can be run.

    done   for each module that has been met, whether it is complete by the end of the list
    """
    if name not in found or name in done:
        return []
    parent = name.rpartition(".")[0]
    done[name] = False
    order = _needs(parent, found, done)
    if not done.get(parent, True):
        # A package that imports its own modules: they are found while it runs.
        del done[name]
        return []
    for other in found[name].imports():
        order += _needs(other, found, done)
    done[name] = True
    return [*order, name]


def code_of(path: Path, shown: str) -> bytes:
    """Return the marshalled code of a file."""
    return marshal.dumps(_compile(bare(path.read_bytes(), shown), shown))


def bare(source: bytes, file: str) -> ast.Module:
    """Return the syntax tree of a module without ``from __future__``."""
    tree = ast.parse(source, file)
    tree.body = [node for node in tree.body if not (isinstance(node, ast.ImportFrom) and node.module == "__future__")]
    return tree


def _compile(tree: ast.Module, file: str) -> CodeType:
    flags = __future__.annotations.compiler_flag
    code: CodeType = compile(tree, file, "exec", flags, dont_inherit=True, optimize=2)
    return code
