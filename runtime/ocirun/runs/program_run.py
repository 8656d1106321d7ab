"""The course of one run, from its start to its outcome.

The container is made, its program watched, and all of it removed, by the host's side of the plan, in one call without
the interpreter.  Here is what goes in and what comes out, and what remains to be done where that call comes back
before its end.
"""

from __future__ import annotations

import os
from _signal import SIGKILL

from ..commands import create, run
from ..errors import HookError, HostError, OutcomeError, UnsupportedError
from ..execute import host_side
from ..execute.encoded import milliseconds
from . import outcome as outcomes
from .outcome import Outcome
from .terms import STREAMS, Pieces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable
    from typing import Any

    from ..execute.session import Session
    from ..plan import encode
    from .terms import Terms
    from .written import Written

    Factory = Callable[[], Session]

# How long a killed program may take to end, in seconds.
KILL_LIMIT = 10.0
_ENDS = {
    host_side.END_TIME: outcomes.TIME,
    host_side.END_PROCESSOR: outcomes.CPU,
    host_side.END_OUTPUT: outcomes.OUTPUT,
}


def resources_of(session: Session) -> tuple[int, ...]:
    """Return the RLIMIT_ numbers for which a program has a limit of its own."""
    return tuple(op.args["resource"] for op in session.plan.ops if op.name in ("set_rlimit", "limit_process"))


def uncounted() -> UnsupportedError:
    """Return what is raised where a limit of processor time cannot be kept."""
    return UnsupportedError(
        "cpu_time: nobody counts the processor time of a container without a cgroup of its own",
        remedy="leave it out, or give the container a cgroup",
    )


