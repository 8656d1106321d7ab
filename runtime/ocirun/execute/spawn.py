"""A helper process: talk with it at the barriers, end it, reap it."""

from __future__ import annotations

import os
import time
from errno import EINTR, ENOSPC, ENOSYS, EPERM, ETIMEDOUT, EUSERS

from .._native import ffi, lib
from ..errors import HostError, errno_words
from ..plan.constants import CLONE_NEWUSER
from ..state import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# How long the helper may be silent before somebody asks why, in milliseconds.
IDLE = 250
# How long a killed helper may take to end, in seconds.
DEATH = 5.0


def checked(result: int, what: str, call: str, *, pointer: str = "") -> int:
    """Return `result` of a native call, or HostError for a negative errno."""
    if result < 0:
        raise HostError(f"{what}: {errno_words(-result)}", call=call, errno=-result, pointer=pointer)
    return result


def call_name(number: int) -> str:
    """Return the name of a system call the helper can make, or ""; the number comes from it and may be anything."""
    if number > 0xFFFF:
        return ""
    name: str = ffi.string(lib.ocirun_call_name(number)).decode("ascii")
    return name


class Helper:
    """A helper process: its pid, its pidfd, our end of the sync socket, its progress record.

    first   pidfd of the first of two processes of a staged helper, until it is reaped, or -1
    """

    __slots__ = ("adopted", "claim", "first", "pid", "pidfd", "progress_fd", "sync")

    def __init__(self, pid: int, pidfd: int, sync: int, progress_fd: int) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.sync = sync
        self.progress_fd = progress_fd
        self.first = -1
        self.adopted = 0
        self.claim = 0  # the pid of the second process, which is ours to reap whether it was adopted or not

    def hear(self, idle: Callable[[Helper], bool] | None = None) -> tuple[int, int, int] | None:
        """Return (operation number, value, descriptor or -1) of the next message; None when the helper closed its end.

        idle   called while no message comes, four times a second; False ends the waiting with None
        Raises HostError for a message that is not one, KeyboardInterrupt as it comes.
        """
        message = ffi.new("uint32_t[2]")
        fd = ffi.new("int *", -1)
        while True:
            result = lib.ocirun_hear(self.sync, message, fd, -1 if idle is None else IDLE)
            if result == -EINTR:
                continue  # the interpreter ran the signal's handler on the way
            if result == -ETIMEDOUT and idle is not None:
                if not idle(self):
                    return None
                continue
            checked(result, "message of the init helper", "recvmsg")
            return (message[0], message[1], fd[0]) if result else None

    def answer(self, index: int, *, value: int = 0, fd: int = -1) -> None:
        """Let the helper go on; HostError when it is gone."""
        checked(lib.ocirun_answer(self.sync, index, value, fd), "answer to the init helper", "sendmsg")

    def progress(self) -> record.Progress:
        """Return what the helper has written so far."""
        size = os.fstat(self.progress_fd).st_size
        return record.Progress(os.pread(self.progress_fd, size, 0))

    def close_sync(self) -> None:
        """Close our end of the socket; a helper that waits at it ends."""
        if self.sync >= 0:
            os.close(self.sync)
            self.sync = -1

    def adopt(self, pid: int) -> None:
        """Go on with the process that a staged helper has forked.

        Raises HostError when it is gone, or is no child of ours: the number is the helper's claim, and what
        is adopted may be killed later.
        """
        self.claim = pid
        try:
            pidfd = os.pidfd_open(min(pid, 2**31 - 1))
        except OSError as error:
            # ESRCH is the helper's own matter, as is a broken socket; everything else is ours.
            call = "recvmsg" if isinstance(error, ProcessLookupError) else "pidfd_open"
            raise HostError.from_os("second process of the init helper", error, call=call) from None
        try:
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError as error:
            os.close(pidfd)
            raise HostError.from_os("second process of the init helper", error, call="recvmsg") from None
        self.first, self.pid, self.pidfd = self.pidfd, pid, pidfd
        self.adopted = 1

    def adopt_late(self, fork: int) -> None:
        """Go on, after a failure, with the second process if it has come meanwhile, so that it is ended and reaped too.

        fork   number of the operation that makes it
        """
        if self.adopted or self.sync < 0:
            return
        try:
            if self.claim:  # what was lacking for it may be there again
                self.adopt(self.claim)
                return
            heard = self.hear(lambda _: False)
            if heard is None:
                return
            if heard[2] >= 0:
                os.close(heard[2])
            if heard[0] == fork:
                self.adopt(heard[1])
        except HostError:
            return

    def settle(self, limit: float = DEATH) -> None:
        """Reap the first process of a staged helper, which has nothing left to do."""
        if self.first >= 0:
            end(self.first, limit=limit)
            os.close(self.first)
            self.first = -1

    def close(self) -> None:
        """Close all descriptors; the process goes on as it is."""
        self.close_sync()
        self.settle()
        for fd in (self.pidfd, self.progress_fd):
            if fd >= 0:
                os.close(fd)
        self.pidfd = self.progress_fd = -1


# ECHILD
LOST = (
    "this process ignores SIGCHLD, or another part of it waits for children that are not its own; "
    "an init of the container tells the status all the same"
)


def forget(pidfd: int) -> None:
    """Reap a child whose end is known; if somebody else did, that is fine."""
    try:
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    except ChildProcessError:
        pass


def reap(pidfd: int) -> int:
    """Wait for a child by its pidfd; its exit code, or minus its signal.

    Raises HostError where its status is lost, as somebody else took it.
    """
    try:
        info = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    except OSError as error:
        raise HostError.from_os("exit status of the first process", error, call="waitid", remedy=LOST) from None
    if info is None:  # only WNOHANG gives that
        return 0
    return info.si_status if info.si_code == os.CLD_EXITED else -info.si_status


def exit_code(pidfd: int) -> int:
    """Wait for a child by its pidfd; its exit code, or 128 plus its signal."""
    ended = reap(pidfd)
    return ended if ended >= 0 else 128 - ended


def end(pidfd: int, *, grace: float = 0.0, limit: float = DEATH) -> int:
    """Reap a child as `reap`, and kill it if it does not end within `grace` seconds.

    Waits at most `limit` seconds more: -9 then, as there is nothing else that it will die of.
    """
    import _signal

    killed = False
    begin = time.monotonic()
    while (waited := time.monotonic() - begin) < grace + limit:
        if waited >= grace and not killed:
            killed = True
            try:
                _signal.pidfd_send_signal(pidfd, _signal.SIGKILL)
            except OSError:
                pass
        try:
            info = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            return 0
        if info is not None:
            return info.si_status if info.si_code == os.CLD_EXITED else -info.si_status
        time.sleep(0.0005)
    return -9


def remedy(errno: int, flags: int) -> str:
    """Return what may help where the helper was not started, or ""."""
    if errno in (EPERM, ENOSPC, EUSERS) and flags & CLONE_NEWUSER:
        return "user namespaces may be locked: see the sysctls user.max_user_namespaces and those of the distribution"
    if errno == EPERM:
        return "new namespaces need CAP_SYS_ADMIN, or a user namespace in the config"
    if errno == ENOSPC:
        return "a limit on namespaces is reached: see the sysctls user.max_*_namespaces"
    if errno == ENOSYS:
        return "clone3 is missing or filtered; ocirun needs Linux 5.14 and a seccomp profile that allows it"
    return ""
