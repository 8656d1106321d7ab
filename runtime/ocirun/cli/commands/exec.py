"""``ocirun exec``."""

from __future__ import annotations

from ocirun.cli.options import TRACE
from ocirun.cli.table import MANY, NUMBER, TEXT, Command, Option
from ocirun.errors import OcirunError, ProgramError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.cli.call import Call
    from ocirun.container import ExecOptions

COMMAND = Command(
    "exec",
    arguments="ID [COMMAND] [ARGUMENT...]",
    summary="run one more process in a container",
    description="""\
Runs COMMAND in the namespaces and the cgroup of the container ID, which must be created or running. The
process is like the container's own, except for what the options change; with --process, FILE describes it.

Unless detached, ocirun waits and exits with the status of the process (128+N for a death by signal N).
Errors of ocirun itself give 255.""",
    options=(
        Option("process", "p", kind=TEXT, metavar="FILE", help="JSON file with the process, instead of COMMAND"),
        Option("cwd", kind=TEXT, metavar="DIR", help="working directory in the container"),
        Option("env", "e", kind=MANY, metavar="NAME=VALUE", help="set an environment variable"),
        Option("tty", "t", help="give the process a terminal"),
        Option("user", "u", kind=TEXT, metavar="UID[:GID]", help="ids of the process, in numbers"),
        Option("additional-gids", "g", kind=MANY, metavar="GID", help="add a supplementary group"),
        Option("cap", "c", kind=MANY, metavar="NAME", help="add a capability"),
        Option("no-new-privs", help="set no_new_privs"),
        Option("detach", "d", help="return as soon as the process runs"),
        Option("pid-file", kind=TEXT, metavar="FILE", help="write the process id to FILE"),
        Option("console-socket", kind=TEXT, metavar="PATH", help="Unix socket that is sent the terminal's master end"),
        Option("pidfd-socket", kind=TEXT, metavar="PATH", help="Unix socket that is sent a pidfd of the process"),
        Option("preserve-fds", kind=NUMBER, metavar="N", help="leave the N descriptors from 3 on open"),
        Option("cgroup", kind=MANY, metavar="[CONTROLLER,...:]PATH", help="run in a cgroup below the container's"),
        Option("ignore-paused", help="join a paused container too, and run when it is resumed"),
        TRACE,
        Option("process-label", kind=TEXT, metavar="LABEL", help="SELinux label of the process"),
        Option("apparmor", kind=TEXT, metavar="PROFILE", help="AppArmor profile of the process"),
    ),
    mixed=False,
)


def execute(call: Call) -> int:
    """Run the process; its status, or 0 when detached."""
    from ocirun.container import Container

    try:
        container = Container.load(call.id, root=call.settings.root)
        return container.exec(described(call, container, call.values.arguments[1:]), exec_options(call))
    except OcirunError as error:
        error.message = f"exec failed: {error.message}"
        if isinstance(error, ProgramError) and call.values.arguments[1:2] and call.values.arguments[1].startswith("-"):
            error.remedy = "options stand before the ID"
        raise


def exec_options(call: Call) -> ExecOptions:
    """Return the options of the API that those of the command line come to."""
    from ocirun.container import ExecOptions

    values = call.values
    detach = values.flag("detach")
    return ExecOptions(
        console_socket=values.text("console-socket"),
        pidfd_socket=values.text("pidfd-socket"),
        pid_file=values.text("pid-file"),
        preserve_fds=values.number("preserve-fds"),
        detach=detach,
        foreground=not detach,
        ignore_paused=values.flag("ignore-paused"),
        cgroup=values.many("cgroup"),
        source=values.text("process"),
        warn=call.warn,
        debug=call.debug,
        trace=values.text("trace"),
    )


def described(call: Call, container: Any, args: list[str]) -> dict[str, Any]:
    """Return the process that the command line describes, for a container.

    args   COMMAND and its arguments
    Raises UsageError, HostError, ConfigError.
    """
    values = call.values
    if values.text("process"):
        from ocirun.containers import read_process

        process = read_process(values.text("process"))
        if values.many("cap") and "capabilities" not in process:
            # Absent they are the container's, and those are what --cap adds to.
            process["capabilities"] = container.base_process().get("capabilities") or {}
    else:
        if not args:
            raise UsageError("exec: no COMMAND and no --process")
        process = container.base_process()
        process["args"] = args
        process["env"] = [*(process.get("env") or []), *values.many("env")]
    if values.text("cwd"):
        process["cwd"] = values.text("cwd")
    if values.flag("tty"):
        process["terminal"] = True
    if values.flag("no-new-privs"):
        process["noNewPrivileges"] = True
    for flag, key in (("process-label", "selinuxLabel"), ("apparmor", "apparmorProfile")):
        if values.text(flag):
            process[key] = values.text(flag)
    _identity(process, call)
    _capabilities(process, values.many("cap"))
    return process


# A process from a file is not checked yet: what is of a wrong type is left as it is, for the check to find.


def _identity(process: dict[str, Any], call: Call) -> None:
    text, more = call.values.text("user"), call.values.many("additional-gids")
    user = process.get("user", {})
    if not (text or more) or not isinstance(user, dict):
        return
    user = dict(user)
    groups = user.get("additionalGids") or []
    if text:
        uid, colon, gid = text.partition(":")
        user["uid"] = _id(uid, text)
        user["gid"] = _id(gid, text) if colon else user.get("gid", 0)
    if more and isinstance(groups, list):
        user["additionalGids"] = [*groups, *(_id(number, number) for number in more)]
    process["user"] = user


def _id(text: str, whole: str) -> int:
    """Return decimal digits and nothing else: int() would take signs, blanks and underscores."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < 2**32 - 1):
        raise UsageError(f"user {whole!a}: ids are decimal numbers below 4294967295")
    return int(text)


def _capabilities(process: dict[str, Any], names: list[str]) -> None:
    """Add to bounding, effective and permitted; to ambient only what is inheritable already.

    Inheritable ones would let programs with file capabilities give away more than was asked for.
    """
    block = process.get("capabilities", {})
    if not names or not isinstance(block, dict):
        return
    sets = {name: values for name, values in block.items() if values is not None}
    if not all(isinstance(values, list) for values in sets.values()):
        return
    for kind in ("bounding", "effective", "permitted", "ambient"):
        new = [name for name in names if kind != "ambient" or name in sets.get("inheritable", [])]
        sets[kind] = [*sets.get(kind, []), *(name for name in new if name not in sets.get(kind, []))]
    process["capabilities"] = sets
