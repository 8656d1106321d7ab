"""Directories of a cgroup file system, by descriptor.

Every name is looked up below an open directory and never through a symbolic
link.  ".." is only used to climb back where we came down: cgroup directories
cannot be moved to another parent (kernfs_iop_rename, cgroup1_rename), so it
leads back for sure, and trees deeper than PATH_MAX or than the number of open
files can be walked with two descriptors.
"""

from __future__ import annotations

import errno
import os
import time

from ..._base import procfile
from ...errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..paths import Group

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# What a group answers that was removed meanwhile: ENODEV comes from files that were open already.
GONE = (errno.ENOENT, errno.ENODEV)
_TRIES = 50
_MAKE_PAUSE = 0.0002


def open_mount(group: Group) -> int:
    """Return the directory where the group's hierarchy is mounted.

    Raises HostError where another file system is there now: a wrong mount
    namespace, or a mount on top.
    """
    try:
        fd = os.open(group.mount, DIRECTORY)
    except OSError as error:
        raise HostError.from_os(f"open {group.mount}", error, call="openat") from error
    device = procfile.stat_or_close(fd).st_dev
    if group.device and group.device != f"{os.major(device)}:{os.minor(device)}":
        os.close(fd)
        raise HostError(f"{group.mount} is not the cgroup hierarchy {group.name} any more", call="fstat")
    return fd


def enter(fd: int, name: str) -> int | None:
    """Return the directory `name` below `fd`, or None where there is none."""
    try:
        return os.open(name, DIRECTORY, dir_fd=fd)
    except OSError as error:
        if error.errno in GONE:
            return None
        raise


def open_group(group: Group) -> int | None:
    """Return the group's directory, or None where it does not exist."""
    fd, left = open_nearest(group)
    if left:
        os.close(fd)
        return None
    return fd


def open_nearest(group: Group) -> tuple[int, list[str]]:
    """Return the group's directory or its nearest existing ancestor, and the names that are missing below that."""
    fd = open_mount(group)
    names = group.below.split("/") if group.below else []
    for index, name in enumerate(names):
        try:
            child = enter(fd, name)
        except OSError as error:
            os.close(fd)
            raise HostError.from_os(f"open cgroup {group.path}", error, call="openat") from error
        if child is None:
            return fd, names[index:]
        os.close(fd)
        fd = child
    return fd, []


def look(group: Group, refuse: Callable[[int, Group, Sequence[str]], None]) -> list[str]:
    """Look at what `open_nearest` gives, again where that was removed meanwhile; returns the names that are missing.

    refuse   called with the descriptor, the group and these names; raises HostError
    """
    tries = _TRIES
    while True:
        fd, missing = open_nearest(group)
        try:
            refuse(fd, group, missing)
            return missing
        except HostError as error:
            # A group above was empty, and somebody has removed it.
            tries -= 1
            if error.errno not in GONE or not tries:
                raise
        finally:
            os.close(fd)


def open_parent(group: Group) -> tuple[int, str] | None:
    """Return the directory above the group's, and the group's name in it; None where that does not exist."""
    fd, left = open_nearest(group)
    if len(left) > 1:
        os.close(fd)
        return None
    if not left:
        try:
            up = os.open("..", DIRECTORY, dir_fd=fd)
        finally:
            os.close(fd)
        fd = up
    return fd, group.below.rpartition("/")[2]


def make_directory(group: Group) -> tuple[int, bool]:
    """Make the group's directory and those above it, mode 0755; returns (descriptor, made by us).  Raises OSError."""
    for attempt in range(_TRIES):
        try:
            return _make_chain(group)
        except OSError as error:
            # A group above was empty until now, and somebody has removed it.
            if error.errno not in GONE:
                raise
        time.sleep(attempt * _MAKE_PAUSE)
    return _make_chain(group)


def _make_chain(group: Group) -> tuple[int, bool]:
    fd, made = open_mount(group), False
    for name in group.below.split("/"):
        try:
            child, made = _make_one(fd, name)
        finally:
            _let_go(fd)
        fd = child
    return fd, made


def _let_go(fd: int) -> None:
    """Close a directory: the kernel lets go of it whatever it answers (close(2)), and what was made is known."""
    try:
        os.close(fd)
    except OSError:
        pass


def visit(group: Group, step: Callable[[int, int], None]) -> None:
    """Call `step` with the descriptors (parent, level) for every level down to the group.  Raises OSError."""
    fd = open_mount(group)
    try:
        for name in group.below.split("/"):
            child = os.open(name, DIRECTORY, dir_fd=fd)
            try:
                step(fd, child)
            finally:
                os.close(fd)
                fd = child
    finally:
        os.close(fd)


