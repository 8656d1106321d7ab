"""A root file system that is thrown away: an overlay over the one of config.json, with a tmpfs of a fixed size for
what is written.

The annotation ``org.ocirun.root.upper`` asks for it.  The tmpfs is attached at the root as well, and covered by the
overlay: before Linux 6.15 only a mount of the own mount namespace can be a layer.  With the change of root it is
nowhere.
"""

from __future__ import annotations

from ..._base.jsonio import pointer_token
from ...errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..builder import Builder

PREFIX = "org.ocirun.root."
UPPER = PREFIX + "upper"
POINTER = f"/annotations/{pointer_token(UPPER)}"
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_LARGEST = (1 << 63) - 1
_CAP_SYS_ADMIN = 21
# One inode for each so many bytes, where the number is not given.
_INODE = 4096
_FEWEST = 1024
_FORM = "size=BYTES[,inodes=NUMBER][,idmap]"


class Upper:
    """What the annotation says.

    size     bytes of the tmpfs
    inodes   files, directories and links that fit into it
    idmap    the files below belong to the ids in the container that they have on the host
    """

    __slots__ = ("idmap", "inodes", "size")

    def __init__(self, size: int, inodes: int | None = None, *, idmap: bool = False) -> None:
        self.size = size
        self.inodes = inodes_for(size) if inodes is None else inodes
        self.idmap = idmap

    def text(self) -> str:
        """Return the value of the annotation."""
        return f"size={self.size},inodes={self.inodes}{',idmap' if self.idmap else ''}"


def inodes_for(size: int) -> int:
    """Return how many inodes go with a size in bytes: enough for files of a page."""
    return max(_FEWEST, size // _INODE)


def parsed(text: str) -> Upper:
    """Return what the value of the annotation says.  Raises ValueError."""
    numbers: dict[str, int] = {}
    idmap = False
    for word in text.split(","):
        key, is_set, value = word.partition("=")
        if word == "idmap" and not idmap:
            idmap = True
        elif key in ("size", "inodes") and is_set and key not in numbers:
            numbers[key] = _number(key, value)
        else:
            raise ValueError(f"{word!a} cannot be")
    if "size" not in numbers:
        raise ValueError("size is missing")
    return Upper(numbers["size"], numbers.get("inodes"), idmap=idmap)


def _number(key: str, value: str) -> int:
    unit = value[-1:].lower() if key == "size" and not value[-1:].isdigit() else ""
    digits = value[: len(value) - len(unit)]
    if unit in _UNITS and digits.isascii() and digits.isdigit() and len(digits) < 20:
        number = int(digits) * _UNITS[unit]
        if 0 < number <= _LARGEST:
            return number
    raise ValueError(f"{key}={value} is no number above 0")


def wanted(data: Mapping[str, Any]) -> bool:
    """Return whether a config asks for it."""
    return UPPER in (data.get("annotations") or {})


def of(builder: Builder) -> Upper | None:
    """Return what the config asks for; None for a root file system as it is.

    Raises ConfigError for a value that cannot be, or that cannot be had; UnsupportedError for a caller who may not.
    """
    annotations = builder.data.get("annotations") or {}
    for name in annotations:
        if name.startswith(PREFIX) and name != UPPER:
            raise builder.error(f"/annotations/{pointer_token(name)}", "is no annotation that ocirun knows")
    if UPPER not in annotations:
        return None
    try:
        upper = parsed(annotations[UPPER])
    except ValueError as error:
        raise builder.error(POINTER, str(error), expected=_FORM, found=annotations[UPPER]) from None
    if not builder.own_mounts:
        raise builder.error(POINTER, "needs a mount namespace: without one it would be mounted on the host")
    if upper.idmap:
        _check_idmap(builder)
    return upper


def _check_idmap(builder: Builder) -> None:
    if not builder.user_namespace:
        raise builder.error(POINTER, "idmap has nothing to map by: the container has no user namespace")
    if not builder.facts.privileged or not builder.facts.capabilities >> _CAP_SYS_ADMIN & 1:
        raise UnsupportedError(
            f"{POINTER}: idmap takes CAP_SYS_ADMIN on the host, which the caller lacks",
            pointer=POINTER,
            remedy="leave idmap out: the files of an ordinary user belong to root inside as they are",
        )


def map_lower(builder: Builder) -> None:
    """Map the ids of the root file system, whose mount is not attached yet, by the container's user namespace."""
    why = "the mapping needs rights in the user namespace of the file system"
    builder.init("send_fd", POINTER, why=why, slot="root", keep=1)
    builder.host("idmap_mount", POINTER, path="/", by="container", recursive=0)


def cover(builder: Builder, upper: Upper) -> None:
    """Plan the overlay over the root, which is attached already; the slot ``root`` has the overlay from here on."""
    room = builder.slot("upper")
    label = label_of(builder, "tmpfs")
    options = [("size", str(upper.size)), ("nr_inodes", str(upper.inodes)), ("mode", "0700"), *label]
    builder.init(
        "new_filesystem",
        POINTER,
        slot=room,
        type="tmpfs",
        options=options,
        places=[None] * len(options),
        attributes=0,
        mode_from=None,
    )
    why = "before Linux 6.15 a layer must be a mount of this mount namespace; the change of root takes it away"
    builder.init("attach", POINTER, why=why, slot=room, target="rootdir")
    # A redirection would be an attribute that says where a directory of the image is; without, its rename is EXDEV.
    # A copy is complete, so that what is read at the end needs nothing of the image.
    options = [("redirect_dir", "nofollow"), ("metacopy", "off"), ("index", "off"), ("xino", "off"), *label]
    mark = "trusted.overlay.ocirun"
    if builder.user_namespace:
        options.insert(0, ("userxattr", None))
        mark = "user.overlay.ocirun"
    builder.init("new_overlay", POINTER, slot="root", lower="root", upper=room, proc="proc", options=options, mark=mark)
    builder.init("attach", POINTER, slot="root", target="rootdir")
    builder.init("send_fd", POINTER, slot=room, keep=0)
    builder.host("keep_upper", POINTER)


def label_of(builder: Builder, fstype: str) -> list[tuple[str, str | None]]:
    """Return the option with the label of a new file system, if there is one."""
    if not builder.linux.get("mountLabel"):
        return []
    from ..crun_annotations import context_type
    from .labels import mount_context

    context = mount_context(builder, fstype)
    return [(context_type(builder), context)] if context else []
