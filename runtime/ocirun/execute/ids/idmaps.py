"""uid_map and gid_map of a process, written directly or by newuidmap and newgidmap."""

from __future__ import annotations

import os
from _signal import SIGKILL, SIGSTOP
from errno import EPERM

from ...errors import HostError

_REMEDY = {
    "gid_map": "an ordinary user may map its own gid only, or what newgidmap grants",
    "uid_map": "an ordinary user may map its own uid only, or what newuidmap grants",
}


def write(pid: int, file: str, text: str, program: str = "", *, deny: bool = False) -> None:
    """Write one map of `pid` with one write(2), as user_namespaces(7) demands, or have a program do it.

    file      "uid_map" or "gid_map"
    program   path of newuidmap or newgidmap, or ""
    deny      give up setgroups(2) first, for an unprivileged writer of gid_map (Linux 3.19)
    Raises HostError.
    """
    if program:
        _by_program(pid, program, text, f"/linux/{file.removesuffix('_map')}Mappings")
        return
    try:
        if deny and _read(pid, "setgroups") != b"deny":
            _write(pid, "setgroups", "deny")
        _write(pid, file, text)
    except OSError as error:
        pointer = f"/linux/{file.removesuffix('_map')}Mappings"
        remedy = _REMEDY[file] if error.errno == EPERM else ""
        what = f"write {text!a} to {file}"
        raise HostError.from_os(what, error, pointer=pointer, call="write", remedy=remedy) from None


def _read(pid: int, name: str) -> bytes:
    with open(f"/proc/{pid}/{name}", "rb") as file:
        return file.read().strip()


def _write(pid: int, name: str, text: str) -> None:
    fd = os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _by_program(pid: int, path: str, text: str, pointer: str) -> None:
    try:
        status = os.stat(path)
    except OSError as error:
        raise HostError.from_os(path, error, pointer=pointer, call="stat") from None
    if status.st_uid != 0:
        remedy = "it must be the system's own program"
        raise HostError(f"{path} does not belong to root", pointer=pointer, remedy=remedy)
    out, into = os.pipe()
    try:
        code = _run([path, str(pid), *text.split()], into)
        os.close(into)
        into = -1
        said = os.read(out, 4096).decode("utf-8", "replace").strip() if code else ""
    finally:
        os.close(out)
        if into >= 0:
            os.close(into)
    if code:
        name = path.rpartition("/")[2]
        raise HostError(
            f"{name} ended with status {code}: {' | '.join(said.splitlines())}",
            pointer=pointer,
            remedy=f"see /etc/sub{pointer[7:10]}; {name} must have set-user-id root or the file capability",
        )


def _run(argv: list[str], output: int) -> int:
    """Return the exit code of a program; what it says goes to `output`, a pipe with room for that."""
    actions = [(os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)]
    child = os.posix_spawn(
        argv[0],
        argv,
        {"PATH": "/usr/bin:/bin"},
        file_actions=actions,
        setsigmask=[],
        setsigdef=[number for number in range(1, 32) if number not in (SIGKILL, SIGSTOP)],
    )
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
