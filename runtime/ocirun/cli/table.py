"""Options and commands as data.

Parsing, ``--help``, the man pages and shell completion all read the same
entries.  A command's entry is the ``COMMAND`` of its module, which is imported
only when that command is called.
"""

from __future__ import annotations

TYPE_CHECKING = False


FLAG = "flag"
TEXT = "text"
NUMBER = "number"
MANY = "many"

# execve(2) passes fewer words than this.
_MANY = 1 << 30

_BLANKS: dict[str, bool | int | str] = {FLAG: False, TEXT: "", NUMBER: 0, MANY: ""}


class Option:
    """One option.

    names     long name first, without dashes; the first is the key of its value
    help      what it does, one phrase
    kind      FLAG, TEXT, NUMBER (decimal, not negative) or MANY (a TEXT that may be given again and adds up)
    metavar   what its value is called in help, "" for a flag
    default   value when it is not given: a bool, str or int, by kind
    choices   the only values allowed, or () for any; TEXT only
    hidden    accepted, but left out of help: there for callers of other runtimes
    shown     default as help shows it, where it is not a fixed value
    """

    __slots__ = ("choices", "default", "help", "hidden", "kind", "metavar", "names", "shown")

    def __init__(
        self,
        *names: str,
        help: str,
        kind: str = FLAG,
        metavar: str = "",
        default: bool | int | str | None = None,
        choices: tuple[str, ...] = (),
        hidden: bool = False,
        shown: str = "",
    ) -> None:
        self.names = names
        self.help = help
        self.kind = kind
        self.metavar = metavar
        self.default: bool | int | str = _BLANKS[kind] if default is None else default
        self.choices = choices
        self.hidden = hidden
        self.shown = shown

    def with_help(self, text: str) -> Option:
        """Return the same option with another help."""
        return Option(
            *self.names,
            help=text,
            kind=self.kind,
            metavar=self.metavar,
            default=self.default,
            choices=self.choices,
            hidden=self.hidden,
            shown=self.shown,
        )


def format_option(text: str) -> Option:
    """Return ``--format`` of a command that prints a table, or JSON; `text` is its help."""
    return Option("format", "f", kind=TEXT, metavar="FORMAT", default="table", choices=("table", "json"), help=text)


class Command:
    """One command.

    name         the word of the command line
    arguments    its arguments as help shows them; those in brackets can be left out, and dots stand for more
    summary      one line
    description  paragraphs with an empty line between; help and the man page wrap them
    options      its options; ``--help`` is added to every command
    mixed        options may follow arguments; otherwise the first argument ends them
    program      name of an option with which the arguments are a program's: any number, and the first ends the options
    answer       name of an option with which status 1 is an answer and errors have 2, as with diff(1), "" for none
    instead      name of an option that stands in place of the arguments, "" for none
    """

    __slots__ = ("answer", "arguments", "description", "instead", "mixed", "name", "options", "program", "summary")

    def __init__(
        self,
        name: str,
        *,
        arguments: str = "",
        summary: str,
        description: str,
        options: tuple[Option, ...] = (),
        mixed: bool = True,
        instead: str = "",
        program: str = "",
        answer: str = "",
    ) -> None:
        self.answer = answer
        self.instead = instead
        self.program = program
        self.name = name
        self.arguments = arguments
        self.summary = summary
        self.description = description
        self.options = (*options, HELP)
        self.mixed = mixed

    def counts(self) -> tuple[int, int]:
        """Return the least and the greatest number of arguments."""
        words = self.arguments.split()
        return sum(1 for word in words if word[0] != "["), _MANY if "..." in self.arguments else len(words)


HELP = Option("help", "h", help="show this help")

GLOBALS = (
    Option(
        "root",
        kind=TEXT,
        metavar="DIR",
        help="directory that holds the state of the containers",
        shown="/run/ocirun, or $XDG_RUNTIME_DIR/ocirun for ordinary users",
    ),
    Option(
        "log",
        kind=TEXT,
        metavar="FILE",
        help="append errors to FILE, or file:FILE, as well; journald:NAME and syslog:NAME send them to the journal or "
        "to syslog, as from NAME; a log that cannot be opened is an error at once",
        shown="standard error only",
    ),
    Option(
        "log-format",
        kind=TEXT,
        metavar="FORMAT",
        default="text",
        choices=("text", "json"),
        help="form of a log record: text or json",
    ),
    Option(
        "log-level",
        kind=TEXT,
        metavar="LEVEL",
        choices=("error", "warning", "debug"),
        help="what is logged: error, warning (errors too) or debug (everything, the same as --debug)",
        shown="warning in text, error in JSON",
    ),
    Option(
        "debug", help="log the steps of the plan, warnings in JSON too, and a traceback when ocirun itself is at fault"
    ),
    Option(
        "rootless",
        kind=TEXT,
        metavar="WHEN",
        default="auto",
        help="tolerate cgroups that cannot be written: true, false or auto",
    ),
    Option("systemd-cgroup", help="let systemd make the cgroups; the same as --cgroup-manager systemd"),
    Option(
        "cgroup-manager",
        kind=TEXT,
        metavar="NAME",
        choices=("cgroupfs", "systemd", "disabled"),
        help="who makes the cgroups: cgroupfs, systemd or disabled",
        shown="cgroupfs",
    ),
    Option(
        "criu",
        kind=TEXT,
        metavar="PATH",
        help="the program criu, for checkpoint and restore",
        shown="by PATH",
    ),
    Option("version", "v", "V", help="show the version"),
    HELP,
)

# Exit statuses for errors of a command's own, where it is not 1; here, as its module may be what was not found.
FAILURES = {"doctor": 2, "exec": 255}

# Command -> its module in `commands/`, in the order of help.  A command is only ever imported by way of
# this table: no word of the command line becomes part of a module name.
COMMANDS = {
    "create": "create",
    "start": "start",
    "run": "run",
    "state": "state",
    "list": "list",
    "ps": "ps",
    "events": "events",
    "top": "top",
    "kill": "kill",
    "delete": "delete",
    "exec": "exec",
    "mounts": "mounts",
    "pause": "pause",
    "resume": "resume",
    "update": "update",
    "checkpoint": "checkpoint",
    "restore": "restore",
    "spec": "spec",
    "bundle": "bundle",
    "doctor": "doctor",
    "check": "check",
    "explain": "explain",
    "features": "features",
    "preload": "preload",
    "completion": "completion",
}
