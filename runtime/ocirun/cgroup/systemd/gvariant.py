"""The text form of D-Bus values, as ``gdbus`` and ``busctl`` users know it from GVariant.  Pure.

Source: "GVariant Text Format" of the GLib documentation.  Read are booleans,
numbers, strings, arrays, tuples, dictionaries and variants, type keywords
(``uint64 5``) and annotations (``@as []``).  A value without either has the
type that GVariant gives it: int32 for a whole number, double for one with a
point or an exponent.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KEYWORDS = {
    "boolean": "b",
    "byte": "y",
    "int16": "n",
    "uint16": "q",
    "int32": "i",
    "handle": "h",
    "uint32": "u",
    "int64": "x",
    "uint64": "t",
    "double": "d",
    "string": "s",
    "objectpath": "o",
    "signature": "g",
}
_RANGES = {
    "y": (0, 255),
    "n": (-(1 << 15), (1 << 15) - 1),
    "q": (0, (1 << 16) - 1),
    "i": (-(1 << 31), (1 << 31) - 1),
    "u": (0, (1 << 32) - 1),
    "x": (-(1 << 63), (1 << 63) - 1),
    "t": (0, (1 << 64) - 1),
}
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_DEPTH = 32
_BLANKS = " \t\n\r"
_WORD = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-._")


def parse(text: str) -> tuple[str, Any]:
    """Return (signature, value) of a text.  Raises ValueError with the reason.

    Arrays and tuples come as lists and tuples, dictionaries as dicts, variants as (signature, value).
    """
    reader = _Reader(text)
    signature, value = reader.value("", 0)
    reader.skip()
    if reader.at < len(text):
        raise ValueError(f"there is more behind the value: {text[reader.at :][:20]!a}")
    return signature, value


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def skip(self) -> str:
        """Return the next letter that is not blank, or ""."""
        while self.text[self.at : self.at + 1] in tuple(_BLANKS):
            self.at += 1
        return self.text[self.at : self.at + 1]

    def expect(self, letter: str) -> None:
        if self.skip() != letter:
            raise ValueError(f"{letter!a} is missing at {self.text[self.at :][:20]!a}")
        self.at += 1

    def word(self) -> str:
        start = self.at
        while self.at < len(self.text) and self.text[self.at] in _WORD:
            self.at += 1
        return self.text[start : self.at]

    def value(self, wanted: str, depth: int) -> tuple[str, Any]:
        """Return one value; `wanted` is the type that it must have, "" for the one it has by itself."""
        if depth > _DEPTH:
            raise ValueError("is nested too deeply")
        letter = self.skip()
        if letter == "@":
            self.at += 1
            return self.value(_agreed(self.signature(), wanted), depth + 1)
        if letter == "[":
            return self.array(wanted, depth)
        if letter == "(":
            return self.pair(wanted, depth)
        if letter == "{":
            return self.dictionary(wanted, depth)
        if letter == "<":
            self.at += 1
            inner = self.value("", depth + 1)
            self.expect(">")
            return _agreed("v", wanted), inner
        if letter and letter in "'\"":
            return self.string(letter, wanted)
        word = self.word()
        if word in _KEYWORDS and self.skip() and self.text[self.at] not in ",])}>:":
            return self.value(_agreed(_KEYWORDS[word], wanted), depth + 1)
        return _plain(word, wanted, self.text[self.at :])

    def signature(self) -> str:
        """Return the type behind an ``@``: one complete type."""
        start = self.at
        self.complete(0)
        return self.text[start : self.at]

    def complete(self, depth: int) -> None:
        letter = self.text[self.at : self.at + 1]
        self.at += 1
        if depth > _DEPTH:
            raise ValueError("has a type that is nested too deeply")
        if letter == "a":
            self.complete(depth + 1)
        elif letter and letter in "({":
            end = ")" if letter == "(" else "}"
            while self.text[self.at : self.at + 1] not in (end, ""):
                self.complete(depth + 1)
            if self.text[self.at : self.at + 1] != end:
                raise ValueError("has a type that does not end")
            self.at += 1
        elif not letter or letter not in "bynqiuxtdsogvh":
            raise ValueError(f"{letter!a} is not the code of a type")

    def array(self, wanted: str, depth: int) -> tuple[str, Any]:
        if wanted and not wanted.startswith("a"):
            raise ValueError(f"is an array where the type {wanted} is wanted")
        element = wanted[1:]
        values: list[Any] = []
        self.expect("[")
        while self.skip() != "]":
            found, value = self.value(element, depth + 1)
            element = element or found
            values.append(value)
            if self.skip() != ",":
                break
            self.at += 1
        self.expect("]")
        if not element:
            raise ValueError("is an empty array, whose type must be said, such as @as []")
        return "a" + element, values

    def pair(self, wanted: str, depth: int) -> tuple[str, Any]:
        if wanted and not wanted.startswith("("):
            raise ValueError(f"is a tuple where the type {wanted} is wanted")
        types = _members(wanted[1:-1]) if wanted else []
        codes: list[str] = []
        values: list[Any] = []
        self.expect("(")
        while self.skip() != ")":
            place = len(values)
            if wanted and place >= len(types):
                raise ValueError(f"has more members than the type {wanted}")
            found, value = self.value(types[place] if wanted else "", depth + 1)
            codes.append(found)
            values.append(value)
            if self.skip() != ",":
                break
            self.at += 1
        self.expect(")")
        if not codes or (wanted and len(codes) != len(types)):
            raise ValueError("is a tuple with too few members")
        return f"({''.join(codes)})", tuple(values)

    def dictionary(self, wanted: str, depth: int) -> tuple[str, Any]:
        if wanted and not wanted.startswith("a{"):
            raise ValueError(f"is a dictionary where the type {wanted} is wanted")
        key_type, value_type = _members(wanted[2:-1]) if wanted else ("", "")
        values: dict[Any, Any] = {}
        self.expect("{")
        while self.skip() != "}":
            key_found, key = self.value(key_type, depth + 1)
            if key_found not in "bynqiuxtdsog":
                raise ValueError("has a key that is not a plain value")
            self.expect(":")
            value_found, value = self.value(value_type, depth + 1)
            key_type, value_type = key_type or key_found, value_type or value_found
            values[key] = value
            if self.skip() != ",":
                break
            self.at += 1
        self.expect("}")
        if not key_type:
            raise ValueError("is an empty dictionary, whose type must be said, such as @a{ss} {}")
        return f"a{{{key_type}{value_type}}}", values

    def string(self, quote: str, wanted: str) -> tuple[str, Any]:
        if wanted and wanted not in "sog":
            raise ValueError(f"is a string where the type {wanted} is wanted")
        self.at += 1
        letters = []
        while (letter := self.text[self.at : self.at + 1]) != quote:
            if not letter:
                raise ValueError("has a quote that is not closed")
            self.at += 1
            letters.append(self.escaped() if letter == "\\" else letter)
        self.at += 1
        text = "".join(letters)
        if "\0" in text:
            raise ValueError("holds a NUL")
        return wanted or "s", text

    def escaped(self) -> str:
        letter = self.text[self.at : self.at + 1]
        self.at += 1
        if letter and letter in "uU":
            size = 4 if letter == "u" else 8
            digits = self.text[self.at : self.at + size]
            self.at += size
            try:
                return chr(int(digits, 16))
            except (ValueError, OverflowError):
                raise ValueError(f"\\{letter}{digits} is not a character") from None
        return _ESCAPES.get(letter, letter)


def _agreed(found: str, wanted: str) -> str:
    if wanted and found != wanted:
        raise ValueError(f"has the type {found} where {wanted} is wanted")
    return found


def _members(types: str) -> list[str]:
    """Return the complete types in a row of them."""
    reader, members = _Reader(types), []
    while reader.at < len(types):
        members.append(reader.signature())
    return members


def _plain(word: str, wanted: str, rest: str) -> tuple[str, Any]:
    """Return a boolean or a number."""
    if word in ("true", "false"):
        return _agreed("b", wanted), word == "true"
    if not word:
        raise ValueError(f"is not a value: {rest[:20]!a}" if rest else "is empty")
    try:
        digits = word.lstrip("+-")
        octal = digits.isdigit() and digits.startswith("0")
        number = int(word.replace("_", "?"), 8 if octal else 0)
    except ValueError:
        number = None
    if number is not None and wanted != "d":
        code = wanted or "i"
        if code not in _RANGES:
            raise ValueError(f"is a number where the type {wanted} is wanted")
        low, high = _RANGES[code]
        if not low <= number <= high:
            raise ValueError(f"{word} is outside {low} .. {high}, the range of the type {code}")
        return code, number
    try:
        return _agreed("d", wanted), float(word.replace("_", "?"))
    except ValueError as error:
        if "wanted" in str(error):
            raise
        raise ValueError(f"{word[:20]!a} is not a value; strings stand in quotes") from None
