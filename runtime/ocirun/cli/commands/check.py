"""``ocirun check``."""

from __future__ import annotations

import os

from ocirun._base.jsonio import dumps
from ocirun.cli.output import out, visible
from ocirun.cli.table import TEXT, Command, Option
from ocirun.errors import HostError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.audit.findings import Audit, Finding
    from ocirun.cli.call import Call

COMMAND = Command(
    "check",
    arguments="[FILE]",
    summary="tell everything that is wrong with a config.json",
    description="""\
Checks the config.json of a bundle, or FILE, or standard input if FILE is `-`, and reports all problems at once,
each with its place as a JSON pointer, what was expected and what was found. A FILE that is a directory is a bundle.
Nothing is changed, and no privilege is needed.

Errors are problems for which `create` refuses the config, also if only this host or this version cannot do it.
Warnings are probable mistakes: keys that the spec does not have, options without effect. Notes tell where
runc 1.1 and crun 1.8 read the same config differently, and which value stands for a missing one.

The exit status is 1 if there are errors, and 0 otherwise.""",
    options=(
        Option(
            "bundle",
            "b",
            kind=TEXT,
            metavar="DIR",
            help="directory of config.json; with FILE, where the relative paths in it start",
            shown="the current directory, or that of FILE",
        ),
        Option("config-only", help="look at config.json alone, and at nothing of this host"),
        Option("strict", help="make errors of the warnings"),
        Option("thorough", help="ask the JSON Schema of the config for a second opinion, with the package jsonschema"),
        Option("json", help="print the findings as a JSON object"),
    ),
)

_COLOURS = {"error": "31", "warning": "33", "note": "36"}
_SEVERITY = 9  # columns
_POINTER_MAX = 40


def execute(call: Call) -> int:
    """Print the findings; 1 if there are errors."""
    import gc

    # As for `explain`.
    gc.disable()
    from ocirun.audit.bundle import audit
    from ocirun.container import CreateOptions

    raw, path, bundle = _read(call)
    settings = call.settings
    options = CreateOptions(
        bundle=bundle,
        systemd_cgroup=settings.cgroup_manager == "systemd",
        rootless=settings.rootless,
        cgroup_manager=settings.cgroup_manager,
    )
    result = audit(
        raw,
        path=path,
        bundle=bundle,
        root=settings.root,
        options=options,
        thorough=call.values.flag("thorough"),
        config_only=call.values.flag("config-only"),
    )
    if call.values.flag("strict"):
        result.strict()
    out(
        dumps(result.record()) + "\n"
        if call.values.flag("json")
        else report(result, colour=_terminal(), config_only=call.values.flag("config-only"))
    )
    return 1 if result.count("error") else 0


def _read(call: Call) -> tuple[bytes, str, str]:
    """Return the bytes of the config, its name for people, the absolute path of its bundle."""
    from ocirun.audit.source import file, standard_input

    given = call.values.arguments[0] if call.values.arguments else ""
    bundle = os.path.abspath(call.values.text("bundle"))
    if given == "-":
        return standard_input(), "standard input", bundle
    if call.values.arguments and not given:
        raise UsageError("check: FILE is empty")
    if given and _is_directory(given) and "bundle" not in call.values.given:
        given, bundle = "", os.path.abspath(given)
    path = os.path.abspath(given) if given else os.path.join(bundle, "config.json")
    if given and "bundle" not in call.values.given:
        bundle = os.path.dirname(path)
    return file(path, bundle="" if given else bundle), path, bundle


def _is_directory(path: str) -> bool:
    """Return whether there is a directory.  Raises HostError where that cannot be told."""
    try:
        os.close(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    except (NotADirectoryError, FileNotFoundError):
        return False
    except OSError as error:
        raise HostError.from_os(f"open {path}", error, call="open") from None
    return True


def report(result: Audit, *, colour: bool, config_only: bool = False) -> str:
    """Return the findings for people, under two headings; `colour` with the sequences of ECMA-48."""
    from ocirun.audit.findings import HOST, PEERS
    from ocirun.audit.peers import SEEN_WITH

    blocks = []
    for title, host in (("In config.json", False), ("On this host", True)):
        rows = [finding for finding in result.findings if (finding.source == HOST) == host]
        heading = f"\033[1m{title}\033[0m\n" if colour else f"{title}\n"
        if rows:
            blocks.append(heading + _rows(rows, colour=colour))
        elif host and not result.host_asked and not config_only:
            blocks.append(f"{heading}  not looked at, as there are errors in config.json\n")
    if any(finding.source == PEERS for finding in result.findings):
        blocks.append(f"Other runtimes: as seen with {SEEN_WITH}.\n")
    counts = [_counted(result.count(severity), severity) for severity in _COLOURS]
    last = f"{visible(result.path)}: {', '.join(counts)}\n"
    return "\n".join([*blocks, last])


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _rows(findings: list[Finding], *, colour: bool) -> str:
    places = [visible(finding.pointer) or "(document)" for finding in findings]
    width = min(max(map(len, places)), _POINTER_MAX)
    lines = []
    for finding, place in zip(findings, places, strict=True):
        severity, shown = finding.severity.ljust(_SEVERITY), place.ljust(width)
        if colour:
            severity, shown = f"\033[{_COLOURS[finding.severity]}m{severity}\033[0m", f"\033[1m{shown}\033[0m"
        margin = "\n" + " " * (2 + _SEVERITY + width + 2)
        text = margin.join(_wrapped(finding))
        lines.append(f"  {severity}{shown}{margin if len(place) > width else '  '}{text}\n")
    return "".join(lines)


def _wrapped(finding: Finding) -> list[str]:
    """Return the message, and what it does not say itself."""
    from ocirun.audit.findings import SCHEMA

    message = finding.message
    lines = [f"{message} [{finding.source}]" if finding.source == SCHEMA else message]
    if finding.expected and finding.expected not in message:
        lines.append(f"expected: {finding.expected}")
    if finding.found and finding.found not in message:
        lines.append(f"found: {finding.found}")
    return [visible(line) for line in lines]


def _terminal() -> bool:
    try:
        return os.isatty(1) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    except OSError:
        return False
