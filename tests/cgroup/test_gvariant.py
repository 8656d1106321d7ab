"""Values in GVariant text."""

from __future__ import annotations

import pytest

from ocirun.cgroup.systemd.gvariant import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

GOOD: list[tuple[str, str, Any]] = [
    ("true", "b", True),
    ("5", "i", 5),
    (" -5 ", "i", -5),
    ("0x1F", "i", 31),
    ("010", "i", 8),
    ("1.5", "d", 1.5),
    ("1e3", "d", 1000.0),
    ("double 2", "d", 2.0),
    ("uint64 18446744073709551615", "t", 2**64 - 1),
    ("byte 255", "y", 255),
    ("'it'", "s", "it"),
    ("'inactive-or-failed'", "s", "inactive-or-failed"),
    ('"a\\"b\\n\\u00e4"', "s", 'a"b\nä'),
    ("objectpath '/a'", "o", "/a"),
    ("['a', 'b']", "as", ["a", "b"]),
    ("[1,]", "ai", [1]),
    ("@as []", "as", []),
    ("@ay [1, 2]", "ay", [1, 2]),
    ("[uint64 1, 2]", "at", [1, 2]),
    ("('a', uint32 3)", "(su)", ("a", 3)),
    ("@a(st) [('/dev/sda', 5)]", "a(st)", [("/dev/sda", 5)]),
    ("{'a': 1, 'b': 2}", "a{si}", {"a": 1, "b": 2}),
    ("@a{sv} {}", "a{sv}", {}),
    ("<uint32 5>", "v", ("u", 5)),
    ("[<1>, <'a'>]", "av", [("i", 1), ("s", "a")]),
]


@pytest.mark.parametrize(("text", "signature", "value"), GOOD)
def test_good(text: str, signature: str, value: Any) -> None:
    assert parse(text) == (signature, value)


BAD = [
    "",
    "  ",
    "hello",
    "'open",
    "5 6",
    "2147483648",
    "byte 256",
    "uint64 -1",
    "uint64 'a'",
    "boolean 1",
    "handle 1",
    "[]",
    "{}",
    "()",
    "[1, 'a']",
    "@as [1]",
    "@(st) ('a')",
    "@(s) ('a', 'b')",
    "@q",
    "@",
    "@z 1",
    "@(s 'a'",
    "{[1]: 2}",
    "{'a' 1}",
    "[1",
    "(1",
    "<1",
    "'a\\u00zz'",
    "'\0'",
    "1_000",
    "0x",
    "[" * 100,
    "<" * 100 + "1" + ">" * 100,
    "@" + "a" * 100 + "i []",
    "uint64",
    "uint64 ,",
]


@pytest.mark.parametrize("text", BAD)
def test_bad(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)
