"""What two plans do differently: operations that only one has, with other arguments, or at another place.

Operations are compared by what they do.  Their numbers make no difference, nor do the numbers in their pointers: one
more mount in front changes none of the others.  Slots make none either, as they are names for descriptors.
"""

from __future__ import annotations

import re

from .._base import jsonio
from . import render, sections
from .ops import HOST, INIT_OPS, Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator
    from typing import Any

    from .ops import Op

REMOVED, ADDED, CHANGED, MOVED = "removed", "added", "changed", "moved"
_MARKS = {REMOVED: "-", ADDED: "+", CHANGED: "~", MOVED: ">"}
_LEGEND = "- only in the old plan   + only in the new one   ~ with other arguments   > at another place\n"

# Numbers for reports, and names of slots that are not in the table of the helper's operations.
_NOT_COMPARED = frozenset(("slots", "places", "index", "slot"))
# What an operation acts on: two of one name with the same object are one, of which the other arguments changed.
_OBJECT = ("controller", "file", "within", "path", "resource", "kind")
_BLOCK = re.compile(r"/[^/]+/[0-9]+")
_NUMBER = re.compile(r"(?<=/)[0-9]+(?=/|$)")


class Change:
    """One thing that two plans do differently.

    kind       REMOVED, ADDED, CHANGED or MOVED
    old, new   numbers of the operation in the plans, -1 where it is not
    """

    __slots__ = ("kind", "new", "old")

    def __init__(self, kind: str, old: int, new: int) -> None:
        self.kind = kind
        self.old = old
        self.new = new

    def __repr__(self) -> str:
        return f"Change({self.kind} {self.old} {self.new})"


class Difference:
    """What two plans do differently.

    old, new   the plans
    changes    in the order of the plans
    later      pointers of parts of the configs that differ, and show in neither plan
    """

    __slots__ = ("changes", "later", "new", "old")

    def __init__(self, old: Plan, new: Plan, later: list[str]) -> None:
        self.old = old
        self.new = new
        self.later = later
        self.changes = _changes(_Keys(old), _Keys(new))

    def __bool__(self) -> bool:
        return bool(self.changes or self.later or any(self.warnings()))

    def warnings(self) -> tuple[list[str], list[str]]:
        """Return the warnings that only the old plan has, and those of the new one."""
        old, new = ([problem.line() for problem in plan.warnings] for plan in (self.old, self.new))
        return [line for line in old if line not in new], [line for line in new if line not in old]

    def lines(self, columns: int = 0) -> Iterator[str]:
        """Yield the difference for people, line by line.

        columns   of the terminal, for which longer lines are broken; 0 for none
        """
        if not self:
            yield "The plans are the same.\n"
            return
        width = min(34, max((len(self._op(change).pointer) for change in self.changes), default=0))
        margin = 2 + 6 + 6 + 6 + width + 2
        places = [_sections(plan) for plan in (self.old, self.new)]
        yield render.fitted(_LEGEND, 2, columns)
        if self.changes:
            heading = f"  {'old':>4}  {'new':>4}  {'by':4}  {'from config.json':{width}}  what\n"
            yield render.fitted(heading, margin, columns)
        section = ""
        for change in self.changes:
            here = places[0][change.old] if change.new < 0 else places[1][change.new]
            if here != section:
                section = here
                yield f"{section}\n"
            op = self._op(change)
            old, new = (str(number) if number >= 0 else "-" for number in (change.old, change.new))
            extra = render.details(op) if change.kind in (REMOVED, ADDED) else ""
            body = render.phrase(op) + (f"  [{extra}]" if extra else "")
            actor = "host" if op.actor == HOST else "init"
            head = f"{_MARKS[change.kind]} {old:>4}  {new:>4}  {actor}  {op.pointer or '-':{width}}  "
            yield render.fitted(f"{head}{body}\n", margin, columns)
            if change.kind == CHANGED:
                for text in _arguments(self.old.ops[change.old], self.new.ops[change.new]):
                    yield render.fitted(f"{'':{margin}}{text}\n", margin + 2, columns)
        for mark, lines in zip("-+", self.warnings(), strict=True):
            for line in lines:
                yield render.fitted(f"{mark} warning: {line}\n", 11, columns)
        for pointer in self.later:
            yield f"~ {pointer} differs, from which no operation of these plans comes\n"

    def json(self, refused: str = "") -> str:
        """Return the difference as JSON: `changes`, `warnings` of each plan alone, and `later`.

        refused   why the caller would be refused, where these are plans of root
        """
        changes = []
        for change in self.changes:
            record: dict[str, Any] = {"change": change.kind}
            for name, plan, number in (("old", self.old, change.old), ("new", self.new, change.new)):
                if number >= 0:
                    record[name] = {"number": number, **plan.ops[number].record()}
            changes.append(record)
        old, new = self.warnings()
        record = {"changes": changes, "warnings": {"old": old, "new": new}, "later": self.later}
        return jsonio.dumps_pretty({**record, "refused": refused} if refused else record) + "\n"

    def _op(self, change: Change) -> Op:
        return self.old.ops[change.old] if change.new < 0 else self.new.ops[change.new]


