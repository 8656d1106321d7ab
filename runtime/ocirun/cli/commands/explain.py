"""``ocirun explain``."""

from __future__ import annotations

import os
from errno import EINVAL, ENOTTY

from ocirun._base.jsonio import dumps_pretty
from ocirun._base.rights import privileged
from ocirun.cli.options import CREATE_OPTIONS, create_options
from ocirun.cli.output import out, visible
from ocirun.cli.table import TEXT, Command, Option
from ocirun.errors import OcirunError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.call import Call

COMMAND = Command(
    "explain",
    arguments="[ID]",
    summary="show what `create` or `run` would do",
    description="""\
Prints the plan made from config.json of the bundle and the facts of this host: every operation in its order,
who does it, and the part of config.json it comes from. Nothing is changed, and no privilege is needed. The plan
is for the user who calls this; where that user would be refused, the first line says why, and the plan is for
root. With --short each part of the plan has a few lines.

With --host-facts the plan is for another host, the one where --print-host-facts has written FILE. It shows the
cgroups, their files and values, or the properties of systemd's unit, as they would be there. Of the bundle
only config.json is read, on this host.

The options are those of `create`, as they change the plan.""",
    options=(
        *CREATE_OPTIONS,
        Option("foreground", help="plan for `run` without --detach"),
        Option("short", help="a summary that fits on a screen"),
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
    root = call.settings.root
    refused = ""
    try:
        plan = plan_of(options.bundle, options=options, id=name, root=root, where=where)
    except UnsupportedError as error:
        if where is not None or privileged():
            raise
        refused = error.line()
        from ocirun.hostfacts import of_root

        try:
            plan = plan_of(options.bundle, options=options, id=name, root=root, where=of_root())
        except OcirunError:
            raise error from None  # root would be refused too
    if call.values.flag("json"):
        out(render.json(plan, refused))
        return 0
    columns = _columns()
    if refused:
        out(render.fitted(f"Refused for uid {os.geteuid()}: {visible(refused)}\n", 4, columns))
        out("For root the plan is:\n")
    held: list[str] = []
    show = render.short if call.values.flag("short") else render.lines
    for number, line in enumerate(show(plan, columns), start=1):
        held.append(line)
        if number % 4096 == 0:
            out("".join(held))
            held.clear()
    out("".join(held))
    return 0


def _columns() -> int:
    """Return how many columns the terminal has to which is printed; 0 for another kind of file."""
    try:
        return os.get_terminal_size(1).columns
    except OSError as error:
        if error.errno not in (ENOTTY, EINVAL):
            raise
        return 0
