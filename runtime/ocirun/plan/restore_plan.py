"""The plan of a container that comes back from a checkpoint.

The helper prepares what CRIU needs and becomes CRIU: it is in the container's
cgroups, so that what CRIU makes is too, and in a mount namespace of its own,
where the root file system is a mount and all mount points are there.  CRIU
makes the processes as children of the runtime.
"""

from __future__ import annotations

from ..errors import UnsupportedError
from . import cgroups, hooks
from . import constants as c
from .builder import Builder, join
from .mounts import rootfs, upper, words
from .ops import CALLERS_UMASK, OPEN_CREATE, OPEN_DIRECTORY, Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..cgroup.driver import Driver
    from .builder import Facts, Request


def build_restore(
    data: dict[str, Any],
    facts: Facts,
    request: Request,
    cgroup: Driver,
    *,
    program: str,
    keep: dict[str, int],
    external: list[tuple[str, str]],
) -> Plan:
    """Return the plan for a checked config.

    program    path of CRIU
    keep       descriptors that CRIU gets, by what they are; ``socket`` is the one by which it is spoken with
    external   (mount point, path on the host) of the mounts that show what is the host's
    Raises ConfigError and UnsupportedError; touches nothing.
    """
    b = Builder(data, facts, request, cgroup)
    if b.linux.get("intelRdt") is not None:
        pointer = "/linux/intelRdt"
        raise UnsupportedError(f"{pointer}: CRIU does not put processes into resctrl groups", pointer=pointer)
    refuse(data)
    b.reserve()
    cgroups.make_cgroup(b)
    b.host("spawn", flags=0, slots=list(b.slots[: b.inherited]))
    b.init("guard")
    cgroups.enter_unit(b)
    if cgroup.joins:
        for name in b.slots:
            if name.startswith("cgroup_"):
                b.init("join_cgroup", "/linux/cgroupsPath", slot=name)
    b.init("unshare", why="CRIU wants the root file system to be a mount", flags=c.CLONE_NEWNS)
    _root(b)
    _mount_points(b, dict(external))
    b.init("set_umask", umask=CALLERS_UMASK)
    b.init("find_program", args=[program, "swrk", str(keep["socket"])], env=list(facts.environ), search="")
    b.init("ready", detach=0)
    b.init("wait_start", slot="sync")
    b.init("execute")
    b.host("restore_processes", external=[list(pair) for pair in external])
    # Run by the operation above, at the moment when there are namespaces and no program yet.
    hooks.host_hooks(b, "prestart", "creating")
    hooks.host_hooks(b, "createRuntime", "creating")
    cgroups.write_late(b)
    b.host("record_state", status="running")
    if request.pid_file:
        b.host("write_pid_file", path=request.pid_file)
    hooks.host_hooks(b, "poststart", "running")
    hooks.host_hooks(b, "poststop", "stopped")
    return Plan(b.ops, b.slots, b.inherited, sorted(keep.values()), b.warnings)


def refuse(data: dict[str, Any]) -> None:
    """Raise UnsupportedError for a root file system that is thrown away, as its layer is nowhere to be saved;
    and for a mount of a link or on one, as CRIU mounts by path, and follows links.
    """
    if upper.wanted(data):
        text = f"{upper.POINTER}: what is written there ends with the container, and cannot be saved"
        raise UnsupportedError(text, pointer=upper.POINTER, remedy="do without a checkpoint, or without the annotation")
    for index, mount in enumerate(data.get("mounts") or ()):
        for place, option in enumerate(mount.get("options") or ()):
            for word in option.split(","):
                if word in words.WORDS and words.WORDS[word][0] == words.LINK:
                    pointer = f"/mounts/{index}/options/{place}"
                    text = f"{pointer}: {word}: CRIU follows links, and would mount something else"
                    raise UnsupportedError(text, pointer=pointer, remedy="do without a checkpoint, or without the link")


def _root(builder: Builder) -> None:
    """Plan the root file system as a mount, and nothing of it outside of the helper's namespace."""
    builder.init("propagate", path="/", flags=c.MS_SLAVE | c.MS_REC)
    builder.init("open_root", "/root/path", slot=builder.slot("rootdir"), path=builder.rootfs)
    builder.init("clone_mount", "/root/path", slot=builder.slot("root"), source="rootdir", recursive=1)
    builder.init("attach", "/root/path", slot="root", target="rootdir")


def _mount_points(builder: Builder, external: dict[str, str]) -> None:
    """Plan what is to be mounted in the root file system itself; all else is in mounts that CRIU makes first."""
    places = [builder.destination(mount) for mount in builder.data.get("mounts") or ()]
    for index, place in enumerate(places):
        if any(place.startswith(other + "/") for other in places):
            continue
        pointer = f"/mounts/{index}"
        source = external.get(place) or _source(builder, index)
        if source:
            builder.init("clone_tree", pointer, slot=builder.slot("mount"), path=source, recursive=0, root=None)
            rootfs.target(builder, pointer, place, OPEN_CREATE, like="mount")
            builder.init("close", pointer, slot="mount")
        else:
            rootfs.target(builder, pointer, place, OPEN_CREATE | OPEN_DIRECTORY)
        builder.init("close", pointer, slot="target")


def _source(builder: Builder, index: int) -> str:
    """Return the source of a bind, "" for another mount."""
    mount = builder.data["mounts"][index]
    is_bind = words.given(mount) & {"bind", "rbind"}
    return join(builder.request.bundle, mount.get("source") or "") if is_bind else ""