class ProgramRun:
    """One run.  `begin`, then `go_on` as long as it says so, `outcome`, and `close` at any time.

    keep, commit   what becomes of a root that is thrown away, as of `ocirun.run`
    """

    def __init__(self, root: str, terms: Terms, *, keep: str | None = None, commit: bool = False) -> None:
        self._root = root
        self.terms = terms
        self._pieces: Pieces | None = None
        self._session: Session | None = None
        self._removed = False
        self._late = ""
        self._watched: LockType | None = None
        self._keep, self._commit = keep or "", commit

    def begin(self, make: Factory, *, polled: bool = False, streamed: bool = False) -> int:
        """Create the container, start its program; go on as `go_on`.

        make      gives what creates it
        polled    come back while nothing is ready
        streamed  come back when there is output
        Raises what a creation raises; `close` is due all the same.
        """
        terms = self.terms
        session = make()
        session.after_start = self._what_follows(session)
        self._session = session
        native = session.side.native
        native.go, native.polled, native.lifetime = 1, polled, milliseconds(terms.timeout)
        if terms.content:
            native.input, native.input_size = session.side.lend(terms.content), len(terms.content)
        native.given, native.streamed, native.kills = terms.given, streamed, terms.kills
        for stream in native.output:
            stream.limit = terms.limit
        if streamed:
            self._pieces = Pieces(terms.encoding)
        if terms.cpu_time is not None and terms.cpu_time < 1e9:
            if not session.after_start.processor:
                raise uncounted()
            native.processor_limit = max(1, int(terms.cpu_time * 1e9))
            native.processors = os.cpu_count() or 1
        turn = self.go_on()
        if not native.has_init and turn in (host_side.WAIT, host_side.OUTPUT):
            # Nobody else keeps the time of a program without an init, as long as the caller does something else.
            from . import deadline

            fd = session.helper.pidfd
            self._watched = deadline.keep(fd, timeout=terms.timeout, cpu_time=None, counter="", over=self._end_for)
        return turn

    def _end_for(self, limit: str, pidfd: int) -> None:
        """Kill the program for its time, in the thread that keeps it; what it has started is killed after it."""
        import _signal

        from ..state import exit_status

        if exit_status.has_ended(pidfd):
            return
        self._late = limit
        try:
            _signal.pidfd_send_signal(pidfd, SIGKILL)
        except (ProcessLookupError, PermissionError):
            # It has ended meanwhile, or the caller may not: then the loop finds its time over.
            self._late = ""

    def go_on(self) -> int:
        """Watch the program, remove the container: DONE; or WAIT for `fileno`, OUTPUT to `take`, SERVED, of
        `host_side`.
        """
        session = self._open
        while True:
            try:
                turn = session.go_on()
            except BaseException as error:
                failure = self._failed(session, error)
                if failure is error:
                    raise
                raise failure from None
            if turn != host_side.LATE:
                return turn
            if session.side.native.allowed:
                raise HostError(
                    f"the program does not end within {KILL_LIMIT:.0f} s of SIGKILL",
                    remedy="it may wait for a device or a file system",
                )
            self.kill()
            session.side.allow(KILL_LIMIT)

    def _failed(self, session: Session, error: BaseException) -> BaseException:
        """Return what to tell the user.  A container that was not created is taken back, and gone."""
        if session.created:
            return session.why(error)
        self._session = None
        failure = session.fail(error)
        if isinstance(failure, HookError):
            create.stopped(session)
        return failure

    @property
    def _open(self) -> Session:
        if self._session is None:
            raise HostError("internal: the run has not begun")
        return self._session

    def fileno(self) -> int:
        """Return a descriptor that is ready when `go_on` has something to do."""
        return int(self._open.side.native.epoll)

    def kill(self) -> None:
        """Send SIGKILL to the program, and to everything in a container of its own."""
        import _signal

        session = self._open
        self._kill(session)
        try:
            _signal.pidfd_send_signal(session.helper.pidfd, _signal.SIGKILL)
        except ProcessLookupError:
            pass
        except OSError as error:
            raise HostError.from_os(f"kill {session.helper.pid}", error, call="pidfd_send_signal") from None

    def take(self) -> list[tuple[str, Any]]:
        """Return the output that has come: name of the stream, bytes, or text where that is asked for."""
        pieces, native_output = self._pieces, self._open.side.fresh()
        if pieces is None:
            return []
        found = [(STREAMS[number], pieces.of(number, data)) for number, data in native_output]
        return [(name, piece) for name, piece in found if piece]

    def take_last(self) -> list[tuple[str, Any]]:
        """Return what `take` has kept back, as it was no whole letter."""
        pieces = self._pieces
        if pieces is None:
            return []
        found = [(name, pieces.of(number, b"", final=True)) for number, name in enumerate(STREAMS)]
        return [(name, piece) for name, piece in found if piece]

    def outcome(self) -> Outcome:
        """Return what became of the program, once all is DONE.  Raises OutcomeError where that is to be checked."""
        session = self._open
        native = session.side.native
        (out, out_cut), (err, err_cut) = session.side.output(0), session.side.output(1)
        usage = self._usage(session)
        self._removed = self._is_removed(session)
        ended = os.waitstatus_to_exitcode(native.status & 0xFFFF)
        encoding = self.terms.encoding
        written = self._written(session)
        found = Outcome(
            ended=ended,
            limit=self._limit(session, ended, usage),
            seconds=native.nanoseconds / 1e9,
            stdout=out.decode(encoding, "replace") if encoding else out,
            stderr=err.decode(encoding, "replace") if encoding else err,
            stdout_cut=out_cut,
            stderr_cut=err_cut,
            usage=usage,
            learned=session.learning.learned() if session.learning is not None else None,
            resident=native.resident,
            changes=written.changes() if written is not None else None,
            full=written is not None and written.is_full(),
        )
        if written is not None and (self._keep or self._commit):
            found.left_out = written.take_over(self._keep, commit=self._commit and found.ok)
        if self.terms.check and not found.ok:
            raise OutcomeError.of(found)
        return found

    @property
    def has_written(self) -> bool:
        """Whether `outcome` has a file system to read, which may take its time."""
        return self._session is not None and self._session.side.native.upper >= 0

    def _written(self, session: Session) -> Written | None:
        """Return what has been written into a root file system that is thrown away; None for any other."""
        if not self.has_written:
            return None
        from .written import Written

        record = session.record  # with it comes the config
        return Written(session.side.native.upper, session.made["config"], record.rootfs)

    def _limit(self, session: Session, ended: int, usage: dict[str, int]) -> str:
        """Return the limit that has ended the program, "" for none."""
        why, cpu_time = session.side.native.late, self.terms.cpu_time
        if found := _ENDS[why] if why else self._late:
            return found
        # Whoever has used it up just before the next look at it has used it up.
        if cpu_time is not None and usage.get("cpu_ns", 0) >= cpu_time * 1e9:
            return outcomes.CPU
        if ended == 0:
            return ""
        limited = resources_of(session) if ended in outcomes.OF_RESOURCES else ()
        return outcomes.limit_of(ended, usage, limited)

    def close(self) -> None:
        """Kill what still runs, remove the container, close all descriptors."""
        session, self._session = self._session, None
        if session is None:
            return
        try:
            if self._removed:
                session.close()
            else:
                self._remove(session)
        finally:
            if self._watched is not None:
                self._watched.acquire(timeout=KILL_LIMIT)

    def _what_follows(self, session: Session) -> encode.AfterStart:
        return session.plan_after_start()

    def _kill(self, session: Session) -> None:
        session.adopt_groups()
        session.groups().kill(SIGKILL)

    def _usage(self, session: Session) -> dict[str, int]:
        texts = session.side.usage_texts()
        if texts:
            return session.usage_from(texts)
        session.adopt_groups()
        return session.groups().usage()

    def _is_removed(self, session: Session) -> bool:
        """Return whether nothing is left of it."""
        native = session.side.native
        return _all_in_c(session) and not native.unread and not native.left

    def _remove(self, session: Session) -> None:
        # In C first: it needs no descriptors, and whoever is torn out of it leaves the rest to the end of the object.
        side = session.side
        if _all_in_c(session) and not side.take_back():
            session.close()
            return
        session.adopt_groups()
        side.commit()
        session.close()
        run.remove(self._root, session.record, session.cgroup)


def _all_in_c(session: Session) -> bool:
    """Return whether the host's side has made all of the container, and so can take it back."""
    course = session.after_start
    return course is not None and course.removes and not session.side.native.asked
