"""The plans of `mounts add` and `mounts remove`: a helper joins a running container, and changes its mounts.

It is never in the container's pid namespace, so that nothing in there can stop or look at it, unless a procfs is
mounted, which shows the pid namespace of whoever mounts it.
"""

from __future__ import annotations

from . import constants as c
from . import rootless
from .builder import Builder, clean
from .exec_plan import become_root, join_namespaces, namespaces
from .mounts import hostfs, mounts, rootfs, tree, words
from .ops import Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..cgroup.driver import Driver
    from .builder import Facts, Request


def build_add(
    data: dict[str, Any],
    facts: Facts,
    request: Request,
    cgroup: Driver,
    *,
    pid: int,
    foreign: frozenset[str] | None,
    before: list[dict[str, Any]],
) -> Plan:
    """Return the plan that adds mounts.

    data      the container's config, with the mounts to add as ``mounts``
    pid       of the container's init
    foreign   as of `exec_plan.build_exec`
    before    the mounts that the container has
    Raises ConfigError and UnsupportedError; touches nothing.
    """
    b = begin(data, facts, request, cgroup, pid)
    added = data["mounts"]
    if len(added) > 1:
        _refuse_remounts(b, added)
    b.host("spawn", flags=0, slots=list(b.slots[: b.inherited]))
    enter(b, foreign, copies=True)
    if any(mount.get("type") == "proc" for mount in added):
        b.init("fork_init", why="a procfs shows the pid namespace of its mounter", flags=0)
    open_root(b)
    mounts.add_mounts(b, (clean(mount["destination"]) for mount in before if _is_own(mount)))
    mounts.finish_readonly(b)
    mounts.finish_propagation(b)
    return end(b)


def build_remove(
    data: dict[str, Any],
    facts: Facts,
    request: Request,
    cgroup: Driver,
    *,
    pid: int,
    foreign: frozenset[str] | None,
    removed: list[tuple[str, str, int]],
) -> Plan:
    """Return the plan that takes mounts off, the first one first.

    removed   (pointer, destination, flags of open_path) of each
    The others are those of `build_add`.
    """
    b = begin(data, facts, request, cgroup, pid)
    b.inherit("proc")
    b.host("open_procfs", slot="proc")
    b.host("spawn", flags=0, slots=list(b.slots[: b.inherited]))
    enter(b, foreign)
    open_root(b)
    for pointer, destination, flags in removed:
        rootfs.target(b, pointer, destination, flags)
        b.init("unmount", pointer, slot="target", proc="proc")
    return end(b)


def begin(data: dict[str, Any], facts: Facts, request: Request, cgroup: Driver, pid: int) -> Builder:
    """Return a builder that has opened the init of a running container.  Raises ConfigError."""
    builder = Builder(data, facts, request, cgroup)
    builder.running = True
    if not builder.own_mounts:
        text = "the container has no mount namespace of its own: its files and mounts are the host's"
        raise builder.error("/linux/namespaces", text, expected="a namespace of the type mount")
    builder.inherit("init")
    builder.host("open_init", pid=pid, slot="init")
    return builder


def enter(builder: Builder, foreign: frozenset[str] | None, *, copies: bool = False) -> None:
    """Join the container's namespaces; with `copies`, when the sources are copied that the runtime may not copy."""
    others, user = namespaces(builder, foreign)
    builder.init("guard")
    joined = user
    if copies and user and not rootless.sources_by_host(builder) and (binds := tree.host_binds(builder)):
        if len(binds) > tree.SOURCES:
            raise builder.error("/mounts", f"{len(binds)} bind mounts at once", expected=f"{tree.SOURCES} at most")
        why = "mounts of the host can be copied with the rights of the container's user namespace only"
        builder.init("join_namespace", user, why=why, slot="init", flag=c.CLONE_NEWUSER, keep=1)
        why = "what is copied must be the mounts of a namespace that it may change"
        builder.init("unshare", user, why=why, flags=c.CLONE_NEWNS)
        for index, path, recursive, nofollow in binds:
            slot, pointer = f"source{index}", f"/mounts/{index}"
            rootfs.copy_source(builder, pointer, path, recursive=recursive, why="", slot=slot, nofollow=nofollow)
            builder.copied.add(slot)
        joined = ""
    join_namespaces(builder, others, joined)
    become_root(builder, user)


def _refuse_remounts(builder: Builder, added: list[dict[str, Any]]) -> None:
    for index, mount in enumerate(added):
        if "remount" in words.given(mount):
            text = f"remount of {mount['destination']}: could not be undone if another mount fails"
            raise builder.error(f"/mounts/{index}/options", text, expected="to be the only mount")


def _is_own(mount: dict[str, Any]) -> bool:
    """Return whether the file system of a mount was made for the container."""
    is_bind = {"bind", "rbind"} & {mount.get("type"), *words.given(mount)}
    return not is_bind and mount.get("type") not in hostfs.SHARED


def open_root(builder: Builder) -> None:
    """Plan to open the root of the container, whose mount namespace is joined."""
    builder.init("open_root", "/root/path", slot=builder.slot("root"), path="/")


def end(builder: Builder) -> Plan:
    """Plan the end of the helper, and return the plan."""
    builder.init("close", slot="root")
    builder.init("ready", detach=1)
    return Plan(builder.ops, builder.slots, builder.inherited, [], builder.warnings)
