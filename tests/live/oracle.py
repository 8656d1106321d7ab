"""What must be the same before and after every live test.

The harness runs in namespaces of its own, whose mounts are shared among
themselves: what a runtime leaks to "the host" shows in our mountinfo, and what
other programs of the machine mount meanwhile does not.  cgroups and files are
shared with those programs, so there only names with our mark count.  All
processes that come of a test are our descendants (we are their subreaper).
"""

from __future__ import annotations

import hashlib
import os
import socket
import stat

from . import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

CGROUP_TOP = "/sys/fs/cgroup"
DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "console")
SYSCTLS = (
    "kernel/core_pattern",
    "kernel/core_uses_pid",
    "kernel/modprobe",
    "kernel/sysrq",
    "kernel/hostname",
    "kernel/domainname",
    "kernel/msgmax",
    "kernel/shmmax",
    "kernel/sem",
    "kernel/shm_rmid_forced",
    "fs/mqueue/msg_max",
    "net/ipv4/ip_forward",
    "net/ipv4/ip_unprivileged_port_start",
    "net/ipv4/ping_group_range",
    "vm/overcommit_memory",
)
SHARED_PLACES = ("/tmp", "/run", "/run/ocirun", "/var/tmp", "/dev/shm", "/dev", "/")


def snapshot(mark: str, parent: str, state_root: str, canary: str) -> dict[str, frozenset[str]]:
    """The state of the host in a form that can be compared and subtracted.

    mark        text that is in the name of every container of this session
    parent      cgroup path of the session, itself not reported (nobody owns it)
    state_root  the --root of the test
    canary      tree that nothing may touch
    """
    return {
        "mount": frozenset(_mounts()),
        "cgroup": frozenset(_cgroups(mark, parent)),
        "process": frozenset(_processes()),
        "state": frozenset(name for name in _names(state_root) if name != "seccomp~"),  # a cache, which stays
        "file": frozenset(f"{place}/{name}" for place in SHARED_PLACES for name in _names(place) if mark in name),
        "device": frozenset(_devices()),
        "sysctl": frozenset(f"{name}={_text('/proc/sys/' + name)}" for name in SYSCTLS),
        "canary": frozenset(tree(canary)),
        "link": frozenset(name for _, name in socket.if_nameindex()),
    }


def differences(before: dict[str, frozenset[str]], after: dict[str, frozenset[str]]) -> list[str]:
    """One line for each thing that was added or has gone."""
    lines = []
    for kind, was in before.items():
        lines += [f"{kind} left behind: {one}" for one in sorted(after[kind] - was)]
        lines += [f"{kind} gone: {one}" for one in sorted(was - after[kind])]
    return lines


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError as error:
        return f"errno {error.errno}"


def _names(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def _mounts() -> Iterator[str]:
    # The optional fields are part of it: a changed propagation is a change of the host.
    yield from _text("/proc/self/mountinfo").splitlines()


def cgroups(mark: str) -> list[str]:
    """Every cgroup directory whose path holds the mark, in all hierarchies, deepest first."""
    found: list[str] = []
    queue = [CGROUP_TOP]
    while queue:
        top = queue.pop()
        try:
            entries = [entry.path for entry in os.scandir(top) if entry.is_dir(follow_symlinks=False)]
        except OSError:
            continue
        queue.extend(entries)
        found.extend(path for path in entries if mark in path)
    return sorted(found, key=lambda path: (-path.count("/"), path))


def _cgroups(mark: str, parent: str) -> Iterator[str]:
    for path in cgroups(mark):
        if not path.endswith(parent):
            yield path


def _processes() -> Iterator[str]:
    process.reap()
    for pid in process.descendants():
        if not process.is_zombie(pid):
            yield f"{pid} {process.describe(pid)}"


def _devices() -> Iterator[str]:
    for name in DEVICES:
        try:
            st = os.stat(f"/dev/{name}")
        except OSError:
            continue
        yield f"{name} {st.st_mode:o} {st.st_uid}:{st.st_gid} {os.major(st.st_rdev)}:{os.minor(st.st_rdev)}"


def tree(top: str) -> Iterator[str]:
    """One line for each entry below a directory: type, mode, owner, link target or content hash."""
    for where, directories, files in os.walk(top):
        for name in ["", *directories, *files]:
            path = os.path.join(where, name) if name else where
            st = os.lstat(path)
            what = ""
            if stat.S_ISLNK(st.st_mode):
                what = os.readlink(path)
            elif stat.S_ISREG(st.st_mode):
                with open(path, "rb") as file:
                    what = hashlib.sha256(file.read()).hexdigest()[:16]
            yield f"{path} {st.st_mode:o} {st.st_uid}:{st.st_gid} {st.st_rdev} {what}"
