"""The texts of ``--help`` and of usage, made from the option tables."""

from __future__ import annotations

from ocirun.cli.commands import load
from ocirun.cli.examples import EXAMPLES
from ocirun.cli.table import COMMANDS, GLOBALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.table import Command, Option

_WIDTH = 80
_GAP = 2

_INTRODUCTION = """\
ocirun runs containers described by the runtime specification of the Open Container Initiative. A container
starts from a bundle: a directory with a file config.json and a root filesystem.

Start one with `ocirun run ID` in its bundle; ID is a name of your choice, unique below the state root.
`ocirun explain` shows beforehand what that will do."""


def usage(command: Command | None) -> str:
    """Return how `command`, or ocirun itself, is called, and where to read more; for after a mistake."""
    if command is None:
        return f"{_synopsis(None)}\n`ocirun --help` lists the commands and the global options.\n"
    return f"{_synopsis(command)}\n`ocirun {command.name} --help` shows the options.\n"


def _synopsis(command: Command | None) -> str:
    if command is None:
        return "Usage: ocirun [global options] COMMAND [options] [arguments]"
    words = ("ocirun [global options]", command.name, "[options]", command.arguments)
    return f"Usage: {' '.join(word for word in words if word)}"


def general() -> str:
    """Return the text of ``ocirun --help``."""
    commands = [(name, load(name)[0].summary) for name in COMMANDS]
    commands.append(("help [COMMAND]", "show help"))
    return "\n".join(
        (
            _synopsis(None) + "\n",
            _paragraphs(_INTRODUCTION),
            "Commands:\n" + _columns(commands),
            "Global options:\n" + _columns(_rows(GLOBALS)),
            *_examples(""),
            "`ocirun COMMAND --help` shows the options of a command.\n",
        )
    )


def of(command: Command) -> str:
    """Return the text of ``ocirun COMMAND --help``."""
    return "\n".join(
        (
            f"ocirun {command.name}: {command.summary}\n",
            _synopsis(command) + "\n",
            _paragraphs(command.description),
            "Options:\n" + _columns(_rows(command.options)),
            *_examples(command.name),
        )
    )


def _examples(name: str) -> list[str]:
    """Return the examples of a command, none or one text."""
    parts = []
    for title, *lines in EXAMPLES.get(name, ()):
        colon = "" if title.endswith("?") else ":"
        parts.append(f"{_wrap(title, _GAP, _WIDTH)}{colon}\n" + "".join(f"{' ' * 6}{line}\n" for line in lines))
    return ["Examples:\n" + "".join(f"{' ' * _GAP}{part}" for part in parts)] if parts else []


def names(option: Option) -> str:
    """Return the forms of an option, such as ``-b, --bundle DIR``."""
    short = [f"-{name}" for name in option.names if len(name) == 1]
    long = [f"--{name}" for name in option.names if len(name) > 1]
    return ", ".join(short + long) + (f" {option.metavar}" if option.metavar else "")


def _rows(options: tuple[Option, ...]) -> list[tuple[str, str]]:
    rows = []
    for option in options:
        default = option.shown or (str(option.default) if option.metavar and option.default != "" else "")
        text = f"{option.help} (default: {default})" if default else option.help
        if not option.hidden:
            rows.append((names(option), text))
    return rows


def _paragraphs(text: str) -> str:
    return "\n".join(_wrap(part, 0, _WIDTH) + "\n" for part in text.split("\n\n"))


def _columns(rows: list[tuple[str, str]]) -> str:
    margin = _GAP + max(len(left) for left, _ in rows) + _GAP
    return "".join(f"{' ' * _GAP}{left.ljust(margin - _GAP)}{_wrap(text, margin, _WIDTH)}\n" for left, text in rows)


def _wrap(text: str, margin: int, width: int) -> str:
    """Return `text` in lines that fit between `margin` and `width`; all lines but the first are indented."""
    lines, line = [], ""
    for word in text.split():
        if line and margin + len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return ("\n" + " " * margin).join([*lines, line])
