"""The container's first process: whether it is there, and the same one.

Only ENOENT and ESRCH say that a process is gone.  Any other errno says nothing, and is an error: what is taken for
gone is killed, or forgotten.
"""

from __future__ import annotations

import os
from errno import ENOENT

from .._base import procfile
from ..errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .record import Record

_DEAD = ("", "Z", "X", "x")


def process_stat(pid: int) -> tuple[str, int]:
    """Return (state letter, start time) of a process from /proc/PID/stat; ("", 0) when it is gone.

    Raises HostError where that cannot be told.
    """
    if pid <= 0:
        return "", 0
    try:
        text = procfile.read(f"/proc/{pid}/stat")
    except OSError as error:
        if error.errno not in procfile.GONE or is_there(pid):
            remedy = "mount the procfs of this pid namespace on /proc, without hidepid" if error.errno == ENOENT else ""
            raise HostError.from_os(f"read /proc/{pid}/stat", error, call="openat", remedy=remedy) from None
        return "", 0
    # The command's name may hold blanks and parentheses; the fields start behind the last one.
    fields = text[text.rfind(b")") + 2 :].split()
    return fields[0].decode("ascii", "replace"), int(fields[19])


def is_there(pid: int) -> bool:
    """Return whether there is a process of that number, whatever /proc shows."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


_boot = ""


def boot_id() -> str:
    """Return the id of this boot of the kernel, "" where it is not told.  Raises HostError."""
    global _boot
    if not _boot:
        _boot = procfile.text("/proc/sys/kernel/random/boot_id").strip()
    return _boot


def of_other_boot(record: Record) -> bool:
    """Return whether another boot of the kernel has made it: its process is gone, whatever has its number now."""
    now = boot_id()
    return bool(record.boot_id and now) and record.boot_id != now


def is_alive(record: Record) -> bool:
    """Return whether the init process of the record is there, is the same one, and is no zombie.  Raises HostError."""
    return record.pid > 1 and not of_other_boot(record) and is_same(record.pid, record.start_time)


def may_have_processes(record: Record) -> bool:
    """Return whether a process of the container may be there: the first one, or one that its end has not ended.

    In a pid namespace of its own no process outlives the first (pid_namespaces(7)): whoever is in its cgroup then is
    somebody else.
    """
    return record.shared_pids or is_alive(record)


def is_same(pid: int, start_time: int, *, ended: bool = False) -> bool:
    """Return whether the process of that number is there and began at that time (see Record).  Raises HostError.

    ended   also one that has ended, and that nobody has waited for
    """
    letter, found = process_stat(pid)
    return found == start_time and (ended or letter not in _DEAD)


def open_init(record: Record, *, ended: bool = False) -> int:
    """Return a pidfd of the init process, or -1 when it is gone.  Raises HostError where that cannot be told.

    ended   also of one that has ended, and that nobody has waited for
    Opened first, compared after: no reuse of the number can slip in.
    """
    if record.pid <= 1 or of_other_boot(record):
        return -1
    try:
        fd = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return -1
    except OSError as error:
        # The number may be a thread's by now, which is an error as well.
        if is_same(record.pid, record.start_time, ended=True):
            raise HostError.from_os(f"process {record.pid}", error, call="pidfd_open") from None
        return -1
    same = False
    try:
        same = is_same(record.pid, record.start_time, ended=ended)
    finally:
        if not same:
            os.close(fd)
    return fd if same else -1


def end_init(record: Record) -> bool:
    """Send SIGKILL to the init process; return False when there is none.  Raises HostError."""
    import _signal

    pidfd = open_init(record)
    if pidfd < 0:
        return False
    try:
        _signal.pidfd_send_signal(pidfd, _signal.SIGKILL)
    except ProcessLookupError:
        return False
    except OSError as error:
        raise HostError.from_os(f"kill {record.pid}", error, call="pidfd_send_signal") from None
    finally:
        os.close(pidfd)
    return True


def reap_init(record: Record) -> None:
    """Take an ended init off the process table, where this very process is its parent and has not waited for it."""
    pidfd = open_init(record, ended=True)
    if pidfd < 0:
        return
    try:
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        pass
    finally:
        os.close(pidfd)
