"""The reference of the commands as pages, made from the tables that help and the man pages are made from."""

from __future__ import annotations

import re

from ocirun.cli import manual
from ocirun.cli.commands import load
from ocirun.cli.examples import EXAMPLES
from ocirun.cli.table import COMMANDS, GLOBALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.table import Command, Option


def pages() -> dict[str, str]:
    """Return file name -> text of every page."""
    found = [load(name)[0] for name in COMMANDS]
    return {"index.md": overview(found), **{f"{command.name}.md": page(command) for command in found}}


def overview(found: list[Command]) -> str:
    """Return the page of all commands."""
    rows = "".join(f"| [`{one.name}`]({one.name}.md) | {_cell(one.summary)} |\n" for one in found)
    return (
        "# Commands\n\n```text\nocirun [global options] command [options] [arguments]\n```\n\n"
        f"{_text(manual.ABOUT)}\n\nThe man pages, and `ocirun COMMAND --help`, say the same.\n\n"
        f"| command | |\n|---|---|\n{rows}\n"
        f"## Global options\n\n{_options(GLOBALS)}"
        f"## Exit status\n\n{_entries(manual.STATUSES)}"
        f"## Environment\n\n{_entries(manual.ENVIRONMENT)}"
        f"## Files\n\n{_entries(manual.FILES)}"
        f"## Examples\n\n{_examples('')}"
    )


def page(command: Command) -> str:
    """Return the page of one command."""
    status = manual.OWN_STATUS.get(command.name, "0 when done, 1 after an error; see")
    examples = _examples(command.name)
    arguments = f" {command.arguments}" if command.arguments else ""
    return (
        f"# {command.name}\n\n{command.summary[:1].upper()}{command.summary[1:]}.\n\n"
        f"```text\nocirun [global options] {command.name} [options]{arguments}\n```\n\n"
        f"{_text(command.description)}\n\n"
        f"## Options\n\n{_options(command.options)}"
        f"## Exit status\n\n{_text(status)} [exit status](index.md#exit-status).\n\n"
        + (f"## Examples\n\n{examples}" if examples else "")
    )


def _options(options: tuple[Option, ...]) -> str:
    parts = []
    for option in options:
        if option.hidden:
            continue
        names = sorted(option.names, key=lambda name: (len(name) > 1, name))
        value = f" {option.metavar}" if option.metavar else ""
        forms = ", ".join(("-" if len(name) == 1 else "--") + name for name in names) + value
        text = option.help[:1].upper() + option.help[1:]
        default = option.shown or (str(option.default) if option.metavar and option.default != "" else "")
        parts.append((forms, text + (f" (default: {default})." if default else ".")))
    return _entries(parts)


def _entries(rows: list[tuple[str, str]] | tuple[tuple[str, str], ...]) -> str:
    return "".join(f"`{term}`\n: {_text(text)}\n\n" for term, text in rows)


def _examples(name: str) -> str:
    parts = []
    for title, *lines in EXAMPLES.get(name, ()):
        parts.append(f"{_text(title)}:\n\n```sh\n" + "\n".join(lines) + "\n```\n\n")
    return "".join(parts)


def _cell(text: str) -> str:
    return _text(text).replace("|", "\\|")


def _text(text: str) -> str:
    """Return a text of the tables as Markdown: what is in backticks stays, the rest has no meaning to Markdown."""
    parts = text.split("`")
    return "`".join(
        part if index % 2 else re.sub(r"([\\*_<>\[\]#{}])", r"\\\1", part) for index, part in enumerate(parts)
    )
