"""The root file system: its mount, its devices and links, the change of root, what is masked."""

from __future__ import annotations

from .. import constants as c
from ..builder import PROPAGATION, clean, join
from ..ops import OPEN_CREATE, OPEN_DIRECTORY, OPEN_NOFOLLOW

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..builder import Builder


def enter_root(b: Builder) -> None:
    """Make the root file system a mount of its own, in a mount namespace whose changes stay inside."""
    if not b.own_mounts:
        b.init("open_root", "/root/path", slot=b.slot("root"), path=b.rootfs)
        return
    wanted = b.linux.get("rootfsPropagation") or ""
    shared = wanted in ("shared", "rshared")
    # Slave by default: new mounts of the host still arrive, ours never leave.
    flags = c.MS_SHARED | c.MS_REC if shared else c.MS_SLAVE | c.MS_REC
    if wanted == "rprivate":
        flags = c.MS_PRIVATE | c.MS_REC
    b.init("propagate", "/linux/rootfsPropagation" if wanted else "", path="/", flags=flags)
    b.init("open_root", "/root/path", slot=b.slot("rootdir"), path=b.root_path)
    if shared:
        b.init(
            "privatize_parent",
            "/linux/rootfsPropagation",
            why="with a shared parent the container's mounts would reach the host",
            slot="rootdir",
        )
    b.init("clone_mount", "/root/path", slot=b.slot("root"), source="rootdir", recursive=1)
    b.init("attach", "/root/path", slot="root", target="rootdir")


def copy_source(b: Builder, pointer: str, path: str, *, recursive: int, why: str, slot: str = "mount") -> bool:
    """A detached copy of a mount of the host, in `slot`; returns whether the runtime has made it."""
    b.slot(slot)
    if b.user_namespace:
        from .. import rootless

        if rootless.sources_by_host(b):
            # The root of the user namespace may not be able to reach it.
            b.init("receive_fd", pointer, why=why, slot=slot)
            b.host("open_source", pointer, path=path, recursive=recursive)
            return True
        why = ""
    b.init("clone_tree", pointer, why=why, slot=slot, path=path, recursive=recursive, root=None)
    return False


def target(b: Builder, pointer: str, path: str, flags: int, like: str | None = None) -> None:
    """Open `path` below the root into the slot ``target``."""
    b.init("open_path", pointer, slot=b.slot("target"), root="root", path=path, flags=flags, like=like)


def make_cwd(b: Builder) -> None:
    """The working directory is made if it is missing, as every peer does."""
    cwd = b.process.get("cwd", "/")
    if clean(cwd) != "/" and "/proc/" not in cwd:
        b.init(
            "open_path",
            "/process/cwd",
            slot=b.slot("target"),
            root="root",
            path=cwd,
            flags=OPEN_CREATE | OPEN_DIRECTORY,
            like=None,
        )
        b.init("close", "/process/cwd", slot="target")


def change_root(b: Builder) -> None:
    """From here on the container's root is "/"."""
    if not b.own_mounts:
        b.init("change_root", "/root/path", why="without a mount namespace there is only chroot", root="root")
        return
    if b.request.no_pivot:
        b.init("move_root", "/root/path", why="--no-pivot was given", root="root", top=b.slot("top"))
        why = "a procfs or sysfs left under the root would let a user namespace mount one without masks"
        b.init("send_fd", "/root/path", why=why, slot="top", keep=0)

        joined = c.CLONE_NEWNS | (c.CLONE_NEWUSER if b.user_namespace and not b.facts.privileged else 0)
        b.host("hide_host_mounts", "/root/path", namespaces=joined)
        b.init("change_root", "/root/path", root="root")
    else:
        b.init("pivot", "/root/path", root="root")
    _propagate_root(b, late=False)


def _propagate_root(b: Builder, *, late: bool) -> None:
    """The word for the root is for that mount alone: those in it have theirs already (`mounts.add_mounts`)."""
    flag = PROPAGATION.get(b.linux.get("rootfsPropagation") or "", 0) & ~c.MS_REC
    if flag and late == (flag == c.MS_UNBINDABLE):
        b.init("propagate", "/linux/rootfsPropagation", path="/", flags=flag)


def protect(b: Builder) -> None:
    """Read-only root, read-only paths and masks: last, so that everything above could still be made."""
    if (b.data.get("root") or {}).get("readonly"):
        if not b.own_mounts:
            raise b.error("/root/readonly", "needs a mount namespace: without one the host would be made read-only")
        b.init("set_mount_attr", "/root/readonly", slot="root", set=c.MOUNT_ATTR_RDONLY)
    for index, path in enumerate(b.linux.get("readonlyPaths") or ()):
        b.init("make_readonly", f"/linux/readonlyPaths/{index}", **_place(b, path))
    _mask(b)
    if b.own_mounts:
        _propagate_root(b, late=True)


def _place(b: Builder, path: str) -> dict[str, Any]:
    """Where a path is looked up: from the root, or from the mount on /proc or /sys that is on its way.

    ``within`` is where that mount stands, for those who read the plan.
    A neighbour who can rename in the root could put something else in the place of
    /proc while we cover what is in it, and then put it back.
    """
    for destination, slot in b.kept.items():
        if clean(path).startswith(destination + "/"):
            return {"root": slot, "path": clean(path)[len(destination) :], "within": destination}
    return {"root": "root", "path": path}


def _mask(b: Builder) -> None:
    paths = b.linux.get("maskedPaths") or ()
    context = {}
    if paths and b.linux.get("mountLabel"):
        from .labels import mount_context

        context = {"label": mount_context(b, "tmpfs")}
    done: set[str] = set()
    for index, path in enumerate(paths):
        if clean(path) in done:
            continue
        done.add(clean(path))
        pointer, empty = f"/linux/maskedPaths/{index}", b.slot("empty")
        b.init("mask", pointer, **_place(b, path), null="null", empty=empty, **context)


def open_null(b: Builder) -> None:
    """The host's /dev/null, opened while host paths can be named: the source of masks on files."""
    if b.linux.get("maskedPaths"):
        b.init("clone_tree", "/linux/maskedPaths", slot=b.slot("null"), path="/dev/null", recursive=0, root=None)


def console_target(b: Builder) -> None:
    """An empty file for the terminal, which must not be a link out of /dev."""
    b.init(
        "open_path",
        "/process/terminal",
        slot=b.slot("console"),
        root="root",
        path="/dev/console",
        flags=OPEN_CREATE | OPEN_NOFOLLOW,
        like=None,
    )


def source_path(b: Builder, source: str) -> str:
    """The source of a bind: absolute, or relative to the bundle."""
    return join(b.request.bundle, source)
