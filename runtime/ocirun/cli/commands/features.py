"""``ocirun features``."""

from __future__ import annotations

from ocirun._base.jsonio import dumps_pretty
from ocirun.cli.output import out
from ocirun.cli.table import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.call import Call

COMMAND = Command(
    "features",
    summary="print what ocirun can do",
    description="""\
Prints the features document of the runtime specification: the versions, hooks, mount options, namespaces,
capabilities and the rest that a config.json may ask for. It tells what ocirun can do, whatever this host can.""",
)


def execute(call: Call) -> int:
    """Print the document."""
    del call
    from ocirun.features import features

    out(dumps_pretty(features()) + "\n")
    return 0
