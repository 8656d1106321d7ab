"""uid_map and gid_map of a process, written directly or by newuidmap and newgidmap."""

from __future__ import annotations

import os

from ..errors import HostError


def write(pid: int, uid_map: str, gid_map: str, setgroups: str) -> None:
    """Write both maps of `pid`.

    A privileged writer does it with one write(2) each, as user_namespaces(7) demands; one without the
    right to map those ids goes through the set-user-id programs of shadow-utils.
    Raises HostError.
    """
    try:
        if setgroups == "deny" and _is_single_self(gid_map, os.getegid()):
            _write(pid, "setgroups", "deny")
        _write(pid, "gid_map", gid_map)
        _write(pid, "uid_map", uid_map)
    except OSError as error:
        if error.errno != 1 or os.geteuid() == 0:
            raise HostError.from_os(f"id maps {uid_map!a}", error, call="write") from None
        _by_program(pid, "newgidmap", gid_map)
        _by_program(pid, "newuidmap", uid_map)


def _is_single_self(text: str, own: int) -> bool:
    fields = text.split()
    return len(fields) == 3 and fields[1] == str(own) and fields[2] == "1"


def _write(pid: int, name: str, text: str) -> None:
    fd = os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _by_program(pid: int, name: str, text: str) -> None:
    path = f"/usr/bin/{name}"
    try:
        status = os.stat(path)
    except OSError as error:
        raise HostError.from_os(
            path, error, remedy="install the package uidmap (shadow-utils), or map only your own id"
        ) from None
    if status.st_uid != 0:
        raise HostError(f"{path} does not belong to root", remedy="it must be the system's own program")
    argv = [path, str(pid), *text.split()]
    child = os.posix_spawn(path, argv, {"PATH": "/usr/bin:/bin"}, setsigmask=[], setsigdef=list(range(1, 32)))
    _, result = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(result)
    if code != 0:
        raise HostError(f"{name} ended with status {code}", remedy="see the ranges in /etc/subuid and /etc/subgid")
