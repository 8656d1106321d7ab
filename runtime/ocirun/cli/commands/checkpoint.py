"""``ocirun checkpoint``."""

from __future__ import annotations

from ocirun.cli.criu_options import COMMON, common
from ocirun.cli.table import NUMBER, TEXT, Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.call import Call

COMMAND = Command(
    "checkpoint",
    arguments="ID",
    summary="save the processes of a container to files",
    description="""\
Saves all processes of the container ID, running or paused, by the program criu: `restore` makes them again,
here or on another machine. The container is gone after that, unless --leave-running is given.

The root file system is not saved. If standard streams are pipes, `restore` connects them anew.""",
    options=(
        *COMMON,
        Option("leave-running", help="let the container go on"),
        Option("pre-dump", help="save the memory alone, and let the container go on; `--parent-path` refers to it"),
        Option(
            "parent-path",
            kind=TEXT,
            metavar="DIR",
            help="images of an earlier pre-dump, as a path from the new ones",
        ),
        Option("page-server", kind=TEXT, metavar="ADDRESS:PORT", help="send the memory to a `criu page-server`"),
        Option(
            "status-fd",
            kind=NUMBER,
            metavar="FD",
            default=-1,
            help="write a zero byte to the descriptor FD when lazy pages can be asked for",
            shown="none",
        ),
        Option("tcp-skip-in-flight", help="leave out TCP connections that are not established yet"),
    ),
)


def execute(call: Call) -> int:
    """Save the container."""
    from ocirun.container import CheckpointOptions, Container

    values = call.values
    options = CheckpointOptions(
        leave_running=values.flag("leave-running"),
        pre_dump=values.flag("pre-dump"),
        parent_path=values.text("parent-path"),
        page_server=values.text("page-server"),
        status_fd=values.number("status-fd"),
        tcp_skip_in_flight=values.flag("tcp-skip-in-flight"),
        **common(call),
    )
    for warning in Container.load(call.id, root=call.settings.root).checkpoint(options):
        call.warn(warning)
    return 0
