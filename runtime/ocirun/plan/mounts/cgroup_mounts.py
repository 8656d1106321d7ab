"""Mounts of the type ``cgroup`` or ``cgroup2``: the hierarchies of this host, as the container may see them.

Their file systems are the host's own.  So what is a matter of the mount (attributes, propagation) is done as for any
other mount; what is a matter of the file system reaches the kernel from a cgroup namespace only, in which it takes no
such option seriously (apply_cgroup_root_flags in kernel/cgroup/cgroup.c), and is refused elsewhere.
"""

from __future__ import annotations

from ...cgroup.settings.translation import UNIFIED
from .. import constants as c
from ..ops import OPEN_CREATE, OPEN_DIRECTORY, OPEN_NOT_PROC
from . import attributes as attrs
from . import hostfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..builder import Builder
    from .options import MountOptions

_SAFE = c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NODEV | c.MOUNT_ATTR_NOEXEC
_FLAGS = OPEN_CREATE | OPEN_DIRECTORY | OPEN_NOT_PROC


def mount_cgroups(builder: Builder, pointer: str, destination: str, parsed: MountOptions, slot: str) -> None:
    """Plan on v2 the hierarchy itself; on v1 one mount for each, in a tmpfs.

    In a cgroup namespace of its own the container may mount the hierarchies itself; without one only its
    own directory is bound, so that nothing above it can be seen.
    slot   for the mount that propagates
    """
    attributes = parsed.attr_set | _SAFE & ~parsed.attr_clr
    if builder.facts.layout is not None and builder.facts.layout.mode == "v2":
        _mount_unified(builder, pointer, destination, parsed, attributes, slot)
        return
    hostfs.refuse_data(pointer, destination, parsed, "a cgroup mount shows the hierarchies of the host as they are")
    readonly = attributes & c.MOUNT_ATTR_RDONLY
    top, inner = builder.slot("cgroup_top" if slot == "mount" else slot), builder.slot("mount")
    builder.init("open_path", pointer, slot=builder.slot("target"), root="root", path=destination, flags=_FLAGS)
    options: list[tuple[str, str | None]] = [("mode", "755")]
    if builder.linux.get("mountLabel"):
        from .labels import mount_context

        options.append(("context", mount_context(builder, "tmpfs", parsed)))
    builder.init("new_filesystem", pointer, slot=top, type="tmpfs", options=options, attributes=attributes & ~readonly)
    builder.init("attach", pointer, slot=top, target="target")
    own_namespace = "cgroup" in builder.new and not builder.user_namespace
    for hierarchy in builder.cgroup.hierarchies():
        inside = f"{destination}/{hierarchy.name}"
        builder.init("open_path", pointer, slot="target", root="root", path=inside, flags=_FLAGS)
        if own_namespace:
            config = [(option, None) if "=" not in option else _pair(option) for option in hierarchy.options]
            builder.init("new_filesystem", pointer, slot=inner, type="cgroup", options=config, attributes=attributes)
        else:
            builder.init("clone_tree", pointer, slot=inner, path=hierarchy.path, recursive=0, root=None)
            builder.init("set_mount_attr", pointer, slot=inner, set=attributes)
        builder.init("attach", pointer, slot=inner, target="target")
        for link in hierarchy.links:
            builder.init("make_link", pointer, root="root", path=f"{destination}/{link}", text=hierarchy.name)
    if readonly:
        builder.init("set_mount_attr", pointer, slot=top, set=readonly)
    attrs.set_attributes(builder, pointer, top, parsed)
    attrs.propagate(builder, pointer, top, parsed)
    if top == "cgroup_top":
        builder.init("close", pointer, slot=top)


def _mount_unified(
    builder: Builder, pointer: str, destination: str, parsed: MountOptions, attributes: int, slot: str
) -> None:
    """Plan the v2 hierarchy: in a new cgroup namespace it begins at the container's group, else that group is bound."""
    if "cgroup" not in builder.new and not builder.cgroup.groups:
        raise builder.error(
            pointer,
            "shows all groups of the host, as the container has neither a group nor a cgroup namespace of its own",
            expected="a namespace of the type cgroup, or no such mount",
        )
    builder.slot(slot)
    builder.init("open_path", pointer, slot=builder.slot("target"), root="root", path=destination, flags=_FLAGS)
    if "cgroup" in builder.new:
        hostfs.refuse_flags(pointer, destination, parsed)
        places: list[int | str | None] = list(parsed.data_index)
        builder.init(
            "new_filesystem",
            pointer,
            slot=slot,
            type="cgroup2",
            options=list(parsed.data),
            places=places,
            attributes=attributes,
        )
    else:
        # Engines name those that the hierarchy has, as a new mount without them would take them off: containerd 2.3.
        layout = builder.facts.layout
        held = layout.unified.options if layout is not None and layout.unified is not None else ()
        no = "without a cgroup namespace it would change the host's hierarchy"
        hostfs.refuse_data(pointer, destination, parsed, no, held=held)
        why = "without a cgroup namespace a new mount would show all groups"
        builder.init(
            "clone_tree", pointer, why=why, slot=slot, path=builder.cgroup.path(UNIFIED), recursive=0, root=None
        )
        builder.init("set_mount_attr", pointer, slot=slot, set=attributes)
    attrs.set_attributes(builder, pointer, slot, parsed)
    builder.init("attach", pointer, slot=slot, target="target")
    attrs.propagate(builder, pointer, slot, parsed)


def _pair(option: str) -> tuple[str, str | None]:
    key, _, value = option.partition("=")
    return key, value
