"""Why this process is not the preloaded interpreter, and what is done about it.

The launcher says why in a word (csrc/start/fits.c), which begins with "+" where making the file would help.  The first
command that hears so has it made after its own work, by a process that nobody waits for: docs/design.md, Start-up.
"""

from __future__ import annotations

import os
import time
from _signal import SIGKILL, SIGSTOP
from errno import EBADF

from ..errors import HostError, OcirunError, errno_words
from .interpreter import FAILED, PRELOADED, REMOVED, Place, leave_note, locked, missing_library, note, unlocked, write

SWITCH = "OCIRUN_PRELOAD"
# Seconds.  What is made for nothing, or in vain, costs a second of the processor each time.
AGAIN = 600
_ROOM = 64 << 20
_OTHERS_WRITE, _STICKY = 0o022, 0o1000
_SIGNALS = [number for number in range(1, 65) if number not in (SIGKILL, SIGSTOP, 32, 33)]  # two are libc's own

_REASONS = {
    "module": "python -m ocirun",
    "memory": "a limit on memory leaves no room for it",
    "+damaged": "damaged",
    "+machine": "the processor differs",
}


def told(start: str) -> str:
    """Return what `ocirun --version` says of the preloaded interpreter: ``yes`` or ``no (why)``.

    start   the launcher's word
    """
    if start == "preloaded":
        return "yes"
    word, _, detail = start.partition(":")
    try:
        reason = _REASONS.get(word) or _reason(word, detail)
        parts = [reason, _switched_off() or hindrance(Place())] if word[0] == "+" else [reason]
    except OcirunError as error:
        parts = [str(error)]
    return f"no ({'; '.join(filter(None, parts))})"


def have_made(start: str, program: str) -> None:
    """Start a process that makes the preloaded interpreter, if that would help and nothing speaks against it.

    To be called at the very end: this process changes its directory and makes its descriptors close-on-exec.

    start     the launcher's word
    program   the launcher

    Raises HostError, OSError.
    """
    if start[0] != "+" or _switched_off():
        return
    place = Place()
    if hindrance(place):
        return
    directory = locked(place, wait=False)
    if directory < 0:
        return
    os.close(directory)
    os.chdir("/")  # no directory of the caller is kept busy
    for name in os.listdir("/proc/self/fd"):
        try:
            os.set_inheritable(int(name), False)
        except OSError as error:
            if error.errno != EBADF:  # that of the list itself
                raise
    null = "/dev/null"
    os.posix_spawn(
        program,
        ["ocirun", "preload", "--background"],
        {SWITCH: "no"},  # one that fails has no other made
        file_actions=[(os.POSIX_SPAWN_OPEN, fd, null, os.O_WRONLY if fd else os.O_RDONLY, 0) for fd in range(3)],
        setsid=True,
        setsigmask=[],
        setsigdef=_SIGNALS,
    )


def make_idly(place: Place) -> None:
    """Make the preloaded interpreter when the machine has nothing else to do, unless somebody else is about to.

    A failure becomes a note in its place.

    Raises HostError when that cannot be left.
    """
    directory = locked(place, wait=False)
    if directory < 0:
        return
    try:
        if hindrance(place):
            return
        try:
            _stand_back()
            write(place, directory)
        except OcirunError as error:
            leave_note(place, directory, f"{FAILED}: {error}")
    finally:
        unlocked(place, directory)


def hindrance(place: Place) -> str:
    """Return why it is not made, though it would help; "" if it is.  Raises HostError."""
    try:
        if not os.path.samefile(place.directory, os.path.dirname(os.path.dirname(__file__))):
            return "in a checkout `./dev build` makes it"
        if note(place) == REMOVED:
            return "`ocirun preload` makes it anew"
        return _too_soon(place) or _others(place.directory) or _no_room(place.directory)
    except OSError as error:
        raise HostError.from_os(f"look at {place.directory}", error) from None


def _reason(word: str, detail: str) -> str:
    if word == "library":
        return missing_library()
    if word == "+stale":
        return f"stale: {detail} has changed"
    if word == "untold":
        return f"it cannot be told whether {detail} has changed"
    if word == "starter":  # there is no place then
        return f"the starter cannot be executed: {errno_words(int(detail))}"
    place = Place()
    file = place.file(PRELOADED)
    if word == "unusable":
        return f"{file} cannot be executed: {errno_words(int(detail))}"
    if word == "closed":
        return f"{file} is for its owner alone"
    return note(place) or "not made yet"


def _switched_off() -> str:
    return f"{SWITCH}=no" if os.environ.get(SWITCH) == "no" else ""


def _too_soon(place: Place) -> str:
    try:
        there = os.stat(place.file(PRELOADED))
    except FileNotFoundError:
        return ""
    recent = there.st_size > 0 and 0 <= time.time() - there.st_mtime < AGAIN
    return f"not made again within {AGAIN // 60} minutes" if recent else ""


def _others(directory: str) -> str:
    """Return who else than the caller and root has a say in what is in a directory, "" for nobody.
    Raises OSError.

    Who may write to a directory can put another in the place of one in it, unless it is sticky (inode(7)).
    """
    user, path, owners, allowed = os.geteuid(), directory, {os.geteuid()}, 0
    while True:
        found = os.stat(path or "/")
        if found.st_uid not in owners:
            return f"{path or '/'} belongs to user {found.st_uid}, and this is user {user}"
        if found.st_mode & _OTHERS_WRITE and not found.st_mode & allowed:
            return f"{path or '/'} can be written by others"
        if not path:
            return ""
        path, owners, allowed = path.rpartition("/")[0], {user, 0}, _STICKY


def _no_room(directory: str) -> str:
    if not os.access(directory, os.W_OK | os.X_OK):
        return f"{directory} cannot be written"
    left = os.statvfs(directory)
    return f"{directory} has less than {_ROOM >> 20} MiB left" if left.f_bavail * left.f_frsize < _ROOM else ""


def _stand_back() -> None:
    """Take processor, disk and memory only when nobody else wants them.  Raises HostError.

    Idle input and output follow from SCHED_IDLE, where ioprio_set(2) was not called.  A session may be scheduled as one
    process, by a nice value of its own (sched(7), autogroup).
    """
    os.umask(0o022)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, 19)
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        _tell("oom_score_adj", b"1000")  # in the caller's cgroup, whose limit may be low: before anybody else there
    except OSError as error:
        raise HostError.from_os("become idle", error) from None
    try:
        _tell("autogroup", b"19")
    except OSError:  # not every kernel has it, and SCHED_IDLE is most of it
        pass


def _tell(name: str, value: bytes) -> None:
    """Write to a file of this process in /proc.  Raises OSError."""
    file = os.open(f"/proc/self/{name}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(file, value)
    finally:
        os.close(file)
