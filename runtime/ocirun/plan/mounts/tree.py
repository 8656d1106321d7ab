"""A mount namespace that begins with the root file system alone (open_tree(2), OPEN_TREE_NAMESPACE, Linux 7.0).

Otherwise a new mount namespace is a copy of the caller's: all mounts of the host are copied, and taken off again with
the change of root.  Here none of them is.  So what is on the host is opened before: once in the namespace, a path of
the host would name something else.
"""

from __future__ import annotations

from .. import constants as c
from ..ops import SLOT_LIMIT
from . import options, rootfs, upper, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..builder import Builder
    from .options import MountOptions

# Slots for sources; the others are enough for all else.
SOURCES = SLOT_LIMIT - 32
_WHY = "the kernel makes a mount namespace of this tree alone: no mount of the host is copied and taken off again"
_BEFORE_THE_CHANGE = ("prestart", "createRuntime", "createContainer")
# File systems that have no source, and no path in their options.
_PATHLESS = frozenset((
    "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs", "fusectl",
    "hugetlbfs", "mqueue", "proc", "pstore", "ramfs", "securityfs", "selinuxfs", "sysfs", "tmpfs", "tracefs",
))  # fmt: skip
_CLOSED = ("", "private", "rprivate", "slave", "rslave")


def refused(builder: Builder) -> str:
    """Return why the mount namespace is a copy of the caller's all the same, "" if it need not be."""
    data = builder.data
    if builder.user_namespace or not builder.facts.privileged:
        return "the root of a user namespace may not copy a mount of the host into its own mount namespace"
    if "pid" in builder.joined or "time" in builder.new:
        return "the helper forks when it has its namespaces"
    if builder.request.no_pivot:
        return "--no-pivot was given"
    if any((data.get("hooks") or {}).get(kind) for kind in _BEFORE_THE_CHANGE):
        return "hooks find the host's mounts in the container's mount namespace before the change of root"
    if (builder.linux.get("rootfsPropagation") or "") not in _CLOSED:
        return "mounts of the container are to reach the host"
    if upper.wanted(data):
        return "the root file system is covered by an overlay, which takes a change of root"
    if builder.facts.notify_socket:
        return "the socket for NOTIFY_SOCKET is bound from the host"
    if "cgroup" not in builder.new and any(m.get("type") in ("cgroup", "cgroup2") for m in data.get("mounts") or ()):
        return "cgroups are bound from the host"
    if kind := _names_paths(builder):
        return f"a file system of the type {kind} may be of a path of the host, or have one in its options"
    if len(host_binds(builder)) > SOURCES:
        return f"more than {SOURCES} mounts are bound from the host"
    return ""


def enter(builder: Builder) -> None:
    """Plan the way into the namespace, with all that is taken along from the host."""
    builder.init("open_root", "/root/path", slot=builder.slot("rootdir"), path=builder.root_path)
    wanted = builder.linux.get("rootfsPropagation") or ""
    flag = c.MS_PRIVATE if wanted == "rprivate" else c.MS_SLAVE
    # Before the sources: programs like CRIU take the mounts in the order in which they were made, the root first.
    builder.init("copy_root", "/root/path", why=_WHY, slot=builder.slot("namespace"), source="rootdir")
    builder.copied = set()
    for index, path, recursive, nofollow in host_binds(builder):
        slot, pointer = f"source{index}", f"/mounts/{index}"
        why = "what is on the host is opened before the change of the mount namespace"
        rootfs.copy_source(builder, pointer, path, recursive=recursive, why=why, slot=slot, nofollow=nofollow)
        _cut(builder, pointer, slot, flag, recursive)
        builder.copied.add(slot)
    if rootfs.open_null(builder):
        _cut(builder, "/linux/maskedPaths", "null", flag, 0)
    builder.init("enter_tree", "/root/path", slot=builder.slot("root"), source="rootdir", namespace="namespace")
    builder.init("propagate", "/linux/rootfsPropagation" if wanted else "", path="/", flags=flag | c.MS_REC)


def _cut(builder: Builder, pointer: str, slot: str, flag: int, recursive: int) -> None:
    """Keep what is mounted on a copy from reaching the host: made in the host's namespace, it is a peer there."""
    why = "what is mounted on the copy, or unmounted, does not reach the host"
    builder.init("set_mount_attr", pointer, why=why, slot=slot, propagation=flag, recursive=recursive)


def _names_paths(builder: Builder) -> str:
    """Return the type of the first file system whose mount(2) looks up paths, "" if there is none."""
    for _, mount, parsed in _mounts(builder):
        kind = mount.get("type") or ""
        # procfs has one option with a path (Linux 6.17).
        pathless = kind in _PATHLESS and not any(word.startswith("pidns=") for word in words.given(mount))
        if not (parsed.bind or parsed.remount or pathless):
            return kind or "none"
    return ""


def _mounts(builder: Builder) -> Iterator[tuple[int, dict[str, Any], MountOptions]]:
    for index, mount in enumerate(builder.data.get("mounts") or ()):
        words, kind = mount.get("options") or (), mount.get("type") or ""
        where = builder.destination(mount)
        yield index, mount, options.parse(words, pointer=f"/mounts/{index}", destination=where, fstype=kind)


def host_binds(builder: Builder) -> list[tuple[int, str, int, bool]]:
    """Return (index, source, recursive, nofollow) of the bind mounts whose sources are on the host."""
    found = []
    for index, mount, parsed in _mounts(builder):
        path = rootfs.source_path(builder, mount.get("source") or "")
        if not parsed.bind or parsed.remount or (path + "/").startswith(builder.rootfs + "/"):
            continue
        if parsed.links & words.COPY_LINK and path in builder.facts.links:
            continue
        found.append((index, path, 1 if parsed.recursive_bind else 0, bool(parsed.links & words.SOURCE_ITSELF)))
    return found
