"""``ocirun list``."""

from __future__ import annotations

from ocirun._base.jsonio import dumps
from ocirun.cli.output import out, visible
from ocirun.cli.table import Command, Option, format_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.call import Call

COMMAND = Command(
    "list",
    summary="list the containers",
    description="""\
Lists the containers below the state root, also those that have stopped.
A root that --root names must exist; the default one need not.""",
    options=(
        format_option("table, or json for an array of the objects that `state` prints"),
        Option("quiet", "q", help="print the ids only, also those of damaged containers"),
    ),
)

_COLUMNS = ("id", "pid", "status", "bundle", "created", "owner")

# The widths of runc's table, which scripts cut by position.
_CELL_MIN = 12
_CELL_GAP = 3


def execute(call: Call) -> int:
    """Print the list."""
    root, must_exist = call.settings.root, "root" in call.given.given
    if call.values.flag("quiet"):
        from ocirun.containers import list_ids

        out("".join(f"{container_id}\n" for container_id in list_ids(root, must_exist=must_exist)))
        return 0
    from ocirun.containers import list_states

    states = list_states(root, warn=call.warn, must_exist=must_exist)
    if call.values.text("format") == "json":
        out(dumps(states) + "\n")
    else:
        rows = [[str(state.get(name, "")) for name in _COLUMNS] for state in states]
        if not all("".join(row).isprintable() for row in rows):
            rows = [list(map(visible, row)) for row in rows]
        out(table([[name.upper() for name in _COLUMNS], *rows]))
    return 0


def table(rows: list[list[str]]) -> str:
    """Return rows in aligned columns; the last column is not filled up."""
    widths = [max(_CELL_MIN, max(map(len, column)) + _CELL_GAP) for column in zip(*rows, strict=True)]
    line = "".join([f"%-{width}s" for width in widths[:-1]]) + "%s\n"
    return "".join([line % tuple(row) for row in rows])
