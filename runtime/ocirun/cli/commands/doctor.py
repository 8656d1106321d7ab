"""``ocirun doctor``."""

from __future__ import annotations

import os

from ocirun._base.jsonio import dumps
from ocirun.cli.output import out, visible
from ocirun.cli.table import Command, Option
from ocirun.errors import HostError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.audit.findings import Finding
    from ocirun.cli.call import Call
    from ocirun.doctor.check import Check
    from ocirun.doctor.host import Report

COMMAND = Command(
    "doctor",
    arguments="[BUNDLE]",
    summary="tell what this host allows, and how to mend what it refuses",
    description="""\
Tries what a container needs, each thing for itself, in processes that are thrown away: namespaces, alone and
together with a user namespace, id maps, mounts, the change of root, a terminal, devices, the giving up of rights;
and looks at cgroups, seccomp, criu, the state root and the preloaded interpreter. Nothing of the host is changed.
Any user may call it, and the answers are those for that user.

Each answer is `ok`, `refused` with what refused it and the command that mends it, or `untried` where something
before it is refused. MISSING stands for what is not ok and needed: by what `ocirun spec` writes, for an ordinary
user with --rootless; with BUNDLE by the config.json there, and what `check` finds on this host follows then.

The exit status is 0 if nothing is missing, 1 if something is, and 2 if that could not be found out.""",
    options=(Option("json", help="print the answers as a JSON object"),),
)

_HEADINGS = {
    "base": "Processes",
    "namespaces": "Namespaces",
    "with a user namespace": "Namespaces, together with a user namespace",
    "ids": "Ids in a user namespace",
    "mounts": "Mounts",
    "mounts in a user namespace": "Mounts in a user namespace",
    "program": "For the program",
    "program in a user namespace": "For the program, in a user namespace",
    "cgroups": "Cgroups",
    "rest": "The rest",
}
_MARGIN = " " * 11


def execute(call: Call) -> int:
    """Print the answers; 1 if something is missing."""
    from ocirun.doctor.host import examine
    from ocirun.preload import missing

    report = examine(call.settings.root, criu=call.given.text("criu"), preloaded=missing.told(call.start))
    found: list[Finding] = []
    what = "a plain `run`"
    if call.values.arguments:
        found = _ask(call, report)
        what = f"the bundle {visible(call.values.arguments[0])}"
    lacks = len(report.missing()) + sum(1 for finding in found if finding.severity == "error")
    if call.values.flag("json"):
        findings = [finding.record() for finding in found]
        out(dumps({**report.record(), "ready": not lacks, "missing": lacks, "findings": findings}) + "\n")
    else:
        out(text(report, what, found))
    return 1 if lacks else 0


def _ask(call: Call, report: Report) -> list[Finding]:
    """Say in the report what a bundle needs; what `check` finds on this host for it.

    Raises HostError for a config with errors of its own.
    """
    from ocirun.audit.bundle import audit
    from ocirun.audit.findings import HOST
    from ocirun.audit.source import file
    from ocirun.container import CreateOptions
    from ocirun.doctor.bundle import needs

    if not call.values.arguments[0]:
        raise UsageError("doctor: BUNDLE is empty")
    bundle = os.path.abspath(call.values.arguments[0])
    path = os.path.join(bundle, "config.json")
    raw, settings = file(path, bundle=bundle), call.settings
    options = CreateOptions(bundle=bundle, rootless=settings.rootless, cgroup_manager=settings.cgroup_manager)
    result = audit(raw, path=path, bundle=bundle, root=settings.root, options=options)
    if not result.host_asked:
        raise HostError(f"{path}: has errors, so that its needs are not known", remedy="`ocirun check` tells them")
    report.need(needs(raw, report, bundle=bundle, path=path))
    return [finding for finding in result.findings if finding.source == HOST or finding.severity == "error"]


def text(report: Report, what: str, found: list[Finding]) -> str:
    """Return the answers for people.

    what    that which needs what is missing
    found   what `check` says on this host
    """
    parts = []
    for group, heading in _HEADINGS.items():
        rows = [check for check in report.checks if check.group == group]
        if rows:
            parts.append(f"{heading}\n" + "".join(map(_row, _short(rows))))
    if found:
        parts.append("For config.json on this host\n" + "".join(map(_finding, found)))
    lacks = len(report.missing()) + sum(1 for finding in found if finding.severity == "error")
    things = "1 thing is" if lacks == 1 else f"{lacks} things are"
    verdict = f"{things} missing" if lacks else "nothing is missing"
    parts.append(f"For {what}, called by {visible(report.caller)}: {verdict}.\n")
    return "\n".join(parts)


def _finding(finding: Finding) -> str:
    mark = "MISSING" if finding.severity == "error" else finding.severity
    return f"  {mark:<9}{visible(finding.pointer)}\n{_MARGIN}{visible(finding.message)}\n"


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
