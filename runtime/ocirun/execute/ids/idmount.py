"""Id-mapped mounts: user namespaces that hold nothing but a mapping, and mount_setattr(2) with them."""

from __future__ import annotations

import os
from errno import EINVAL, EPERM

from ..._native import lib
from ...errors import HostError, errno_words
from ...plan.constants import CLONE_NEWUSER, MOUNT_ATTR_IDMAP
from ...plan.ops import INIT, Op, Plan
from .. import host_side, spawn
from . import idmaps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..context import Context

_AT_RECURSIVE = 0x8000

_REMEDIES = {
    EINVAL: "its file system, or with ridmap one below it, does not know id-mapped mounts: "
    "ext4, xfs, btrfs, overlay (Linux 5.19), tmpfs (6.3) and others do",
    EPERM: "it needs CAP_SYS_ADMIN over the file system and a source that is not id-mapped already; "
    "ridmap needs that of each mount below it",
}


def user_namespace(
    uid_map: str, gid_map: str, *, uid_program: str = "", gid_program: str = "", deny: bool = False
) -> int:
    """Return a descriptor of a new user namespace with these maps, and no process in it.

    uid_program, gid_program, deny   as for `idmaps.write`
    Raises HostError.
    """
    own = deny or bool(uid_program or gid_program)  # the caller is not root: /proc/PID must stay its own
    plan = Plan(
        [Op("guard", INIT, "", {"dumpable": int(own)}), Op("sync", INIT, "", {})],
        ["plan", "progress", "sync"],
        3,
        [],
        [],
    )
    helper = host_side.start(plan, {}, flags=CLONE_NEWUSER)
    try:
        if helper.hear() is None:
            raise HostError("user namespace for a mapping: the init helper ended")
        try:
            idmaps.write(helper.pid, "gid_map", gid_map, gid_program, deny=deny)
            idmaps.write(helper.pid, "uid_map", uid_map, uid_program)
        except HostError as error:
            # It names the maps of the container; these are a mount's, which the operation knows.
            error.pointer = ""
            raise
        try:
            return os.open(f"/proc/{helper.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise HostError.from_os("user namespace for a mapping", error, call="openat") from None
    finally:
        # It waits at the barrier, and ends with the socket.
        helper.close_sync()
        spawn.end(helper.pidfd, grace=1.0)
        helper.close()


def map_mount(context: Context, mount: int, *, path: str, by: str, recursive: bool) -> None:
    """Give a detached mount a mapping.

    by   "mappings": of the namespace made last; "container": of the helper's user namespace
    Raises HostError, which names `path`.
    """
    own = by == "container"
    namespace = (
        os.open(f"/proc/{context.helper.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC) if own else context.fds["mapping"]
    )
    try:
        result = lib.ocirun_mount_setattr(mount, _AT_RECURSIVE if recursive else 0, MOUNT_ATTR_IDMAP, 0, namespace)
    finally:
        if own:
            os.close(namespace)
    if result < 0:
        raise HostError(
            f"the mount on {path} cannot be id-mapped: mount_setattr: {errno_words(-result)}",
            call="mount_setattr",
            errno=-result,
            remedy=remedy(-result),
        )


def remedy(errno: int) -> str:
    """Tell what may help where mount_setattr(2) refuses a mapping, or ""."""
    return _REMEDIES.get(errno, "")
