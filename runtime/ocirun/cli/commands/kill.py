"""``ocirun kill``."""

from __future__ import annotations

from ocirun._base import signals
from ocirun.cli.table import TEXT, Command, Option
from ocirun.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.call import Call

COMMAND = Command(
    "kill",
    arguments="ID [SIGNAL]",
    summary="send a signal to a container",
    description="""\
Sends SIGNAL to the first process of the container ID. Without SIGNAL it sends the one that the annotation
org.opencontainers.image.stopSignal of config.json names, or TERM. SIGNAL is a number or a name, with or without
SIG, in upper or lower case: 9, KILL, sigterm, RTMIN+3. The number 0 sends nothing and only checks that the process
exists. Before `start`, HUP, INT, QUIT, TERM and the signals of faults end the container.

With --regex ID is a regular expression in the form of Python's module re, and the signal goes to every container
whose id holds a match: `^web-` to those whose ids begin so. It is no error if there is none.""",
    options=(
        Option("all", "a", help="send it to every process of the container"),
        Option("regex", "r", help="take ID for a regular expression, and send it to all containers that match"),
        Option("signal", kind=TEXT, metavar="SIGNAL", help="another way to give SIGNAL"),
    ),
)


def execute(call: Call) -> int:
    """Send the signal."""
    from ocirun.container import Container

    given = call.values.arguments[1:]
    if "signal" in call.values.given:
        given.append(call.values.text("signal"))
    if len(given) > 1:
        raise UsageError("kill: the signal is given twice")
    everybody = call.values.flag("all")
    if call.values.flag("regex"):
        from ocirun.cli.matching import each

        signal = signals.parse(given[0]) if given else None
        return each(call, lambda name: Container.load(name, root=call.settings.root).kill(signal, all=everybody))
    # The container comes first: engines take "does not exist" for an answer, but not a word about the signal.
    container = Container.load(call.id, root=call.settings.root)
    container.kill(signals.parse(given[0]) if given else None, all=everybody)
    return 0
