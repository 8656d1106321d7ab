"""Containers that are made ahead: a run hands over what is to be run, and goes.

Each container waits in its init for one program, and is removed after it: no container is used twice.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from errno import EPIPE
from queue import SimpleQueue

from .._base import parameters
from .._base.boundary import methods_raise_ocirun_errors
from ..errors import OcirunError, UsageError, stays_here
from ..execute.options import CreateOptions
from ..execute.session import HelperEnded
from ..plan import encode
from ..plan.ops import FIXED_SLOTS, Plan
from ..plan.process.program import Environment, find_program
from ..state.record import PHASE_CREATED
from . import overrides, poll_loop
from .in_new_container import new_id
from .preparation import Preparation, PreparedSession
from .program_run import ProgramRun
from .terms import Terms
from .turns import Turns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Any, Never, Unpack

    from ..execute.session import Session
    from .outcome import Outcome
    from .prepared import Prepared
    from .terms import TermsOf

# How many jobs may wait for the thread of a pool, for each container that it holds ready.
_BEHIND = 4
_MAKE, _END = "make", "end"


@methods_raise_ocirun_errors
class Pool:
    """Containers of a `Prepared`, made ahead by a thread of the pool.

        with ocirun.Pool(ocirun.Prepared("/srv/bundle"), size=8) as pool:
            outcome = pool.run(["python3", "-c", "print(6 * 7)"], timeout=2.0)

    Any number of threads may run programs at once; asyncio: `aio.run(pool, args=...)`. A run that finds no container
    ready makes one itself, so that it never waits for another. One run is isolated from the next as two runs of
    `Prepared` are: by a container of its own, with its own processes, mounts, groups and limits, which was made for
    it and goes after it; they share the root file system, as far as it can be written. A container that waits holds
    about fourteen descriptors here and a small process, ends with this process, and is removed by `close`.
    In a process that was forked off the pool is another, empty one.
    """

    def __init__(self, prepared: Prepared, size: int = 4, *, limit: int | None = None) -> None:
        """Make the first containers, in the background.

        prepared  what they are made of, with its root; it needs an init, so a pid namespace of its own
        size      how many are to be ready
        limit     the most runs at once; more wait for their turn. None: no limit
        Raises UnsupportedError, UsageError, HostError.
        """
        if prepared.learn:
            raise UsageError(
                "prepared: is for learning runs; a container of a pool has its filter before it has a program",
                remedy="run it by itself: Prepared.run",
            )
        parameters.whole("size", size)
        parameters.optional("limit", limit)
        options = CreateOptions(
            activation=False, init=True, bound=True, ahead=True, cgroup_manager=prepared.cgroup_manager
        )
        self.root = prepared.root
        self._base = prepared.base
        self._preparation = Preparation(self._base, prepared.root, options, keeps_session=True)
        self._size = size
        self._limit = limit
        self._open = True
        # By the process: that of a parent is none of ours, nor are the turns that threads of the parent have taken.
        self._shelves = {os.getpid(): _Shelf(self._preparation, size, limit)}
        self._end = weakref.finalize(self, _close, self._shelves)

    def run(
        self,
        args: Sequence[str] | None = None,
        *,
        env: Mapping[str, str] | None = None,
        **terms: Unpack[TermsOf],
    ) -> Outcome:
        """Run one program in a container that was made ahead, and remove the container.

        The parameters, their units and the errors are those of `ocirun.run`. What else belongs to a container (mounts,
        limits, directory) is that of the `Prepared`.
        """
        turns = self.turns
        if turns is None:
            return self._run(args, env, Terms(**terms))
        with turns:
            return self._run(args, env, Terms(**terms))

    def _run(self, args: Sequence[str] | None, env: Mapping[str, str] | None, terms: Terms) -> Outcome:
        making = self.factory(args, env)
        while True:
            program_run = self.new_run(terms)
            try:
                return poll_loop.watch(program_run, making)
            except OcirunError:
                if not program_run.died_waiting:
                    raise

    @property
    def turns(self) -> Turns | None:
        """What a run acquires where there is a limit."""
        return self._current().turns

    def new_run(self, terms: Terms) -> PooledRun:
        """Return the course of one run, for whoever watches it."""
        return PooledRun(self.root, terms, self._current())

    def factory(self, args: Sequence[str] | None, env: Mapping[str, str] | None) -> _Factory:
        """Return what gives a container its program; what is wrong with the parameters is raised here."""
        config, _ = overrides.with_overrides(self._base, args=args, env=env)
        process: Any = config.data.get("process") or {}
        return _Factory(self._current(), list(process.get("args") or ()), process.get("env"))

    @property
    def ready(self) -> int:
        """How many containers wait for a program."""
        return len(self._current().ready)

    @property
    def problem(self) -> Exception | None:
        """Why the last container that should have been made ahead, or removed, was not; None where all were."""
        return self._current().problem

    def close(self) -> None:
        """Remove the containers that wait; runs that are under way go on.  Raises HostError where one is left."""
        self._open = False
        self._end.detach()
        _close(self._shelves)

    def _current(self) -> _Shelf:
        if not self._open:
            raise UsageError("the pool is closed")
        pid = os.getpid()
        found = self._shelves.get(pid)
        if found is None:
            # No lock, which a fork in another thread could leave locked: of two threads one has its own taken.
            made = _Shelf(self._preparation, self._size, self._limit)
            found = self._shelves.setdefault(pid, made)
            if found is not made:
                made.close()
            for other in list(self._shelves):
                if other != pid:
                    self._shelves.pop(other, None)
        return found

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        shelf = self._shelves.get(os.getpid())
        return f"<Pool size={self._size} ready={len(shelf.ready) if shelf else 0}{'' if self._open else ' closed'}>"

    def __reduce__(self) -> Never:
        """Raise UsageError."""
        raise stays_here("a Pool", "make one in each process; one that was forked off has a pool of its own already")


def _close(shelves: Mapping[int, _Shelf]) -> None:
    for shelf in list(shelves.values()):
        shelf.close()


class _Shelf:
    """The containers that are ready, and the thread that makes them and removes what was used.

    It knows nothing of its pool, which may be forgotten: then it is closed.
    """

    def __init__(self, preparation: Preparation, size: int, limit: int | None) -> None:
        self.pid = os.getpid()
        self.turns = Turns(limit) if limit is not None else None
        self.ready: deque[PreparedSession] = deque()
        self.preparation = preparation
        self._size = size
        self._jobs: SimpleQueue[PreparedSession | str] = SimpleQueue()
        self._lock = threading.Lock()
        self._open = True
        self.problem: Exception | None = None
        self._jobs.put(_MAKE)
        self._thread = threading.Thread(target=self._work, name="ocirun-pool", daemon=True)
        self._thread.start()

    def take(self) -> tuple[PreparedSession, bool]:
        """Return a container that waits for a program, from now on the caller's; and whether it was ready."""
        try:
            session = self.ready.popleft()
        except IndexError:
            return self._make(), False
        self._jobs.put(_MAKE)
        return session, True

    def give(self, session: PreparedSession) -> None:
        """Take a container whose program has ended, to be removed."""
        if self._jobs.qsize() > _BEHIND * self._size or not self._open:
            _remove(session)
        else:
            self._jobs.put(session)

    def _make(self) -> PreparedSession:
        session = self.preparation.ahead(new_id())
        session.after_start = session.plan_after_start()
        try:
            session.go_on()
        except BaseException as error:
            failure = session.fail(error)
            if failure is error:
                raise
            raise failure from None
        session.side.let_go()
        return session

    def _work(self) -> None:
        while (job := self._jobs.get()) is not _END:
            try:
                if not isinstance(job, str):
                    _remove(job)
                # As many as are wanting, whatever the job was: one may have been lost with an exception of a handler.
                while self._open and len(self.ready) < self._size and self._jobs.empty():
                    self.ready.append(self._make())
            except Exception as error:
                # Whoever finds none ready makes one, and meets the error that there is then.
                self.problem = error

    def close(self) -> None:
        """Remove everything that waits, and end the thread."""
        if self.pid != os.getpid():
            return
        with self._lock:
            if not self._open:
                return
            self._open = False
        self._jobs.put(_END)
        if threading.current_thread() is not self._thread:
            self._thread.join()
        while not self._jobs.empty():
            job = self._jobs.get()
            if not isinstance(job, str):
                _remove(job)
        while self.ready:
            # What is not committed goes with it.
            self.ready.popleft().close()


