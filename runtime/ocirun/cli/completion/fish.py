"""The completion script for fish."""

from __future__ import annotations

from ocirun._base.signals import NUMBERS
from ocirun.cli.commands import completion as c
from ocirun.cli.table import COMMANDS, FLAG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.commands.completion import Kind
    from ocirun.cli.table import Option

_SCRIPT = """\
# Completion for fish; made by `ocirun completion fish`.

# The words before the cursor without options and their values: the command and its arguments.
function __ocirun_words
    set -l words (commandline -opc)
    set -l skip 0
    for word in $words[2..-1]
        if test $skip = 1
            set skip 0
        else if string match -qr -- '^-' $word
            if contains -- (string replace -r -- '^--?' '' $word) @VALUED@
                set skip 1
            end
        else
            echo $word
        end
    end
end

function __ocirun_before_command
    test (count (__ocirun_words)) = 0
end

# The command is $argv[1] and, if there is a second argument, so many arguments of it are complete.
function __ocirun_in
    set -l words (__ocirun_words)
    test "$words[1]" = $argv[1]; or return 1
    test (count $argv) = 1; or test (math (count $words) - 1) = $argv[2]
end

function __ocirun_ids
    set -l words (commandline -opc)
    set -l root
    for place in (seq 2 (count $words))
        if string match -qr -- '^--?root=' $words[$place]
            set root --root (string replace -r -- '^[^=]*=' '' $words[$place])
        else if string match -qr -- '^--?root$' $words[$place]
            set root --root $words[(math $place + 1)]
        end
    end
    ocirun $root list --quiet 2>/dev/null
end

complete -c ocirun -f
"""


def script() -> str:
    """Return the script."""
    commands = c.commands()
    tables = [c.global_options(), *(c.shown(command.options) for command in commands)]
    valued = {name for options in tables for option in options if option.kind != FLAG for name in option.names}
    first = "__ocirun_before_command"
    lines = [_option(first, option) for option in tables[0]]
    for command, options in zip(commands, tables[1:], strict=True):
        lines.append(_line(first, "-a", command.name, "-d", _quoted(command.summary)))
        # The first argument of some commands ends the options.
        where = f"__ocirun_in {command.name}" + ("" if command.mixed else " 0")
        lines.extend(_option(where, option) for option in options)
        for place, kind in enumerate(c.of_arguments(command)):
            if kind.name:
                lines.append(_line(f"__ocirun_in {command.name} {place}", "-a", _candidates(kind)))
    lines.append(_line(first, "-a", "help", "-d", _quoted("show help")))
    lines.append(_line("__ocirun_in help 0", "-a", _quoted(" ".join(COMMANDS))))
    return _SCRIPT.replace("@VALUED@", " ".join(sorted(valued))) + "".join(lines)


def _option(condition: str, option: Option) -> str:
    words = []
    for name in option.names:
        words += ["-s" if len(name) == 1 else "-l", name]
    if option.kind != FLAG:
        kind = c.of_option(option)
        words += ["-r", "-F"] if kind.name == c.FILE else ["-x"]
        if kind.name not in (c.NOTHING, c.FILE):
            words += ["-a", _candidates(kind)]
    return _line(condition, *words, "-d", _quoted(option.help))


def _candidates(kind: Kind) -> str:
    if kind.name == c.WORDS:
        return _quoted(" ".join(kind.words))
    return {
        c.DIRECTORY: "'(__fish_complete_directories)'",
        c.FILE: "'(__fish_complete_path)'",
        c.IDS: "'(__ocirun_ids)'",
        c.SIGNALS: _quoted(" ".join(NUMBERS)),
    }[kind.name]


def _line(condition: str, *words: str) -> str:
    return f"complete -c ocirun -n {_quoted(condition)} {' '.join(words)}\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
