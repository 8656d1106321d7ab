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
    instead="orphans",
    summary="remove a container that is not running",
    description="""\
Removes what is left of the container ID: its cgroups, its mounts and its saved state. A container that was
created but never started is killed first, unless --if-stopped is given; one that runs is refused.

With --regex ID is a regular expression in the form of Python's module re, and every container is removed whose id
holds a match: `^web-` those whose ids begin so. It is no error if there is none.

With --orphans and without ID it removes the containers of runs from Python whose process is gone, and prints
their ids.""",
    options=(
        Option("force", "f", help="kill the container first (SIGKILL) if it runs; no error if there is none"),
        Option("if-stopped", help="refuse a container that was never started, too, as the OCI specification asks"),
        Option("regex", "r", help="take ID for a regular expression, and remove all containers that match"),
        Option("orphans", help="remove what processes that called the Python API and are gone have left"),
    ),
)


def execute(call: Call) -> int:
    """Delete the container."""
    force, if_stopped = call.values.flag("force"), call.values.flag("if-stopped")
    if call.values.flag("orphans"):
        return _orphans(call, alone=not (force or if_stopped or call.values.flag("regex")))
    if force and if_stopped:
        raise UsageError("delete: --force and --if-stopped contradict each other")
    from ocirun.containers import delete

    def remove(container_id: str) -> None:
        for warning in delete(container_id, root=call.settings.root, force=force, if_stopped=if_stopped) or ():
            call.warn(warning)

    if call.values.flag("regex"):
        from ocirun.cli.matching import each

        return each(call, remove)
    remove(call.id)
    return 0


def _orphans(call: Call, *, alone: bool) -> int:
    if not alone:
        raise UsageError("delete: --orphans takes no other option")
    from ocirun.cli.output import out
    from ocirun.containers import cleanup

    left: list[str] = []
    removed = cleanup(call.settings.root, warn=left.append)
    out("".join(f"{container_id}\n" for container_id in removed))
    for line in left:
        call.warn(line)
    return 1 if left else 0
