"""Id-mapped mounts: which mapping a mount gets, and the operations that give it.

The runtime maps each mount, and not the helper: mount_setattr(2) with
MOUNT_ATTR_IDMAP (Linux 5.12) asks for CAP_SYS_ADMIN in the user namespace of
the file system, which a helper in the container's user namespace lacks.  The
mount must be detached and never seen before, which is how ours are made.
"""

from __future__ import annotations

from ...errors import UnsupportedError
from .. import constants as c
from ..namespaces import map_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..builder import Builder
    from .options import MountOptions

_CAP_SYS_ADMIN = 21
MAPPINGS, CONTAINER = "mappings", "container"


class Mapping:
    """The mapping of one mount.

    pointer, path    of the mount in config.json, and its destination
    uids, gids       the mount's own mappings, or empty for those of the container's user namespace
    place            where these are in config.json
    recursive        mounts below it get it, too
    """

    __slots__ = ("gids", "keeps_links", "path", "place", "pointer", "recursive", "uids")

    def __init__(self, pointer: str, path: str, mount: dict[str, Any], parsed: MountOptions) -> None:
        self.pointer = pointer
        self.path = path
        self.place = f"{pointer}/options/{parsed.idmap_index}" if parsed.mappings else f"{pointer}/uidMappings"
        self.uids = map_lines(mount.get("uidMappings") or ())
        self.gids = map_lines(mount.get("gidMappings") or ())
        self.recursive = parsed.idmap == "ridmap"
        self.keeps_links = bool(parsed.propagation)

    def apply(self, builder: Builder) -> None:
        """Map the detached mount that the runtime has just opened or been shown."""
        if self.uids and builder.id_maps != (self.uids, self.gids):
            builder.id_maps = (self.uids, self.gids)
            builder.host("make_user_namespace", self.place, uid_map=self.uids, gid_map=self.gids)
        by = MAPPINGS if self.uids else CONTAINER
        builder.host("idmap_mount", self.pointer, path=self.path, by=by, recursive=1 if self.recursive else 0)

    def show(self, builder: Builder, slot: str) -> None:
        """Map the mount in a slot of the helper: the runtime is shown it, and acts before the helper goes on."""
        why = "the mapping needs rights in the user namespace of the file system"
        builder.init("send_fd", self.pointer, why=why, slot=slot, keep=1)
        self.apply(builder)

    def cut_off(self, builder: Builder, slot: str) -> None:
        """Keep out what the host mounts below the source later, unless propagation is asked for."""
        if not self.keeps_links:
            why = "what the host mounts there later would come without the mapping"
            builder.init("set_mount_attr", self.pointer, why=why, slot=slot, propagation=c.MS_PRIVATE, recursive=1)


