"""Steps on one v1 group that `v1` puts together."""

from __future__ import annotations

import errno
import os

from ...errors import HostError, errno_words, os_words
from .. import paths
from . import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    from ..paths import Group

    T = TypeVar("T")

# Engines take the plain words of these for a missing or forbidden program of the container.
_OWN_WORDS = {errno.ENOENT: "there is no such file in this cgroup", errno.EACCES: "the kernel refuses access to it"}


def words(number: int) -> str:
    """Return the words for an errno that came from a cgroup file."""
    return _OWN_WORDS.get(number) or errno_words(number)


def guarded(what: str, group: Group, call: Callable[[], T]) -> T:
    """Return the result of `call`; its OSError as a HostError that names the group."""
    try:
        return call()
    except OSError as error:
        number = error.errno or 0
        message = os_words(f"{what} cgroup {group.path}", error, words(number))
        raise HostError(message, pointer=paths.POINTER, errno=number) from error


def remove(group: Group) -> bool:
    """Remove the group and all below it; False while it is busy."""
    opened = tree.open_parent(group)
    if opened is None:
        return True
    parent, name = opened
    try:
        return guarded("remove", group, lambda: tree.remove(parent, name))
    finally:
        os.close(parent)


# An attribute that only root of the host can set: a container must not be able to disown its group.
_MARK = "trusted.ocirun"


def mark(fd: int) -> str:
    """Return who has taken the group over, "" where nobody has."""
    try:
        return os.getxattr(fd, _MARK).decode("ascii", "replace")
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):
            return ""
        raise


def set_mark(fd: int, text: str) -> bool:
    """Say who has taken the group over, "" to say that nobody has; False where we may not, being no root."""
    try:
        if text:
            os.setxattr(fd, _MARK, text.encode("ascii"))
        else:
            os.removexattr(fd, _MARK)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP):
            raise
        return False
    return True


def fill_cpuset(parent: int, child: int) -> None:
    """Give a group the CPUs and memory nodes of the one above where it has none: without, no process can join."""
    for file in ("cpuset.cpus", "cpuset.mems"):
        if not tree.read_file(child, file):
            tree.write_file(child, file, tree.read_file(parent, file))


def refuse_members(fd: int, group: Group) -> None:
    """Raise HostError where the group or one below it has processes."""
    from . import members

    count = len(guarded("list", group, lambda: members.pids([fd])))
    if count:
        # The words that runc has for it.
        message = f"container's cgroup is not empty: {count} process(es) found in {group.path}"
        raise HostError(message, pointer=paths.POINTER, errno=errno.EBUSY, remedy="choose another cgroupsPath")


def refuse_frozen(fd: int, group: Group, missing: Sequence[str]) -> None:
    """Raise HostError where a process that joins would freeze.

    fd, missing   the group's directory or the nearest above, and the names missing below that
    """
    from . import freezer

    if guarded("look at", group, lambda: freezer.state(fd)) in ("FROZEN", "FREEZING"):
        above = "/".join(group.path.split("/")[: -len(missing)]) if missing else group.path
        raise HostError(f"container's cgroup unexpectedly frozen: {above}", pointer=paths.POINTER, errno=errno.EBUSY)
