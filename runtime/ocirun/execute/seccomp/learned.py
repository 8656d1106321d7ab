"""What a learning run has found out about system calls, and the profile that lets them through.  Pure."""

from __future__ import annotations

import errno
from bisect import insort

from ..._base import jsonio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

_ALLOW, _ERRNO = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"
# The program goes on with these.
_PERMISSIVE = (_ALLOW, "SCMP_ACT_LOG", "SCMP_ACT_TRACE")
_MASKED = "SCMP_CMP_MASKED_EQ"


class RefusedCall:
    """Calls of one system call that the profile refuses in one way; without a profile, all calls of it.

    name          as libseccomp has it, "" for a number that it does not know
    number        on its architecture
    architecture  such as "SCMP_ARCH_X86_64"
    count         how many calls
    args          of the first eight different ones: six texts such as "0x2" each, whatever the call takes
    more          there were more different ones; calls differ, where the profile has conditions, in what these look at
    programs      names (comm) of the threads that made it, up to four
    answer        what the profile says: "ERRNO(1)", "KILL_PROCESS", "KILL_THREAD", "TRAP"; "" without a profile
    """

    __slots__ = ("answer", "architecture", "args", "count", "more", "name", "number", "programs", "values")

    def __init__(
        self,
        *,
        name: str,
        number: int,
        architecture: str,
        count: int,
        args: Sequence[tuple[int, ...]] = (),
        more: bool = False,
        programs: Sequence[str] = (),
        answer: str = "",
    ) -> None:
        self.name = name
        self.number = number
        self.architecture = architecture
        self.count = count
        self.values = tuple(args)
        self.args = [tuple(f"{value:#x}" for value in one) for one in args]
        self.more = more
        self.programs = tuple(programs)
        self.answer = answer

    @property
    def program(self) -> str:
        """The first of the programs, "" where the kernel did not tell."""
        return self.programs[0] if self.programs else ""

    def line(self) -> str:
        """Return it as one line of text."""
        who = ", ".join(self.programs) or "a program of unknown name"
        name = self.name or f"number {self.number}"
        answer = f", answer {_answer_text(self.answer)}" if self.answer else ""
        shown = "; ".join(" ".join(one) for one in self.args[:2])
        rest = "; ..." if self.more or len(self.args) > 2 else ""
        times = "once" if self.count == 1 else f"{self.count} times"
        where = self.architecture.removeprefix("SCMP_ARCH_").lower()
        return f"{name} ({where}) {times} by {who}{answer}" + (f": {shown}{rest}" if shown else "")

    def __repr__(self) -> str:
        return f"<RefusedCall {self.line()}>"


class Learned:
    """What a learning run has found.

    calls     the calls, by architecture and name
    dropped   calls of numbers for which there was no room
    """

    def __init__(
        self, calls: Sequence[RefusedCall], profile: Mapping[str, Any] | None, *, native: str, dropped: int = 0
    ) -> None:
        """Keep what was found.

        profile   ``linux.seccomp`` of the run, None where there was none
        native    the machine's own architecture, "SCMP_ARCH_X86_64"
        """
        self.calls = sorted(calls, key=lambda one: (one.architecture != native, one.architecture, one.name, one.number))
        self.dropped = dropped
        self._given = profile
        self._native = native

    def profile(self) -> dict[str, Any]:
        """Return ``linux.seccomp`` that lets the calls through: the given one with the smallest change.

        Without a given one: these calls and no others, which give EPERM.
        """
        named = [one for one in self.calls if one.name]
        if self._given is None:
            return self._fresh(named)
        made: dict[str, Any] = jsonio.loads(jsonio.dumps(self._given).encode())
        for call in named:
            if not self.is_kept(call):
                _let_through(made, call)
        foreign = sorted({one.architecture for one in named} - {self._native})
        known = made.get("architectures") or []
        new = [word for word in foreign if word not in known]
        if new:
            made["architectures"] = [*(known or [self._native]), *new]
        return made

    def _fresh(self, calls: Sequence[RefusedCall]) -> dict[str, Any]:
        return {
            "defaultAction": _ERRNO,
            "defaultErrnoRet": errno.EPERM,
            "architectures": [self._native, *sorted({one.architecture for one in calls} - {self._native})],
            "syscalls": [{"names": sorted({one.name for one in calls}), "action": _ALLOW}],
        }

    def is_kept(self, call: RefusedCall) -> bool:
        """Return whether a call stays refused in `profile`: a rule of the given one says ENOSYS, so that programs
        take another call; or nobody knows its name.
        """
        rules = (self._given or {}).get("syscalls") or ()
        return not call.name or any(
            call.name in rule["names"]
            and rule["action"] == _ERRNO
            and rule.get("errnoRet") == errno.ENOSYS
            and not rule.get("args")
            for rule in rules
        )

    def text(self) -> str:
        """Return the calls as lines of text."""
        if not self.calls:
            return "no system call was refused\n"
        told = {True: " [stays refused]", False: ""}
        lines = [one.line() + told[self.is_kept(one)] for one in self.calls]
        if self.dropped:
            lines.append(f"{self.dropped} more calls, of too many different numbers to be listed")
        return "\n".join(lines) + "\n"


