"""``ocirun update``."""

from __future__ import annotations

from ocirun.cli.document import read_document
from ocirun.cli.quantities import number, size
from ocirun.cli.table import TEXT, Command, Option
from ocirun.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.cli.call import Call
    from ocirun.cli.parse import Values


def _limit(name: str, metavar: str, help: str) -> Option:
    return Option(name, kind=TEXT, metavar=metavar, help=help)


def _hidden(name: str) -> Option:
    return Option(name, kind=TEXT, metavar="VALUE", help="see the description", hidden=True)


COMMAND = Command(
    "update",
    arguments="ID",
    summary="change the limits of a container",
    description="""\
Gives the container ID new limits, all that are named or, if the kernel refuses one, none. What is not named
stays as it is, and so does what is 0, except --cpu-burst and --cpu-idle. The container may be paused.

A SIZE is a number of bytes, with k, m, g, t or p behind it of 1024, 1024*1024 bytes and so on, or -1 for no limit.

FILE of --resources holds the object that config.json has as linux.resources, or as much of it as is to change;
with it the other options are ignored. Rules for devices replace those that the container has, at once, and
without a moment in which a device that both allow is denied; a rule alone that denies everything changes nothing.""",
    options=(
        Option(
            "resources", "r", kind=TEXT, metavar="FILE", help="read the limits as JSON from FILE, - is standard input"
        ),
        _limit("memory", "SIZE", "memory"),
        _limit("memory-reservation", "SIZE", "memory that the container may keep when the host lacks some"),
        _limit("memory-swap", "SIZE", "memory and swap space together"),
        _limit("cpu-quota", "MICROSECONDS", "CPU time in each period, -1 for no limit"),
        _limit("cpu-period", "MICROSECONDS", "length of the period"),
        _limit("cpu-burst", "MICROSECONDS", "unused CPU time that may be saved for later periods"),
        _limit("cpu-share", "N", "weight against other containers where CPU time is short"),
        _limit("cpu-idle", "N", "1 to give CPU time only when nobody else wants it, 0 for the usual way"),
        _limit("cpu-rt-period", "MICROSECONDS", "length of the period for real-time scheduling"),
        _limit("cpu-rt-runtime", "MICROSECONDS", "real-time CPU time in each period"),
        _limit("cpuset-cpus", "LIST", "CPUs that may be used, such as 0-3,7"),
        _limit("cpuset-mems", "LIST", "memory nodes that may be used"),
        _limit("pids-limit", "N", "number of processes and threads, -1 for no limit"),
        _limit("blkio-weight", "N", "weight for block devices, 10 to 1000"),
        _hidden("kernel-memory"),
        _hidden("kernel-memory-tcp"),
        Option("l3-cache-schema", kind=TEXT, metavar="LINE", help="cache masks of Intel RDT, such as L3:0=f;1=3"),
        Option("mem-bw-schema", kind=TEXT, metavar="LINE", help="memory bandwidth of Intel RDT, such as MB:0=50"),
    ),
)

# Option -> block and key of linux.resources
_SIZES = {
    "memory": ("memory", "limit"),
    "memory-reservation": ("memory", "reservation"),
    "memory-swap": ("memory", "swap"),
}
_UNSIGNED = {
    "cpu-period": ("cpu", "period"),
    "cpu-burst": ("cpu", "burst"),
    "cpu-share": ("cpu", "shares"),
    "cpu-rt-period": ("cpu", "realtimePeriod"),
    "blkio-weight": ("blockIO", "weight"),
}
_SIGNED = {
    "cpu-quota": ("cpu", "quota"),
    "cpu-idle": ("cpu", "idle"),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime"),
    "pids-limit": ("pids", "limit"),
}
_TEXTS = {"cpuset-cpus": ("cpu", "cpus"), "cpuset-mems": ("cpu", "mems")}


def execute(call: Call) -> int:
    """Change the limits."""
    from ocirun.container import Container

    # The container comes first: engines take "does not exist" for an answer.
    container = Container.load(call.id, root=call.settings.root)
    values = call.values
    file = values.text("resources")
    document: dict[str, Any] | bytes
    if file:
        source = "standard input" if file == "-" else file
        document = read_document(file, "option --resources")
        for name in values.given:
            if name != "resources":
                call.warn(f"--{name} is ignored, since --resources is given")
    else:
        source = "update"
        document = limits(values)
        for name in ("kernel-memory", "kernel-memory-tcp"):
            if values.text(name):
                call.warn(f"--{name} is ignored: the kernel has no separate limit for its own memory any more")
    for warning in container.update(document, source=source, schemata=[] if file else schemata(values)):
        call.warn(warning)
    return 0


def limits(values: Values) -> dict[str, Any]:
    """Return the resources that the options ask for.  Raises UsageError."""
    document: dict[str, Any] = {}
    for name in values.given:
        text = values.text(name)
        value: int | str
        if not text:
            continue
        if name in _SIZES:
            place, value = _SIZES[name], size(text, option=name)
        elif name in _UNSIGNED:
            place, value = _UNSIGNED[name], number(text, option=name, signed=False)
        elif name in _SIGNED:
            place, value = _SIGNED[name], number(text, option=name)
        elif name in _TEXTS:
            place, value = _TEXTS[name], text
        else:
            continue
        document.setdefault(place[0], {})[place[1]] = value
    return document


def schemata(values: Values) -> list[str]:
    """Return the lines for the resctrl group of the container.  Raises UsageError."""
    lines = []
    for name, start in (("l3-cache-schema", "L3"), ("mem-bw-schema", "MB:")):
        line = values.text(name)
        if line and (not line.startswith(start) or ":" not in line or "\n" in line):
            raise UsageError(f"option --{name}: {line!a} is not one line that starts with {start.rstrip(':')}:")
        if line:
            lines.append(line)
    return lines
