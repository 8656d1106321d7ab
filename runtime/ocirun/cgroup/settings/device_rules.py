"""Device rules: which devices the container may read, write and make nodes of.  Pure.

The runtime-spec's list is ordered, the last rule that matches decides, and
what no rule matches is denied.  Before our own list every container may use
is added.  A v1 devices cgroup has no order: it has a default (deny or allow)
and exceptions from it, and a rule that takes away part of a wider exception is
silently ignored by the kernel (match_exception_partial and
dev_exception_rm in security/device_cgroup.c).  So `v1` follows what the kernel
will hold and refuses a list that it could not express.
"""

from __future__ import annotations

from .translation import DEVICE_FILTER, UNIFIED, Translation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

ANY = -1
_ALL = frozenset("rwm")
_NUMBER_MAX = (1 << 32) - 1
_FILES = {True: "devices.allow", False: "devices.deny"}

# Type, major, minor, access.  Nodes of every device may be made, since a node alone opens nothing.
DEFAULTS = (
    ("c", ANY, ANY, "m"),
    ("b", ANY, ANY, "m"),
    ("c", 1, 3, "rwm"),  # null
    ("c", 1, 8, "rwm"),  # random
    ("c", 1, 7, "rwm"),  # full
    ("c", 5, 0, "rwm"),  # tty
    ("c", 1, 5, "rwm"),  # zero
    ("c", 1, 9, "rwm"),  # urandom
    ("c", 136, ANY, "rwm"),  # slaves of pseudo-terminals
    ("c", 5, 2, "rwm"),  # ptmx
    ("c", 10, 200, "rwm"),  # tun
)

_Key = tuple[str, int, int]
_Exceptions = dict[_Key, frozenset[str]]


class Rule:
    """One rule.

    allow   or deny
    type    "b", "c", or "a" for both
    major   and
    minor   device numbers, ANY for all
    access  some of "rwm", in that order
    at      its JSON pointer below the resources
    """

    __slots__ = ("access", "allow", "at", "major", "minor", "type")

    def __init__(self, allow: bool, type: str, major: int, minor: int, access: str, at: str) -> None:
        self.allow = allow
        self.type = type
        self.major = major
        self.minor = minor
        self.access = access
        self.at = at

    @property
    def everything(self) -> bool:
        """The rule matches every access to every device, and so replaces all rules before it."""
        return self.type == "a" and self.major == self.minor == ANY and self.access == "rwm"

    def numbers(self) -> list[_Key]:
        """Return (type, major, minor), once for each type that is meant."""
        return [(kind, self.major, self.minor) for kind in ("bc" if self.type == "a" else self.type)]


def parse(rules: Sequence[Mapping[str, Any]], result: Translation) -> list[Rule]:
    """Return the rules of the config; problems go to the result."""
    parsed: list[Rule] = []
    for index, entry in enumerate(rules):
        at = f"devices/{index}"
        kind, access = entry.get("type") or "a", entry.get("access")
        # Absent is all; a list of no access is a mistake that must not become all.
        letters = _ALL if access is None else frozenset(access)
        numbers = [entry.get(key) for key in ("major", "minor")]
        major, minor = (ANY if number is None else number for number in numbers)
        if kind not in ("a", "b", "c"):
            result.problem(f"{at}/type", f"{kind!a} is not a type of device", expected="a, b or c", found=kind)
        elif not letters or letters - _ALL:
            result.problem(f"{at}/access", f"{access!a} is not an access", expected="some of r, w and m", found=access)
        elif not result.outside(f"{at}/major", major, ANY, _NUMBER_MAX) and not result.outside(
            f"{at}/minor", minor, ANY, _NUMBER_MAX
        ):
            parsed.append(Rule(bool(entry.get("allow")), kind, major, minor, _ordered(letters), at))
    return parsed


def v2(rules: Sequence[Mapping[str, Any]], result: Translation) -> None:
    """Add one setting that holds all rules, the defaults after them, for an eBPF program."""
    parsed = [Rule(False, "a", ANY, ANY, "rwm", "devices"), *parse(rules, result)]
    parsed += [Rule(True, *default, "devices") for default in DEFAULTS]
    result.add(UNIFIED, DEVICE_FILTER, program_lines(parsed), "devices")


def program_lines(rules: Sequence[Rule]) -> str:
    """Return the rules as lines ``allow c 1:3 rwm``, first to last;
    those that a later one replaces whole are left out.
    """
    lines: list[str] = []
    for rule in rules:
        if rule.everything:
            lines.clear()
        verb = "allow" if rule.allow else "deny"
        lines.append(f"{verb} {rule.type} {number(rule.major)}:{number(rule.minor)} {rule.access}")
    return "\n".join(lines)


