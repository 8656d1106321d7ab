"""Id maps of a user namespace: the caller's own id, and the range that newuidmap grants."""

from __future__ import annotations

from errno import EPERM

from ..execute.ids import idmaps
from ..host import facts
from ..plan.constants import CLONE_NEWUSER
from . import causes
from .attempt import Step, op, run
from .check import IDS, OK, REFUSED, UNTRIED, Check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..execute.spawn import Helper
    from .situation import Situation

OWN = "own ids"
RANGE = "a range of ids"
_CAP_SETUID = 7
_NOSUID = "newuidmap and newgidmap need set-user-id root or file capabilities, on a mount without nosuid"


def ids(s: Situation, *, possible: bool) -> list[Check]:
    """Try both ways to have ids in a user namespace.

    possible   there can be a user namespace
    """
    if not possible:
        return [Check(IDS, name, UNTRIED, "there is no user namespace") for name in (OWN, RANGE)]
    return [_tried(s, OWN, own_step(s)), _range(s)]


def own_step(s: Situation) -> Step:
    """Return the step that maps root inside to the caller, and becomes root; the first in a user namespace."""
    uid, gid = s.caller.uid, s.caller.gid
    deny = not s.privileged and not s.capabilities >> facts.CAP_SETGID & 1

    def write(helper: Helper, _: int) -> None:
        idmaps.write(helper.pid, "gid_map", f"0 {gid} 1\n", deny=deny)
        idmaps.write(helper.pid, "uid_map", f"0 {uid} 1\n")

    ops = [op("guard", dumpable=int(not s.privileged)), op("sync"), op("become_root", drop_groups=0)]
    return Step(OWN, ops, acts=[write])


def _range(s: Situation) -> Check:
    spans = _spans(s)
    if isinstance(spans, Check):
        return spans
    (uid, uids), (gid, gids), programs = spans
    maps = f"0 {s.caller.uid} 1\n1 {uid} {uids}\n", f"0 {s.caller.gid} 1\n1 {gid} {gids}\n"

    def write(helper: Helper, _: int) -> None:
        idmaps.write(helper.pid, "gid_map", maps[1], programs[1])
        idmaps.write(helper.pid, "uid_map", maps[0], programs[0])

    ops = [op("guard", dumpable=int(not s.privileged)), op("sync"), op("become_root", drop_groups=1)]
    check = _tried(s, RANGE, Step(RANGE, ops, acts=[write]))
    if check.verdict == OK:
        how = "by newuidmap and newgidmap" if programs[0] else "by the rights of the caller"
        check.note = f"{uid} to {uid + uids - 1}, {how}"
    return check


def _spans(s: Situation) -> tuple[tuple[int, int], tuple[int, int], tuple[str, str]] | Check:
    """Return the first of the caller's further uids and gids, with their counts, and the programs for the maps."""
    who = s.caller
    if s.privileged or s.capabilities >> _CAP_SETUID & s.capabilities >> facts.CAP_SETGID & 1:
        first = [_further(own, spans) for own, spans in ((who.uid, who.uid_map), (who.gid, who.gid_map))]
        if not all(count for _, count in first):
            text = "the user namespace that ocirun runs in has no other ids"
            return Check(IDS, RANGE, REFUSED, text, remedy="give it a range when it is made")
        return first[0], first[1], ("", "")
    for path, name in ((who.newuidmap, "newuidmap"), (who.newgidmap, "newgidmap")):
        if not path:
            remedy = "install the package uidmap (Debian) or shadow-utils"
            return Check(IDS, RANGE, REFUSED, f"/usr/bin/{name} is not there", remedy=remedy)
    if s.no_new_privs:
        text = "no_new_privs is set for this process, so that newuidmap has no rights"
        return Check(
            IDS, RANGE, REFUSED, text, remedy="start ocirun without it (`setpriv`, NoNewPrivileges= of systemd)"
        )
    found = []
    for given, kind in ((who.subuids, "uid"), (who.subgids, "gid")):
        if given is None:
            text = f"/etc/sub{kind} is closed, or nsswitch.conf names another source; newuidmap is asked when it is run"
            return Check(IDS, RANGE, UNTRIED, text)
        if not given:
            remedy = f"`usermod --add-sub{kind}s 100000-165535 {who.name}`, as root, with a range that nobody has"
            return Check(IDS, RANGE, REFUSED, f"/etc/sub{kind} gives none to {who.name}", remedy=remedy)
        found.append(given[0])
    return found[0], found[1], (who.newuidmap, who.newgidmap)


def _further(own: int, spans: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    """Return (first, count) of ids besides `own`, count 0 for none: 65536 at most, from 100000 where they exist."""
    for first, count in spans:
        if first <= 100000 and first + count >= 165536:
            return 100000, 65536
    for first, count in spans:
        start = first + 1 if first == own else first
        if (left := first + count - start) > 0:
            end = own if start < own < start + left else start + left
            return start, min(65536, end - start)
    return 0, 0


def _tried(s: Situation, name: str, step: Step) -> Check:
    failure = run([step], flags=CLONE_NEWUSER)[name]
    if failure is None:
        return Check(IDS, name, OK)
    note, remedy = failure.words, failure.remedy
    if failure.errno == EPERM and s.caller.locked:
        note, remedy = s.caller.locked, s.caller.remedy
    elif name == RANGE and not failure.errno and "not permitted" in note:
        remedy = _NOSUID
    elif failure.errno == EPERM and s.direct and (right := lacking(s, note)):
        note, remedy = causes.lacks(right)
    elif failure.signal:
        note, remedy = causes.start(failure, s)
    return Check(IDS, name, REFUSED, note, remedy=remedy, call=failure.call, errno=failure.errno)


def lacking(s: Situation, note: str) -> str:
    """Return the capability that root lacks for a map, "" for none."""
    for right, number, file in (("CAP_SETUID", _CAP_SETUID, "uid_map"), ("CAP_SETGID", facts.CAP_SETGID, "gid_map")):
        if file in note and not s.capabilities >> number & 1:
            return right
    return ""
