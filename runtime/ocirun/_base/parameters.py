"""Parameters of the API, checked where they come in: what is wrong with one is said by its name."""

from __future__ import annotations

from ..errors import UsageError

#: The largest number of bytes or of things: what a file offset of the kernel can hold.
LARGEST = (1 << 63) - 1


def whole(name: str, value: object, *, least: int = 1, most: int = LARGEST) -> int:
    """Return a whole number in a range.  Raises UsageError."""
    # True is an int to Python, and no number of bytes to anybody.
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise wrong(name, f"a whole number from {least} to {most}", value)
    return int(value)


def optional(name: str, value: object, *, least: int = 1, most: int = LARGEST) -> int | None:
    """Return the same, or None for None.  Raises UsageError."""
    return None if value is None else whole(name, value, least=least, most=most)


def seconds(name: str, value: object) -> float | None:
    """Return a time of 0 or more, or None for no limit, which infinity is too.  Raises UsageError."""
    if value is None:
        return None
    # NaN is not equal to itself, and neither above nor below anything.
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value >= 0:
        raise wrong(name, "a number of seconds of at least 0, or None for no limit", value)
    return value


def processors(name: str, value: object) -> float | None:
    """Return a number of processors, or None.  Raises UsageError below 0.01, the least that the kernel counts."""
    if value is None:
        return None
    found = _finite(value)
    if found is None or not 0.01 <= found <= 1_000_000:
        raise wrong(name, "a number of processors from 0.01 to 1000000, or None", value)
    return found


def _finite(value: object) -> float | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if found - found == 0.0 else None  # not so for infinity and NaN


def words(name: str, value: object) -> list[str]:
    """Return a list of texts; one text alone is none.  Raises UsageError."""
    # Of a text each letter would be one; of a dict the keys.
    if isinstance(value, (str, bytes, bytearray)) or hasattr(value, "items") or not hasattr(value, "__iter__"):
        raise wrong(name, "a list of str", value)
    return [text(f"{name}[{index}]", one) for index, one in enumerate(value)]


def text(name: str, value: object) -> str:
    """Return a text without NUL, which no argument of a program can have.  Raises UsageError."""
    if not isinstance(value, str) or "\0" in value:
        raise wrong(name, "a str without NUL", value)
    return value


def environment(name: str, value: object) -> list[str]:
    """Return ``KEY=value`` of each variable of a dict.  Raises UsageError."""
    if not hasattr(value, "items"):
        raise wrong(name, "a dict of str to str", value)
    entries = []
    for key, content in value.items():
        if not isinstance(key, str) or not key or "=" in key or "\0" in key:
            raise wrong(name, "names that are str, without = and NUL, and not empty", key)
        entries.append(f"{key}={text(f'{name}[{key!r}]', content)}")
    return entries


def pair(name: str, value: object, *, least: int = 0, most: int) -> tuple[int, int]:
    """Return two whole numbers in a range.  Raises UsageError."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise wrong(name, "two whole numbers", value)
    first, second = (whole(f"{name}[{index}]", one, least=least, most=most) for index, one in enumerate(value))
    return first, second


def content(name: str, value: object) -> bytes:
    """Return bytes.  Raises UsageError."""
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise wrong(name, "bytes", value)
    return bytes(value)


def boolean(name: str, value: object) -> bool:
    """Return True or False.  Raises UsageError."""
    if not isinstance(value, bool):
        raise wrong(name, "True or False", value)
    return value


def one_of(name: str, value: object, words: tuple[str, ...]) -> None:
    """Check that a value is one of some words.  Raises UsageError."""
    if not isinstance(value, str) or value not in words:
        raise wrong(name, "one of " + ", ".join(f'"{word}"' for word in words), value)


def wrong(name: str, expected: str, value: object) -> UsageError:
    """Return the error for a parameter."""
    return UsageError(f"{name}: must be {expected}, not {_shown(value)}")


def _shown(value: object) -> str:
    shown = ascii(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
