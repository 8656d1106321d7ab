"""The ids of a sandbox: which of the host's it may have."""

from __future__ import annotations

import os

from ..errors import UsageError
from ..host import facts, users

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..host.users import Span

COUNT = 65536
# Above what systemd gives to containers (524288 to 1879048191), below what it keeps for foreign images: nobody's.
_FIRST, _BLOCKS = 0x70000000, 4094


def choose(wanted: Span | None) -> tuple[list[Span], list[Span]]:
    """Return the uids and the gids of the host for a new user namespace, as (first, count) each.

    wanted   what the caller has chosen
    Root gets a block of 65536 that belongs to nobody, another one each time. Anybody else has the own id, and behind
    it what subuid(5) and subgid(5) give, where newuidmap can map that.
    Raises UsageError for the ids of the host's root, and where no block is free.
    """
    if wanted is not None:
        if not wanted[0] and facts.privileged():
            raise UsageError("ids: begin with 0, which is the host's root", remedy="leave ids out, or begin above")
        return [wanted], [wanted]
    if facts.privileged():
        block = _free(os.urandom(2))
        return [block], [block]
    caller = facts.caller()
    uids, gids = [(caller.uid, 1)], [(caller.gid, 1)]
    if caller.newuidmap and caller.newgidmap and caller.subuids and caller.subgids:
        uids.append(caller.subuids[0])
        gids.append(caller.subgids[0])
    return uids, gids


def _free(random: bytes) -> Span:
    taken = [span for name in ("subuid", "subgid") for span in users.every_range(name)]
    start = int.from_bytes(random, "little") % _BLOCKS
    for number in range(_BLOCKS):
        block = _FIRST + (start + number) % _BLOCKS * COUNT, COUNT
        if not _meets(block, taken):
            return block
    raise UsageError("ids: /etc/subuid and /etc/subgid leave no 65536 ids free", remedy="give ids=(FIRST, COUNT)")


def _meets(block: Span, taken: Sequence[Span]) -> bool:
    return any(first < block[0] + block[1] and block[0] < first + count for first, count in taken)
