"""What became of a program that was run to its end."""

from __future__ import annotations

from _signal import SIGKILL, SIGXCPU, SIGXFSZ

from ..errors import UsageError
from ..state.usage import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container
    from typing import Any

    from ..execute.seccomp.learned import Learned, RefusedCall
    from ..files.changes import Changes

TIME, CPU, OUTPUT, MEMORY, FILE_SIZE, PIDS = "time", "cpu", "output", "memory", "file_size", "pids"
DISK = "disk"
# Ends for which the limits of each process are looked at.
OF_RESOURCES = (-SIGXCPU, -SIGXFSZ)
# It was ended, or it was too much: whatever its exit code says.
_OVER = (TIME, CPU, OUTPUT)


class Outcome:
    """The end of a program and what it used.

    exit_code     its exit status, None when a signal ended it
    signal        that signal's number, else None
    timed_out     it was killed when its time was over
    oom_killed    the kernel killed at least one of its processes for lack of memory; None where that cannot be known
    limit         the limit that ended it: "time", "cpu", "output", "memory", "file_size", "pids", or ""; "disk"
                  where it failed, and its root file system that is thrown away was full at its end
    stdout, stderr           its output, up to the limit that was asked for, in bytes, or str with `text`
    stdout_cut, stderr_cut   there was more
    seconds       from start to end, on the monotonic clock
    memory_peak   the most memory it had at one time, in bytes, with all processes and page cache; None where nobody
                  counted
    rss_peak      the largest resident set that one of its processes had, in bytes: what it has mapped, so of the page
                  cache only that; of the processes that were waited for; None where nobody counted
    cpu_seconds   processor time of all its processes; None where nobody counted
    learned       of a learning run: what it has found, else None; `refused` and `profile` are parts of it
    pids_peak     the most processes and threads at one time; None where the kernel does not tell (before Linux 6.1)
    left_out      (path, reason) of what `keep` or `commit` has not taken: devices, sockets, set-user-ID bits
    changes       what it has changed in a root file system that is thrown away, a `Changes`; None for any other
    """

    __slots__ = (
        *(
            "changes",
            "cpu_seconds",
            "exit_code",
            "learned",
            "left_out",
            "limit",
            "memory_peak",
            "oom_killed",
            "pids_peak",
        ),
        *("rss_peak", "seconds", "signal", "stderr", "stderr_cut", "stdout", "stdout_cut", "timed_out"),
    )

    def __init__(
        self,
        *,
        ended: int,
        limit: str,
        seconds: float,
        stdout: Any,
        stderr: Any,
        stdout_cut: bool,
        stderr_cut: bool,
        usage: dict[str, int],
        learned: Learned | None = None,
        resident: int = 0,
        changes: Changes | None = None,
        full: bool = False,
    ) -> None:
        self.learned = learned
        self.exit_code = ended if ended >= 0 else None
        self.signal = -ended if ended < 0 else None
        self.timed_out = limit == TIME
        used = Usage(usage)
        self.oom_killed = None if used.oom_kills is None else used.oom_kills > 0
        self.limit = limit
        if full and not self.limit and not self.ok:
            self.limit = DISK
        self.changes = changes
        self.left_out: list[tuple[str, str]] = []
        self.stdout = stdout
        self.stderr = stderr
        self.stdout_cut = stdout_cut
        self.stderr_cut = stderr_cut
        self.seconds = seconds
        self.memory_peak = used.memory_peak
        self.rss_peak = resident or None
        self.cpu_seconds = used.cpu_seconds
        self.pids_peak = used.pids_peak

    @property
    def refused(self) -> list[RefusedCall]:
        """The system calls that the seccomp filter refuses, or without one all calls; [] but for a learning run."""
        return self.learned.calls if self.learned is not None else []

    def profile(self) -> dict[str, Any]:
        """Return ``linux.seccomp`` that lets them through.  Raises UsageError but for a learning run."""
        if self.learned is None:
            raise UsageError("profile: was not learned", remedy="run with learn=True")
        return self.learned.profile()

    @property
    def ok(self) -> bool:
        """The program ended by itself with status 0, within its time and its output."""
        return self.exit_code == 0 and self.limit not in _OVER

    def __repr__(self) -> str:
        how = f"exit_code={self.exit_code}" if self.signal is None else f"signal={self.signal}"
        limit = f" limit={self.limit}" if self.limit else ""
        return f"<Outcome {how}{limit} seconds={self.seconds:.3f}>"


def limit_of(ended: int, usage: dict[str, int], resources: Container[int]) -> str:
    """Return which limit has ended a program that nobody ended here, "" for none.

    ended      exit status, or minus the signal
    resources  the RLIMIT_ numbers for which it has a limit
    """
    if ended == -SIGKILL and usage.get("oom_kills"):
        return MEMORY
    if ended == -SIGXFSZ and 1 in resources:
        return FILE_SIZE
    if ended == -SIGXCPU and 0 in resources:
        return CPU
    # Nobody is killed for it, but fork(2) was refused; who ends well has coped with that.
    return PIDS if ended and usage.get("pids_failures") else ""
