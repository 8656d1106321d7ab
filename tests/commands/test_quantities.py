"""Sizes, numbers and durations of options."""

from __future__ import annotations

import pytest

from ocirun.cli.quantities import duration, number, size
from ocirun.errors import UsageError

MS = 1_000_000
S = 1000 * MS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("-1", -1),
        ("64", 64),
        ("64b", 64),
        ("64k", 65536),
        ("64M", 64 << 20),
        ("64mb", 64 << 20),
        ("64MiB", 64 << 20),
        ("64 mib", 64 << 20),
        ("1.5g", 3 << 29),
        (".5k", 512),
        ("2t", 2 << 40),
        ("1p", 1 << 50),
        ("9223372036854775807", (1 << 63) - 1),
    ],
)
def test_sizes(text: str, expected: int) -> None:
    assert size(text, option="memory") == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "m", "max", "64x", "64i", "64ib", "-5", "-1m", "1e3", "1..5", "0x10", "64  m", "+5", "1,5", "."),
        *("\u0664", "1_000", "9000000p", "9223372036854775808", "9" * 40),
    ],
)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match=r"option --memory: .* is not a size"):
        size(text, option="memory")


def test_numbers() -> None:
    assert number("-1", option="x") == -1
    assert number("9223372036854775807", option="x") == (1 << 63) - 1
    assert number("18446744073709551615", option="x", signed=False) == (1 << 64) - 1
    for text in ("", "-", "x", "1.5", "1_0", " 1", "9223372036854775808", "9" * 5000):
        with pytest.raises(UsageError):
            number(text, option="x")
    for text in ("-1", "18446744073709551616"):
        with pytest.raises(UsageError):
            number(text, option="x", signed=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5s", 5 * S),
        ("+5s", 5 * S),
        ("1m30s", 90 * S),
        ("500ms", 500 * MS),
        ("1.5h", 5400 * S),
        (".5s", 500 * MS),
        ("1.s", S),
        ("10us", 10_000),
        ("10\u00b5s", 10_000),
        ("10\u03bcs", 10_000),
        ("7ns", 7),
        ("1h0m0s", 3600 * S),
    ],
)
def test_durations(text: str, expected: int) -> None:
    assert duration(text, option="interval") == expected


@pytest.mark.parametrize(
    "text", ["", "+", "5", "s", "0", "0s", "-1s", "1d", "1h1", "1 s", ".s", "1..5s", "9999999h", "5S"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match=r"option --interval: .* is not a duration"):
        duration(text, option="interval")
