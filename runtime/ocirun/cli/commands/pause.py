"""``ocirun pause``."""

from __future__ import annotations

from ocirun.cli.table import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.call import Call

COMMAND = Command(
    "pause",
    arguments="ID",
    summary="stop all processes of a container for a while",
    description="""\
Freezes every process of the container ID by way of its cgroup. They keep their memory and go on after
`resume`.""",
)


def execute(call: Call) -> int:
    """Pause the container."""
    from ocirun.container import Container

    Container.load(call.id, root=call.settings.root).pause()
    return 0
