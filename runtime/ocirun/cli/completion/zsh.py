"""The completion script for zsh."""

from __future__ import annotations

from ocirun._base.signals import NUMBERS
from ocirun.cli.commands import completion as c
from ocirun.cli.table import FLAG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.commands.completion import Kind
    from ocirun.cli.table import Command, Option

_SCRIPT = """\
#compdef ocirun
# Completion for zsh; made by `ocirun completion zsh`.

_ocirun_ids() {
    local -a ids
    ids=(${(f)"$(_call_program ids ocirun $ocirun_root list --quiet 2>/dev/null)"})
    compadd -a ids
}

_ocirun_command() {
    local -a commands
    commands=(
@COMMANDS@    )
    _describe -t commands command commands
}

_ocirun() {
    local context state state_descr line ret=1
    local -a ocirun_root
    typeset -A opt_args

    _arguments -C \\
@GLOBALS@        '1: :_ocirun_command' \\
        '*:: :->arguments' && ret=0

    [[ $state == arguments ]] || return ret
    # Kept for _ocirun_ids; both the value here and the words of _call_program are quoted.
    (( $+opt_args[--root] )) && ocirun_root=(--root $opt_args[--root])
    case $words[1] in
@CASES@    esac
    return ret
}

if [[ $funcstack[1] == _ocirun ]]; then
    _ocirun "$@"
else
    compdef _ocirun ocirun
fi
"""


def script() -> str:
    """Return the script."""
    rows = [(command.name, command.summary) for command in c.commands()]
    rows.append(("help", "show help"))
    parts = {
        "COMMANDS": "".join(f"        {_quoted(f'{name}:{text}')}\n" for name, text in rows),
        "GLOBALS": "".join(f"        {_option(option)} \\\n" for option in c.global_options()),
        "CASES": "".join(_case(command) for command in c.commands()) + "    (help) _ocirun_command && ret=0 ;;\n",
    }
    text = _SCRIPT
    for name, part in parts.items():
        text = text.replace(f"@{name}@", part)
    return text


def _case(command: Command) -> str:
    specs = [_option(option) for option in c.shown(command.options)]
    for place, (word, kind) in enumerate(zip(command.arguments.split(), c.of_arguments(command), strict=True), 1):
        where = "*" if "..." in word else str(place)
        specs.append(_quoted(f"{where}:{_escaped(word.strip('[].'))}:{_action(kind)}"))
    body = " \\\n            ".join(("_arguments" if command.mixed else "_arguments -A '-*'", *specs))
    return f"    ({command.name})\n        {body} && ret=0\n        ;;\n"


def _option(option: Option) -> str:
    names = [("-" if len(name) == 1 else "--") + name for name in option.names]
    text = _escaped(option.help).replace("[", "\\[").replace("]", "\\]")
    takes = option.kind != FLAG
    value = f":{_escaped(option.metavar)}:{_action(c.of_option(option))}" if takes else ""
    if len(names) == 1:
        return _quoted(f"{names[0]}{'=' if takes else ''}[{text}]{value}")
    forms = ",".join(name + ("=" if takes and name.startswith("--") else "+" if takes else "") for name in names)
    return f"{_quoted('(' + ' '.join(names) + ')')}{{{forms}}}{_quoted(f'[{text}]{value}')}"


def _action(kind: Kind) -> str:
    if kind.name == c.WORDS:
        return f"({' '.join(kind.words)})"
    return {
        c.DIRECTORY: "_files -/",
        c.FILE: "_files",
        c.IDS: "_ocirun_ids",
        c.SIGNALS: f"({' '.join(NUMBERS)})",
    }.get(kind.name, "")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(":", "\\:")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
