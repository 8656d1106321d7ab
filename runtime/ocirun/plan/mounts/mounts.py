"""The mounts of config.json as operations: each is made detached, then attached to a target
that was looked up below the root, both by descriptor."""

from __future__ import annotations

from ...errors import Problem
from .. import constants as c
from ..builder import PROPAGATION, clean
from ..crun_annotations import context_type
from ..ops import (
    LINK_OR_NOTHING,
    OPEN_CREATE,
    OPEN_DIRECTORY,
    OPEN_ITSELF,
    OPEN_LIKE_PROC,
    OPEN_NOT_PROC,
    OPEN_PLAIN,
)
from . import attributes, hostfs
from . import options as o
from . import words as w
from .rootfs import copy_source, source_path, target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ..builder import Builder
    from .idmap import Mapping
    from .options import MountOptions

# Files of /proc that may be covered: what lxcfs and the like replace.  Everything else there
# decides over confinement.
PROC_FILES = frozenset(
    (
        "/proc/cpuinfo",
        "/proc/diskstats",
        "/proc/loadavg",
        "/proc/meminfo",
        "/proc/slabinfo",
        "/proc/stat",
        "/proc/swaps",
        "/proc/sys/crypto/fips_enabled",
        "/proc/sys/kernel/ns_last_pid",
        "/proc/uptime",
    )
)
_PSEUDO = ("proc", "sysfs")
# Words for the root that mounts do not have by themselves: what is mounted is a slave, or private.
_HANDED_ON = (c.MS_SHARED | c.MS_REC, c.MS_UNBINDABLE | c.MS_REC)
# Masks in them protect the host, so their mounts are kept in slots: see `rootfs.protect`.
_KEPT = {("/proc", "proc"): "mount_proc", ("/sys", "sysfs"): "mount_sys"}


def add_mounts(builder: Builder, before: Iterable[str] = ()) -> None:
    """Plan all of ``mounts``, in the order of the config.

    before   destinations with file systems that were made for the container already
    """
    mounts = builder.data.get("mounts") or ()
    destinations = [builder.destination(mount) for mount in mounts]
    late: list[tuple[str, str]] = []
    made = set(before)
    # Mounts of one kind often have the same options: they are read once.
    known: dict[tuple[str, ...], o.MountOptions] = {}
    # A recursive word for the root is that of the mounts in it too, but for those that have words of their own.
    inherited = PROPAGATION.get(builder.linux.get("rootfsPropagation") or "", 0)
    # A template that makes this stretch anew has the notes of its last time.
    builder.kept = {}
    builder.late_propagation = []
    builder.id_maps = ("", "")
    for index, mount in enumerate(mounts):
        pointer = f"/mounts/{index}"
        destination = destinations[index]
        fstype = mount.get("type") or ""
        if mount["destination"] != destination and clean(mount["destination"]) != destination:
            message = f"begins with the path of the root, which is left out: {destination}"
            builder.warnings.append(Problem(f"{pointer}/destination", message, warning=True))
        if destination == "/":
            raise builder.error(f"{pointer}/destination", "a mount cannot cover the root of the container")
        options = mount.get("options") or ()
        parsed = known.get((fstype, *options))
        if parsed is None:
            parsed = o.parse(options, pointer=pointer, destination=destination, fstype=fstype)
            builder.warnings += parsed.warnings
            if not parsed.warnings:  # they name the mount
                known[(fstype, *options)] = parsed
        mapping = None
        if parsed.idmap or mount.get("uidMappings") or mount.get("gidMappings"):
            from . import idmap

            mapping = idmap.mapping(builder, pointer, destination, mount, parsed)
        if inherited in _HANDED_ON and not parsed.propagation and not parsed.remount:
            parsed.propagation = [(inherited & ~c.MS_REC, True)]
        # A slot of its own for a mount that is changed once more when all else is made.
        unbindable = parsed.propagation and any(flag == c.MS_UNBINDABLE for flag, _ in parsed.propagation)
        slot = f"late{index}" if unbindable else "mount"
        if f"source{index}" in builder.copied:
            slot = f"source{index}"
        if parsed.remount and not parsed.bind:
            _remount(builder, pointer, destination, parsed, slot, own=destination in made)
            continue
        builder.kept.pop(destination, None)
        made.discard(destination)
        if parsed.bind:
            _bind(builder, pointer, destination, mount, parsed, mapping, slot)
        elif fstype in ("cgroup", "cgroup2"):
            from . import cgroup_mounts

            cgroup_mounts.mount_cgroups(builder, pointer, destination, parsed, slot)
        elif not fstype:
            raise builder.error(
                f"{pointer}/type",
                f"the mount on {destination} has neither a type nor the option bind",
                expected="a file system type, or bind or rbind among the options",
            )
        else:
            readonly = fstype == "tmpfs" and parsed.attr_set & c.MOUNT_ATTR_RDONLY
            below = bool(readonly) and _has_mount_below(builder, destination, destinations[index + 1 :])
            if fstype not in hostfs.SHARED:
                made.add(destination)
            if readonly and (below or parsed.tmpcopyup):
                slot = f"late{index}"
            if _filesystem(builder, pointer, destination, mount, parsed, mapping, slot, keep_writable=below):
                late.append((pointer, slot))
    builder.late_readonly = late


