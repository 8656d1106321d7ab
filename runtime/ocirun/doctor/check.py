"""One answer of the doctor."""

from __future__ import annotations

OK = "ok"
REFUSED = "refused"
UNTRIED = "untried"

# Groups of answers, in the order of the report.
BASE = "base"
NAMESPACES = "namespaces"
USER = "with a user namespace"
IDS = "ids"
MOUNTS = "mounts"
USER_MOUNTS = "mounts in a user namespace"
PROGRAM = "program"
USER_PROGRAM = "program in a user namespace"
CGROUPS = "cgroups"
REST = "rest"
GROUPS = (BASE, NAMESPACES, USER, IDS, MOUNTS, USER_MOUNTS, PROGRAM, USER_PROGRAM, CGROUPS, REST)


class Check:
    """Whether one thing works here.

    group, name   what it is; group is one of GROUPS
    verdict       OK, REFUSED, or UNTRIED where something before it was refused
    note          what was found, or why not
    needed        without it what was asked about does not run
    remedy        what mends it, "" if nothing is wrong or nothing helps
    call, errno   the system call that was refused and its errno, "" and 0 where there was none
    """

    __slots__ = ("call", "errno", "group", "name", "needed", "note", "remedy", "verdict")

    def __init__(
        self,
        group: str,
        name: str,
        verdict: str,
        note: str = "",
        *,
        remedy: str = "",
        call: str = "",
        errno: int = 0,
    ) -> None:
        self.group = group
        self.name = name
        self.verdict = verdict
        self.note = note
        self.remedy = remedy
        self.call = call
        self.errno = errno
        self.needed = False

    @property
    def missing(self) -> bool:
        """It is needed, and does not work."""
        return self.needed and self.verdict != OK

    def record(self) -> dict[str, object]:
        """Return the answer as plain values, for JSON."""
        names = ("group", "name", "verdict", "needed", "note", "remedy", "call", "errno")
        return {name: getattr(self, name) for name in names}

    def __repr__(self) -> str:
        return f"Check({self.group}, {self.name}: {self.verdict} {self.note})"
