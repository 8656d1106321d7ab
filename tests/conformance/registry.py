"""Which function tries which requirements."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .bench import Bench

    Function = Callable[[Bench], None]


class Skip(Exception):
    """The machine or the runtime cannot be tried on this; the reason is a fact that was found out."""


class Check:
    """A function, and the ids that it decides: all pass if it returns, all fail if it raises."""

    __slots__ = ("function", "ids")

    def __init__(self, ids: tuple[str, ...], function: Function) -> None:
        self.ids = ids
        self.function = function


CHECKS: list[Check] = []


def covers(*ids: str) -> Callable[[Function], Function]:
    """Decorator: this function tries these requirements."""

    def register(function: Function) -> Function:
        CHECKS.append(Check(ids, function))
        return function

    return register


def need(fact: object, reason: str) -> None:
    """Skip, unless the fact holds."""
    if not fact:
        raise Skip(reason)
