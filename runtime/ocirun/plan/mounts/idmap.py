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
    recursive        mounts below it get it, too
    """

    __slots__ = ("gids", "keeps_links", "path", "pointer", "recursive", "uids")

    def __init__(self, pointer: str, path: str, mount: dict[str, Any], parsed: MountOptions) -> None:
        self.pointer = pointer
        self.path = path
        self.uids = map_lines(mount.get("uidMappings") or ())
        self.gids = map_lines(mount.get("gidMappings") or ())
        self.recursive = parsed.idmap == "ridmap"
        self.keeps_links = bool(parsed.propagation)

    def apply(self, builder: Builder) -> None:
        """Map the detached mount that the runtime has just opened or been shown."""
        if self.uids and builder.id_maps != (self.uids, self.gids):
            builder.id_maps = (self.uids, self.gids)
            builder.host("make_user_namespace", f"{self.pointer}/uidMappings", uid_map=self.uids, gid_map=self.gids)
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
    if not own and not builder.user_namespace:
        words = mount["options"]
        place = next(index for index, option in enumerate(words) if parsed.idmap in option.split(","))
        raise builder.error(
            f"{pointer}/options/{place}",
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
