"""What other programs call it: remedies for commands and options that are Docker's, podman's or a slip of the finger.

Imported only when a command line was not understood.
"""

from __future__ import annotations

from ocirun._base.near import did_you_mean
from ocirun.cli.commands import load
from ocirun.cli.table import COMMANDS, GLOBALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.table import Command, Option

_IMAGES = (
    "ocirun fetches and builds no images: `ocirun bundle IMAGE DIR` makes a bundle of one that is here, and "
    "`ocirun run --image FILE` runs it, see docs/bundles.md"
)
_ENGINE = "that is the work of an engine, such as podman or Docker: see docs/engines"
_NO_LOG = "ocirun keeps no output: the program writes to where `ocirun run` or `ocirun create` did"

_COMMANDS = {
    "stop": "`ocirun kill ID` asks the program to end, and `ocirun kill ID KILL` ends it",
    "rm": "`ocirun delete ID` removes a container, and `ocirun delete --force ID` one that runs",
    "remove": "`ocirun delete ID` removes a container, and `ocirun delete --force ID` one that runs",
    "logs": _NO_LOG,
    "attach": f"{_NO_LOG}; `ocirun exec --tty ID sh` starts a shell in it",
    "inspect": "`ocirun state ID` prints what is known of a container",
    "ls": "`ocirun list` shows the containers",
    "unpause": "`ocirun resume ID` lets a paused container go on",
    "restart": "`ocirun delete --force ID`, and `ocirun run ID` again: a container runs its program once",
    "stats": "`ocirun top` shows what containers use, and `ocirun events --stats ID` prints it",
    "wait": "`ocirun run` without --detach waits, and ends with the status of the program",
    "version": "`ocirun --version`",
    "info": "`ocirun features` tells what ocirun can do, `ocirun doctor` what this host allows",
    "mount": "mounts are in `mounts` of config.json; `ocirun mounts` has those of a running container",
    "init": "`ocirun spec` writes a config.json to start from",
    **dict.fromkeys(("pull", "build", "images", "image", "load", "import", "save", "tag", "push", "commit"), _IMAGES),
    **dict.fromkeys(("network", "volume", "port", "pod", "compose", "login", "cp", "rename", "system"), _ENGINE),
}

_TERMINAL = (
    "process.terminal in config.json says if there is a terminal, and standard input is always passed on; "
    "`ocirun spec` writes a config with one"
)
_IN_CONFIG = "a container is described by config.json, not by options: it is {place} there"
_OF_CONFIG = {
    "process.env": ("e", "env", "env-file"),
    "process.user": ("u", "user"),
    "process.cwd": ("w", "workdir"),
    "process.args": ("entrypoint",),
    "process.capabilities": ("cap-add", "cap-drop", "privileged"),
    "process.noNewPrivileges": ("security-opt",),
    "process.rlimits": ("ulimit",),
    "root.readonly": ("read-only",),
    "hostname": ("hostname",),
    "mounts": ("v", "volume", "mount", "tmpfs"),
    "annotations": ("l", "label", "annotation"),
    "linux.namespaces": ("net", "network", "pid", "ipc", "uts", "userns"),
    "linux.resources": ("m", "memory", "cpus", "cpu-shares", "pids-limit", "memory-swap"),
    "linux.devices": ("device",),
    "linux.sysctl": ("sysctl",),
}
_RUN = {
    **dict.fromkeys(("it", "ti", "t", "i", "tty", "interactive"), _TERMINAL),
    "rm": "`ocirun run` removes the container when its program has ended, unless it is told --keep or --detach",
    "name": "the ID is the name: `ocirun run ID`",
    **dict.fromkeys(("p", "publish", "P"), f"ports are published by who makes the network; {_ENGINE}"),
    "restart": "a container runs its program once; a service manager can start it again",
    **{name: _IN_CONFIG.format(place=place) for place, names in _OF_CONFIG.items() for name in names},
}
_OPTIONS = {
    "run": _RUN,
    "create": _RUN,
    "exec": {
        **dict.fromkeys(("it", "ti"), "write `-t`: standard input is always passed on"),
        **dict.fromkeys(("i", "interactive"), "leave it out: standard input is always passed on"),
        **dict.fromkeys(("w", "workdir"), "that is --cwd here"),
        "privileged": "capabilities are added one by one, with --cap",
    },
    "ps": dict.fromkeys(("a", "all", "q"), "`ocirun list` shows all containers, `ocirun ps ID` the processes of one"),
    "list": dict.fromkeys(("a", "all"), "leave it out: those that have stopped are always shown"),
    "delete": dict.fromkeys(("rf", "fv", "v"), "`ocirun delete --force ID` removes one that runs"),
    "kill": dict.fromkeys(("s",), "the signal stands behind the id: `ocirun kill ID TERM`"),
}
# Too few or too many arguments, by command.
_NO_ID = "`ocirun list` shows the ids of all containers"
_OWN_ID = "ID is a name of your choice, for this container"


def of_command(word: str) -> str:
    """Return what to do instead of an unknown command, "" where that is not known."""
    return _COMMANDS.get(word, "") or did_you_mean(word, [*COMMANDS, "help"])


def of_option(command: Command | None, word: str) -> str:
    """Return what to do instead of an unknown option, "" where that is not known.

    command   None for a global option
    word      as it was given, with its dashes
    """
    name = word.lstrip("-").partition("=")[0]
    if command is None:
        return did_you_mean(name, _long(GLOBALS), "--") or _of_a_command(name)
    if command.name == "kill" and (name.isdigit() or name.isupper()):
        return f"the signal stands behind the id: `ocirun kill ID {name}`"
    if name in _long(GLOBALS):
        return f"global options stand before the command: `ocirun --{name} ... {command.name}`"
    told = _OPTIONS.get(command.name, {}).get(name, "")
    return told or did_you_mean(name, _long(command.options), "--")


def of_tag(name: str) -> str:
    """Return the remedy for an option of images without an image: -t is Docker's --tty."""
    return _TERMINAL if name == "tag" else ""


def _long(options: tuple[Option, ...]) -> list[str]:
    return [name for option in options for name in option.names if len(name) > 1]


def _of_a_command(name: str) -> str:
    having = [command for command in COMMANDS if name in _long(load(command)[0].options)]
    return f"options of a command stand behind it: `ocirun {having[0]} --{name}`" if having else ""


def of_count(command: str, count: int) -> str:
    """Return what to do about a wrong number of arguments, "" where there is nothing to be said.

    count   how many there were
    """
    if command in ("run", "create") and count > 1:
        if command == "create":
            return "the program and its arguments are process.args of config.json"
        return "the program and its arguments are process.args of config.json; with --image they may follow"
    if command in ("run", "create", "restore"):
        return _OWN_ID
    if command in _BY_ID and not count:
        return _NO_ID
    return "the signal is one word" if command == "kill" and count > 1 else ""


_BY_ID = frozenset(
    (
        *("start", "state", "ps", "events", "kill", "delete", "exec", "pause", "resume", "update", "checkpoint"),
        "mounts",
    )
)
