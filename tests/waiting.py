"""Waiting with an end: a test that waits for ever uses up the time of all others, and nobody learns which it was."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType
    from typing import TypeVar

    T = TypeVar("T")

#: Factor on all limits of time but those of whole tests, for a machine that is slow, or emulated.
PATIENCE = float(os.environ.get("OCIRUN_TEST_PATIENCE") or 1)
#: Seconds; no machine is as slow as that, so what has not come by then does not come.
LIMIT = 60.0
#: Seconds that a test may take, whatever it waits for.
TEST_LIMIT = 900.0


class TooLongError(BaseException):
    """A test has used up its time.  No Exception, which what is tested may catch."""


def eventually(
    condition: Callable[[], T],
    what: str | Callable[[], str],
    limit: float = LIMIT,
    *,
    pause: float = 0.01,
    meanwhile: Callable[[], object] = lambda: None,
) -> T:
    """Wait until the condition holds, and give what it gave.

    what       what is waited for, or a function that tells it when the time is over
    limit      seconds
    pause      seconds between two looks
    meanwhile  called before each pause; may fail, to end the waiting

    Raises AssertionError with `what` at the limit.
    """
    limit *= PATIENCE
    end = time.monotonic() + limit
    while not (found := condition()):
        meanwhile()
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(pause)
    return found


def in_threads(work: Callable[[int], object], count: int) -> None:
    """Call a function in so many threads at once, each with its number, and wait for all."""
    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 5 * LIMIT * PATIENCE
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    alive = [number for number, thread in enumerate(threads) if thread.is_alive()]
    assert not alive, f"these threads have not ended: {alive}"


@contextlib.contextmanager
def ended_within(seconds: float) -> Iterator[None]:
    """Raise TooLongError where the block is by then, unless it has ended; for the main thread, which SIGALRM interrupts."""

    def over(_number: int, _frame: FrameType | None) -> None:
        raise TooLongError(f"not ended within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