def without_bundle(plan: Plan, bundle: str) -> Plan:
    """Return a plan in which the path of the bundle is the word BUNDLE.

    bundle   its absolute path
    """
    path = re.compile(rf"(?:(?<=[,:=])|^){re.escape(bundle)}(?=[/,:]|$)")

    def replaced(value: Any) -> Any:
        if isinstance(value, str):
            return path.sub("BUNDLE", value)
        if isinstance(value, (list, tuple)):
            return [replaced(item) for item in value]
        return value

    ops = [
        type(op)(op.name, op.actor, op.pointer, {name: replaced(value) for name, value in op.args.items()}, why=op.why)
        for op in plan.ops
    ]
    return Plan(ops, plan.slots, plan.inherited, plan.keep, plan.warnings)


class _Keys:
    """Of each operation of a plan: all that is compared of it, what it acts on, and what it is without that."""

    def __init__(self, plan: Plan) -> None:
        places: dict[str, str] = {}
        for op in plan.ops:
            if op.name == "open_path" and (block := _BLOCK.match(op.pointer)):
                places.setdefault(block[0], op.args["path"])
        self.whole: list[Hashable] = []
        self.object: list[Hashable] = []
        self.kind: list[Hashable] = []
        for op in plan.ops:
            block = _BLOCK.match(op.pointer)
            place = places.get(block[0], "") if block else ""
            self.whole.append((op.name, op.actor, place, repr(_compared(op))))
            self.object.append((op.name, op.actor, place, *(op.args.get(name) for name in _OBJECT)))
            self.kind.append((op.name, op.actor, place, _NUMBER.sub("*", op.pointer)))


def _compared(op: Op) -> list[tuple[str, Any]]:
    slots = {name for name, kind in INIT_OPS[op.name][1] if kind == "slot"} if op.name in INIT_OPS else ()
    return sorted((name, value) for name, value in op.args.items() if name not in _NOT_COMPARED and name not in slots)


def _changes(old: _Keys, new: _Keys) -> list[Change]:
    left_old, left_new = dict.fromkeys(range(len(old.whole))), dict.fromkeys(range(len(new.whole)))
    pairs: dict[int, int] = {}
    changes: list[Change] = []

    def pair(old_number: int, new_number: int) -> None:
        del left_old[old_number], left_new[new_number]
        pairs[old_number] = new_number

    from itertools import pairwise

    # What is there once in both, in the longest order that they share; around these the rest is found.
    firm = _rising(_alike(old.whole, new.whole, left_old, left_new, lambda a, b: len(a) == len(b) == 1))
    for couple in firm:
        pair(*couple)
    ends = [(-1, -1), *firm, (len(old.whole), len(new.whole))]
    for (old_from, new_from), (old_to, new_to) in pairwise(ends):
        if old_to - old_from == 1 or new_to - new_from == 1:
            continue
        for couple in _alike(
            old.whole, new.whole, range(old_from + 1, old_to), range(new_from + 1, new_to), lambda a, b: bool(a and b)
        ):
            pair(*couple)
    for couple in _alike(old.whole, new.whole, left_old, left_new, lambda a, b: bool(a and b)):
        changes.append(Change(MOVED, *couple))
        pair(*couple)
    for couple in _alike(old.object, new.object, left_old, left_new, lambda a, b: len(a) == len(b)):
        changes.append(Change(CHANGED, *couple))
        pair(*couple)
    # The only ones of their kind: another root, another program, another host name.
    counts = [_numbers(keys.kind, range(len(keys.kind))) for keys in (old, new)]
    for couple in _alike(
        old.kind,
        new.kind,
        left_old,
        left_new,
        lambda a, b: len(a) == len(b) == len(counts[0][old.kind[a[0]]]) == len(counts[1][new.kind[b[0]]]),
    ):
        changes.append(Change(CHANGED, *couple))
        pair(*couple)
    changes += [Change(REMOVED, number, -1) for number in left_old]
    changes += [Change(ADDED, -1, number) for number in left_new]
    # An operation that is gone stands behind what the one before it has become.
    behind, last = [], -1
    for number in range(len(old.whole)):
        last = max(last, pairs.get(number, -1)) if number in pairs else last
        behind.append(last)
    return sorted(changes, key=lambda c: (behind[c.old], 1, c.old) if c.new < 0 else (c.new, 0, c.old))


