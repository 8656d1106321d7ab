"""Check a parsed config: first every value by the tables, then the rules.

The walk is on the start-up path of every command, so it visits each value
once, builds a pointer only for containers, and uses no module of its own.
"""

from __future__ import annotations

from .._base.jsonio import pointer_token
from . import rules
from ._tables import BOOL, ENUM, INT, LIST, OBJECT, SPEC, STR
from .patterns import FORMS, clean
from .report import Report, TooManyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ..errors import Problem
    from ._types import Node

#: Levels of arrays and objects in values that nothing reads.  Engines stay below 20.
DEPTH = 100

#: Keys of other platforms and of earlier versions of the spec, by the object they are in.
ELSEWHERE = {
    "": ("windows", "solaris", "vm", "zos", "freebsd"),
    "/process": ("commandLine",),
    "/process/user": ("username",),
    "/linux/intelRdt": ("enableCMT", "enableMBM"),
}


def check(data: object, *, unknown: bool = False) -> list[Problem]:
    """Return all that is wrong with a config; an entry with ``warning`` set does not stop it from being used.

    data      config.json as parsed; it is not changed
    unknown   also warn about keys that the spec does not have
    Source: runtime-spec 1.3, config.md and config-linux.md.
    """
    walk = Walk(unknown=unknown)
    walk.root(data)
    if isinstance(data, dict):
        _rules(without(data, walk.nulls), walk.report)
    return walk.report.problems


def structure(data: object) -> list[Problem]:
    """Return what is wrong with the values one by one: exactly what ``schemas/config.schema.json`` says."""
    walk = Walk()
    walk.root(data)
    return walk.report.problems


def part_is_sound(data: dict[str, Any], key: str) -> bool:
    """Return whether the values below one key of the document are right one by one, whatever is wrong elsewhere."""
    walk = Walk()
    if data.get(key) is not None:
        try:
            walk.value(data[key], SPEC[1][key], f"/{key}")
        except TooManyError:
            return False
    return not walk.report.problems


def checked(data: object) -> list[Problem]:
    """Do the same as ``check``, for a caller that owns `data`: keys that are null are taken out of it."""
    walk = Walk()
    walk.root(data)
    for parent, key in walk.nulls:
        del parent[key]
    if isinstance(data, dict):
        _rules(data, walk.report)
    return walk.report.problems


def checked_parts(data: dict[str, Any], parts: Iterable[str]) -> list[Problem]:
    """Do the same as ``checked``, for a config of which only `parts` are not known to be right.

    parts   paths of keys such as ``process/args``, each there in `data`
    The rules look at the whole config, as one value may contradict another.
    """
    walk = Walk()
    try:
        for part in parts:
            value: Any = data
            node: Any = SPEC
            for key in part.split("/"):
                value, node = value[key], node[1][key]
            walk.value(value, node, f"/{part}")
    except TooManyError:
        return walk.report.problems
    for parent, key in walk.nulls:
        del parent[key]
    _rules(data, walk.report)
    return walk.report.problems


def _rules(data: Any, report: Report) -> None:
    report.faults = [problem.pointer for problem in report.problems if not problem.warning]
    try:
        rules.check(data, report)
    except TooManyError:
        return


def without(value: Any, nulls: list[tuple[dict[str, Any], str]]) -> Any:
    """Return `value` itself, or a copy of it without the keys in `nulls`, if there are any."""
    if not nulls:
        return value
    gone = {(id(parent), key) for parent, key in nulls}

    def copy(item: Any, levels: int) -> Any:
        # No known key is deeper than this; what is unknown may be too deep to follow.
        if levels == 0:
            return item
        if isinstance(item, dict):
            return {key: copy(inner, levels - 1) for key, inner in item.items() if (id(item), key) not in gone}
        return [copy(inner, levels - 1) for inner in item] if isinstance(item, list) else item

    return copy(value, 16)


