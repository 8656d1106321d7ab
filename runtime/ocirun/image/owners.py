"""Whose the files of a bundle are, and which of their extended attributes it gets."""

from __future__ import annotations

import os

from ..errors import ImageError, UsageError, option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    # (first id in the container, first id of the host, how many)
    Line = tuple[int, int, int]

_ID_MAX = (1 << 32) - 2
# As the kernel's: 340 lines, see user_namespaces(7).
_LINES_MAX = 340
_CAPABILITY = b"security.capability"
_REVISION_MASK, _REVISION_2, _REVISION_3 = 0xFF000000, 0x02000000, 0x03000000


class Owners:
    """How the ids of an image become those of the host.

    uids, gids   the lines of the maps of a user namespace; None without one
    caller       everything belongs to the caller, whatever the image says
    why          the reason for that, for whoever has not asked for it; or ""
    nodes        device nodes are made, and attributes that only root of the host can set
    """

    __slots__ = ("caller", "gids", "nodes", "uids", "why")

    def __init__(
        self,
        *,
        uids: Sequence[Line] | None = None,
        gids: Sequence[Line] | None = None,
        caller: bool = False,
        why: str = "",
        nodes: bool = False,
    ) -> None:
        self.uids = uids
        self.gids = gids
        self.caller = caller
        self.why = why
        self.nodes = nodes

    def of(self, uid: int, gid: int) -> tuple[int, int]:
        """Return the host's ids for those of an image.  Raises ImageError for one that is not mapped."""
        if self.caller:
            return os.geteuid(), os.getegid()
        if self.uids is None or self.gids is None:
            return uid, gid
        return _mapped(self.uids, uid, "uid"), _mapped(self.gids, gid, "gid")

    def inside(self, uid: int, gid: int) -> tuple[int, int]:
        """Return the ids in the container for those of the host that `of` has given."""
        if self.caller:
            return 0, 0
        if self.uids is None or self.gids is None:
            return uid, gid
        turned = [[(host, first, count) for first, host, count in lines] for lines in (self.uids, self.gids)]
        return _mapped(turned[0], uid, "uid"), _mapped(turned[1], gid, "gid")

    def attribute(self, name: bytes, value: bytes) -> bytes | None:
        """Return the value that an extended attribute of an image is set to; None for one that is left out.

        What a security module, the kernel's integrity checks or overlayfs act upon is the host's affair.  An access
        list has ids in it, which are not those of a user namespace.
        """
        if name.startswith(b"user."):
            return None if name.startswith(b"user.overlay.") else value
        if name == _CAPABILITY:
            return None if self.caller else self._capability(value)
        if name.startswith(b"trusted."):
            return value if self.nodes and not name.startswith(b"trusted.overlay.") else None
        plain = self.uids is None and not self.caller
        return value if plain and name in (b"system.posix_acl_access", b"system.posix_acl_default") else None

    def _capability(self, value: bytes) -> bytes:
        """Make file capabilities that hold in the user namespace: with its root's id in them (capabilities(7))."""
        if self.uids is None:
            return value
        head = int.from_bytes(value[:4], "little")
        if len(value) == 20 and head & _REVISION_MASK == _REVISION_2:
            head = head & ~_REVISION_MASK | _REVISION_3
            return head.to_bytes(4, "little") + value[4:] + _mapped(self.uids, 0, "uid").to_bytes(4, "little")
        raise ImageError(f"its {_CAPABILITY.decode()} has a form that cannot be given to a user namespace")


def _mapped(lines: Sequence[Line], id: int, what: str) -> int:
    for first, host, count in lines:
        if first <= id < first + count:
            return host + id - first
    raise ImageError(
        f"belongs to {what} {id}, which is not mapped",
        remedy=f"give a larger {option(f'{what}map')}",
    )


def read_map(words: Sequence[str], name: str) -> list[Line]:
    """Read the lines of a map, each as CONTAINER:HOST:SIZE.

    name   of the option, for messages
    Raises UsageError; id 0 must be mapped, as root of the namespace sets the container up.
    """
    lines: list[Line] = []
    for word in words:
        fields = word.split(":")
        if len(fields) != 3 or not all(field.isascii() and field.isdigit() and len(field) < 11 for field in fields):
            raise UsageError(f'{option(name)}: "{word}" is not CONTAINER:HOST:SIZE, such as 0:100000:65536')
        first, host, count = map(int, fields)
        if not count or first + count > _ID_MAX + 1 or host + count > _ID_MAX + 1:
            raise UsageError(f'{option(name)}: "{word}" has ids outside of 0 to {_ID_MAX}')
        for other, other_host, size in lines:
            within = first < other + size and other < first + count
            if within or (host < other_host + size and other_host < host + count):
                raise UsageError(f'{option(name)}: "{word}" overlaps with another line')
        lines.append((first, host, count))
    if len(lines) > _LINES_MAX:
        raise UsageError(f"{option(name)}: {len(lines)} lines, the kernel's limit is {_LINES_MAX}")
    if not any(first == 0 for first, _, _ in lines):
        raise UsageError(f"{option(name)}: id 0 of the container is not mapped")
    return lines
