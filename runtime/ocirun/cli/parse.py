"""The option parser: a table and some words in, values out.

The forms are those of runc (Go's ``flag`` package): ``--name value``,
``--name=value``, one dash as good as two, flags with an optional
``=true``/``=false`` and free to be repeated, ``--`` ends the options.
"""

from __future__ import annotations

from ocirun.cli.table import FLAG, MANY, NUMBER
from ocirun.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.table import Option

# strconv.ParseBool of Go, which engines write against
_TRUTHS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}

# More digits than any descriptor or size has; int() of very long texts takes quadratic time.
_DIGITS_MAX = 10


class UnknownOptionError(UsageError):
    """An option that is not in the table; ``word`` is that option, as it was given."""

    word = ""


class Values:
    """What was given for a table of options.

    given       option key -> value, for the options that were given
    lists       the same for options of kind MANY, each value in order
    arguments   the words that are not options
    """

    __slots__ = ("_options", "arguments", "given", "lists")

    def __init__(self, options: tuple[Option, ...]) -> None:
        self._options = options
        self.given: dict[str, bool | int | str] = {}
        self.lists: dict[str, list[str]] = {}
        self.arguments: list[str] = []

    def _value(self, key: str) -> bool | int | str:
        if key in self.given:
            return self.given[key]
        return next(option.default for option in self._options if option.names[0] == key)

    def flag(self, key: str) -> bool:
        """Return the value of a FLAG option."""
        return bool(self._value(key))

    def text(self, key: str) -> str:
        """Return the value of a TEXT option."""
        return str(self._value(key))

    def many(self, key: str) -> list[str]:
        """Return the values of a MANY option, in order."""
        return self.lists.get(key, [])

    def number(self, key: str) -> int:
        """Return the value of a NUMBER option."""
        return int(self._value(key))


def truth(text: str) -> bool | None:
    """Return the boolean that `text` spells in Go's way, or None."""
    return _TRUTHS.get(text)


def parse(options: tuple[Option, ...], words: list[str], *, into: Values, mixed: bool, unless: str = "") -> None:
    """Sort `words` into options and arguments.

    into    receives the values one by one, so that it holds those before a
            mistake when this raises
    mixed   options may follow arguments; otherwise everything from the first
            argument on is an argument
    unless  name of an option after which `mixed` does not hold, "" for none
    Raises UsageError for an option that is not in the table, lacks its value
    or has one that its kind does not allow.
    """
    known = {name: option for option in options for name in option.names}
    index, count = 0, len(words)
    while index < count:
        word = words[index]
        index += 1
        if word == "--":
            break
        if len(word) < 2 or word[0] != "-":
            into.arguments.append(word)
            if mixed and unless not in into.given:
                continue
            break
        name, given, value = word[2 if word[1] == "-" else 1 :].partition("=")
        option = known.get(name)
        if option is None:
            error = UnknownOptionError(f"unknown option {word.partition('=')[0]}")
            error.word = word
            raise error
        if option.kind == FLAG:
            into.given[option.names[0]] = _flag(option, value) if given else True
            continue
        if not given:
            if index == count:
                raise UsageError(f"option {word} needs a value")
            value = words[index]
            index += 1
        if option.kind == MANY:
            into.lists.setdefault(option.names[0], []).append(value)
            continue
        into.given[option.names[0]] = _checked(option, value)
    into.arguments.extend(words[index:])


def _flag(option: Option, value: str) -> bool:
    result = truth(value)
    if result is None:
        raise UsageError(f'option --{option.names[0]}: "{value}" is neither true nor false')
    return result


def _checked(option: Option, value: str) -> int | str:
    name = option.names[0]
    if option.kind == NUMBER:
        if not (value.isascii() and value.isdigit() and len(value) <= _DIGITS_MAX):
            raise UsageError(f'option --{name}: "{value}" is not a decimal number')
        return int(value)
    if option.choices and value not in option.choices:
        raise UsageError(f'option --{name}: "{value}" is none of {", ".join(option.choices)}')
    return value