def _answer_text(answer: str) -> str:
    number = int(answer[6:-1]) if answer.startswith("ERRNO(") else 0
    return errno.errorcode.get(number, answer)


def _let_through(profile: dict[str, Any], call: RefusedCall) -> None:
    """Change a profile so that it allows a call: out of the rules that refuse it, into one that allows."""
    rules = profile.setdefault("syscalls", [])
    for rule in [rule for rule in rules if call.name in rule["names"] and rule["action"] not in _PERMISSIVE]:
        if not _applies(rule, call):
            continue
        rule["names"] = [name for name in rule["names"] if name != call.name]
        if not rule["names"]:
            rules.remove(rule)
    if profile["defaultAction"] in _PERMISSIVE:
        return
    mine = [rule for rule in rules if call.name in rule["names"] and rule["action"] in _PERMISSIVE]
    if any(not rule.get("args") for rule in mine):
        return
    if mine and not call.more:
        at = max(index for index, rule in enumerate(rules) if any(rule is one for one in mine)) + 1
        rules[at:at] = _conditional(mine, call)
        return
    _allow(rules, call.name)


def _allow(rules: list[dict[str, Any]], name: str) -> None:
    """Add a name to the first rule that only allows, in its order if it has one; or such a rule."""
    for rule in rules:
        if rule["action"] == _ALLOW and not rule.get("args"):
            names = list(rule["names"])
            if names == sorted(names):
                insort(names, name)
            else:
                names.append(name)
            rule["names"] = names
            return
    rules.append({"names": [name], "action": _ALLOW})


def _conditional(given: Sequence[Mapping[str, Any]], call: RefusedCall) -> list[dict[str, Any]]:
    """Return rules for the arguments that were seen, which look at what the given ones look at."""
    looks: dict[int, Mapping[str, Any]] = {}
    for rule in given:
        for condition in rule["args"]:
            looks.setdefault(condition["index"], condition)
    made: list[dict[str, Any]] = []
    for values in call.values:
        rule = {
            "names": [call.name],
            "action": _ALLOW,
            "args": [_condition(looks[index], values[index]) for index in sorted(looks)],
        }
        if rule not in made:
            made.append(rule)
    return made


def _condition(given: Mapping[str, Any], value: int) -> dict[str, Any]:
    """Return the condition that an argument is as it was seen; of masked ones only the bits that are looked at."""
    if given["op"] == _MASKED:
        return {"index": given["index"], "value": given["value"], "valueTwo": value & given["value"], "op": _MASKED}
    return {"index": given["index"], "value": value, "op": "SCMP_CMP_EQ"}


_TESTS: dict[str, Callable[[int, int, int], bool]] = {
    "SCMP_CMP_NE": lambda seen, value, _: seen != value,
    "SCMP_CMP_LT": lambda seen, value, _: seen < value,
    "SCMP_CMP_LE": lambda seen, value, _: seen <= value,
    "SCMP_CMP_EQ": lambda seen, value, _: seen == value,
    "SCMP_CMP_GE": lambda seen, value, _: seen >= value,
    "SCMP_CMP_GT": lambda seen, value, _: seen > value,
    _MASKED: lambda seen, mask, value: seen & mask == value,
}


def _applies(rule: Mapping[str, Any], call: RefusedCall) -> bool:
    """Return whether a rule applies to arguments that were seen; conditions on one argument are alternatives."""
    args = rule.get("args") or ()
    if not args or call.more:
        return True
    either = len({one["index"] for one in args}) < len(args)
    combine = any if either else all
    return any(
        combine(_TESTS[one["op"]](values[one["index"]], one["value"], one.get("valueTwo", 0)) for one in args)
        for values in call.values
    )
