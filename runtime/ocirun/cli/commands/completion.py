"""``ocirun completion``, and what the scripts for the three shells have in common."""

from __future__ import annotations

from ocirun.cli.commands import load
from ocirun.cli.output import out
from ocirun.cli.table import COMMANDS, FLAG, GLOBALS, Command
from ocirun.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.cli.call import Call
    from ocirun.cli.table import Option

SHELLS = ("bash", "zsh", "fish")

COMMAND = Command(
    "completion",
    arguments="SHELL",
    summary="print a completion script for a shell",
    description="""\
Prints a script for SHELL, which is bash, zsh or fish. Once the shell has read it, it completes commands,
options, values, and the ids of containers.

For one session of bash: eval "$(ocirun completion bash)". For good: save it as
/etc/bash_completion.d/ocirun, as _ocirun in a directory of $fpath of zsh, or as
/etc/fish/completions/ocirun.fish.""",
)

# What a word can be; WORDS comes with a list.
NOTHING, DIRECTORY, FILE, IDS, SIGNALS, WORDS = "", "directory", "file", "ids", "signals", "words"

_BY_METAVAR = {
    "DIR": DIRECTORY,
    "BUNDLE": DIRECTORY,
    "FILE": FILE,
    "IMAGE": FILE,
    "PATH": FILE,
    "SIGNAL": SIGNALS,
    "ID": IDS,
}
# There ID is a name that is still free.
_NEW_ID = ("create", "run", "explain")


class Kind:
    """What can stand in a place.

    name    one of the words above
    words   the choices, for WORDS
    """

    __slots__ = ("name", "words")

    def __init__(self, name: str, words: tuple[str, ...] = ()) -> None:
        self.name = name
        self.words = words


def commands() -> list[Command]:
    """Return the entries of all commands, in the order of help."""
    return [load(name)[0] for name in COMMANDS]


def shown(options: tuple[Option, ...]) -> list[Option]:
    """Return the options that are not hidden."""
    return [option for option in options if not option.hidden]


def of_option(option: Option) -> Kind:
    """Return what the value of an option can be; NOTHING for a flag."""
    if option.kind == FLAG:
        return Kind(NOTHING)
    return Kind(WORDS, option.choices) if option.choices else Kind(_BY_METAVAR.get(option.metavar, NOTHING))


def of_arguments(command: Command) -> list[Kind]:
    """Return what the arguments of a command can be, one by one."""
    kinds = []
    for word in command.arguments.split():
        name = word.strip("[].")
        if name == "SHELL":
            kinds.append(Kind(WORDS, SHELLS))
        elif "|" in name:
            kinds.append(Kind(WORDS, tuple(name.split("|"))))
        elif name == "ID" and command.name in _NEW_ID:
            kinds.append(Kind(NOTHING))
        else:
            kinds.append(Kind(_BY_METAVAR.get(name, NOTHING)))
    return kinds


def global_options() -> list[Option]:
    """Return the global options that are not hidden."""
    return shown(GLOBALS)


def script(shell: str) -> str:
    """Return the completion script for a shell.  Raises UsageError for one that is not in SHELLS."""
    if shell not in SHELLS:
        raise UsageError(f'completion: no script for the shell "{shell}"', remedy=f"there are {', '.join(SHELLS)}")
    writer: Any = __import__(f"ocirun.cli.completion.{shell}", fromlist=("script",))
    text: str = writer.script()
    return text


def execute(call: Call) -> int:
    """Print the script."""
    out(script(call.values.arguments[0]))
    return 0
