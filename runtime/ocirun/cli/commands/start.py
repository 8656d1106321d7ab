"""``ocirun start``."""

from __future__ import annotations

from ocirun.cli.table import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.call import Call

COMMAND = Command(
    "start",
    arguments="ID",
    summary="run the program of a created container",
    description="""\
Lets the container ID, which `create` has set up, run the program of config.json.""",
)


def execute(call: Call) -> int:
    """Start the container."""
    from ocirun.container import Container

    Container.load(call.id, root=call.settings.root).start()
    return 0
