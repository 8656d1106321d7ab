"""A container whose groups are gone while it runs: its first process has moved away, and somebody has removed them."""

from __future__ import annotations

import errno

from ...errors import HostError
from ...host import cgroups
from .. import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..paths import Group

WHY = "the container's own cgroup is gone, and its first process is in this one"


def places(groups: Sequence[Group], pid: int) -> list[Group]:
    """Find for each group the one of the same hierarchy in which a process is.
    Raises HostError where that is not seen.
    """
    layout = cgroups.parse(cgroups.text("/proc/self/mountinfo"), cgroups.text(f"/proc/{pid}/cgroup"))
    found = []
    for group in groups:
        key = "" if group.name == paths.UNIFIED else group.name
        known = key in layout.mounts if key else layout.unified is not None
        below = layout.own_below(key) if known else None
        if below is None:
            raise HostError(
                f"the container's cgroup {group.path} is gone, and the one its first process is in is not visible here",
                pointer=paths.POINTER,
                call="openat",
                errno=errno.ENOENT,
            )
        mount = layout.mount(key)
        found.append(paths.Group(group.controllers, mount.path, mount.device, below))
    return found
