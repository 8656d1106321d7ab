"""``ocirun explain``."""

from __future__ import annotations

from ocirun.cli.options import CREATE_OPTIONS, create_options
from ocirun.cli.output import out
from ocirun.cli.table import Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.call import Call

COMMAND = Command(
    "explain",
    arguments="[ID]",
    summary="show what `create` or `run` would do",
    description="""\
Prints the plan made from config.json of the bundle and the facts of this host: every operation in its order,
who does it, and the part of config.json it comes from. Nothing is changed, and no privilege is needed; but
the plan is the one for the user who asks.

The options are those of `create`, as they change the plan.""",
    options=(
        *CREATE_OPTIONS,
        Option("foreground", help="plan for `run` without --detach"),
        Option("json", help="print the plan as JSON"),
    ),
)


def execute(call: Call) -> int:
    """Print the plan."""
    from ocirun.container import explain as plan_of
    from ocirun.plan import render

    options = create_options(call, foreground=call.values.flag("foreground"))
    name = call.values.arguments[0] if call.values.arguments else "<id>"
    plan = plan_of(options.bundle, options=options, id=name, root=call.settings.root)
    text = render.json(plan) if call.values.flag("json") else render.text(plan)
    out(text if text.endswith("\n") else text + "\n")
    return 0
