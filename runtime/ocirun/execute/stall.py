"""A helper that does not answer: what holds it up, and when to stop waiting.

While `exec` joins a container, the inhabitants can see the helper.  One of the
same user can stop it, a full memory limit can hold it, a pause can freeze it.
"""

from __future__ import annotations

import time
from _signal import SIGHUP, SIGINT, SIGQUIT, SIGTERM

from ..errors import HostError, StateError, option
from ..state import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..cgroup.driver import Driver
    from ..plan.ops import Plan
    from .spawn import Helper
    from .streams.forwarder import Forwarder


def paused() -> StateError:
    """Return the error of a container that is paused; engines match the words."""
    text = f"cannot exec in a paused container (use {option('ignore-paused')} to override)"
    return StateError(text, status=record.PAUSED)


# Seconds. A stop by a debugger of the host is over sooner; one by an inhabitant need not end at all.
_STOPPED_LIMIT = 2.0
# Seconds without a new operation. Far more than a busy machine or a slow disk needs for one of them.
_SILENT_LIMIT = 30.0
# Seconds. The end of the last process of a helper is seen at once, by its socket.
_ENDED_LIMIT = 10.0
# There is no program yet that could take them.
_ENDING = (SIGHUP, SIGINT, SIGQUIT, SIGTERM)


class Stall:
    """Asked again and again while the helper is silent; raises when waiting has no sense any more.

    plan            that is carried out
    cgroup          of the container
    signals         the caller's signals, or None where they have their own effect
    ignore_paused   a frozen container is waited for
    """

    __slots__ = ("_cgroup", "_ended", "_index", "_moved", "_plan", "_signals", "_stopped", "ignore_paused")

    def __init__(self, plan: Plan, cgroup: Driver, signals: Forwarder | None, *, ignore_paused: bool) -> None:
        self._plan = plan
        self._cgroup = cgroup
        self._signals = signals
        self.ignore_paused = ignore_paused
        self._index = -1
        self._moved = self._stopped = self._ended = 0.0

    def __call__(self, helper: Helper) -> bool:
        """Return False when the helper has ended, and no other process goes on in its place.

        Raises StateError when the container was paused meanwhile, HostError on a signal of the caller and
        for a helper that stays stopped, StepError for one that does not get on.
        """
        for number in self._signals.peek() if self._signals else ():
            if number in _ENDING:
                raise HostError(f"given up by signal {number} before the program ran")
        letter, _ = record.process_stat(helper.pid)
        now = time.monotonic()
        if letter in ("", "Z", "X", "x"):
            # The first of two processes ends as soon as it has forked the second, of which we hear only then.
            self._ended = self._ended or now
            return now - self._ended <= _ENDED_LIMIT
        self._ended = 0.0
        if self._cgroup.frozen():
            if not self.ignore_paused:
                raise paused()
            self._index = -1
            self._stopped = 0.0
            return True
        self._refuse_stop(letter, now)
        index = helper.progress().index
        if index != self._index:
            self._index, self._moved = index, now
        elif now - self._moved > _SILENT_LIMIT:
            from . import report

            raise report.silent(self._plan.ops[index], index, _SILENT_LIMIT)
        return True

    def _refuse_stop(self, letter: str, now: float) -> None:
        if letter not in ("T", "t"):
            self._stopped = 0.0
        elif not self._stopped:
            self._stopped = now
        elif now - self._stopped > _STOPPED_LIMIT:
            raise HostError(
                "the init helper was stopped by another process",
                remedy="a process of the container may have sent it SIGSTOP or may trace it",
            )
