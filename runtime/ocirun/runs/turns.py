"""The turns of runs where only so many may go on at once: threads wait for one, and tasks of an event loop."""

from __future__ import annotations

from collections import deque
from threading import BoundedSemaphore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future


class Turns(BoundedSemaphore):
    """Turns to be acquired and released; a task that waits for one holds no thread, which those that run may need."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._tasks: deque[tuple[AbstractEventLoop, Future[None]]] = deque()

    def release(self, n: int = 1) -> None:
        """Give a turn back; a task that waits looks whether it gets it."""
        super().release(n)
        self._tell()

    async def take(self, loop: AbstractEventLoop) -> None:
        """Take a turn in a task of this loop, and wait for it."""
        add = self._tasks.append
        while not self.acquire(blocking=False):
            waiter = loop, loop.create_future()
            add(waiter)
            # Where one came back in between nobody was told of it.
            if self.acquire(blocking=False):
                self._leave(waiter)
                return
            try:
                await waiter[1]
            except BaseException:
                self._leave(waiter)
                raise
            add = self._tasks.appendleft  # who came later, and was quicker, has taken it: this one is the next

    def _leave(self, waiter: tuple[AbstractEventLoop, Future[None]]) -> None:
        """Wait no more; if it was told already, another one is."""
        try:
            self._tasks.remove(waiter)
        except ValueError:
            self._tell()

    def _tell(self) -> None:
        while True:
            try:
                loop, ready = self._tasks.popleft()
            except IndexError:
                return
            try:
                loop.call_soon_threadsafe(_set, ready)
            except RuntimeError:  # its loop is closed, and so nobody waits
                continue
            return


def _set(ready: Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
