"""``ocirun mounts``."""

from __future__ import annotations

from ocirun._base.jsonio import JsonError, dumps, loads
from ocirun.cli.commands.list import table
from ocirun.cli.document import read_document
from ocirun.cli.output import out, visible
from ocirun.cli.table import Command, Option, format_option
from ocirun.errors import ConfigError, Problem, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.call import Call

COMMAND = Command(
    "mounts",
    arguments="add|remove|list ID [FILE]",
    summary="add mounts to a running container, remove or list them",
    description="""\
add mounts what FILE describes in the created or running container ID, all of it or, if something fails, nothing.
FILE holds an array of mounts as config.json has them; - is standard input. Relative sources start at the bundle.
Mount points that are missing are made, and stay.

remove takes mounts off, the newest first. Of the mounts in FILE only the destinations count. A mount with another
one in it goes only together with that. Programs that have files of it open keep these.

list prints the mounts of the container: those of config.json, as add and remove have changed them. With --format
json that is an array that add and remove read.

With --explain add and remove print their plan, and change nothing.""",
    options=(
        Option("explain", help="show what would be done"),
        format_option("form of the list: table or json"),
    ),
)
_COLUMNS = ("destination", "type", "source", "options")


def execute(call: Call) -> int:
    """Change or list the mounts."""
    from ocirun.container import Container

    action, container_id, *files = call.values.arguments
    if action not in ("add", "remove", "list"):
        raise UsageError(f"mounts: {action!a} is none of add, remove, list")
    container = Container.load(container_id, root=call.settings.root)
    if action == "list":
        if files or call.values.flag("explain"):
            raise UsageError("mounts list: takes an ID, and nothing else")
        _list(call, container.mounts())
        return 0
    if not files:
        raise UsageError(f"mounts {action}: no FILE, which - would be for standard input")
    source = "standard input" if files[0] == "-" else files[0]
    try:
        wanted = loads(read_document(files[0], "FILE"))
    except JsonError as error:
        raise ConfigError([Problem("", str(error))], path=source) from None
    adds = action == "add"
    if call.values.flag("explain"):
        from ocirun.plan import render

        plan = container.explain_mounts(wanted, adds=adds, source=source)
        out("".join(render.lines(plan, 0)))
        return 0
    for warning in (container.mount if adds else container.unmount)(wanted, source=source):
        call.warn(warning)
    return 0


def _list(call: Call, mounts: list[dict[str, object]]) -> None:
    if call.values.text("format") == "json":
        out(dumps(mounts) + "\n")
        return
    rows = [[_cell(mount.get(name)) for name in _COLUMNS] for mount in mounts]
    out(table([[name.upper() for name in _COLUMNS], *rows]))


def _cell(value: object) -> str:
    return visible((",".join(map(str, value)) if isinstance(value, list) else str(value or "")) or "-")