def finish_readonly(builder: Builder) -> None:
    """Turn mounts read-only that had to wait until devices, links and inner mount points were made."""
    for pointer, slot in builder.late_readonly:
        builder.init("set_mount_attr", pointer, slot=slot, set=c.MOUNT_ATTR_RDONLY)
        if slot not in (other for _, other, _ in builder.late_propagation):
            builder.init("close", pointer, slot=slot)


def finish_propagation(builder: Builder) -> None:
    """Plan this last of all: nothing can be copied out of an unbindable mount,
    as paths in it turn read-only by a copy.
    """
    for pointer, slot, words in builder.late_propagation:
        attributes.propagate_now(builder, pointer, slot, words)
        builder.init("close", pointer, slot=slot)


def _has_mount_below(builder: Builder, destination: str, later: list[str]) -> bool:
    inside = destination + "/"
    if destination == "/dev":
        return True
    if any(clean(device["path"]).startswith(inside) for device in builder.linux.get("devices") or ()):
        return True
    if clean(builder.process.get("cwd", "/")).startswith(inside):
        return True
    return any(other.startswith(inside) for other in later)


def _target_flags(builder: Builder, pointer: str, destination: str, fstype: str) -> int:
    """Return what must hold of the mount point."""
    if fstype in _PSEUDO:
        return OPEN_CREATE | OPEN_DIRECTORY | OPEN_PLAIN
    if destination in PROC_FILES:
        return OPEN_CREATE
    if destination.startswith("/proc/"):
        raise builder.error(
            f"{pointer}/destination",
            f"{destination} is inside /proc, where only some files may be covered: " + ", ".join(sorted(PROC_FILES)),
        )
    return OPEN_CREATE | OPEN_NOT_PROC


def _bind(
    builder: Builder,
    pointer: str,
    destination: str,
    mount: dict[str, Any],
    parsed: MountOptions,
    mapping: Mapping | None,
    slot: str,
) -> None:
    source = mount.get("source")
    if not source:
        raise builder.error(f"{pointer}/source", f"the bind mount on {destination} has no source")
    path = source_path(builder, source)
    flags = _target_flags(builder, pointer, destination, "")
    text = builder.facts.links.get(path) if parsed.links & w.COPY_LINK else None
    if text is not None:
        why = "copy-symlink, and the source is a symbolic link"
        args = {"root": "root", "path": destination, "text": text, "needs": None, "replace": LINK_OR_NOTHING}
        builder.init("make_link", pointer, why=why, **args)
        return
    recursive = 1 if parsed.recursive_bind else 0
    nofollow = bool(parsed.links & w.SOURCE_ITSELF)
    if parsed.links & w.DESTINATION_ITSELF:
        flags |= OPEN_ITSELF
    builder.slot(slot)
    like_proc = OPEN_LIKE_PROC if destination == "/proc" else 0
    opened = False
    if path.startswith(builder.rootfs + "/") or path == builder.rootfs:
        inside = path[len(builder.rootfs) :] or "/"
        why = "the source is below the root file system"
        itself = {"nofollow": 1} if nofollow else {}
        builder.init("clone_tree", pointer, why=why, slot=slot, path=inside, recursive=recursive, root="root", **itself)
    else:
        why = "the root of the user namespace may not be able to read it" if builder.user_namespace else ""
        opened = copy_source(builder, pointer, path, recursive=recursive, why=why, slot=slot, nofollow=nofollow)
    if mapping is not None:
        if opened:
            mapping.apply(builder)
        else:
            mapping.show(builder, slot)
        mapping.cut_off(builder, slot)
    target(builder, pointer, destination, flags | like_proc, like=slot)
    attributes.set_attributes(builder, pointer, slot, parsed)
    _attach(builder, pointer, slot, parsed)
    attributes.propagate(builder, pointer, slot, parsed)


def _filesystem(
    builder: Builder,
    pointer: str,
    destination: str,
    mount: dict[str, Any],
    parsed: MountOptions,
    mapping: Mapping | None,
    slot: str,
    *,
    keep_writable: bool,
) -> bool:
    """Add a new file system.  Returns whether it must turn read-only later."""
    fstype = mount["type"]
    if destination == "/proc" and fstype != "proc":
        raise builder.error(f"{pointer}/type", f"{fstype} cannot be mounted on /proc", expected="proc", found=fstype)
    if builder.confined:
        from .. import rootless

        rootless.check_mount(builder, pointer, destination, fstype, parsed)
    tmpfs = fstype == "tmpfs"
    reason = parsed.mount2_reason()
    late = tmpfs and bool(parsed.attr_set & c.MOUNT_ATTR_RDONLY) and (keep_writable or parsed.tmpcopyup)
    target(builder, pointer, destination, _target_flags(builder, pointer, destination, fstype) | OPEN_DIRECTORY)
    if reason:
        _classic(builder, pointer, destination, mount, parsed, reason, slot)
        return False
    labels = _labels(builder)
    kept = _KEPT.get((destination, fstype))
    if kept and not _covered_later(builder, destination):
        kept = None
    slot = builder.slot(kept if kept and slot == "mount" else slot)
    shape = (slot, mount.get("source"), late)
    args = parsed.made.get(shape)
    if args is None or labels is not None:
        args = parsed.made[shape] = _parameters(builder, mount, parsed, slot, labels, late=late)
    builder.again("new_filesystem", pointer, args)
    if labels is not None:
        labels.label_root(builder, fstype, slot)
    if parsed.tmpcopyup:
        builder.init("copy_up", pointer, slot=slot, source="target")
    if mapping is not None:
        mapping.show(builder, slot)
    attributes.set_attributes(builder, pointer, slot, parsed)
    _attach(builder, pointer, slot, parsed)
    attributes.propagate(builder, pointer, slot, parsed)
    if kept:
        builder.kept[destination] = slot  # one that is kept for its propagation is kept for this too
    return late