def _make_one(fd: int, name: str) -> tuple[int, bool]:
    try:
        os.mkdir(name, 0o755, dir_fd=fd)
        made = True
    except FileExistsError:
        made = False
    try:
        child = os.open(name, DIRECTORY, dir_fd=fd)
        try:
            if made and os.fstat(child).st_mode & 0o777 != 0o755:
                # The caller's umask, which belongs to the whole process and is not ours to change.
                os.fchmod(child, 0o755)
        except OSError:
            os.close(child)
            raise
    except OSError:
        if made:  # nobody knows of it yet
            _rmdir(fd, name)
        raise
    return child, made


def make_below(fd: int, name: str) -> None:
    """Make the directory `name` below `fd`, mode 0755, unless it is there.  Raises OSError."""
    child, _ = _make_one(fd, name)
    os.close(child)


def has(fd: int, file: str) -> bool:
    """Return whether the directory has a file of this name."""
    try:
        os.stat(file, dir_fd=fd, follow_symlinks=False)
    except OSError as error:
        if error.errno in GONE:
            return False
        raise
    return True


def figure(fd: int, file: str) -> str:
    """Return a file as `read`, "" where the kernel has no such figure.  Raises HostError where that cannot be told."""
    try:
        return read_file(fd, file)
    except OSError as error:
        return procfile.unanswered(error, f"{file} of a cgroup", "")


def files(fd: int) -> list[str]:
    """Return the names in a directory, sorted; none where it is gone.  Raises HostError."""
    try:
        return sorted(os.listdir(fd))
    except OSError as error:
        return procfile.unanswered(error, "a cgroup", [])


def open_below(fd: int, path: str, file: str, flags: int) -> int:
    """Return a file in a group below `fd`, opened name by name so that nothing can lead out; OSError as it comes."""
    here = os.dup(fd)
    try:
        for name in path.split("/"):
            if name in ("", "."):
                continue
            if name == "..":
                raise PermissionError(1, "..")
            inner = os.open(name, DIRECTORY, dir_fd=here)
            os.close(here)
            here = inner
        return os.open(file, flags, dir_fd=here)
    finally:
        os.close(here)


def read_file(fd: int, file: str) -> str:
    """Return a file of the directory, without the newline at its end."""
    handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    try:
        parts = []
        while part := os.read(handle, 1 << 16):
            parts.append(part)
    finally:
        os.close(handle)
    return b"".join(parts).decode("utf-8", "surrogateescape").rstrip("\n")


def write_file(fd: int, file: str, value: str) -> None:
    """Write a file of the directory in one call, as the kernel expects it."""
    handle = os.open(file, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    try:
        os.write(handle, value.encode("utf-8", "surrogateescape"))
    finally:
        os.close(handle)


def walk(top: int) -> Iterator[int]:
    """Yield every directory from `top` down, parents first;
    each descriptor is valid until the next one is asked for.
    """
    yield top
    names = subdirectories(top)
    if not names:
        return
    here, stack = os.dup(top), [names]
    try:
        while stack:
            if stack[-1]:
                child = enter(here, stack[-1].pop())
                if child is not None:
                    os.close(here)
                    here = child
                    yield here
                    stack.append(subdirectories(here))
                continue
            stack.pop()
            if stack:
                here = _climb(here)
    finally:
        os.close(here)


def remove(parent: int, name: str) -> bool:
    """Remove the directory `name` and all below it, deepest first.

    Returns False where the kernel keeps saying busy somewhere: a process is
    there, or was a moment ago.  Raises OSError for anything else.
    """
    if _rmdir(parent, name):
        return True
    top = enter(parent, name)
    if top is None:
        return True
    here, stack = top, [(name, subdirectories(top))]
    try:
        while stack:
            if stack[-1][1]:
                child_name = stack[-1][1].pop()
                child = None if _rmdir(here, child_name) else enter(here, child_name)
                if child is not None:
                    os.close(here)
                    here = child
                    stack.append((child_name, subdirectories(here)))
                continue
            done = stack.pop()[0]
            here = _climb(here)
            if not _rmdir(here, done) and not stack:
                return False
    finally:
        os.close(here)
    return True


def subdirectories(fd: int) -> list[str]:
    """Return names of the groups directly below."""
    # kernfs counts only directories as links (kernfs_refresh_inode), so most listings can be spared.
    if os.fstat(fd).st_nlink <= 2:
        return []
    try:
        with os.scandir(fd) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError as error:
        if error.errno in GONE:
            return []
        raise


def _climb(fd: int) -> int:
    up = os.open("..", DIRECTORY, dir_fd=fd)
    os.close(fd)
    return up


def _rmdir(fd: int, name: str) -> bool:
    try:
        os.rmdir(name, dir_fd=fd)
    except OSError as error:
        if error.errno in (errno.EBUSY, errno.ENOTEMPTY):
            return False
        if error.errno not in GONE:
            raise
    return True
