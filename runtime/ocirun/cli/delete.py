"""``ocirun delete``."""

from __future__ import annotations

from ocirun.cli.table import Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.call import Call

COMMAND = Command(
    "delete",
    arguments="ID",
    summary="remove a container that is not running",
    description="""\
Removes what is left of the container ID: its cgroups, its mounts and its saved state. A container that was
created but never started is killed first; one that runs is refused.""",
    options=(Option("force", "f", help="kill the container first (SIGKILL) if it runs; no error if there is none"),),
)


def execute(call: Call) -> int:
    """Delete the container."""
    from ocirun.container import delete

    for warning in delete(call.id, root=call.settings.root, force=call.values.flag("force")) or ():
        call.warn(warning)
    return 0
