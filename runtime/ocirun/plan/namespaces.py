"""Namespaces: which are made, which are joined, in which order, by how many processes.

Direct way: clone3 makes all new namespaces at once, and the helper joins the
others.  Staged way: a first helper joins and unshares step by step and then
forks the one that becomes the container's init.  It is needed where a
namespace holds for children only (a pid namespace by path, a time namespace),
where a namespace of the host must be joined before the user namespace takes
the right to do so away, and where it would take away that of searching the
directories above the root file system.
"""

from __future__ import annotations

from .._base.jsonio import pointer_token
from . import constants as c
from .cgroups import enter_unit
from .crun_annotations import keeps_groups

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .builder import Builder

# The user namespace last: until then we hold the host's rights over all others.  The mount
# namespace just before it, as it changes what paths mean.
_JOIN_ORDER = ("network", "ipc", "uts", "cgroup", "time", "pid", "mount")


def staged(builder: Builder) -> str:
    """Return why two processes are needed, or ""."""
    if "pid" in builder.joined:
        return "a pid namespace that is joined holds for children only"
    if "time" in builder.new:
        return "a time namespace holds for children only"
    if "user" in builder.joined:
        return "the host's rights over other namespaces end with the user namespace"
    if "user" in builder.new and builder.joined:
        return "namespaces of the host are joined before the new user namespace takes the right away"
    if "user" in builder.new and builder.enters_root:
        return "the directories above the root file system are closed to the root of the user namespace"
    return ""


def open_joined(builder: Builder) -> None:
    """Have the host open and check each namespace file, before anything is made.

    Which of them must not be the host's own is known when the plan is complete (`build.finished`).
    """
    if not builder.facts.privileged:
        from . import rootless

        rootless.refuse(builder)
    for kind, (path, pointer) in builder.joined.items():
        slot = builder.inherit(f"ns_{kind}")
        builder.host("open_namespace", f"{pointer}/path", path=path, type=kind, slot=slot, not_own_for="")


def enter(builder: Builder) -> None:
    """Plan the way from `spawn` to a process that is in all its namespaces but a new cgroup one."""
    why = staged(builder)
    flags = 0
    if builder.facts.tree_namespace and "mount" in builder.new:
        from .mounts import tree

        builder.no_tree = tree.refused(builder)
        builder.tree = not builder.no_tree
    for kind in builder.new:
        if kind != "cgroup" and not (kind == "mount" and builder.tree):
            flags |= c.NAMESPACE_FLAGS[kind]
    builder.host("spawn", "", why=why, flags=0 if why else flags, slots=list(builder.slots[: builder.inherited]))
    if "user" in builder.new and not builder.facts.privileged:
        # /proc/PID of a process that is closed to debuggers belongs to root, and so do uid_map and gid_map.
        builder.init("guard", dumpable=1)
    else:
        builder.init("guard")
    enter_unit(builder)
    if builder.cgroup.joins:
        for name in builder.slots:
            if name.startswith("cgroup_"):
                builder.init("join_cgroup", "/linux/cgroupsPath", slot=name)
    if why:
        _enter_staged(builder, flags, why)
    else:
        if flags & c.CLONE_NEWUSER:
            _map_ids(builder)
            _become_root(builder)
        for kind in _JOIN_ORDER:
            _join(builder, kind)
    builder.init("new_session")
    if "cgroup" in builder.new:
        # After the cgroup is joined: the namespace's root is the cgroup of this moment.
        builder.init("unshare", builder.new["cgroup"], flags=c.CLONE_NEWCGROUP)
    if "network" in builder.new:
        builder.init("loopback_up", builder.new["network"])
    if builder.linux.get("netDevices"):
        _move_devices(builder)


def _move_devices(builder: Builder) -> None:
    """Move the devices before the hooks and the sysctls, which may be about them."""
    builder.init("sync")
    for device, settings in builder.linux["netDevices"].items():
        builder.host(
            "move_device",
            f"/linux/netDevices/{pointer_token(device)}",
            device=device,
            name=settings.get("name") or device,
        )


def _enter_staged(builder: Builder, flags: int, why: str) -> None:
    # An unprivileged caller gets the right to join the others from the user namespace.
    order = (*_JOIN_ORDER, "user") if builder.facts.privileged else ("user", *_JOIN_ORDER)
    if builder.enters_root:
        builder.init("open_root", "/root/path", why=why, slot=builder.slot("rootdir"), path=builder.rootfs, enter=1)
    for kind in order:
        _join(builder, kind)
    if flags & c.CLONE_NEWUSER:
        builder.init("unshare", builder.new["user"], flags=c.CLONE_NEWUSER)
        _map_ids(builder)
    rest = flags & ~c.CLONE_NEWUSER
    if rest:
        builder.init("unshare", "/linux/namespaces", flags=rest)
    offsets = builder.linux.get("timeOffsets") or {}
    if offsets:
        builder.init("sync")
        builder.host("write_time_offsets", "/linux/timeOffsets", offsets=_offset_lines(offsets))
    if flags & c.CLONE_NEWUSER:
        # Last, as it closes /proc/PID, and with it the offsets, to a runtime that is not root.
        _become_root(builder)
    builder.init("fork_init", why=why, flags=0)


def _join(builder: Builder, kind: str) -> None:
    if kind not in builder.joined:
        return
    _, pointer = builder.joined[kind]
    builder.init("join_namespace", pointer, slot=f"ns_{kind}", flag=c.NAMESPACE_FLAGS[kind])
    if kind == "user":
        builder.init(
            "become_root", pointer, drop_groups=1 if builder.facts.privileged and not keeps_groups(builder) else 0
        )


def _map_ids(builder: Builder) -> None:
    """Have the runtime write the maps from outside, by itself or by the programs of shadow-utils."""
    from . import rootless

    way = rootless.maps(builder)
    builder.groups = way.setgroups == "allow"
    builder.init("sync")
    builder.host(
        "write_id_maps",
        "/linux/uidMappings",
        why=way.why,
        uid_map=map_lines(builder.linux.get("uidMappings") or ()),
        gid_map=map_lines(builder.linux.get("gidMappings") or ()),
        uid_program=way.uid_program,
        gid_program=way.gid_program,
        setgroups=way.setgroups,
    )


def _become_root(builder: Builder) -> None:
    """Become root of the new user namespace, without the caller's groups where they can be given up."""
    builder.init(
        "become_root", builder.new["user"], drop_groups=1 if builder.groups and not keeps_groups(builder) else 0
    )


def map_lines(entries: Any) -> str:
    """Return the text of uid_map or gid_map, as user_namespaces(7) describes it."""
    return "".join(f"{e['containerID']} {e['hostID']} {e['size']}\n" for e in entries)


def _offset_lines(offsets: dict[str, Any]) -> str:
    """Return the text of /proc/PID/timens_offsets: clock, seconds, nanoseconds."""
    return "".join(
        f"{clock} {values.get('secs', 0)} {values.get('nanosecs', 0)}\n" for clock, values in sorted(offsets.items())
    )
