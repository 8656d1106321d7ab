"""The ids of an ordinary user, for the owners of an image's files.

Only root of a user namespace may give a file to a subordinate id. So the process that unpacks enters one, whose maps
newuidmap(1) and newgidmap(1) have written.
"""

from __future__ import annotations

import os

from .._native import lib
from ..errors import HostError, UnsupportedError, UsageError, errno_words, option
from ..execute.ids import idmount
from ..host import facts
from .owners import Owners

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..host.users import Caller, Span
    from .owners import Line


class Ids:
    """Whose the files of a bundle are: the maps of its user namespace, and how they come about.

    uids, gids   its lines: (first id inside, first id of the host, how many)
    ordinary     it is an ordinary user's, or like that
    single       all belongs to the caller, whatever the image says
    why          the reason for that, for whoever has not asked for it; or ""
    entered      this process is root of a user namespace with these maps, where ids are called as inside
    """

    __slots__ = ("entered", "gids", "ordinary", "single", "uids", "why")

    def __init__(
        self, uids: Sequence[Line], gids: Sequence[Line], *, ordinary: bool, single: bool = False, why: str = ""
    ) -> None:
        self.uids = list(uids)
        self.gids = list(gids)
        self.ordinary = ordinary
        self.single = single
        self.why = why
        self.entered = False

    def owners(self) -> Owners:
        """Return how the ids of an image become those of files."""
        if self.single:
            return Owners(caller=True, why=self.why)
        if self.entered:
            return Owners(uids=_same(self.uids), gids=_same(self.gids))
        return Owners(uids=self.uids, gids=self.gids)

    def maps(self, *, nested: bool) -> tuple[list[Line], list[Line]]:
        """Return the maps for config.json.

        nested   for a container that this process makes, and not one that entered no user namespace
        """
        if nested and self.entered:
            return _same(self.uids), _same(self.gids)
        return self.uids, self.gids


def of_root(uids: Sequence[Line], gids: Sequence[Line]) -> Ids:
    """Return ids that root has chosen."""
    return Ids(uids, gids, ordinary=False)


def single(why: str = "") -> Ids:
    """Return the caller's own id alone."""
    return Ids([(0, os.geteuid(), 1)], [(0, os.getegid(), 1)], ordinary=True, single=True, why=why)


def of_user(uids: Sequence[Line] = (), gids: Sequence[Line] = ()) -> Ids:
    """Return ids of an ordinary user, who is root of a user namespace with them from here on.

    uids, gids   those that the user has chosen; none for all that there are: the own id as 0, and behind it those of
                 subuid(5) and subgid(5). Without these it is the own id alone, and nothing is entered
    For a process with one thread.  Raises HostError, UnsupportedError, UsageError.
    """
    caller = facts.caller()
    if not uids or not gids:
        if why := _missing(caller):
            return single(why)
        uids, gids = _lines(caller.uid, caller.subuids or ()), _lines(caller.gid, caller.subgids or ())
    for lines, own, kind in ((uids, caller.uid, "uid"), (gids, caller.gid, "gid")):
        if not any(host <= own < host + count for _, host, count in lines):
            text = f"{option(f'{kind}map')}: does not map your own {kind} {own}, to whom the bundle belongs"
            raise UsageError(text, remedy=f"add a line such as 0:{own}:1")
    ids = Ids(uids, gids, ordinary=True)
    _enter(ids, caller)
    ids.entered = True
    return ids


def _enter(ids: Ids, caller: Caller) -> None:
    if caller.locked:
        raise UnsupportedError(f"no user namespace can be made here: {caller.locked}", remedy=caller.remedy)
    deny = ids.gids == [(0, caller.gid, 1)]
    namespace = idmount.user_namespace(
        _text(ids.uids),
        _text(ids.gids),
        uid_program="" if ids.uids == [(0, caller.uid, 1)] else _program(caller.newuidmap, "uid"),
        gid_program="" if deny else _program(caller.newgidmap, "gid"),
        deny=deny,
    )
    try:
        result = lib.ocirun_enter_user_namespace(namespace)
    finally:
        os.close(namespace)
    if result < 0:
        raise HostError(f"enter a user namespace: {errno_words(-result)}", call="setns", errno=-result)


def _same(lines: Sequence[Line]) -> list[Line]:
    return [(first, first, count) for first, _, count in lines]


def _missing(caller: Caller) -> str:
    """Tell why the caller has no further ids, or ""."""
    for given, program, kind in ((caller.subuids, caller.newuidmap, "uid"), (caller.subgids, caller.newgidmap, "gid")):
        if not program:
            return f"/usr/bin/new{kind}map is not there"
        if given is None:
            return f"/etc/sub{kind} is closed, or /etc/nsswitch.conf names another source"
        if not given:
            return f"/etc/sub{kind} gives no ids to {caller.name}"
    return caller.locked


def _lines(own: int, spans: Iterable[Span]) -> list[Line]:
    lines: list[Line] = [(0, own, 1)]
    inside = 1
    for first, count in sorted(set(spans)):
        lines.append((inside, first, count))
        inside += count
    return lines


def _text(lines: Sequence[Line]) -> str:
    return "".join(f"{first} {host} {count}\n" for first, host, count in lines)


def _program(path: str, kind: str) -> str:
    if path:
        return path
    raise UnsupportedError(
        f"{option(f'{kind}map')}: to map more than the own id needs /usr/bin/new{kind}map, which is not there",
        remedy="install the package uidmap (shadow-utils), or map only your own id",
    )
