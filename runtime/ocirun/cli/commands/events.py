"""``ocirun events``."""

from __future__ import annotations

from ocirun._base.jsonio import dumps
from ocirun.cli.output import out
from ocirun.cli.quantities import duration
from ocirun.cli.table import TEXT, Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.call import Call

COMMAND = Command(
    "events",
    arguments="ID",
    summary="report what a container uses, and when its memory runs out",
    description="""\
Prints events of the container ID, each a JSON object on a line of its own, until the container stops. An event
has a type, the id of the container, and data. The type is stats for what the container uses of CPU, memory,
processes, block devices and huge pages, or oom when a process could not get memory within the limit.

Times are in nanoseconds, sizes in bytes.""",
    options=(
        Option(
            "interval",
            kind=TEXT,
            metavar="TIME",
            default="5s",
            help="time between two stats events, such as 500ms or 1m30s",
        ),
        Option("stats", help="print one stats event at once, and nothing else"),
    ),
)


def execute(call: Call) -> int:
    """Print events."""
    from ocirun.container import Container

    interval = duration(call.values.text("interval"), option="interval")
    container = Container.load(call.id, root=call.settings.root)
    if call.values.flag("stats"):
        out(dumps({"type": "stats", "id": container.id, "data": container.stats()}) + "\n")
        return 0
    for event in container.watch(interval / 1e9):
        out(dumps(event) + "\n")
    return 0
