"""What a process needs of a v2 group that it is to join, on a host with v2 alone or besides v1."""

from __future__ import annotations

import errno

from ...errors import HostError
from .. import paths
from . import v2_files
from .v1_files import guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..paths import Group

_RUNNABLE = ("domain", "domain threaded")


def refuse_unusable(fd: int, group: Group, missing: Sequence[str]) -> None:
    """Raise HostError where a process that joins would freeze, and for a group that cannot hold processes.

    fd, missing   the group's directory or the nearest above, and the names missing below that
    """
    above = "/".join(group.path.split("/")[: -len(missing)]) if missing else group.path
    if guarded("look at", group, lambda: v2_files.frozen(fd) or v2_files.frozen_above(fd)):
        message = f"container's cgroup unexpectedly frozen: {above}"
        raise HostError(message, pointer=paths.POINTER, errno=errno.EBUSY)
    kind = guarded("look at", group, lambda: v2_files.kind(fd))
    if kind not in (("", "domain") if missing else _RUNNABLE):
        raise HostError(
            f"cgroup {above} is {kind}, so {group.path} cannot hold the container's processes",
            pointer=paths.POINTER,
            errno=errno.EOPNOTSUPP,
            remedy="choose a cgroupsPath that is not part of a threaded subtree",
        )


def home(fd: int | None, group: Group, pid: int) -> tuple[str, str]:
    """Return where another process of the container can start: (path below the group, why it is not the group itself).

    fd    the group's directory, None where it is gone
    pid   of the container's first process
    A container with systemd in it moves itself below, and switches
    controllers on: then its own group may hold no process any more.
    Raises HostError where the first process is nowhere in the group.
    """
    if not group.below or (fd is not None and not v2_files.domain_only(fd)):
        return "", ""
    own, at = v2_files.group_of(pid), f"/{group.below}/"
    # Where only a part of the hierarchy is mounted, the path has more in front.
    start = 0 if f"{own}/".startswith(at) else f"{own}/".find(at)
    if start < 0:
        raise HostError(
            f"the container's first process is in the cgroup {own}, which is not below {group.path}",
            pointer=paths.POINTER,
        )
    return own[start + len(at) :].strip("/"), "the container's own cgroup may not hold processes any more"
