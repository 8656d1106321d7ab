"""The root file system: its mount, its devices and links, the change of root, what is masked."""

from __future__ import annotations

from .. import constants as c
from ..builder import PROPAGATION, clean, join
from ..ops import OPEN_CREATE, OPEN_DIRECTORY, OPEN_NOFOLLOW
from . import upper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..builder import Builder


def enter_root(builder: Builder) -> None:
    """Make the root file system a mount of its own, in a mount namespace whose changes stay inside."""
    if not builder.own_mounts:
        upper.of(builder)
        builder.init("open_root", "/root/path", slot=builder.slot("root"), path=builder.rootfs)
        return
    wanted = builder.linux.get("rootfsPropagation") or ""
    shared = wanted in ("shared", "rshared")
    # Slave by default: new mounts of the host still arrive, ours never leave.
    flags = c.MS_SHARED | c.MS_REC if shared else c.MS_SLAVE | c.MS_REC
    if wanted == "rprivate":
        flags = c.MS_PRIVATE | c.MS_REC
    builder.init("propagate", "/linux/rootfsPropagation" if wanted else "", path="/", flags=flags)
    builder.init("open_root", "/root/path", slot=builder.slot("rootdir"), path=builder.root_path)
    if shared:
        builder.init(
            "privatize_parent",
            "/linux/rootfsPropagation",
            why="with a shared parent the container's mounts would reach the host",
            slot="rootdir",
        )
    builder.init("clone_mount", "/root/path", slot=builder.slot("root"), source="rootdir", recursive=1)
    layer = upper.of(builder)
    if layer is not None and layer.idmap:
        upper.map_lower(builder)
    builder.init("attach", "/root/path", slot="root", target="rootdir")
    if layer is not None:
        upper.cover(builder, layer, copy_source)


def copy_source(
    builder: Builder,
    pointer: str,
    path: str,
    *,
    recursive: int,
    why: str,
    slot: str = "mount",
    nofollow: bool = False,
) -> bool:
    """Take a detached copy of a mount of the host, in `slot`; return whether the runtime has made it.

    nofollow   where `path` ends in a symbolic link, this is what is mounted
    """
    builder.slot(slot)
    if slot in builder.copied:
        return False
    if builder.user_namespace or builder.running:
        from .. import rootless

        if rootless.sources_by_host(builder):
            # The root of the user namespace may not be able to reach it.
            builder.init("receive_fd", pointer, why=why, slot=slot)
            builder.host("open_source", pointer, path=path, recursive=recursive, nofollow=1 if nofollow else 0)
            return True
        why = ""
    itself = {"nofollow": 1} if nofollow else {}
    builder.init("clone_tree", pointer, why=why, slot=slot, path=path, recursive=recursive, root=None, **itself)
    return False


def target(builder: Builder, pointer: str, path: str, flags: int, like: str | None = None) -> None:
    """Open `path` below the root into the slot ``target``."""
    builder.init("open_path", pointer, slot=builder.slot("target"), root="root", path=path, flags=flags, like=like)


def make_cwd(builder: Builder) -> None:
    """Make the working directory if it is missing, as every peer does."""
    cwd = builder.process.get("cwd", "/")
    if clean(cwd) != "/" and "/proc/" not in cwd:
        builder.init(
            "open_path",
            "/process/cwd",
            slot=builder.slot("target"),
            root="root",
            path=cwd,
            flags=OPEN_CREATE | OPEN_DIRECTORY,
            like=None,
        )
        builder.init("close", "/process/cwd", slot="target")


def change_root(builder: Builder) -> None:
    """Change the root: from here on the container's root is "/"."""
    if not builder.own_mounts:
        builder.init("change_root", "/root/path", why="without a mount namespace there is only chroot", root="root")
        return
    if builder.tree:
        _propagate_root(builder, late=False)
        return
    if builder.request.no_pivot:
        builder.init("move_root", "/root/path", why="--no-pivot was given", root="root", top=builder.slot("top"))
        why = "a procfs or sysfs left under the root would let a user namespace mount one without masks"
        builder.init("send_fd", "/root/path", why=why, slot="top", keep=0)

        joined = c.CLONE_NEWNS | (c.CLONE_NEWUSER if builder.user_namespace and not builder.facts.privileged else 0)
        builder.host("hide_host_mounts", "/root/path", namespaces=joined)
        builder.init("change_root", "/root/path", root="root")
    else:
        builder.init("pivot", "/root/path", why=builder.no_tree, root="root")
    _propagate_root(builder, late=False)


def _propagate_root(builder: Builder, *, late: bool) -> None:
    """Set the word for the root on that mount alone: those in it have theirs already (`mounts.add_mounts`)."""
    flag = PROPAGATION.get(builder.linux.get("rootfsPropagation") or "", 0) & ~c.MS_REC
    if flag and late == (flag == c.MS_UNBINDABLE):
        builder.init("propagate", "/linux/rootfsPropagation", path="/", flags=flag)


def protect(builder: Builder) -> None:
    """Plan read-only root, read-only paths and masks: last, so that everything above could still be made."""
    if (builder.data.get("root") or {}).get("readonly"):
        if not builder.own_mounts:
            raise builder.error(
                "/root/readonly", "needs a mount namespace: without one the host would be made read-only"
            )
        builder.init("set_mount_attr", "/root/readonly", slot="root", set=c.MOUNT_ATTR_RDONLY)
    for index, path in enumerate(builder.linux.get("readonlyPaths") or ()):
        builder.init("make_readonly", f"/linux/readonlyPaths/{index}", **_place(builder, path))
    _mask(builder)
    if builder.own_mounts:
        _propagate_root(builder, late=True)


def _place(builder: Builder, path: str) -> dict[str, Any]:
    """Return where a path is looked up: from the root, or from the mount on /proc or /sys that is on its way.

    ``within`` is where that mount stands, for those who read the plan.
    A neighbour who can rename in the root could put something else in the place of
    /proc while we cover what is in it, and then put it back.
    """
    for destination, slot in builder.kept.items():
        if clean(path).startswith(destination + "/"):
            return {"root": slot, "path": clean(path)[len(destination) :], "within": destination}
    return {"root": "root", "path": path}


def _mask(builder: Builder) -> None:
    paths = builder.linux.get("maskedPaths") or ()
    context = {}
    if paths and builder.linux.get("mountLabel"):
        from .labels import mount_context

        context = {"label": mount_context(builder, "tmpfs")}
    done: set[str] = set()
    for index, path in enumerate(paths):
        if clean(path) in done:
            continue
        done.add(clean(path))
        pointer, empty = f"/linux/maskedPaths/{index}", builder.slot("empty")
        builder.init("mask", pointer, **_place(builder, path), null="null", empty=empty, **context)


def open_null(builder: Builder) -> bool:
    """Open the host's /dev/null, the source of masks on files, while host paths can be named; return whether it is."""
    if not builder.linux.get("maskedPaths"):
        return False
    builder.init(
        "clone_tree", "/linux/maskedPaths", slot=builder.slot("null"), path="/dev/null", recursive=0, root=None
    )
    return True


def console_target(builder: Builder) -> None:
    """Make an empty file for the terminal, which must not be a link out of /dev."""
    builder.init(
        "open_path",
        "/process/terminal",
        slot=builder.slot("console"),
        root="root",
        path="/dev/console",
        flags=OPEN_CREATE | OPEN_NOFOLLOW,
        like=None,
    )


def source_path(builder: Builder, source: str) -> str:
    """Return the source of a bind: absolute, or relative to the bundle."""
    return join(builder.request.bundle, source)
