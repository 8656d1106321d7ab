"""The course of one run, from its start to its outcome.

There is no waiting in here: a course has descriptors to be watched, and says
what to do when one is ready.  `ocirun.run` watches them with poll(2),
`ocirun.aio` with the event loop.
"""

from __future__ import annotations

import os
import time

from ..errors import HostError
from ..launch import foreground, spawn
from .outcome import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..launch.session import Session
    from ..state.record import Record

    Make = Callable[[tuple[int, int, int]], tuple[Record, Session]]

OUTPUT_LIMIT = 1 << 20
# How long a killed program may take to end, in seconds.
KILL_LIMIT = 10.0
# How long after the deadline an init may be silent, in seconds.
_INIT_GRACE = 2.0
_CHUNK = 65536


class Stream:
    """One output of the program: kept up to a limit, read to its end."""

    __slots__ = ("cut", "fd", "kept", "left")

    def __init__(self, fd: int, limit: int) -> None:
        self.fd = fd
        self.kept: list[bytes] = []
        self.left = limit
        self.cut = False

    def take(self) -> bool:
        """Read what is there; False at the end."""
        data = self._read()
        if data:
            self._keep(data)
        return data != b""

    def drain(self) -> None:
        """Read until nothing is there for the moment; whoever still holds the other end is not waited for."""
        while data := self._read():
            self._keep(data)

    def _read(self) -> bytes | None:
        try:
            return os.read(self.fd, _CHUNK)
        except BlockingIOError:
            return None

    def _keep(self, data: bytes) -> None:
        if len(data) > self.left:
            self.cut = True
            data = data[: self.left]
        if data:
            self.kept.append(data)
            self.left -= len(data)


class Course:
    """One run.  The calls in their order: `begin`, then as its descriptors say, `outcome`, and `close` at any time.

    pidfd     ready when the program has ended
    streams   its outputs that have not ended, by descriptor
    """

    def __init__(self, root: str, output_limit: int) -> None:
        self._root = root
        self._fds: list[int] = []
        self._limit = output_limit
        self._session: Session | None = None
        self._begun = 0.0
        self._outputs: list[Stream] = []
        self.streams: dict[int, Stream] = {}
        self.pidfd = -1

    def begin(self, make: Make, stdin: bytes, timeout: float | None) -> None:
        """Create the container and start its program.

        make     creates it with the descriptors of its standard streams
        timeout  seconds that it may take, for an init that keeps the time
        Raises what that raises; `close` is due all the same.
        """
        reader = self._input(stdin)
        ends = [self._pipe(), self._pipe()]
        stdio = (reader, ends[0][1], ends[1][1])
        record, session = make(stdio)
        self._session = session
        for fd in stdio:
            self._close(fd)
        session.start(timeout)
        self._begun = time.monotonic()
        foreground.poststart(session, record)
        self._outputs = [Stream(ours, self._limit) for ours, _ in ends]
        self.streams = {stream.fd: stream for stream in self._outputs}
        self.pidfd = session.helper.pidfd

    def left(self, timeout: float | None) -> float | None:
        """How many of `timeout` seconds since the program's start are left, below 0 too; None for no limit.

        An init keeps the time itself; that it does not is found out some seconds later.
        """
        if timeout is None:
            return None
        late = _INIT_GRACE if self._session is not None and self._session.has_init else 0.0
        return self._begun + timeout + late - time.monotonic()

    def read(self, fd: int) -> bool:
        """Read an output that is ready; False when it has ended and need not be watched any more."""
        if self.streams[fd].take():
            return True
        del self.streams[fd]
        return False

    def kill(self) -> None:
        """SIGKILL to the program, and to everything in a container of its own."""
        import _signal

        session = self._session
        if session is None:
            return
        self._kill(session)
        try:
            _signal.pidfd_send_signal(session.helper.pidfd, 9)
        except ProcessLookupError:
            pass
        except OSError as error:
            raise HostError.from_os(f"kill {session.helper.pid}", error, call="pidfd_send_signal") from None

    def outcome(self, *, timed_out: bool) -> Outcome:
        """What became of the program, once `pidfd` is ready.

        timed_out   the caller has killed it as its time was over
        Raises HostError where its exit status is lost.
        """
        seconds = time.monotonic() - self._begun
        report = self._report()
        if report is None:
            ended = spawn.reap(self.pidfd)
        else:
            ended, seconds, timed_out = report.ended, report.seconds, report.late
            spawn.forget(self.pidfd)
        for stream in self.streams.values():
            stream.drain()
        out, err = self._outputs
        return Outcome(
            ended=ended,
            timed_out=timed_out,
            seconds=seconds,
            stdout=b"".join(out.kept),
            stderr=b"".join(err.kept),
            stdout_cut=out.cut,
            stderr_cut=err.cut,
            usage=self._usage(self._session) if self._session is not None else {},
        )

    def _report(self) -> spawn.InitReport | None:
        """What init has said of the program's end; None without one, or where something has killed init."""
        session = self._session
        while session is not None and session.has_init:
            report = session.helper.hear_init(wait=False)
            if report is None or report.kind == spawn.INIT_ENDED:
                return report
        return None

    def close(self) -> None:
        """Kill what still runs, remove the container, close all descriptors."""
        session, self._session = self._session, None
        self.streams = {}
        self.pidfd = -1
        try:
            if session is not None:
                self._remove(session)
        finally:
            while self._fds:
                os.close(self._fds.pop())

    def _kill(self, session: Session) -> None:
        session.cgroup.kill(9)

    def _usage(self, session: Session) -> dict[str, int]:
        return session.cgroup.usage()

    def _remove(self, session: Session) -> None:
        session.close()
        foreground.remove(self._root, session.record, session.cgroup)

    def _input(self, content: bytes) -> int:
        """Standard input is a file in memory: nobody has to feed it, and it has an end."""
        if not content:
            return self._own(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
        fd = self._own(os.memfd_create("stdin", os.MFD_CLOEXEC))
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        os.lseek(fd, 0, os.SEEK_SET)
        return fd

    def _pipe(self) -> tuple[int, int]:
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        self._fds += [ours, theirs]
        os.set_blocking(ours, False)
        return ours, theirs

    def _own(self, fd: int) -> int:
        self._fds.append(fd)
        return fd

    def _close(self, fd: int) -> None:
        self._fds.remove(fd)
        os.close(fd)