class Walk:
    """One walk over a config.

    report   what was found
    nulls    (object, key) of each null that stands for an absent optional key, as encoding/json of Go reads it
    """

    __slots__ = ("_unknown", "nulls", "report")

    def __init__(self, *, unknown: bool = False) -> None:
        self.report = Report()
        self.nulls: list[tuple[dict[str, Any], str]] = []
        self._unknown = unknown

    def root(self, data: object) -> None:
        """Walk the whole document."""
        try:
            self.value(data, SPEC, "")
        except TooManyError:
            return

    def value(self, value: Any, node: Node, pointer: str) -> None:
        """Walk one value; `node` is its entry in the tables.  Raises TooManyError."""
        kind = node[0]
        if kind < LIST:
            expected = scalar(value, node)
            if expected:
                self.report.wrong(pointer, expected, value)
        elif kind == LIST:
            if type(value) is list:
                self._list(value, node, pointer)
            else:
                self.report.wrong(pointer, "an array", value)
        elif type(value) is not dict:
            self.report.wrong(pointer, "an object", value)
        elif kind == OBJECT:
            self._object(value, node, pointer)
        else:
            self._map(value, node, pointer)

    def _object(self, value: dict[str, Any], node: Node, pointer: str) -> None:
        _, keys, required, either = node
        for key, item in value.items():
            rule = keys.get(key)
            if rule is None:
                if self._unknown or type(item) is dict or type(item) is list:
                    self._stranger(key, item, keys, pointer)
            elif item is None and key not in required:
                self.nulls.append((value, key))
            elif rule[0] < LIST:
                expected = scalar(item, rule)
                if expected:
                    self.report.wrong(f"{pointer}/{key}", expected, item)
            else:
                self.value(item, rule, f"{pointer}/{key}")
        for key in required:
            if key not in value:
                self.report.add(f"{pointer}/{key}", "is required", expected=words(keys[key]))
        if either and all(value.get(key) is None for key in either):
            self.report.add(pointer, f"needs {' or '.join(either)}", expected=" or ".join(either))

    def _list(self, value: list[Any], node: Node, pointer: str) -> None:
        _, item, least = node
        if len(value) < least:
            self.report.wrong(pointer, f"an array of at least {least}", value)
        if item[0] == STR and item[1] == "text" and _plain(value):
            return
        for index, inner in enumerate(value):
            if item[0] < LIST:
                expected = scalar(inner, item)
                if expected:
                    self.report.wrong(f"{pointer}/{index}", expected, inner)
            else:
                self.value(inner, item, f"{pointer}/{index}")

    def _map(self, value: dict[str, Any], node: Node, pointer: str) -> None:
        for key, item in value.items():
            fault = clean(key) or ("" if key else "a string that is not empty")
            if fault:
                self.report.add(pointer, f"has a key that must be {fault}", expected=fault, found=pointer_token(key))
            else:
                self.value(item, node[1], f"{pointer}/{pointer_token(key)}")

    def _stranger(self, key: str, item: Any, keys: dict[str, Node], pointer: str) -> None:
        place = f"{pointer}/{pointer_token(key)}"
        if too_deep(item, DEPTH - place.count("/")):
            self.report.add(place, f"is nested more than {DEPTH} deep", expected=f"at most {DEPTH} levels")
        elif self._unknown and key not in ELSEWHERE.get(pointer, ()):
            lower = key.lower()
            near = next((name for name in keys if name.lower() == lower), "")
            hint = f"; {near} is meant?" if near else ""
            self.report.warn(place, f"is not a key of the spec and is ignored{hint}", expected=near)


def scalar(value: Any, node: Node) -> str:
    """Return what a value without parts should have been by `node`, in words, or "" if it is right.

    Types are exact: True is no number, and neither are 1.0 and "1".
    """
    kind = node[0]
    if kind == STR:
        if type(value) is str:
            if not value.isascii() or "\0" in value:
                fault = clean(value)
                if fault:
                    return fault
            form = node[1]
            if form == "text" or FORMS[form][0](value):
                return ""
    elif kind == INT:
        if type(value) is int and node[1] <= value <= node[2]:
            return ""
    elif kind == BOOL:
        if value is True or value is False:
            return ""
    elif kind == ENUM and type(value) is str and value in node[1]:
        return ""
    return words(node)


def words(node: Node) -> str:
    """Return what the tables expect, for people."""
    kind = node[0]
    if kind == STR:
        return "a string" if node[1] == "text" else FORMS[node[1]][1]
    if kind == INT:
        return f"an integer from {node[1]} to {node[2]}"
    if kind == BOOL:
        return "true or false"
    if kind == ENUM:
        return f"one of {', '.join(filter(None, node[1]))}"
    return "an array" if kind == LIST else "an object"


def _plain(value: list[Any]) -> bool:
    """Return whether `value` holds only strings of ASCII characters without NUL: one pass in C for the usual case."""
    try:
        text = "\n".join(value)
    except TypeError:
        return False
    return text.isascii() and "\0" not in text


def too_deep(value: object, levels: int) -> bool:
    """Return whether `value` has more than `levels` levels of arrays and objects."""
    level = [value]
    while level:
        inner: list[object] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
            else:
                continue
            if levels <= 0:
                return True
        level = inner
        levels -= 1
    return False
