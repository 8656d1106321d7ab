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
import sysconfig
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType

IMPORTER = Path(__file__).resolve().parent / "start" / "importer.py"
# No command comes by these on its way to a container.
COLD = ("ocirun.audit.", "ocirun.cli.check", "ocirun.cli.completion", "ocirun.cli.help", "ocirun.cli.manual")
# Compiled modules that are looked for by name.  Those that this interpreter has built in never get here.
COMPILED = (
    *("_bisect", "_cffi_backend", "_json", "_socket", "_struct", "fcntl", "ocirun._native", "resource", "select"),
    "termios",
)


def make(package: Path, *, installed: bool) -> bytes:
    """The pack of a package directory.

    installed   for a place that is not known yet, whose files stay as they are
    """
    modules: dict[str, tuple[bool, int, int, str, int, int]] = {}
    code = b""
    for path in sorted(package.rglob("*.py")):
        file = path.relative_to(package)
        name = ".".join([package.name, *file.with_suffix("").parts])
        if name.startswith(COLD):
            continue
        shown = f"{package.name}/{file}" if installed else str(path)
        part = marshal.dumps(compiled(path.read_bytes(), shown))
        stat = path.stat()
        seen = (-1, 0) if installed else (stat.st_size, stat.st_mtime_ns)
        modules[name.removesuffix(".__init__")] = (file.name == "__init__.py", len(code), len(part), str(file), *seen)
        code += part
    # A module of the standard library, but on the way of every command.
    part = marshal.dumps(compiled(Path(struct.__file__).read_bytes(), struct.__file__))
    modules["struct"] = (False, len(code), len(part), struct.__file__, -1, 0)
    code += part
    importer = compiled(IMPORTER.read_bytes(), "ocirun/importer.py")
    suffix: str = sysconfig.get_config_var("EXT_SUFFIX")
    head = marshal.dumps((importer, modules, COMPILED, suffix, "" if installed else str(package)))
    return importlib.util.MAGIC_NUMBER + b"%08d" % len(head) + head + code


def compiled(source: bytes, file: str) -> CodeType:
    """The code of a module, less what only readers and other tools need."""
    flags = __future__.annotations.compiler_flag
    code: CodeType = compile(bare(source, file), file, "exec", flags, dont_inherit=True, optimize=2)
    return code


def bare(source: bytes, file: str) -> ast.Module:
    """The syntax tree of a module without ``from __future__``."""
    tree = ast.parse(source, file)
    tree.body = [node for node in tree.body if not (isinstance(node, ast.ImportFrom) and node.module == "__future__")]
    return tree
