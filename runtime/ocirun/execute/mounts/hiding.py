"""After --no-pivot: the host's mounts, which are under the new root still, are taken off or covered.

Whoever makes a user namespace in the container may mount a procfs or sysfs if its mount namespace has one that is
whole: wherever it is mounted, and whether a path leads to it or not (mount_too_revealing in fs/namespace.c).  Whole
is one that shows its root directory and has nothing mounted on that; what a user namespace copies is locked, so
what is covered here stays so there.
"""

from __future__ import annotations

from ...errors import HostError, errno_words, option
from ...plan.ops import INIT, Op, Plan
from ...state.record import PHASE_FAILED
from .. import host_side, spawn
from . import mountinfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .mountinfo import Mount

_REVEALING = ("proc", "sysfs")


def hide_host_mounts(helper: spawn.Helper, top: int, namespaces: int) -> None:
    """Take off or cover all that is not below the new root of `helper`, as far as it must be.

    top          the directory that the new root covers
    namespaces   CLONE_NEW* of the namespaces of `helper` in which that is done
    Raises HostError for a procfs or sysfs that is left.
    """
    left = _Left(helper.pid, top)
    before = -1
    while left.mounts and len(left.mounts) != before:
        before = len(left.mounts)
        _hide(helper, top, namespaces, left.removable(), cover=False)
        left = _Left(helper.pid, top)
    # In a user namespace the kernel holds the mounts fast that were there before it.
    if revealing := left.revealing():
        _hide(helper, top, namespaces, revealing, cover=True)
        left = _Left(helper.pid, top)
    for mount in left.revealing():
        raise HostError(
            f"{option('no-pivot')}: the {mount.fstype} of the host on {mount.point} can be neither taken off nor "
            "covered, and would let a user namespace in the container mount one without masks",
            remedy=f"unmount it, or what covers it; or leave {option('no-pivot')} out",
        )


class _Left:
    """The mounts that are neither the old root directory's own nor below the new root."""

    def __init__(self, pid: int, top: int) -> None:
        seen = mountinfo.mounts(pid)
        self.top = _mount_number(top)
        inside = {mount.number for mount in seen if mount.parent == self.top and mount.point == "/"}
        grown = 0
        while grown != len(inside):
            grown = len(inside)
            inside.update(mount.number for mount in seen if mount.parent in inside)
        self.mounts = [mount for mount in seen if mount.number not in inside and mount.number != self.top]

    def removable(self) -> list[Mount]:
        """Return those that a path leads to, and that take all others with them.

        Raises HostError where the host would lose its mount too.
        """
        first = [mount for mount in self.mounts if mount.parent == self.top]
        points = [mount.point + "/" for mount in first]
        found = [mount for mount in first if not any(mount.point.startswith(point) for point in points)]
        for mount in found:
            lower = mount
            while (upper := self._upper(lower)) is not None:
                if lower.shared:
                    raise HostError(
                        f"{option('no-pivot')}: the upper of two mounts on {mount.point} cannot be taken off, "
                        "as the lower one is shared with the host",
                        remedy="unmount one of them, or make rootfsPropagation another word than shared",
                    )
                lower = upper
        return found

    def revealing(self) -> list[Mount]:
        """Return each procfs and sysfs that is whole."""
        return [
            mount
            for mount in self.mounts
            if mount.fstype in _REVEALING and mount.root == "/" and self._upper(mount) is None
        ]

    def _upper(self, mount: Mount) -> Mount | None:
        """Return what is mounted on the root directory of a mount."""
        return next((one for one in self.mounts if one.parent == mount.number and one.point == mount.point), None)


def _mount_number(fd: int) -> int:
    with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("mnt_id:"))


def _hide(helper: spawn.Helper, top: int, namespaces: int, mounts: list[Mount], *, cover: bool) -> None:
    """Have another helper do it, in the mount namespace of the first."""
    ops = [Op("guard", INIT, "", {}), Op("join_namespace", INIT, "", {"slot": "init", "flag": namespaces, "keep": 0})]
    for mount in mounts:
        path = mount.point.lstrip("/")
        ops.append(Op("hide_mount", INIT, "", {"slot": "top", "path": path, "cover": int(cover), "pass_over": 1}))
    plan = Plan(ops, ["plan", "progress", "sync", "init", "top"], 5, [], [])
    other = host_side.start(plan, {"init": helper.pidfd, "top": top}, flags=0)
    try:
        other.hear()  # it sends nothing: this is its end
        ended = spawn.end(other.pidfd, grace=spawn.DEATH)
        progress = other.progress()
    finally:
        other.close()
    if progress.phase != PHASE_FAILED and ended == 0:
        return
    call = spawn.call_name(progress.call)
    place = mounts[progress.index - 2].point if progress.index >= 2 else "the mount namespace"
    raise HostError(
        f"{option('no-pivot')}: take the host's mounts off: {place}: {call}: {errno_words(progress.errno)}",
        call=call,
        errno=progress.errno,
    )
