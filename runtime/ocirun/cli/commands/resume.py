"""``ocirun resume``."""

from __future__ import annotations

from ocirun.cli.table import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.call import Call

COMMAND = Command(
    "resume",
    arguments="ID",
    summary="let a paused container go on",
    description="""\
Thaws the processes of the container ID, which `pause` has frozen.""",
)


def execute(call: Call) -> int:
    """Resume the container."""
    from ocirun.container import Container

    Container.load(call.id, root=call.settings.root).resume()
    return 0
