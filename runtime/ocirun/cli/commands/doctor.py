"""``ocirun doctor``."""

from __future__ import annotations

from ocirun._base.jsonio import dumps
from ocirun.cli.output import out, visible
from ocirun.cli.table import Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.call import Call
    from ocirun.doctor.check import Check
    from ocirun.doctor.host import Report

COMMAND = Command(
    "doctor",
    summary="tell what this host allows, and how to mend what it refuses",
    description="""\
Tries what a container needs, each thing for itself, in processes that are thrown away: namespaces, alone and
together with a user namespace, id maps, mounts, the change of root, a terminal; and looks at cgroups, seccomp,
criu, the state root and the preloaded interpreter. Nothing of the host is changed. Any user may call it, and
the answers are those for that user.

Each answer is `ok`, `refused` with what refused it and the command that mends it, or `untried` where something
before it is refused. MISSING stands for what is not ok and needed by what `ocirun spec` writes, for an ordinary
user with --rootless.

The exit status is 0 if nothing is missing, 1 if something is, and 2 if that could not be found out.""",
    options=(Option("json", help="print the answers as a JSON object"),),
    failure=2,
)

_HEADINGS = {
    "base": "Processes",
    "namespaces": "Namespaces",
    "with a user namespace": "Namespaces, together with a user namespace",
    "ids": "Ids in a user namespace",
    "mounts": "Mounts",
    "mounts in a user namespace": "Mounts in a user namespace",
    "cgroups": "Cgroups",
    "rest": "The rest",
}
_MARGIN = " " * 11


def execute(call: Call) -> int:
    """Print the answers; 1 if something is missing."""
    from ocirun.doctor.host import examine
    from ocirun.preload import missing

    report = examine(call.settings.root, criu=call.given.text("criu"), preloaded=missing.told(call.start))
    out(dumps(report.record()) + "\n" if call.values.flag("json") else text(report, "a plain `run`"))
    return 1 if report.missing() else 0


def text(report: Report, what: str) -> str:
    """Return the answers for people; `what` is that which needs what is missing."""
    parts = []
    for group, heading in _HEADINGS.items():
        rows = [check for check in report.checks if check.group == group]
        if rows:
            parts.append(f"{heading}\n" + "".join(map(_row, _short(rows))))
    missing = len(report.missing())
    verdict = (
        "nothing is missing" if not missing else f"{missing} {'thing is' if missing == 1 else 'things are'} missing"
    )
    parts.append(f"For {what}, called by {visible(report.caller)}: {verdict}.\n")
    return "\n".join(parts)


def _short(rows: list[Check]) -> list[tuple[str, str, list[str]]]:
    """Return (mark, names, lines below) of each line; what has the same to say stands in one."""
    lines: list[tuple[str, str, list[str]]] = []
    for check in rows:
        mark = "MISSING" if check.missing else check.verdict
        note = check.note if check.verdict == "ok" or not check.call else f"{check.note}{_where(check)}"
        below = [note] if note and check.verdict != "ok" else []
        if check.remedy:
            below.append(f"remedy: {check.remedy}")
        name = f"{check.name}: {note}" if note and check.verdict == "ok" else check.name
        if lines and lines[-1][0] == mark and lines[-1][2] == below and ": " not in lines[-1][1] + name:
            lines[-1] = mark, f"{lines[-1][1]}, {name}", below
        else:
            lines.append((mark, name, below))
    return lines


def _where(check: Check) -> str:
    return "" if check.call in check.note else f" ({check.call})"


def _row(line: tuple[str, str, list[str]]) -> str:
    mark, name, below = line
    rows = [f"  {mark:<9}{visible(name)}\n", *(f"{_MARGIN}{visible(words)}\n" for words in below)]
    return "".join(rows)