def _numbers(keys: list[Hashable], among: Any) -> dict[Hashable, list[int]]:
    found: dict[Hashable, list[int]] = {}
    for number in among:
        found.setdefault(keys[number], []).append(number)
    return found


def _alike(
    old: list[Hashable],
    new: list[Hashable],
    old_left: Any,
    new_left: Any,
    wanted: Callable[[list[int], list[int]], bool],
) -> list[tuple[int, int]]:
    """Return pairs of numbers with the same key, in the order of the old ones.

    wanted   says of the numbers on both sides that have a key if they are paired, the first with the first and so on
    """
    first, second = _numbers(old, old_left), _numbers(new, new_left)
    pairs: list[tuple[int, int]] = []
    for key, numbers in first.items():
        others = second.get(key)
        if others and wanted(numbers, others):
            pairs += zip(numbers, others, strict=False)
    return sorted(pairs)


def _rising(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the most of these pairs that rise on both sides."""
    from bisect import bisect_left

    tails: list[int] = []  # the lowest end of a chain, by its length
    ends: list[int] = []
    before: list[int] = []
    for place, (_, new) in enumerate(pairs):
        length = bisect_left(tails, new)
        before.append(ends[length - 1] if length else -1)
        if length == len(tails):
            tails.append(new)
            ends.append(place)
        else:
            tails[length], ends[length] = new, place
    chain, place = [], ends[-1] if ends else -1
    while place >= 0:
        chain.append(pairs[place])
        place = before[place]
    return chain[::-1]


def _sections(plan: Plan) -> list[str]:
    return [section for section, first, end in sections.split(plan) for _ in range(first, end)]


def _arguments(old: Op, new: Op) -> Iterator[str]:
    """Yield what differs in the arguments of two operations."""
    if old.name == "compile_seccomp":
        from .process import seccomp

        yield from seccomp.differences(old.args, new.args)
        return
    before, after = dict(_compared(old)), dict(_compared(new))
    for name in {**before, **after}:
        one, two = before.get(name), after.get(name)
        if one == two:
            continue
        if name == "env":
            yield f"env: {_variables(one or [], two or [])}"
            continue
        texts = ["none" if value in (None, "", []) else render.argument(old, name, value) for value in (one, two)]
        if texts[0] == texts[1]:
            yield f"{name}: differs"
        elif any("," in text and text[0] != "[" for text in texts):
            yield f"{name}: {words(texts[0].split(','), texts[1].split(','))}"
        else:
            yield f"{name}: {texts[0]} -> {texts[1]}"


def _variables(old: list[str], new: list[str]) -> str:
    """Return the names alone: values are for the program."""
    before, after = (dict(item.partition("=")[::2] for item in env) for env in (old, new))
    changed = [f"~{name}" for name in before if name in after and before[name] != after[name]]
    return " ".join([words(list(before), list(after)), *changed]).strip() or "in another order"


def words(old: list[str], new: list[str]) -> str:
    """Return what is only in the old list, with a minus, and only in the new one, with a plus."""
    parts = [f"-{item}" for item in old if item not in new] + [f"+{item}" for item in new if item not in old]
    return " ".join(parts)
