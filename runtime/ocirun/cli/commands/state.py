"""``ocirun state``."""

from __future__ import annotations

from ocirun._base.jsonio import dumps_pretty
from ocirun.cli.output import out
from ocirun.cli.table import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.call import Call

COMMAND = Command(
    "state",
    arguments="ID",
    summary="print the state of a container",
    description="""\
Prints the state of the container ID as the JSON object that the runtime specification defines. Its status is
creating, created, running, paused or stopped. While it is creating, `operation` names the operation of the plan that is
under way, with its number and its place in config.json. Of a stopped one `usage` tells why it may have stopped: the
memory peak in bytes, how many processes the kernel killed for lack of memory, processor seconds, the peak of processes
and threads, as far as the host counts them.""",
)


def execute(call: Call) -> int:
    """Print the state."""
    from ocirun.container import Container

    out(dumps_pretty(Container.load(call.id, root=call.settings.root).state()) + "\n")
    return 0