def v1(rules: Sequence[Mapping[str, Any]], result: Translation) -> None:
    """Add writes to devices.allow and devices.deny that make the rules hold, and the defaults after them."""
    start, steps, _ = _held(rules, result)
    result.add("devices", _FILES[start.allow], "a", start.at)
    for rule, key, access in steps:
        _write(key, access, rule.allow, rule.at, result)


def v1_change(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]], result: Translation) -> None:
    """Add writes that put new rules in the place of old ones, while what both allow stays allowed, and what both deny
    stays denied: the exceptions that are new, then those that go.
    """
    before, _, had = _held(old, Translation(result.available, result.pointer))
    after, _, wanted = _held(new, result)
    if before.allow != after.allow:
        # A write of "a" takes all exceptions away, and they come back one by one.
        text = "cgroup v1 cannot go from rules that deny all others to rules that allow them, or back, without a gap"
        result.problem("devices", text, expected=f"rules that begin by {'allow' if before.allow else 'deny'}ing all")
        return
    for key, access in wanted.items():
        _write(key, access - had.get(key, frozenset()), not after.allow, "devices", result)
    for key, access in had.items():
        _write(key, access - wanted.get(key, frozenset()), after.allow, "devices", result)


def _held(
    rules: Sequence[Mapping[str, Any]], result: Translation
) -> tuple[Rule, list[tuple[Rule, _Key, frozenset[str]]], _Exceptions]:
    """Return the rule for everything, the changes to its exceptions in their order, and the exceptions in the end."""
    parsed = [Rule(False, "a", ANY, ANY, "rwm", "devices"), *parse(rules, result)]
    # What comes before a rule for everything has no effect any more.
    del parsed[: max(index for index, rule in enumerate(parsed) if rule.everything)]
    start = parsed.pop(0)
    parsed += [Rule(True, *default, "devices") for default in DEFAULTS]
    exceptions: _Exceptions = {}
    steps = []
    for rule in parsed:
        for key in rule.numbers():
            widens = rule.allow != start.allow
            changes = _give(exceptions, key, rule) if widens else _take(exceptions, key, rule, result)
            steps += [(rule, changed, access) for changed, access in changes]
    return start, steps, exceptions


def _write(key: _Key, access: frozenset[str], allow: bool, at: str, result: Translation) -> None:
    if access:
        kind, major, minor = key
        result.add("devices", _FILES[allow], f"{kind} {number(major)}:{number(minor)} {_ordered(access)}", at)


def _give(exceptions: _Exceptions, key: _Key, rule: Rule) -> list[tuple[_Key, frozenset[str]]]:
    """Widen the exceptions; returns what to write, nothing where they have it already."""
    wanted = frozenset(rule.access)
    if any(wanted <= exceptions.get(wider, frozenset()) for wider in (key, *_wider(key))):
        return []
    exceptions[key] = exceptions.get(key, frozenset()) | wanted
    return [(key, wanted)]


def _take(exceptions: _Exceptions, key: _Key, rule: Rule, result: Translation) -> list[tuple[_Key, frozenset[str]]]:
    """Narrow every exception that the rule covers: the kernel narrows only the one of the very same numbers."""
    unwanted = frozenset(rule.access)
    # Of a rule for one device only these can matter; an engine may have thousands of those.
    near = exceptions if ANY in key else [other for other in (key, *_wider(key)) if other in exceptions]
    for wider in _overlapping(key, near):
        if exceptions[wider] & unwanted:
            result.problem(
                rule.at,
                f"cgroup v1 cannot make an exception for {_text(key)} from the rule for {_text(wider)} before it",
                expected="rules that do not cut into earlier, wider ones",
            )
            return []
    changes = []
    for other in list(near):
        if (other == key or key in _wider(other)) and exceptions[other] & unwanted:
            changes.append((other, exceptions[other] & unwanted))
            exceptions[other] -= unwanted
            if not exceptions[other]:
                del exceptions[other]
    return changes


def _overlapping(key: _Key, exceptions: Iterable[_Key]) -> list[_Key]:
    """Return exceptions that share some device with the key but are not covered by it."""
    return [
        other
        for other in exceptions
        if other[0] == key[0]
        and all(ANY in (mine, theirs) or mine == theirs for mine, theirs in zip(key[1:], other[1:], strict=True))
        and other != key
        and key not in _wider(other)
    ]


def _wider(key: _Key) -> list[_Key]:
    """Return the keys with wildcards that match all that this one matches, and more."""
    kind, major, minor = key
    keys = ((kind, ANY, minor), (kind, major, ANY), (kind, ANY, ANY))
    return [wider for wider in keys if wider != key]


def _ordered(letters: frozenset[str]) -> str:
    return "".join(letter for letter in "rwm" if letter in letters)


def number(value: int) -> str:
    """Return a device number as the kernel writes it: ``*`` for all."""
    return "*" if value == ANY else str(value)


def _text(key: _Key) -> str:
    return f"{key[0]} {number(key[1])}:{number(key[2])}"
