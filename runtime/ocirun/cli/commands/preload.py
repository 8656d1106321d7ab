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
It is for its owner alone; for other users Python is started.

Nobody has to call this: a command that finds no such file, or one that does not fit any more, has it made after its own
work, by a process of the lowest priority. It does so where only its caller can write: the package's directory is the
caller's own, neither it nor one above it can be written by others, and it has 64 MiB left. An attempt that fails, and a
file that no longer fits ten minutes after it was made, are left alone until these are over. `ocirun --version` says
whether it is preloaded, and if not, why. With OCIRUN_PRELOAD=no in its environment a command makes nothing.

The file is used as long as the libraries and modules that it was made from are unchanged, the processor is of the same
kind, and the caller's limits (ulimit -v, ulimit -d) leave room for it. A preloaded interpreter has the same addresses
and hash seed each time it runs.""",
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
