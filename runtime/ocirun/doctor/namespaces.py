"""Namespaces: all at once as `run` makes them; where that is refused, each alone, to see which."""

from __future__ import annotations

from ..errors import HostError
from ..plan import constants as c
from . import causes
from .attempt import Failure, Step, op, run
from .check import BASE, NAMESPACES, OK, REFUSED, UNTRIED, USER, Check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .situation import Situation

# By clone3(2); and those that are made later, by unshare(2).
_CLONED = ("mount", "pid", "network", "ipc", "uts")
_UNSHARED = ("cgroup", "time")
KINDS = (*_CLONED, *_UNSHARED)


def base(s: Situation) -> list[Check]:
    """Try the start of a helper without namespaces; nothing else can be tried where it is refused."""
    group, checks = BASE, []
    if causes.kernel_version(s.kernel) < causes.OLDEST_KERNEL:
        text = f"Linux {s.kernel}; ocirun needs 5.14"
        checks.append(Check(group, "kernel", REFUSED, text, remedy="a newer kernel"))
    else:
        checks.append(Check(group, "kernel", OK, f"Linux {s.kernel}"))
    failure = _start(0)
    checks.append(_answer(group, "start of a process", failure, causes.start(failure, s) if failure else ("", "")))
    return checks


def alone(s: Situation) -> list[Check]:
    """Try each namespace, by the rights that the caller has."""
    found = _each(0)
    reasons = {kind: causes.namespace(kind, one, s, user=False) for kind, one in found.items() if one}
    return [_answer(NAMESPACES, kind, found[kind], reasons.get(kind, ("", ""))) for kind in KINDS]


def with_user(s: Situation) -> list[Check]:
    """Try a user namespace, and each other one together with it."""
    failure = _start(c.CLONE_NEWUSER)
    if failure is not None:
        first = _answer(USER, "user", failure, causes.namespace("user", failure, s, user=True))
        return [first, *(Check(USER, kind, UNTRIED, "there is no user namespace") for kind in KINDS)]
    found = _each(c.CLONE_NEWUSER)
    reasons = {kind: causes.namespace(kind, one, s, user=True) for kind, one in found.items() if one}
    checks = [_answer(USER, kind, found[kind], reasons.get(kind, ("", ""))) for kind in KINDS]
    return [Check(USER, "user", OK), *checks]


def flags_of(checks: list[Check], kinds: tuple[str, ...]) -> int:
    """Return CLONE_NEW* of those of `kinds` that can be made."""
    flags = 0
    for check in checks:
        if check.verdict == OK and check.name in kinds:
            flags |= c.NAMESPACE_FLAGS[check.name]
    return flags


def _each(flags: int) -> dict[str, Failure | None]:
    """Return the failure of each kind, None for those that can be made; in the way in which `run` makes it."""
    every = flags
    for kind in _CLONED:
        every |= c.NAMESPACE_FLAGS[kind]
    if _start(every) is None:
        found: dict[str, Failure | None] = dict.fromkeys(_CLONED)
    else:
        found = {kind: _start(flags | c.NAMESPACE_FLAGS[kind]) for kind in _CLONED}
    steps = [Step(kind, [op("unshare", flags=c.NAMESPACE_FLAGS[kind])]) for kind in _UNSHARED]
    return found | run(steps, flags=flags)


def _start(flags: int) -> Failure | None:
    try:
        return run([Step("start", [op("guard")])], flags=flags)["start"]
    except HostError as error:
        return Failure.of(error)


def _answer(group: str, name: str, failure: Failure | None, cause: causes.Cause) -> Check:
    if failure is None:
        return Check(group, name, OK)
    note, remedy = cause
    return Check(group, name, REFUSED, note, remedy=remedy, call=failure.call, errno=failure.errno)
