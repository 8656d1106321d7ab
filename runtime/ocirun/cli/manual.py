"""The man pages, made from the option tables.

    python3 -m ocirun.cli.manual DIRECTORY     write ocirun.1 and one page for each command

The pages are kept in ``man/`` of the checkout; a test makes them again and
compares.  They use the macros of man(7) that groff and mandoc agree on.
"""

from __future__ import annotations

import os
import sys

from ocirun._base.version import VERSION
from ocirun.cli.commands import load
from ocirun.cli.examples import EXAMPLES
from ocirun.cli.table import COMMANDS, GLOBALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.table import Command, Option

# The day of the release in CHANGELOG.md, so that a page does not change with the day it is made.
RELEASED = "2026-11-23"

_ESCAPES = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "^": "\\(ha", "~": "\\(ti", "`": "\\(ga"}

_CALL = '.B ocirun\n.RI [ "global options" ]\n'

ABOUT = """\
ocirun runs containers described by the runtime specification of the Open Container Initiative. A container
starts from a bundle: a directory with a file config.json and a root filesystem.

From config.json and the facts of the host ocirun makes a plan, a list of operations, and carries it out.
`ocirun explain` shows the plan without doing anything.

Global options stand before the command. An option is written with one dash or two, its value in the next word
or behind an equals sign; a flag may have =true or =false. `--` ends the options."""

STATUSES = (
    ("0", "Done. For `ocirun run` without --detach: the program ended with status 0."),
    ("1", "An error, which standard error tells, or a wrong option."),
    ("3", "There is no such command."),
    ("130", "Interrupted (SIGINT)."),
    ("141", "Standard output was closed."),
)
OWN_STATUS = {
    "run": "Without --detach the status of the container's program, or 128+N if signal N ended it; 1 also if ocirun "
    "itself failed. With --detach as for the other commands, see",
    "explain": "0 when done, 1 after an error; with --diff 0 if the plans do the same, 1 if not, 2 after an error; see",
    "exec": "Without --detach the status of the process, or 128+N if signal N ended it; with --detach 0. 255 if ocirun "
    "itself failed. See also",
}

ENVIRONMENT = (
    ("XDG_RUNTIME_DIR", "Decides where the state is kept by default, see --root; ignored unless it is absolute."),
    ("LISTEN_FDS", "Descriptors of socket activation; passed on with LISTEN_PID=1, see sd_listen_fds(3)."),
    (
        "OCIRUN_PRELOAD",
        "With the value `no` commands make no preloaded interpreter, see `ocirun preload`; for builds of packages.",
    ),
    ("NOTIFY_SOCKET", "Receives the readiness messages of the container, see sd_notify(3)."),
)
FILES = (
    ("/run/ocirun/ID/", "The saved state of the container ID: state.json, the config.json that it was created from."),
    ("BUNDLE/config.json", "The description of the container."),
)


def pages() -> dict[str, str]:
    """Return file name -> text of every page."""
    commands = [load(name)[0] for name in COMMANDS]
    made = {f"ocirun-{command.name}.1": page(command) for command in commands}
    return {"ocirun.1": overview(commands), **made}


def overview(commands: list[Command]) -> str:
    """Return the page ocirun(1)."""
    rows = [(f"ocirun-{command.name}(1)", f"{_capital(command.summary)}.") for command in commands]
    return _document(
        "ocirun",
        "run containers of the Open Container Initiative",
        f"{_CALL}.I command\n.RI [ options ]\n.RI [ arguments ]\n",
        _section("DESCRIPTION", _paragraphs(ABOUT)),
        _section("COMMANDS", _entries(rows)),
        _section("GLOBAL OPTIONS", _options(GLOBALS)),
        _section("EXIT STATUS", _entries(STATUSES)),
        _section("ENVIRONMENT", _entries(ENVIRONMENT)),
        _section("FILES", _entries(FILES)),
        _examples(""),
        _see_also([command.name for command in commands]),
    )


