"""A root file system that is thrown away: an overlay over the one of config.json, with a tmpfs of a fixed size for
what is written.

The annotation ``org.ocirun.root.upper`` asks for it; ``org.ocirun.root.layers`` names directories that are read-only
layers between the two, which is what snapshots are.  The tmpfs is attached at the root as well, and covered by the
overlay: before Linux 6.15 only a mount of the own mount namespace can be a layer.  With the change of root it is
nowhere.
"""

from __future__ import annotations

from ..._base import jsonio
from ..._base.jsonio import pointer_token
from ...errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from ..builder import Builder

PREFIX = "org.ocirun.root."
UPPER = PREFIX + "upper"
POINTER = f"/annotations/{pointer_token(UPPER)}"
LAYERS = PREFIX + "layers"
LAYERS_POINTER = f"/annotations/{pointer_token(LAYERS)}"
#: The kernel takes 500 lower layers (OVL_MAX_STACK), of which the root file system is one.
MOST_LAYERS = 499
_WHY = "the root of the user namespace may not be able to reach it"
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


def layers(data: Mapping[str, Any]) -> list[str]:
    """Return the directories of the read-only layers that a config asks for, the topmost first.  Raises ValueError."""
    text = (data.get("annotations") or {}).get(LAYERS)
    if text is None:
        return []
    try:
        found: Any = jsonio.loads(text.encode("utf-8", "surrogateescape"))
    except jsonio.JsonError as error:
        raise ValueError(str(error)) from None
    if not isinstance(found, list) or not all(isinstance(one, str) and one.startswith("/") for one in found):
        raise ValueError("is no list of absolute paths")
    if len(found) > MOST_LAYERS:
        raise ValueError(f"{len(found)} layers are more than the kernel takes")
    return found


def wanted(data: Mapping[str, Any]) -> bool:
    """Return whether a config asks for it."""
    return UPPER in (data.get("annotations") or {})


def of(builder: Builder) -> Upper | None:
    """Return what the config asks for; None for a root file system as it is.

    Raises ConfigError for a value that cannot be, or that cannot be had; UnsupportedError for a caller who may not.
    """
    annotations = builder.data.get("annotations") or {}
    for name in annotations:
        if name.startswith(PREFIX) and name not in (UPPER, LAYERS):
            raise builder.error(f"/annotations/{pointer_token(name)}", "is no annotation that ocirun knows")
    try:
        between = layers(builder.data)
    except ValueError as error:
        form = f"a JSON list of at most {MOST_LAYERS} absolute paths"
        raise builder.error(LAYERS_POINTER, str(error), expected=form, found=annotations[LAYERS]) from None
    if UPPER not in annotations:
        if between:
            raise builder.error(LAYERS_POINTER, f"is for a root that is thrown away, which needs {UPPER} too")
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


def cover(builder: Builder, upper: Upper, copy_source: Callable[..., bool]) -> None:
    """Plan the overlay over the root, which is attached already; the slot ``root`` has the overlay from here on.

    copy_source   of `rootfs`, which is above this module
    """
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
    mark, more = "trusted.overlay.ocirun", {}
    if builder.user_namespace:
        options.insert(0, ("userxattr", None))
        mark = "user.overlay.ocirun"
    between = layers(builder.data)
    # The topmost stays open for its attributes, which are those of the root.
    slots = ["layer", "deeper"][: len(between)]
    for place, path in enumerate(between):
        by_host = copy_source(builder, LAYERS_POINTER, path, recursive=0, why=_WHY, slot=slots[min(place, 1)])
        _add_layer(builder, path, slots[min(place, 1)], by_host=by_host, idmap=upper.idmap)
        more = {"layers": "overlay"}
    builder.init("prepare_upper", POINTER, slot=room, like="layer" if between else "root", mark=mark)
    builder.init("new_overlay", POINTER, slot="root", lower="root", upper=room, proc="proc", options=options, **more)
    for slot in (*more.values(), *slots):
        builder.init("close", LAYERS_POINTER, slot=slot)
    builder.init("attach", POINTER, slot="root", target="rootdir")
    builder.init("send_fd", POINTER, slot=room, keep=0)
    builder.host("keep_upper", POINTER)


def _add_layer(builder: Builder, path: str, slot: str, *, by_host: bool, idmap: bool) -> None:
    """Plan one read-only layer, whose mount is in a slot, below those that the overlay has already."""
    if idmap:
        if not by_host:
            why = "the mapping needs rights in the user namespace of the file system"
            builder.init("send_fd", LAYERS_POINTER, why=why, slot=slot, keep=1)
        builder.host("idmap_mount", LAYERS_POINTER, path=path, by="container", recursive=0)
    builder.init("attach", LAYERS_POINTER, slot=slot, target="rootdir")
    builder.init("add_layer", LAYERS_POINTER, overlay=builder.slot("overlay"), slot=slot, proc="proc")


def label_of(builder: Builder, fstype: str) -> list[tuple[str, str | None]]:
    """Return the option with the label of a new file system, if there is one."""
    if not builder.linux.get("mountLabel"):
        return []
    from ..crun_annotations import context_type
    from .labels import mount_context

    context = mount_context(builder, fstype)
    return [(context_type(builder), context)] if context else []
