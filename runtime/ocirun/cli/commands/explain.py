"""``ocirun explain``."""

from __future__ import annotations

from ocirun._base.jsonio import dumps_pretty
from ocirun.cli.options import CREATE_OPTIONS, create_options
from ocirun.cli.output import out
from ocirun.cli.table import TEXT, Command, Option

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
the plan is for the user who calls this.

With --host-facts the plan is for another host, the one where --print-host-facts has written FILE. It shows the
cgroups, their files and values, or the properties of systemd's unit, as they would be there. Of the bundle
only config.json is read, on this host.

The options are those of `create`, as they change the plan.""",
    options=(
        *CREATE_OPTIONS,
        Option("foreground", help="plan for `run` without --detach"),
        Option("json", help="print the plan as JSON"),
        Option("host-facts", kind=TEXT, metavar="FILE", help="plan for the host that these facts are of"),
        Option("print-host-facts", help="print the facts of this host as JSON, and nothing else"),
    ),
)


def execute(call: Call) -> int:
    """Print the plan."""
    import gc

    # One plan and the end: in a large one the collector takes half of the time, and finds nothing.
    gc.disable()
    from ocirun.container import explain as plan_of
    from ocirun.plan import render

    if call.values.flag("print-host-facts"):
        from ocirun.hostfacts import gather

        out(dumps_pretty(gather()) + "\n")
        return 0
    where = None
    if call.values.text("host-facts"):
        from ocirun.hostfacts import read

        where = read(call.values.text("host-facts"))
    options = create_options(call, foreground=call.values.flag("foreground"))
    name = call.values.arguments[0] if call.values.arguments else "<id>"
    plan = plan_of(options.bundle, options=options, id=name, root=call.settings.root, where=where)
    if call.values.flag("json"):
        out(render.json(plan))
        return 0
    held: list[str] = []
    for number, line in enumerate(render.lines(plan), start=1):
        held.append(line)
        if number % 4096 == 0:
            out("".join(held))
            held.clear()
    out("".join(held))
    return 0