def _parameters(
    builder: Builder, mount: dict[str, Any], parsed: MountOptions, slot: str, labels: Any, *, late: bool
) -> dict[str, Any]:
    """Return the arguments of `new_filesystem`."""
    fstype = mount["type"]
    tmpfs = fstype == "tmpfs"
    entries = [entry for entry in parsed.fsconfig() if not (tmpfs and entry[0] in ("ro", "rw"))]
    config = [(key, value) for key, value, _ in entries]
    places: list[int | str | None] = [place for _, _, place in entries]
    if labels is not None and (context := labels.mount_context(builder, fstype, parsed)):
        config.append((context_type(builder), context))
        places.append(labels.MOUNT_LABEL)
    if mount.get("source"):
        config.insert(0, ("source", mount["source"]))
        places.insert(0, None)
    return {
        "slot": slot,
        "type": fstype,
        "options": config,
        "places": places,
        "attributes": parsed.attr_set & ~c.MOUNT_ATTR_RDONLY if late else parsed.attr_set,
        "mode_from": "target" if tmpfs and not parsed.data_value("mode")[0] else None,
    }


def _attach(builder: Builder, pointer: str, slot: str, parsed: MountOptions) -> None:
    builder.again("attach", pointer, parsed.made.setdefault(slot, {"slot": slot, "target": "target"}))


def _covered_later(builder: Builder, destination: str) -> bool:
    paths = (*(builder.linux.get("maskedPaths") or ()), *(builder.linux.get("readonlyPaths") or ()))
    return any(clean(path).startswith(destination + "/") for path in paths)


def _labels(builder: Builder) -> Any:
    """Return the module that knows mountLabel, where there is one."""
    if not builder.linux.get("mountLabel"):
        return None
    from . import labels

    return labels


def _classic(
    builder: Builder,
    pointer: str,
    destination: str,
    mount: dict[str, Any],
    parsed: MountOptions,
    reason: str,
    slot: str,
) -> None:
    if parsed.tmpcopyup:
        raise builder.error(
            pointer, f"tmpcopyup on {destination} cannot go with an option that needs mount(2): {reason}"
        )
    data = parsed.data_text
    labels = _labels(builder)
    if labels is not None and (context := labels.mount_context(builder, mount["type"], parsed)):
        data += ("," if data else "") + f'{context_type(builder)}="{context}"'
        if len(data.encode()) > o.MOUNT_DATA_MAX:
            raise builder.error(labels.MOUNT_LABEL, f"with it the options of {destination} are longer than a page")
    builder.init(
        "mount_classic",
        pointer,
        why=reason,
        slot="target",
        source=mount.get("source") or mount["type"],
        type=mount["type"],
        flags=parsed.flags,
        data=data or None,
    )
    if parsed.propagation or parsed.rec_attr_set or parsed.rec_attr_clr:
        builder.init(
            "open_path",
            pointer,
            slot=builder.slot(slot),
            root="root",
            path=destination,
            flags=OPEN_DIRECTORY,
            like=None,
        )
        attributes.set_attributes(builder, pointer, slot, parsed)
        attributes.propagate(builder, pointer, slot, parsed)


def _remount(
    builder: Builder,
    pointer: str,
    destination: str,
    parsed: MountOptions,
    slot: str,
    *,
    own: bool,
) -> None:
    """Change a mount that stands there already: its file system's options, then its own flags.

    own   its file system was made for this container; any other one is the host's too, and stays as it is
    """
    if not own:
        hostfs.refuse_data(pointer, destination, parsed, "the file system is the host's too")
    builder.init("open_path", pointer, slot=builder.slot(slot), root="root", path=destination, flags=0, like=None)
    config = [(key, value) for key, value, _ in parsed.fsconfig()]
    if config and own:
        places = [place for _, _, place in parsed.fsconfig()]
        builder.init("reconfigure", pointer, slot=slot, options=config, places=places)
    if parsed.attr_set or parsed.attr_clr:
        builder.init("set_mount_attr", pointer, slot=slot, set=parsed.attr_set, clear=parsed.attr_clr)
    attributes.set_attributes(builder, pointer, slot, parsed)
    attributes.propagate(builder, pointer, slot, parsed)
