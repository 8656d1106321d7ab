"""The completion script for bash."""

from __future__ import annotations

from ocirun._base.signals import NUMBERS
from ocirun.cli.commands import completion as c
from ocirun.cli.table import COMMANDS, FLAG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.commands.completion import Kind
    from ocirun.cli.table import Option

# `name=value` comes as three words, as "=" is in COMP_WORDBREAKS.
_SCRIPT = """\
# Completion for bash; made by `ocirun completion bash`.

# What is expected after the option $2 of the command $1 ("" for the global ones); 1 for a flag.
_ocirun_value() {
    case $1:$2 in
@VALUES@    *) return 1 ;;
    esac
}

# What is expected as argument $2, from 0, of the command $1.
_ocirun_argument() {
    case $1:$2 in
@ARGUMENTS@    esac
}

_ocirun_options() {
    case $1 in
@OPTIONS@    esac
}

_ocirun() {
    local word=${COMP_WORDS[COMP_CWORD]} command= option= root= kind= name index count=0 ended=
    for ((index = 1; index < COMP_CWORD; index++)); do
        name=${COMP_WORDS[index]}
        if ((count)) && [[ " @UNMIXED@ " == *" $command "* ]]; then
            ((count++))
        elif [[ $name == -?* ]]; then
            name=${name#-}
            name=${name#-}
            if _ocirun_value "$command" "$name" >/dev/null; then
                if [[ ${COMP_WORDS[index + 1]} == "=" ]]; then
                    ((index++))
                fi
                ((index++))
                if ((index >= COMP_CWORD)); then
                    option=$name
                elif [[ $command:$name == :root ]]; then
                    root=${COMP_WORDS[index]}
                fi
            fi
        elif [[ -z $command ]]; then
            command=$name
        else
            ((count++))
        fi
    done
    if [[ $word == "=" ]]; then
        word=
    fi
    if ((count)) && [[ " @UNMIXED@ " == *" $command "* ]]; then
        ended=1
    fi

    COMPREPLY=()
    if [[ -n $option ]]; then
        kind=$(_ocirun_value "$command" "$option")
    elif [[ -z $ended && $word == -* ]]; then
        kind="words $(_ocirun_options "$command")"
    elif [[ -z $command ]]; then
        kind="words @COMMANDS@"
    else
        kind=$(_ocirun_argument "$command" "$count")
    fi
    case $kind in
    directory)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -d -- "$word")
        ;;
    file)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        ;;
    ids)
        kind=$("${COMP_WORDS[0]}" ${root:+--root "$root"} list --quiet 2>/dev/null)
        mapfile -t COMPREPLY < <(compgen -W "$kind" -- "$word")
        ;;
    signals) mapfile -t COMPREPLY < <(compgen -W "@SIGNALS@" -- "$word") ;;
    words*) mapfile -t COMPREPLY < <(compgen -W "${kind#words }" -- "$word") ;;
    esac
}

complete -F _ocirun ocirun
"""


def script() -> str:
    """Return the script."""
    tables = [("", c.global_options()), *((command.name, c.shown(command.options)) for command in c.commands())]
    parts = {
        "VALUES": "".join(_values(name, options) for name, options in tables),
        "ARGUMENTS": "".join(
            _case(f"{command.name}:{place}", _word(kind))
            for command in c.commands()
            for place, kind in enumerate(c.of_arguments(command))
            if kind.name
        )
        + _case("help:0", _word(c.Kind(c.WORDS, tuple(COMMANDS)))),
        "OPTIONS": "".join(_case(name or '""', " ".join(_forms(options))) for name, options in tables),
        "COMMANDS": " ".join([*COMMANDS, "help"]),
        "SIGNALS": " ".join(NUMBERS),
        "UNMIXED": " ".join(command.name for command in c.commands() if not command.mixed),
    }
    text = _SCRIPT
    for name, part in parts.items():
        text = text.replace(f"@{name}@", part)
    return text


def _values(command: str, options: list[Option]) -> str:
    lines = []
    for option in options:
        if option.kind != FLAG:
            pattern = " | ".join(f"{command}:{name}" for name in option.names)
            lines.append(_case(pattern, _word(c.of_option(option))))
    return "".join(lines)


def _word(kind: Kind) -> str:
    return " ".join((kind.name, *kind.words)) if kind.name == c.WORDS else kind.name


def _case(pattern: str, answer: str) -> str:
    return f'    {pattern}) echo "{answer}" ;;\n'


def _forms(options: list[Option]) -> list[str]:
    return [("-" if len(name) == 1 else "--") + name for option in options for name in option.names]
