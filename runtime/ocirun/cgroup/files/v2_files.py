"""Steps on one v2 group, by the descriptor of its directory, that `v2` puts together."""

from __future__ import annotations

import errno
import os
import time

from ...errors import HostError
from .. import paths
from . import tree, v1_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FREEZE_LIMIT = 10.0
# cgroup.subtree_control of these may be on while the group itself has processes.
_THREADED = frozenset(("cpu", "cpuset", "perf_event", "pids"))


def kind(fd: int) -> str:
    """Return ``cgroup.type``: domain, domain threaded, domain invalid, threaded; "" for the root of the hierarchy."""
    try:
        return tree.read_file(fd, "cgroup.type")
    except FileNotFoundError:
        return ""


def domain_only(fd: int) -> bool:
    """Return whether no process may be in the group, but only in those below ("no internal processes")."""
    try:
        on = tree.read_file(fd, "cgroup.subtree_control").split()
        return bool(set(on) - _THREADED) or kind(fd) not in ("", "domain", "domain threaded")
    except OSError as error:
        if error.errno in tree.GONE:
            return True
        raise


def group_of(pid: int) -> str:
    """Return the v2 cgroup of a process as our cgroup namespace shows it.  Raises HostError."""
    from ...host.cgroups import parse_own

    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            return parse_own(file.read()).get("", "")
    except OSError as error:
        raise HostError.from_os(f"cgroup of process {pid}", error, call="read") from None


def enable(fd: int, path: str, controllers: Sequence[str], others: Sequence[str]) -> None:
    """Switch controllers on for the groups below; see `V2Driver.enable`."""
    if controllers:
        try:
            tree.write_file(fd, "cgroup.subtree_control", _plus(controllers))
        except OSError as error:
            number = error.errno or 0
            remedy = ""
            if number == errno.EBUSY:
                remedy = "the group has processes of its own; choose a cgroupsPath in a group without"
            raise HostError(
                f"cgroup {path}: cannot switch on {' '.join(controllers)} below it: {v1_files.words(number)}",
                pointer=paths.POINTER,
                call="write",
                errno=number,
                remedy=remedy,
            ) from error
    try:
        if others:
            tree.write_file(fd, "cgroup.subtree_control", _plus(others))
    except OSError as error:
        _look(path, others, error.errno or 0)
        # All or none, says the kernel; so one after the other.
        for name in others:
            try:
                tree.write_file(fd, "cgroup.subtree_control", _plus([name]))
            except OSError as one:
                _look(path, [name], one.errno or 0)


def _look(path: str, names: Sequence[str], number: int) -> None:
    """Raise HostError unless the kernel refuses: busy, not in the group above, not ours to change."""
    if number not in (errno.EBUSY, errno.ENOENT, errno.EINVAL, errno.EACCES, errno.EPERM, errno.EOPNOTSUPP):
        raise HostError(
            f"cgroup {path}: cannot switch on {' '.join(names)} below it: {v1_files.words(number)}",
            pointer=paths.POINTER,
            call="write",
            errno=number,
        )


def _plus(names: Sequence[str]) -> str:
    return " ".join(f"+{name}" for name in names)


def event(fd: int, name: str) -> bool:
    """Read a line of ``cgroup.events``: populated or frozen; False in the root and in a group that is gone."""
    try:
        return f"{name} 1" in tree.read_file(fd, "cgroup.events").split("\n")
    except OSError as error:
        if error.errno in tree.GONE:
            return False
        raise


def frozen(fd: int) -> bool:
    """Return whether the group is frozen, or is on the way there."""
    return event(fd, "frozen") or _own_freeze(fd)


def _own_freeze(fd: int) -> bool:
    try:
        return tree.read_file(fd, "cgroup.freeze") == "1"
    except OSError as error:
        if error.errno in tree.GONE:
            return False
        raise


def frozen_above(fd: int) -> bool:
    """Return whether some group above is frozen: whatever joins would stop at once."""
    device = os.fstat(fd).st_dev
    here = os.dup(fd)
    try:
        while tree.has(here, "cgroup.freeze"):
            if _own_freeze(here):
                return True
            up = os.open("..", tree.DIRECTORY, dir_fd=here)
            os.close(here)
            here = up
            if os.fstat(here).st_dev != device:
                break
    finally:
        os.close(here)
    return False


def freeze(fd: int, path: str, *, limit: float = FREEZE_LIMIT) -> None:
    """Freeze; HostError after `limit` seconds, thawed again."""
    try:
        tree.write_file(fd, "cgroup.freeze", "1")
        if _wait(fd, lambda: event(fd, "frozen") or not event(fd, "populated"), limit):
            return
    except BaseException as error:
        _let_go(fd)
        if isinstance(error, OSError):
            raise HostError.from_os(f"freeze cgroup {path}", error, call="write") from error
        raise
    _let_go(fd)
    raise HostError(
        f"cgroup {path} cannot be frozen: some process did not stop within {limit:g} s", call="write", errno=errno.EBUSY
    )


def _let_go(fd: int) -> None:
    try:
        tree.write_file(fd, "cgroup.freeze", "0")
    except OSError:
        pass


def thaw(fd: int, path: str) -> None:
    """Thaw; HostError where a group above keeps it frozen."""
    try:
        tree.write_file(fd, "cgroup.freeze", "0")
    except OSError as error:
        raise HostError.from_os(f"thaw cgroup {path}", error, call="write") from error
    # A group that is frozen from above stays so at once; else the kernel clears the mark as the tasks leave.
    if frozen_above(fd):
        message = f"cgroup {path} stays frozen, since a group above is"
        raise HostError(message, call="write", errno=errno.EBUSY)
    _wait(fd, lambda: not event(fd, "frozen"), FREEZE_LIMIT)


def kill(fd: int) -> None:
    """Kill everything in the group and below at once (Linux 5.14)."""
    try:
        tree.write_file(fd, "cgroup.kill", "1")
    except OSError as error:
        if error.errno not in tree.GONE:
            raise


def wait_empty(fd: int, path: str, limit: float) -> None:
    """Wait until no process is left; HostError after `limit` seconds."""
    if not _wait(fd, lambda: not event(fd, "populated"), limit):
        from . import members

        left = members.pids([fd])
        raise HostError(
            f"cgroup {path} still has {len(left)} processes {limit:g} s after SIGKILL", call="write", errno=errno.EBUSY
        )


def _wait(fd: int, reached: Callable[[], bool], limit: float) -> bool:
    """Wait for a change of ``cgroup.events``, of which the kernel gives notice (kernfs_notify)."""
    if reached():
        return True
    import select

    deadline = time.monotonic() + limit
    try:
        events = os.open("cgroup.events", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    except OSError as error:
        if error.errno in tree.GONE:
            return reached()
        raise
    try:
        poll = select.poll()
        poll.register(events, select.POLLPRI)
        while not reached():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            # Reading marks the change as seen.
            os.pread(events, 256, 0)
            if not reached():
                poll.poll(min(left, 0.1) * 1000)
    finally:
        os.close(events)
    return True


def give(fd: int, uid: int, files: Sequence[str]) -> None:
    """Change the owner of the directory, and of those of the files that exist."""
    os.chown(fd, uid, -1)
    for name in files:
        try:
            os.chown(name, uid, -1, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            continue
