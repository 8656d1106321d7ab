"""The header with the operations and their arguments, from the list that Python has; `csrc/build.py` calls this."""

from __future__ import annotations

import runpy
from pathlib import Path

OPS = Path(__file__).resolve().parents[1] / "runtime" / "ocirun" / "plan" / "ops.py"

# Kinds that take two words, place and length or count; see `_arguments` in plan/encode.py.
_SECOND_WORD = {"bytes": "length", "made": "length", "gids": "count"}

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Fields = tuple[tuple[str, str], ...]


def init_operations() -> str:
    """Return ``operations.h``: what the helper runs."""
    # By its path: the package would want its compiled parts.
    return header("OCIRUN_OPS", runpy.run_path(str(OPS))["INIT_OPS"])


def host_operations() -> str:
    """Return ``host_operations.h``: what the runtime runs."""
    return header("OCIRUN_HOST_OPS", runpy.run_path(str(OPS))["HOST_CALLS"])


def header(macro: str, table: Mapping[str, tuple[int, Fields]]) -> str:
    """Return a header with the list of a table as the macro `macro`,
    and a structure for the arguments of each operation.

    table   number and arguments (name, kind) of each operation by its name
    """
    # By number, as the enumeration made of the macro ends one above its last row.
    ops = sorted((number, name, fields) for name, (number, fields) in table.items())
    rows = [f"\t{'X' if fields else 'X0'}({number}, {name})" for number, name, fields in ops]
    parts = [
        "/* Made by csrc/build.py from runtime/ocirun/plan/ops.py. */",
        f"#ifndef {macro}_TABLE_H\n#define {macro}_TABLE_H\n\n#include <stdint.h>\n",
        "/* X for an operation with arguments, X0 for one without: number, name. */",
        " \\\n".join([f"#define {macro}(X, X0)", *rows]) + "\n",
        *(_structure(name, fields) for _, name, fields in ops if fields),
        "#endif\n",
    ]
    return "\n".join(parts)


def _structure(name: str, fields: Fields) -> str:
    words = []
    for field, kind in fields:
        words.append(f"\tuint64_t {field}; /* {kind} */\n")
        if second := _SECOND_WORD.get(kind):
            words.append(f"\tuint64_t {field}_{second};\n")
    return f"struct {name}_args {{\n{''.join(words)}}};\n"
