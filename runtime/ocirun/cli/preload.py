"""``ocirun preload``."""

from __future__ import annotations

from ocirun.cli.output import out
from ocirun.cli.table import Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.call import Call

COMMAND = Command(
    "preload",
    summary="make all commands start in a third of the time",
    description="""\
Writes a started interpreter, with the modules that the commands need, to a file beside the package. From then on the
program ocirun executes that file, which takes about a third of the time of starting Python. Call it once after an
installation, as its owner; the file takes some 20 MiB. It is for its owner alone; for other users Python is started.

The file is used as long as the libraries and modules that it was made from are unchanged, the processor is of the same
kind, and the caller's limits (ulimit -v, ulimit -d) leave room for it. After an update it is passed over, until it is
made anew. A preloaded interpreter has the same addresses and hash seed each time it runs.""",
    options=(
        Option("force", help="make it anew, even if there is one that fits"),
        Option("remove", help="remove it; commands start Python again"),
    ),
)


def execute(call: Call) -> int:
    """Make or remove the file."""
    from ocirun import preloading

    place = preloading.Place()
    path = place.file(preloading.PRELOADED)
    if call.values.flag("remove"):
        out(f"removed {path}\n" if preloading.remove(place) else f"there is no {path}\n")
    elif place.current and not call.values.flag("force"):
        out(f"{path} is there and fits\n")
    else:
        size = preloading.make(place)
        out(f"made {path}, {size >> 20} MiB\n")
    return 0
