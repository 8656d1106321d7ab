"""Sizes and durations as runc's options take them."""

from __future__ import annotations

from ocirun.errors import UsageError

_SIZE_UNITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50}
_INT64_MAX = (1 << 63) - 1
# Nanoseconds; "µ" is written with either of its two characters.
_TIME_UNITS = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,
    "\u03bcs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
# More digits than any number that is allowed has; int() of very long texts takes quadratic time.
_DIGITS_MAX = 30


def size(text: str, *, option: str) -> int:
    """Return bytes of a text such as ``64m``, ``1.5 GiB`` or ``-1`` for no limit; a unit is a power of 1024.

    option   its name, for the message
    Raises UsageError.  The forms are those of RAMInBytes of docker/go-units.
    """
    if text == "-1":
        return -1
    word = text.lower().removesuffix("b").removesuffix("i")
    unit = word[-1:] if word[-1:] in ("k", "m", "g", "t", "p") else ""
    if not unit and word != text.lower().removesuffix("b"):
        word = ""
    digits = (word[:-1] if unit else word).removesuffix(" ")
    scaled = _decimal(digits, 1 << _SIZE_UNITS[unit])
    if scaled is None or scaled > _INT64_MAX:
        raise UsageError(f'option --{option}: "{text}" is not a size, such as 64m, or -1 for no limit')
    return scaled


def number(text: str, *, option: str, signed: bool = True) -> int:
    """Return a decimal number of 64 bits.  Raises UsageError."""
    digits = text[1:] if signed and text[:1] in ("-", "+") else text
    if not _is_digits(digits):
        raise UsageError(f'option --{option}: "{text}" is not a decimal number')
    value = int(text)
    if not -(1 << 63) <= value < 1 << (63 if signed else 64):
        raise UsageError(f'option --{option}: "{text}" does not fit in 64 bits')
    return value


def duration(text: str, *, option: str) -> int:
    """Return nanoseconds of a text such as ``5s``, ``1m30s``, ``1.5h`` or ``500ms``; more than 0.

    Raises UsageError.  The forms are those of Go's time.ParseDuration.
    """
    rest, total = text.removeprefix("+"), 0
    while rest and total >= 0:
        end = next((index for index, char in enumerate(rest) if char not in "0123456789."), len(rest))
        after = next((index for index in range(end, len(rest)) if rest[index] in "0123456789."), len(rest))
        part = _decimal(rest[:end], _TIME_UNITS.get(rest[end:after], 0))
        total = -1 if part is None or rest[end:after] not in _TIME_UNITS else total + part
        rest = rest[after:]
    if not 0 < total <= _INT64_MAX:
        raise UsageError(f'option --{option}: "{text}" is not a duration of more than 0, such as 5s, 1m30s or 500ms')
    return total


def _decimal(text: str, unit: int) -> int | None:
    """Return `text`, digits with at most one dot, times `unit`, rounded down; None for anything else."""
    whole, dot, part = text.partition(".")
    if not _is_digits(whole + part) or (dot and not (whole or part)):
        return None
    scaled: int = int(whole + part) * unit // 10 ** len(part)
    return scaled


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX
