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
program ocirun executes that file, which takes about a third of the time of starting Python. The file takes some 20 MiB.
Only its owner can use it; for other users Python is started.

Nobody has to call this. If a command finds no such file, or one that does not fit any more, it has the file made
after its own work, by a process of the lowest priority. It does so only if nobody but its caller can write there:
the package's directory belongs to the caller, others can write neither to it nor to those above, and 64 MiB are
left. After a failed attempt, or after the making of a file, ten minutes pass until the next attempt. `ocirun
--version` tells if ocirun is preloaded, and if not, why. With OCIRUN_PRELOAD=no in its environment a command makes
nothing.

The file is used as long as its libraries and modules are unchanged, the processor is of the same kind, and the
caller's limits (ulimit -v, ulimit -d) leave room for it. A preloaded interpreter has the same addresses and hash
seed each time.""",
    options=(
        Option("force", help="make it anew, even if there is one that fits"),
        Option(
            "remove", help="remove it; commands start Python until `ocirun preload` is called, or the package updated"
        ),
        Option("background", help="make it as commands do: silently, with the lowest priority, or not at all"),
    ),
)


def execute(call: Call) -> int:
    """Make or remove the file."""
    from ocirun.preload import interpreter, missing

    place = interpreter.Place()
    path = place.file(interpreter.PRELOADED)
    if call.values.flag("remove"):
        out(f"removed {path}\n" if interpreter.remove(place) else f"there is no {path}\n")
    elif call.values.flag("background"):
        if not place.current:
            missing.make_idly(place)
    elif place.current and not call.values.flag("force"):
        out(f"{path} is there and fits\n")
    else:
        size = interpreter.make_preloaded(place)
        out(f"made {path}, {size >> 20} MiB\n")
    return 0
