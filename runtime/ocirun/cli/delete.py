"""``ocirun delete``."""

from __future__ import annotations

from ocirun.cli.table import Command, Option
from ocirun.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.call import Call

COMMAND = Command(
    "delete",
    arguments="ID",
    summary="remove a container that is not running",
    description="""\
Removes what is left of the container ID: its cgroups, its mounts and its saved state. A container that was
created but never started is killed first, unless --if-stopped is given; one that runs is refused.""",
    options=(
        Option("force", "f", help="kill the container first (SIGKILL) if it runs; no error if there is none"),
        Option("if-stopped", help="refuse a container that was never started, too, as the OCI specification asks"),
    ),
)


def execute(call: Call) -> int:
    """Delete the container."""
    from ocirun.container import delete

    force, if_stopped = call.values.flag("force"), call.values.flag("if-stopped")
    if force and if_stopped:
        raise UsageError("delete: --force and --if-stopped contradict each other")
    for warning in delete(call.id, root=call.settings.root, force=force, if_stopped=if_stopped) or ():
        call.warn(warning)
    return 0
