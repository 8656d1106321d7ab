"""What became of a program that was run to its end."""

from __future__ import annotations

from _signal import SIGKILL

from ..state.usage import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..files.changes import Changes


class Outcome:
    """The end of a program and what it used.

    exit_code     its exit status, None when a signal ended it
    signal        that signal's number, else None
    timed_out     it was killed when its time was over
    oom_killed    the kernel killed at least one process of the container for lack of memory
    limit         the limit that ended it: "time", "memory", or ""; "disk" where it failed, and its root file system
                  that is thrown away was full at its end
    stdout, stderr           its output, up to the limit that was asked for, in bytes
    stdout_cut, stderr_cut   there was more
    seconds       from start to end, on the monotonic clock
    memory_peak   the most memory the container had at one time, in bytes; None where nobody counted
    cpu_seconds   processor time of all its processes; None where nobody counted
    pids_peak     the most processes and threads at one time; None where the kernel does not tell (before Linux 6.1)
    left_out      (path, reason) of what `keep` or `commit` has not taken: devices, sockets, set-user-ID bits
    changes       what it has changed in a root file system that is thrown away, a `Changes`; None for any other
    """

    __slots__ = (
        "changes",
        "cpu_seconds",
        "exit_code",
        "left_out",
        "limit",
        "memory_peak",
        "oom_killed",
        "pids_peak",
        "seconds",
        "signal",
        "stderr",
        "stderr_cut",
        "stdout",
        "stdout_cut",
        "timed_out",
    )

    def __init__(
        self,
        *,
        ended: int,
        timed_out: bool,
        seconds: float,
        stdout: bytes,
        stderr: bytes,
        stdout_cut: bool,
        stderr_cut: bool,
        usage: dict[str, int],
        changes: Changes | None = None,
        full: bool = False,
    ) -> None:
        self.exit_code = ended if ended >= 0 else None
        self.signal = -ended if ended < 0 else None
        self.timed_out = timed_out
        used = Usage(usage)
        self.oom_killed = bool(used.oom_kills)
        self.limit = "time" if timed_out else "memory" if self.oom_killed and self.signal == SIGKILL else ""
        if full and not self.limit and not self.ok:
            self.limit = "disk"
        self.changes = changes
        self.left_out: list[tuple[str, str]] = []
        self.stdout = stdout
        self.stderr = stderr
        self.stdout_cut = stdout_cut
        self.stderr_cut = stderr_cut
        self.seconds = seconds
        self.memory_peak = used.memory_peak
        self.cpu_seconds = used.cpu_seconds
        self.pids_peak = used.pids_peak

    @property
    def ok(self) -> bool:
        """The program ended by itself with status 0."""
        return self.exit_code == 0 and not self.timed_out

    def __repr__(self) -> str:
        how = f"exit_code={self.exit_code}" if self.signal is None else f"signal={self.signal}"
        limit = f" limit={self.limit}" if self.limit else ""
        return f"<Outcome {how}{limit} seconds={self.seconds:.3f}>"
