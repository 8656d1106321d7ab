"""The plans of `Container.put` and `Container.get`: a helper joins a running container, and puts or takes one file.

It has the rights that this takes in the container, and no others; the runtime itself opens nothing that is the
container's.
"""

from __future__ import annotations

from . import constants as c
from .mounts_plan import begin, end, enter, open_root
from .ops import OPEN_DIRECTORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..cgroup.driver import Driver
    from .builder import Builder, Facts, Request
    from .ops import Plan

    # Path, mode, owner, the name of the content, and the time; of a link the mode is -1 and the fourth its text, of a
    # directory None.
    Entry = tuple[str, int, tuple[int, int], str | None, int | None]

_RIGHTS = sum(1 << c.CAPABILITIES[name] for name in ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID"))


def build_put(
    data: dict[str, Any],
    facts: Facts,
    request: Request,
    cgroup: Driver,
    *,
    pid: int,
    foreign: frozenset[str] | None,
    entries: Sequence[Entry],
) -> Plan:
    """Return the plan that puts files, directories and links into a container, one after the other.

    data      the container's config
    pid       of the container's init
    foreign   as of `exec_plan.build_exec`
    entries   with paths from the root of the container, permission bits, owners as inside, and times in nanoseconds
              since 1970, None: now
    Raises ConfigError and UnsupportedError; touches nothing.
    """
    b = begin(data, facts, request, cgroup, pid)
    b.host("spawn", flags=0, slots=list(b.slots[: b.inherited]))
    _confine(b, foreign)
    filled: set[str] = set()
    last: dict[str, int] = {}
    for path, mode, owner, what, time in entries:
        above = path.rpartition("/")[0]
        while above not in filled:  # those that are missing are made
            filled.add(above)
            above = above.rpartition("/")[0]
        if what is None:
            b.init("put_directory", root="root", path=path, mode=mode, owner=owner, time=time)
            if time is not None:
                last[path] = time
        elif mode < 0:
            b.init("put_link", root="root", path=path, text=what, owner=owner, time=time)
        else:
            b.init("put_file", root="root", path=path, mode=mode, owner=owner, content=what, time=time)
    # One that is there, and that nothing is put into, stays as it is: it may be read-only, or somebody else's.
    for path, time in last.items():
        if path in filled:
            b.init("set_time", why="what was put into it has changed it", root="root", path=path, time=time)
    return end(b)


def build_get(
    data: dict[str, Any],
    facts: Facts,
    request: Request,
    cgroup: Driver,
    *,
    pid: int,
    foreign: frozenset[str] | None,
    path: str,
    limit: int,
) -> Plan:
    """Return the plan that takes a copy of a file out of a container.

    limit   bytes; one more is copied, by which it is known that there are more
    The others are those of `build_put`.
    """
    b = begin(data, facts, request, cgroup, pid)
    b.inherit("proc")
    b.host("open_procfs", slot="proc")
    b.host("spawn", flags=0, slots=list(b.slots[: b.inherited]))
    _confine(b, foreign)
    b.init("get_file", slot=b.slot("file"), root="root", path=path, proc="proc", limit=limit)
    b.init("send_fd", slot="file", keep=0)
    b.host("take_file")
    return end(b)


def build_get_tree(
    data: dict[str, Any],
    facts: Facts,
    request: Request,
    cgroup: Driver,
    *,
    pid: int,
    foreign: frozenset[str] | None,
    path: str,
    limit: int,
    entries: int,
) -> Plan:
    """Return the plan that takes a copy of a directory out of a container, in a tmpfs that is mounted nowhere.

    limit     bytes of that, in pages
    entries   how many files, directories and links fit into it
    The others are those of `build_put`.
    """
    b = begin(data, facts, request, cgroup, pid)
    b.host("spawn", flags=0, slots=list(b.slots[: b.inherited]))
    enter(b, foreign)
    options = [("size", str(limit)), ("nr_inodes", str(entries)), ("mode", "0700")]
    b.init("new_filesystem", slot=b.slot("copy"), type="tmpfs", options=options, attributes=0, mode_from=None)
    _limit_rights(b)
    b.init("open_path", slot=b.slot("target"), root="root", path=path, flags=OPEN_DIRECTORY, like=None)
    b.init("copy_up", slot="copy", source="target")
    b.init("close", slot="target")
    b.init("send_fd", slot="copy", keep=0)
    b.host("take_file")
    return end(b)


def _confine(builder: Builder, foreign: frozenset[str] | None) -> None:
    enter(builder, foreign)
    _limit_rights(builder)


def _limit_rights(builder: Builder) -> None:
    """Plan that the helper has only the rights that files take, and opens the root."""
    why = "what the path leads to is the container's to say; it must be no more than the container may reach"
    rights = builder.facts.capabilities & _RIGHTS
    builder.init("set_capabilities", why=why, effective=rights, permitted=rights, inheritable=0, ambient=0)
    open_root(builder)
