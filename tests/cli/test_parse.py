"""The option parser and the tables it is driven by."""

from __future__ import annotations

import pytest

from ocirun.cli.commands import load
from ocirun.cli.parse import Values, parse, truth
from ocirun.cli.table import COMMANDS, FLAG, GLOBALS, MANY, NUMBER, TEXT, Option
from ocirun.errors import UsageError

OPTIONS = (
    Option("bundle", "b", kind=TEXT, metavar="DIR", help="x"),
    Option("force", "f", help="x"),
    Option("preserve-fds", kind=NUMBER, metavar="N", help="x"),
    Option("format", kind=TEXT, metavar="F", default="table", choices=("table", "json"), help="x"),
)


def values(*words: str, mixed: bool = True) -> Values:
    result = Values(OPTIONS)
    parse(OPTIONS, list(words), into=result, mixed=mixed)
    return result


@pytest.mark.parametrize(
    "words",
    [
        ("--bundle", "/x", "id"),
        ("--bundle=/x", "id"),
        ("-bundle", "/x", "id"),
        ("-bundle=/x", "id"),
        ("-b", "/x", "id"),
        ("-b=/x", "id"),
        ("id", "--bundle", "/x"),
        ("--bundle", "/y", "-b=/x", "--", "id"),
    ],
)
def test_forms_of_a_value(words: tuple[str, ...]) -> None:
    result = values(*words)
    assert (result.text("bundle"), result.arguments) == ("/x", ["id"])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), False),
        (("--force",), True),
        (("-f", "--force", "-force"), True),
        (("--force=true",), True),
        (("-f=1",), True),
        (("--force=false",), False),
        (("--force", "--force=F"), False),
    ],
)
def test_forms_of_a_flag(words: tuple[str, ...], expected: bool) -> None:
    assert values(*words).flag("force") is expected


def test_flags_take_no_separate_value() -> None:
    assert values("--force", "false").arguments == ["false"]


def test_defaults() -> None:
    result = values()
    assert (result.text("bundle"), result.number("preserve-fds"), result.text("format")) == ("", 0, "table")
    assert result.given == {}


def test_values_may_look_like_options() -> None:
    assert values("--bundle", "--force").text("bundle") == "--force"
    assert values("--bundle=").text("bundle") == ""
    assert values("--bundle=a=b").text("bundle") == "a=b"


def test_end_of_options() -> None:
    result = values("-f", "--", "-x", "--bundle")
    assert result.arguments == ["-x", "--bundle"]
    assert values("-").arguments == ["-"]


def test_unmixed_stops_at_the_first_argument() -> None:
    assert values("-f", "create", "--bundle", "-f", mixed=False).arguments == ["create", "--bundle", "-f"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--nosuch",), "unknown option --nosuch"),
        (("-n=5",), "unknown option -n"),
        (("---bundle", "x"), "unknown option ---bundle"),
        (("--=x",), "unknown option --"),
        (("id", "-9"), "unknown option -9"),
        (("--bundle",), "option --bundle needs a value"),
        (("--force=maybe",), 'option --force: "maybe" is neither true nor false'),
        (("--force=",), 'option --force: "" is neither true nor false'),
        (("--preserve-fds", "x"), 'option --preserve-fds: "x" is not a decimal number'),
        (("--preserve-fds=-1",), 'option --preserve-fds: "-1" is not a decimal number'),
        (("--preserve-fds= 1",), 'option --preserve-fds: " 1" is not a decimal number'),
        (("--preserve-fds=1_0",), 'option --preserve-fds: "1_0" is not a decimal number'),
        (("--preserve-fds=\u0661",), 'option --preserve-fds: "\u0661" is not a decimal number'),
        (("--preserve-fds=" + "9" * 11,), f'option --preserve-fds: "{"9" * 11}" is not a decimal number'),
        (("--format", "yaml"), 'option --format: "yaml" is none of table, json'),
    ],
)
def test_mistakes(words: tuple[str, ...], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        values(*words)
    assert caught.value.message == text


def test_values_before_a_mistake_are_kept() -> None:
    result = Values(OPTIONS)
    with pytest.raises(UsageError):
        parse(OPTIONS, ["--bundle=/x", "--nosuch"], into=result, mixed=False)
    assert result.text("bundle") == "/x"


def test_truth_is_that_of_go() -> None:
    assert [truth(word) for word in ("1", "t", "T", "TRUE", "true", "True")] == [True] * 6
    assert [truth(word) for word in ("0", "f", "F", "FALSE", "false", "False")] == [False] * 6
    assert [truth(word) for word in ("", "yes", "tRUE", "on")] == [None] * 4


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_tables_are_sound(name: str) -> None:
    options = load(name)[0].options if name else GLOBALS
    names = [word for option in options for word in option.names]
    assert len(names) == len(set(names))
    for option in options:
        assert len(option.names[0]) > 1
        assert all(not word.startswith("-") and "=" not in word for word in option.names)
        assert option.help
        assert not option.help.endswith(".")
        assert bool(option.metavar) == (option.kind != FLAG)
        assert isinstance(option.default, {FLAG: bool, TEXT: str, NUMBER: int, MANY: str}[option.kind])
        assert not option.choices or option.default in ("", *option.choices)


@pytest.mark.parametrize("name", COMMANDS)
def test_entries_are_sound(name: str) -> None:
    command, function = load(name)
    assert command.name == name
    assert callable(function)
    assert command.summary[0].islower()
    assert not command.summary.endswith(".")
    assert command.description.endswith(".")
