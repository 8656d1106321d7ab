"""Signal names and numbers."""

from __future__ import annotations

import signal

import pytest

from ocirun._base import signals
from ocirun.errors import UsageError


def test_numbers_are_those_of_the_system() -> None:
    for name, number in signals.NUMBERS.items():
        if hasattr(signal, f"SIG{name}"):
            assert getattr(signal, f"SIG{name}") == number
    assert {int(number) for number in signal.Signals if number < 32} <= set(signals.NUMBERS.values())
    assert signals.RTMIN == signal.SIGRTMIN
    assert signals.RTMAX == signal.SIGRTMAX


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("TERM", 15),
        ("SIGTERM", 15),
        ("term", 15),
        ("SigTerm", 15),
        ("9", 9),
        ("0", 0),
        ("64", 64),
        ("RTMIN", 34),
        ("SIGRTMIN+1", 35),
        ("rtmin+30", 64),
        ("RTMAX", 64),
        ("RTMAX-1", 63),
        ("POLL", 29),
        ("CLD", 17),
    ],
)
def test_parse(text: str, number: int) -> None:
    assert signals.parse(text) == number


@pytest.mark.parametrize(
    "text",
    [
        *("", "SIG", "bogus", "SIGSIGTERM", "65", "-9", "+9", " 9", "9\n", "1_0", "9999", "\u0669"),
        *("RTMIN+31", "RTMIN-1", "RTMAX+1", "RTMIN+", "RTMIN+x", "RTMIN1", "\u017fIGTERM", "TERM\x00"),
    ],
)
def test_parse_refuses(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        signals.parse(text)
    assert caught.value.message == f'unknown signal "{text}"'


def test_names_come_back() -> None:
    for number in (*range(1, 32), *range(34, 65)):
        assert signals.parse(signals.name(number)) == number
    assert signals.name(6) == "SIGABRT"
    assert signals.name(29) == "SIGIO"
    assert signals.name(36) == "SIGRTMIN+2"
    assert signals.name(32) == "signal 32"
