"""The order of the attempts, and what a plain `run` needs of them."""

from __future__ import annotations

from .._base import procfile
from ..host import facts
from ..host.cgroups import V2
from . import cgroups, ids, mounts, namespaces, program, rest, situation
from .check import (
    BASE,
    CGROUPS,
    IDS,
    MOUNTS,
    NAMESPACES,
    OK,
    PROGRAM,
    REFUSED,
    REST,
    USER,
    USER_MOUNTS,
    USER_PROGRAM,
    Check,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .situation import Situation

# What `ocirun spec` asks for, as root and with --rootless.
_AS_ROOT = ("mount", "pid", "network", "ipc", "uts")
_AS_USER = ("user", "mount", "pid", "ipc", "uts")


class Report:
    """What was found.

    caller       who asks, for people
    checks       the answers, by group
    privileged   the caller is root of the host
    """

    __slots__ = ("caller", "checks", "privileged")

    def __init__(self, caller: str, checks: list[Check], *, privileged: bool = False) -> None:
        self.caller = caller
        self.checks = checks
        self.privileged = privileged

    def need(self, wanted: Iterable[tuple[str, str]]) -> None:
        """Say what is needed, by group and name, and nothing else is."""
        names = set(wanted)
        for check in self.checks:
            check.needed = check.group == BASE or (check.group, check.name) in names

    def missing(self) -> list[Check]:
        """Return what is needed and does not work."""
        return [check for check in self.checks if check.missing]

    def record(self) -> dict[str, object]:
        """Return all of it as plain values, for JSON."""
        return {
            "caller": self.caller,
            "ready": not self.missing(),
            "missing": len(self.missing()),
            "checks": [check.record() for check in self.checks],
        }


def examine(root: str, *, criu: str = "", preloaded: str = "") -> Report:
    """Try everything; what is needed is that which a plain `run` needs.

    root        the state root
    criu        the program criu, "" for the one in PATH
    preloaded   of the preloaded interpreter, "yes" or "no (why)"; "" leaves it out
    Raises HostError.
    """
    if not procfile.exists("/proc/self/status"):
        check = Check(BASE, "procfs", REFUSED, "no procfs is mounted on /proc", remedy="`mount -t proc proc /proc`")
        check.needed = True
        return Report("this process", [check])
    s = situation.read()
    hidden = f"mounted with {', '.join(s.proc_options)}, which hides others' processes" if s.proc_options else ""
    checks = [Check(BASE, "procfs", OK, hidden), *namespaces.base(s)]
    if checks[-1].verdict == OK:
        checks += _tried(s)
    layout = facts.cgroup_layout()
    checks += cgroups.cgroups(s, layout)
    checks += [rest.state_root(root), rest.seccomp(s), rest.checkpoint(criu)]
    if preloaded:
        checks.append(rest.preloaded(preloaded))
    report = Report(_who(s), checks, privileged=s.privileged)
    report.need(plain(s, unified=layout.mode == V2))
    return report


def _tried(s: Situation) -> list[Check]:
    alone, with_user = namespaces.alone(s), namespaces.with_user(s)
    checks = [*alone, *with_user]
    own = ids.ids(s, possible=with_user[0].verdict == OK)
    checks += own
    checks += mounts.mounts(s, namespaces.flags_of(alone, mounts.WITH), user=False, idmap=with_user[0].verdict == OK)
    flags = namespaces.flags_of(with_user, mounts.WITH) if own[0].verdict == OK else 0
    return checks + mounts.mounts(s, flags, user=True)


def plain(s: Situation, *, unified: bool) -> list[tuple[str, str]]:
    """Tell what a plain `run` of this caller needs, by group and name.

    unified   cgroups are v2 alone: then a cgroup namespace is usual
    """
    wanted = [(REST, rest.STATE)]
    if s.privileged:
        wanted += [(CGROUPS, cgroups.HIERARCHY), (CGROUPS, cgroups.GROUPS)]
    more = ("cgroup",) if unified else ()
    if s.direct:
        return wanted + both((*_AS_ROOT, *more), user=False)
    return [*wanted, (IDS, ids.OWN), *both((*_AS_USER, *more), user=True)]


def both(kinds: Iterable[str], *, user: bool) -> list[tuple[str, str]]:
    """Return the namespaces, and what is mounted and done in every container, with or without a user namespace."""
    groups = (USER, USER_MOUNTS, USER_PROGRAM) if user else (NAMESPACES, MOUNTS, PROGRAM)
    return [
        *((groups[0], kind) for kind in kinds),
        *((groups[1], name) for name in mounts.needed(user=user)),
        *((groups[2], name) for name in program.needed(user=user)),
    ]


def _who(s: Situation) -> str:
    where = "" if s.privileged or s.caller.uid_map == ((0, 2**32 - 1),) else ", in a user namespace"
    rights = "" if s.privileged or s.caller.uid else ", without CAP_SYS_ADMIN" if not s.direct else ""
    return f"{s.caller.name} (uid {s.caller.uid}{where}{rights})"
