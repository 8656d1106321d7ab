"""Attributes and propagation of a mount that is made.  Pure."""

from __future__ import annotations

from .. import constants as c
from . import options as o

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..builder import Builder
    from .options import MountOptions


def set_attributes(builder: Builder, pointer: str, slot: str, parsed: MountOptions) -> None:
    """Set the recursive words first, so that ``rrw,ro`` ends read-only."""
    locked = builder.confined
    if parsed.rec_attr_set or parsed.rec_attr_clr:
        builder.init(
            "set_mount_attr",
            pointer,
            slot=slot,
            set=parsed.rec_attr_set,
            clear=parsed.rec_attr_clr,
            recursive=1,
            locked=parsed.rec_attr_clr & o.LOCKABLE if locked else 0,
        )
    if parsed.bind:
        set_, clear, deny = o.bind_attrs(parsed, userns=locked)
        if set_ or clear:
            args = parsed.made.setdefault(("set", slot), {"slot": slot, "set": set_, "clear": clear, "locked": deny})
            builder.again("set_mount_attr", pointer, args)


def propagate(builder: Builder, pointer: str, slot: str, parsed: MountOptions) -> None:
    """Plan the propagation words of a mount, when it is attached; with ``unbindable`` among them at the very end."""
    if any(flag == c.MS_UNBINDABLE for flag, _ in parsed.propagation):
        builder.late_propagation.append((pointer, slot, parsed.propagation))
    else:
        propagate_now(builder, pointer, slot, parsed.propagation)


def propagate_now(builder: Builder, pointer: str, slot: str, words: list[tuple[int, bool]]) -> None:
    for flag, recursive in words:
        builder.init("set_mount_attr", pointer, slot=slot, propagation=flag, recursive=1 if recursive else 0)
