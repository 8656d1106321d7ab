"""Collects what is wrong with a config: Problems, each with the JSON pointer of its value."""

from __future__ import annotations

from .._base.jsonio import dumps
from ..errors import Problem

#: A config can be wrong at millions of places; nobody reads more than this many.
LIMIT = 200


class TooManyError(Exception):
    """Ends a check early; never leaves this package."""


def describe(value: object) -> str:
    """Return `value` in words for a message: scalars in full as far as they are short, containers by kind."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        shown = dumps(value if len(value) <= 60 else value[:57] + "...")
        return f"the string {shown}"
    if isinstance(value, (int, float)):
        # str() of an int with more digits than sys.get_int_max_str_digits() raises.
        huge = isinstance(value, int) and value.bit_length() > 200
        return "a number that is too large" if huge else f"the number {value!r}"
    if isinstance(value, (dict, list)):
        kind = "an object" if isinstance(value, dict) else "an array"
        return kind if value else f"{kind} that is empty"
    return f"a Python {type(value).__name__}"


def _meant(expected: str, value: object) -> str:
    """Return ``; did you mean "RLIMIT_NOFILE"?`` where the value is near to one of those that are expected."""
    words = expected.removeprefix("one of ")
    if words == expected or not isinstance(value, str):
        return ""
    from .._base.near import did_you_mean

    near = did_you_mean(value, words.split(", "))
    return f"; {near}" if near else ""


class Report:
    """The Problems found so far.

    problems   errors and warnings, in the order found
    faults     pointers of values that are no good in themselves, which rules must not read
    """

    __slots__ = ("_errors", "faults", "problems")

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.faults: list[str] = []
        self._errors = 0

    def add(self, pointer: str, message: str, *, expected: str = "", found: str = "") -> None:
        """Add a Problem.  Raises TooManyError when there are LIMIT of them."""
        self._errors += 1
        if self._errors > LIMIT:
            if self._errors == LIMIT + 1:
                self.problems.append(Problem("", f"more than {LIMIT} problems, the others are not listed"))
            raise TooManyError
        self.problems.append(Problem(pointer, message, expected=expected, found=found))

    def wrong(self, pointer: str, expected: str, value: object) -> None:
        """Add the Problem that `value` is not `expected`."""
        found = describe(value)
        self.add(pointer, f"must be {expected}, not {found}{_meant(expected, value)}", expected=expected, found=found)

    def warn(self, pointer: str, message: str, *, expected: str = "", found: str = "") -> None:
        """Add a Problem that does not stop the config from being used; from LIMIT entries on it is dropped."""
        if len(self.problems) < LIMIT:
            self.problems.append(Problem(pointer, message, expected=expected, found=found, warning=True))

    def sound(self, *pointers: str) -> bool:
        """Return whether the values at `pointers` have no fault in them or around them.

        A rule that reads several values runs only if each of them is sound: it
        needs no tests of types then, and one mistake is not reported twice.
        """
        for place in self.faults:
            for pointer in pointers:
                if place == pointer or place.startswith(f"{pointer}/") or pointer.startswith(f"{place}/"):
                    return False
        return True