def _remove(session: PreparedSession) -> None:
    session.side.native.go = 2
    session.go_on()
    session.close()


class _Factory:
    """Takes a container and gives it a program."""

    def __init__(self, shelf: _Shelf, args: list[str], env: list[str] | None) -> None:
        self._shelf = shelf
        self._args = args
        op = find_program(args, Environment(env))
        self._program = encode.encode(Plan([op], list(FIXED_SLOTS), len(FIXED_SLOTS), [], []))

    def __call__(self) -> PreparedSession:
        session, was_ready = self._shelf.take()
        session.was_ready = was_ready
        session.args = self._args
        native = session.side.native
        native.program, native.program_size = session.side.lend(self._program), len(self._program)
        native.stream_uid = self._shelf.preparation.stream_uid()
        return session


class PooledRun(ProgramRun):
    """The course of a program that is handed to a container made ahead.

    died_waiting   the container had ended before it was given the program
    """

    def __init__(self, root: str, terms: Terms, shelf: _Shelf) -> None:
        super().__init__(root, terms)
        self._shelf = shelf
        self.died_waiting = False

    def _what_follows(self, session: Session) -> encode.AfterStart:
        return session.after_start or encode.AfterStart()

    def _failed(self, session: Session, error: BaseException) -> BaseException:
        ready = isinstance(session, PreparedSession) and session.was_ready
        ended = isinstance(error, HelperEnded) or (isinstance(error, OcirunError) and error.errno == EPIPE)
        # What it was sent it had not taken.
        self.died_waiting = ready and ended and session.helper.progress().phase <= PHASE_CREATED
        return super()._failed(session, error)

    def close(self) -> None:
        """Do the same as `ProgramRun.close`; what is only to be removed goes to the thread that does that."""
        session = self._session
        if self._removed and isinstance(session, PreparedSession):
            self._session = None
            self._shelf.give(session)
        else:
            super().close()