def page(command: Command) -> str:
    """Return the page of one command."""
    arguments = "".join(f".{_argument(word)}\n" for word in command.arguments.split())
    synopsis = f"{_CALL}.B {_plain(command.name)}\n.RI [ options ]\n{arguments}"
    if command.name in OWN_STATUS:
        status = f"{_text(OWN_STATUS[command.name])}\n.BR ocirun (1).\n"
    else:
        status = f"{_text('0 when done, 1 after an error; see')}\n.BR ocirun (1).\n"
    return _document(
        f"ocirun-{command.name}",
        command.summary,
        synopsis,
        _section("DESCRIPTION", _paragraphs(command.description)),
        _section("OPTIONS", _options(command.options)),
        _section("EXIT STATUS", status),
        _examples(command.name),
        _see_also([]),
    )


def _document(name: str, summary: str, synopsis: str, *sections: str) -> str:
    title = f'.TH {_plain(name.upper())} 1 {RELEASED} "ocirun {VERSION}" "User Commands"\n'
    head = '.\\" Made by runtime/ocirun/cli/manual.py from the option tables.\n' + title
    # Ragged right, or the words of the synopsis are stretched over the line.
    return (
        head
        + _section("NAME", f"{_plain(name)} \\- {_text(summary)}\n")
        + _section("SYNOPSIS", f".ad l\n{synopsis}.ad b\n")
        + "".join(sections)
    )


def _section(title: str, body: str) -> str:
    return f".SH {title}\n{body}"


def _paragraphs(text: str) -> str:
    return "".join((".PP\n" if index else "") + _text(part) + "\n" for index, part in enumerate(text.split("\n\n")))


def _entries(rows: list[tuple[str, str]] | tuple[tuple[str, str], ...]) -> str:
    return "".join(f".TP\n.B {_plain(term)}\n{_text(text)}\n" for term, text in rows)


def _options(options: tuple[Option, ...]) -> str:
    lines = []
    for option in options:
        if option.hidden:
            continue
        names = sorted(option.names, key=lambda name: (len(name) > 1, name))
        forms = ", ".join("\\fB" + _plain(("-" if len(name) == 1 else "--") + name) + "\\fR" for name in names)
        if option.metavar:
            forms += f" \\fI{_plain(option.metavar)}\\fR"
        text = _capital(option.help)
        default = option.shown or (str(option.default) if option.metavar and option.default != "" else "")
        text += f" (default: {default})." if default else "."
        lines.append(f".TP\n{forms}\n{_text(text)}\n")
    return "".join(lines)


def _argument(word: str) -> str:
    """Return the macro line for an argument such as ``ID``, ``[SIGNAL]`` or ``ARG...``."""
    name = word.strip("[].")
    # \\& after dots: roff takes them for the end of a sentence and widens the gap.
    if not name:  # "...]" on its own
        return f"RI {word}\\&"
    before, _, after = word.partition(name)
    macro = "RI " + before if before else "IR" if after else "I"
    return f"{macro} {_plain(name)} {after}\\&" if after else f"{macro} {_plain(name)}"


def _examples(name: str) -> str:
    parts = []
    for title, *lines in EXAMPLES.get(name, ()):
        shown = "".join(f"{_plain(line)}\n" for line in lines)
        parts.append(f"{_text(title)}:\n.PP\n.RS 4\n.nf\n{shown}.fi\n.RE\n")
    return _section("EXAMPLES", ".PP\n".join(parts)) if parts else ""


def _see_also(commands: list[str]) -> str:
    names = [f"ocirun-{name}" for name in sorted(commands)] or ["ocirun"]
    return _section("SEE ALSO", ",\n".join(f".BR {_plain(name)} (1)" for name in names) + "\n")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _plain(text: str) -> str:
    """Return `text` without meaning to roff."""
    return "".join(_ESCAPES.get(char, char) for char in text)


def _text(text: str) -> str:
    """Return a paragraph in lines, words in backticks bold; no line begins with a control character."""
    bold = False
    out = []
    for part in " ".join(text.split()).split("`"):
        out.append(f"\\fB{_plain(part)}\\fR" if bold else _plain(part))
        bold = not bold
    return "\n".join(f"\\&{line}" if line[0] in ".'" else line for line in _filled("".join(out).split(" ")))


def _filled(words: list[str]) -> list[str]:
    lines, line = [], ""
    for word in words:
        if line and len(line) + 1 + len(word) > 100:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line] if line else lines


def main(arguments: list[str]) -> int:
    """Write the pages into the directory that is the only argument; the exit status."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print((__doc__ or "").strip(), file=sys.stderr)
        return 2
    for name, text in pages().items():
        with open(os.path.join(arguments[0], name), "w", encoding="ascii") as file:
            file.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
