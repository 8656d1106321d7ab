"""``ocirun explain``."""

from __future__ import annotations

import os
from errno import EINVAL, ENOTTY

from ocirun._base.jsonio import dumps_pretty
from ocirun._base.rights import privileged
from ocirun.cli.commands.exec import COMMAND as EXEC
from ocirun.cli.options import CREATE_OPTIONS, LEARN_REFUSE, create_options
from ocirun.cli.output import out, visible
from ocirun.cli.table import HELP, TEXT, Command, Option
from ocirun.errors import OcirunError, UnsupportedError, UsageError, option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from ocirun.cli.call import Call

_OF_BOTH = frozenset(one.names[0] for one in CREATE_OPTIONS) & frozenset(one.names[0] for one in EXEC.options)
_OF_CREATE = (
    "bundle",
    "config",
    "no-pivot",
    "init",
    "no-new-keyring",
    "foreground",
    "learn",
    "learn-refuse",
    "host-facts",
    "diff",
)
_OF_EXEC = tuple(
    one.with_help(f"with --exec: {one.help}")
    for one in EXEC.options
    if one is not HELP and one.names[0] not in _OF_BOTH
)

COMMAND = Command(
    "explain",
    arguments="[ID]",
    summary="show what `create`, `run` or `exec` would do",
    description="""\
Prints the plan made from config.json of the bundle and the facts of this host: every operation in its order,
who does it, and the part of config.json it comes from. Nothing is changed, and no privilege is needed. The plan
is for the user who calls this; where that user would be refused, the first line says why, and the plan is for
root. With --short each part of the plan has a few lines.

With --exec the plan is that of `ocirun exec`: its options and the COMMAND follow. The numbers of the operations
are those that an error of `exec` names.

With --diff the output is what the plan of another bundle, or of another config file for the same bundle, does
differently: operations that only one plan has, that have other arguments, or another place. The exit status is
that of diff(1): 0 if the plans do the same, 1 if not, 2 after an error.

With --host-facts the plan is for another host, the one where --print-host-facts has written FILE. It shows the
cgroups, their files and values, or the properties of systemd's unit, as they would be there. Of the bundle
only config.json is read, on this host.

The options are those of `create`, as they change the plan.""",
    options=(
        *CREATE_OPTIONS,
        Option("foreground", help="plan for `run` without --detach"),
        Option("learn", help="plan for `run --learn`"),
        LEARN_REFUSE,
        Option("short", help="a summary that fits on a screen"),
        Option("json", help="print the plan as JSON"),
        Option("host-facts", kind=TEXT, metavar="FILE", help="plan for the host that these facts are of"),
        Option("capsule", kind=TEXT, metavar="FILE", help="show what a file that --capsule has left tells"),
        Option("print-host-facts", help="print the facts of this host as JSON, and nothing else"),
        Option("exec", kind=TEXT, metavar="ID", help="plan for `exec` in the container ID; what follows is as there"),
        Option(
            "diff",
            kind=TEXT,
            metavar="BUNDLE",
            help="show what the plan of BUNDLE, or of a config file, does differently",
        ),
        *_OF_EXEC,
    ),
    program="exec",
    answer="diff",
)


def execute(call: Call) -> int:
    """Print the plan."""
    import gc

    # One plan and the end: in a large one the collector takes half of the time, and finds nothing.
    gc.disable()
    if call.values.flag("print-host-facts"):
        from ocirun.hostfacts import gather

        out(dumps_pretty(gather()) + "\n")
        return 0
    if "capsule" in call.values.given:
        from ocirun import capsule

        # It may come from anybody: nothing in it is for the terminal.
        told = capsule.told(call.values.text("capsule"), _columns())
        out("".join(f"{visible(line)}\n" for line in told.splitlines()))
        return 0
    if "exec" in call.values.given:
        _refuse_beside(call, "exec", _OF_CREATE)
        _print(call, _plan_of_exec(call), "")
        return 0
    _refuse_without_exec(call)
    if "diff" in call.values.given:
        _refuse_beside(call, "diff", ("short",))
        return _compare(call)
    _print(call, *_plan_of_create(call))
    return 0


def _refuse_beside(call: Call, one: str, others: tuple[str, ...]) -> None:
    """Raise UsageError for an option that has no meaning beside another one."""
    for name in others:
        if name in call.values.given:
            raise UsageError(f"explain: {option(name)} cannot go with {option(one)}")


def _refuse_without_exec(call: Call) -> None:
    for one in _OF_EXEC:
        if one.names[0] in call.values.given or one.names[0] in call.values.lists:
            raise UsageError(f"explain: {option(one.names[0])} needs {option('exec', 'ID')}")


def _plan_of_exec(call: Call) -> Any:
    from ocirun.cli.commands.exec import described, exec_options
    from ocirun.container import Container

    container = Container.load(call.values.text("exec"), root=call.settings.root)
    return container.explain_exec(described(call, container, call.values.arguments), exec_options(call))


def _plan_of_create(call: Call) -> tuple[Any, str]:
    from ocirun.container import explain

    return _for_caller(call, explain)


def _compare(call: Call) -> int:
    from ocirun.container import compare

    other = call.values.text("diff")
    if not other:
        raise UsageError("explain: --diff: the path is empty")
    found, refused = _for_caller(call, lambda bundle, **how: compare(bundle, other, **how))
    if call.values.flag("json"):
        out(found.json(refused))
    else:
        columns = _columns()
        _tell_refused(refused, columns)
        _out(found.lines(columns))
    return 1 if found else 0


def _for_caller(call: Call, planned: Callable[..., Any]) -> tuple[Any, str]:
    """Return what is planned, and why the caller would be refused where it is root's."""
    where = None
    if call.values.text("host-facts"):
        from ocirun.hostfacts import read

        where = read(call.values.text("host-facts"))
    options = create_options(call, foreground=call.values.flag("foreground") or call.values.flag("learn"))
    name = call.values.arguments[0] if call.values.arguments else "<id>"
    root = call.settings.root
    try:
        return planned(options.bundle, options=options, id=name, root=root, where=where), ""
    except UnsupportedError as error:
        if where is not None or privileged():
            raise
        from ocirun.hostfacts import of_root

        try:
            return planned(options.bundle, options=options, id=name, root=root, where=of_root()), error.line()
        except OcirunError:
            raise error from None  # root would be refused too


def _print(call: Call, plan: Any, refused: str) -> None:
    from ocirun.plan import render

    if call.values.flag("json"):
        out(render.json(plan, refused))
        return
    columns = _columns()
    _tell_refused(refused, columns)
    show = render.short if call.values.flag("short") else render.lines
    _out(show(plan, columns))


def _tell_refused(refused: str, columns: int) -> None:
    if refused:
        from ocirun.plan import render

        out(render.fitted(f"Refused for uid {os.geteuid()}: {visible(refused)}\n", 4, columns))
        out("For root the plan is:\n")


def _out(lines: Iterator[str]) -> None:
    held: list[str] = []
    for number, line in enumerate(lines, start=1):
        held.append(line)
        if number % 4096 == 0:
            out("".join(held))
            held.clear()
    out("".join(held))


def _columns() -> int:
    """Return how many columns the terminal has to which is printed; 0 for another kind of file."""
    try:
        return os.get_terminal_size(1).columns
    except OSError as error:
        if error.errno not in (ENOTTY, EINVAL):
            raise
        return 0
