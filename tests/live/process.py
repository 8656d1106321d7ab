"""Starting commands with a time limit, and knowing every process that comes of them."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time

import waiting
from waiting import PATIENCE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

LIMIT = 15.0  # seconds a command may take unless told otherwise
BARE_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}

# Commands that have not been waited for.
_own: dict[int, subprocess.Popen[bytes]] = {}
# What no signal ends: one test waits for it, and not each that comes later.
_stuck: set[int] = set()


class Result:
    """A finished command.

    code     exit status, negative for a signal
    seconds  how long it took
    out, err what is in its output files now: a detached container goes on writing there
    """

    def __init__(self, argv: Sequence[str], code: int, out_path: str, err_path: str, seconds: float) -> None:
        self.argv = list(argv)
        self.code = code
        self.out_path = out_path
        self.err_path = err_path
        self.seconds = seconds

    @property
    def out(self) -> str:
        """Everything written to stdout so far."""
        return _read(self.out_path)

    @property
    def err(self) -> str:
        """Everything written to stderr so far."""
        return _read(self.err_path)

    def json(self) -> Any:
        """stdout as JSON."""
        return json.loads(self.out)

    def ok(self) -> Result:
        """Fail unless the exit status is 0."""
        assert self.code == 0, self.report()
        return self

    def failed(self, *words: str) -> Result:
        """Fail unless this is a clean error: not 0, one line on stderr that holds all words, no traceback."""
        assert self.code > 0, "should have failed: " + self.report()
        lines = [line for line in self.err.splitlines() if line.strip()]
        assert len(lines) == 1, f"{len(lines)} lines of error instead of one: " + self.report()
        assert "Traceback" not in self.err, self.report()
        for word in words:
            assert word in self.err, f"the error does not say {word!r}: " + self.report()
        return self

    def report(self) -> str:
        """All of it, for an assertion."""
        return f"{' '.join(self.argv)}\n  exit {self.code} after {self.seconds:.2f} s\n  out: {self.out[-2000:]!r}\n  err: {self.err[-3000:]!r}"


def _read(path: str) -> str:
    with open(path, "rb") as file:
        return file.read().decode("utf-8", "replace")


def run(
    argv: Sequence[str],
    *,
    scratch: str,
    limit: float = LIMIT,
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    keep_fds: Iterable[int] = (),
    before: Callable[[], object] | None = None,
) -> Result:
    """Run a command to its end.

    Output goes to files, not pipes: a container that stays behind keeps them
    open.  `before` runs in the child, before the program.  On the time limit the
    command gets SIGKILL and the test fails.
    """
    proc, out_path, err_path = spawn(
        argv,
        scratch=scratch,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=env,
        cwd=cwd,
        keep_fds=keep_fds,
        before=before,
    )
    started = time.monotonic()
    in_time = wait_end(proc, limit)
    result = Result(argv, proc.returncode, out_path, err_path, time.monotonic() - started)
    assert in_time, f"still running after {limit} s: " + result.report()
    return result


def spawn(
    argv: Sequence[str],
    *,
    scratch: str,
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    keep_fds: Iterable[int] = (),
    before: Callable[[], object] | None = None,
) -> tuple[subprocess.Popen[bytes], str, str]:
    """Start a command; gives the process and the paths of its two output files."""
    number = len(os.listdir(scratch))
    out_path, err_path = f"{scratch}/{number}.out", f"{scratch}/{number}.err"
    with open(out_path, "ab") as out, open(err_path, "ab") as err:
        proc = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=out if stdout is None else stdout,
            stderr=err if stderr is None else stderr,
            env=dict(BARE_ENVIRONMENT if env is None else env),
            cwd=cwd,
            pass_fds=tuple(keep_fds),
            preexec_fn=before,
        )
    _own[proc.pid] = proc
    return proc, out_path, err_path


def wait_end(proc: subprocess.Popen[bytes], limit: float) -> bool:
    """Wait for a started command, reaping orphans meanwhile; False if it had to be killed."""
    if proc.poll() is not None:
        _own.pop(proc.pid, None)
        return True
    poller = select.poll()
    pidfd = os.pidfd_open(proc.pid)
    poller.register(pidfd, select.POLLIN)
    end = time.monotonic() + limit * PATIENCE
    try:
        while not poller.poll(3):
            reap()
            if time.monotonic() > end:
                proc.kill()
                proc.wait()
                return False
        proc.wait()
        return True
    finally:
        os.close(pidfd)
        _own.pop(proc.pid, None)


def children(pid: int) -> list[int]:
    """The direct children of a process; empty when it is gone."""
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                found.extend(int(word) for word in file.read().split())
    except OSError:
        pass
    return found


def descendants(pid: int = 0) -> list[int]:
    """All processes below one (default: below us), the commands under way included."""
    found: list[int] = []
    queue = children(pid or os.getpid())
    while queue:
        one = queue.pop()
        found.append(one)
        queue.extend(children(one))
    return found


def reap() -> None:
    """Wait for every orphan that has ended, but for no command that somebody waits for."""
    for pid in children(os.getpid()):
        if pid in _own:
            continue
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass


def eventually(condition: Callable[[], object], what: str, limit: float = 5.0) -> None:
    """Wait until the condition holds, reaping orphans meanwhile; fail with `what` when it does not in time."""
    waiting.eventually(condition, what, limit, pause=0.003, meanwhile=reap)


def end_all(limit: float = 3.0) -> list[str]:
    """Kill everything below us and wait for it; gives one line for each process there was."""
    reap()
    left = [f"{pid} {describe(pid)}" for pid in descendants() if not is_zombie(pid)]
    end = time.monotonic() + limit * PATIENCE
    while (there := set(descendants()) - _stuck) and time.monotonic() < end:
        for pid in there:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for pid, proc in list(_own.items()):
            # A test that failed waits for nothing more, and its frames, which are kept, hold what it has started.
            if proc.poll() is not None:
                _own.pop(pid, None)
        reap()
        time.sleep(0.003)
    _stuck.update(descendants())
    return left


def describe(pid: int) -> str:
    """The command line of a process, for messages."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        return "(gone)"


def is_zombie(pid: int) -> bool:
    """True for a process that has ended but was not waited for, or is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:
        return True
