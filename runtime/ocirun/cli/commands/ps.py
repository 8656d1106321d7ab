"""``ocirun ps``."""

from __future__ import annotations

import os

from ocirun._base.jsonio import dumps
from ocirun.cli.output import out
from ocirun.cli.table import Command, format_option
from ocirun.errors import HostError, OcirunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ocirun.cli.call import Call

COMMAND = Command(
    "ps",
    arguments="ID [PS-ARGUMENT...]",
    summary="list the processes of a container",
    description="""\
Runs ps(1) of the host and prints those of its lines that belong to the container ID. What follows ID are
arguments for ps, -ef if there are none; its output must have a column PID. For a container that has stopped
only the head of the table is printed.

With --format json the process ids are printed as an array, without ps. They are those of the host.""",
    options=(format_option("table, or json for an array of process ids"),),
    mixed=False,
)

# Python ignores these two, and what is ignored stays so through execve (signal(7)).
_SIGPIPE, _SIGXFSZ = 13, 25
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


def execute(call: Call) -> int:
    """Print the processes."""
    from ocirun.container import Container

    pids = Container.load(call.id, root=call.settings.root).pids()
    if call.values.text("format") == "json":
        out(dumps(pids) + "\n")
        return 0
    out(rows(run_ps(call.values.arguments[1:] or ["-ef"]), pids))
    return 0


def rows(text: str, pids: Collection[int]) -> str:
    """Return the head and the rows of `pids` of a table that ps wrote.

    Raises HostError where there is no column PID, or no number in it.
    """
    head, *lines = text.split("\n")
    titles = head.split()
    if "PID" not in titles:
        raise HostError("the output of ps has no column PID", remedy="ask for one, such as `-o pid,comm`")
    place = titles.index("PID")
    chosen = [head]
    for line in lines:
        words = line.split(maxsplit=place + 1)
        if not words:
            continue
        if len(words) <= place or not words[place].isdigit():
            raise HostError(
                f"the output of ps has no number in its column PID: {line[:80]!a}",
                remedy="ask for PID as the first column",
            )
        if int(words[place]) in pids:
            chosen.append(line)
    return "".join(f"{line}\n" for line in chosen)


def run_ps(arguments: Sequence[str]) -> str:
    """Return what ps prints.  Raises HostError when it cannot be started, OcirunError with its words when it fails."""
    reader, writer = os.pipe()
    errors = os.memfd_create("ps-errors", os.MFD_CLOEXEC)
    try:
        with open(reader, "rb") as output:
            try:
                pid = _spawn(arguments, writer, errors)
            finally:
                os.close(writer)
            text = output.read()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        said = os.pread(errors, 4000, 0)
    finally:
        os.close(errors)
    if status:
        words = " ".join(os.fsdecode(said).split())
        raise OcirunError(f"ps ended with status {status}: {words}" if words else f"ps ended with status {status}")
    return os.fsdecode(text)


def _spawn(arguments: Sequence[str], output: int, errors: int) -> int:
    # Engines call us with hardly any environment, so PATH may be missing.
    environment = {"PATH": _DEFAULT_PATH, **os.environ}
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, errors, 2),
    ]
    last: OSError | None = None
    for directory in environment["PATH"].split(":"):
        if not directory.startswith("/"):
            continue
        try:
            return os.posix_spawn(
                f"{directory}/ps",
                ["ps", *arguments],
                environment,
                file_actions=actions,
                setsigdef=(_SIGPIPE, _SIGXFSZ),
                setsigmask=(),
            )
        except OSError as error:
            last = error
    raise HostError("ps cannot be run on this host", call="execve", errno=last.errno or 0 if last else 0) from None