def mapping(
    builder: Builder, pointer: str, destination: str, mount: dict[str, Any], parsed: MountOptions
) -> Mapping | None:
    """Return the mapping of a mount that asks for one: its own mappings win over the container's user namespace.

    None where the mount has that mapping without us: made in the container's user namespace, a file system
    stores ids as they are there, and the kernel refuses to map it by that namespace again.
    Raises ConfigError where there is nothing to map by, and for what cannot be mapped at all; UnsupportedError for
    a caller who may not map.
    """
    reason = ""
    if parsed.remount:
        reason = "remount changes a mount that has been seen, whose mapping the kernel keeps"
    elif not parsed.bind and mount.get("type") in ("cgroup", "cgroup2"):
        reason = "the kernel does not map cgroup file systems"
    elif not parsed.bind and parsed.mount2_reason():
        reason = f"{parsed.mount2_reason()}, and what mount(2) has mounted cannot be mapped any more"
    elif not builder.facts.privileged:
        reason = "only root of the host may map its file systems"
    if reason:
        raise builder.error(pointer, f"the mount on {destination} cannot be id-mapped: {reason}")
    own = bool(mount.get("uidMappings") or mount.get("gidMappings"))
    if parsed.mappings:
        place = f"{pointer}/options/{parsed.idmap_index}"
        if own:
            text = (
                f"the mount on {destination} has mappings twice, in {parsed.idmap}= and as uidMappings and gidMappings"
            )
            raise builder.error(place, text, expected="one of them")
        try:
            mount, own = _option_maps(builder, parsed.mappings), True
        except ValueError as error:
            text = f"{parsed.idmap}={parsed.mappings} on {destination}: {error}"
            raise builder.error(place, text, expected=_FORM, found=parsed.mappings) from None
    if not own and not builder.user_namespace:
        raise builder.error(
            f"{pointer}/options/{parsed.idmap_index}",
            f"{parsed.idmap} on {destination} has nothing to map by: the mount has no uidMappings and gidMappings, "
            "and the container has no user namespace",
            expected="mappings of the mount, or a user namespace in linux.namespaces",
        )
    if not own and not parsed.bind:
        return None
    if not builder.facts.capabilities >> _CAP_SYS_ADMIN & 1:
        text = f"the mount on {destination} cannot be id-mapped: that takes CAP_SYS_ADMIN, which the caller lacks"
        raise UnsupportedError(
            f"{pointer}: {text}",
            pointer=pointer,
            remedy="run as root, or leave the mapping to the user namespace of the container",
        )
    return Mapping(pointer, destination, mount, parsed)


_FORM = "uids=[@]FILE-HOST-SIZE[#...];gids=[@]FILE-HOST-SIZE[#...]"
_IDS = 1 << 32


def _option_maps(builder: Builder, text: str) -> dict[str, Any]:
    """Return what stands behind `idmap=` as mappings of the mount.  Raises ValueError.

    Each range maps ids of the file system to ids of the host, or after an @ to ids of the container.
    """
    found: dict[str, Any] = {}
    for part in text.split(";"):
        kind, _, ranges = part.partition("=")
        key = {"uids": "uidMappings", "gids": "gidMappings"}.get(kind)
        if key is None:
            raise ValueError(f"{kind!a} is neither uids nor gids")
        if key in found:
            raise ValueError(f"{kind} is there twice")
        lines = []
        for one in ranges.split("#"):
            line = _range(one.removeprefix("@"))
            lines += _of_container(builder, key, line) if one.startswith("@") else [line]
        for side in ("containerID", "hostID"):
            end = 0
            for line in sorted(lines, key=lambda line, side=side: line[side]):  # type: ignore[misc]
                if line[side] < end:
                    raise ValueError(f"{kind} has the id {line[side]} twice")
                end = line[side] + line["size"]
        found[key] = lines
    if len(found) < 2:
        raise ValueError("uids and gids are both needed")
    return found


def _range(text: str) -> dict[str, int]:
    """Return FILE-HOST-SIZE as an entry of mappings.  Raises ValueError."""
    words = text.split("-")
    if len(words) != 3 or not all(word.isascii() and word.isdigit() and len(word) < 11 for word in words):
        raise ValueError(f"{text!a} is no range")
    start, host, size = map(int, words)
    if not size or max(start, host) + size >= _IDS:
        raise ValueError(f"{text!a} goes beyond the last id, or has none")
    return {"containerID": start, "hostID": host, "size": size}


def _of_container(builder: Builder, key: str, line: dict[str, int]) -> list[dict[str, int]]:
    """Return a range with ids of the container as ranges with those of the host.  Raises ValueError."""
    maps = builder.linux.get(key) or ()
    start, left, host = line["containerID"], line["size"], line["hostID"]
    found = []
    while left:
        inside = next((one for one in maps if 0 <= host - one["containerID"] < one["size"]), None)
        if inside is None:
            raise ValueError(f"the container has no id {host}: linux.{key} does not map it")
        offset = host - inside["containerID"]
        size = min(left, inside["size"] - offset)
        found.append({"containerID": start, "hostID": inside["hostID"] + offset, "size": size})
        start, left, host = start + size, left - size, host + size
    return found
