"""A process in a container whose streams and end the event loop waits for."""

from __future__ import annotations

import asyncio
import os

from .._base.boundary import methods_raise_ocirun_errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from types import TracebackType
    from typing import IO, Any

    from ..state.usage import Usage
    from .outcome import Outcome
    from .process import Process as Plain

    Thread = Callable[[Callable[[], Any]], Awaitable[Any]]
    Wait = Callable[[int], Awaitable[None]]


@methods_raise_ocirun_errors
class Process:
    """A child of this process in a container; made by `aio.popen`.

    pid      as the host numbers it
    stdin    an `asyncio.StreamWriter` where PIPE was asked for, else None: ``write``, ``await drain()``, ``close``
    stdout, stderr   an `asyncio.StreamReader` each, likewise: ``async for line in process.stdout``

    It must be waited for.  As an asynchronous context manager it is killed at the end, with all that it has started,
    also where the task is cancelled.
    """

    __slots__ = ("_plain", "_readers", "_thread", "_wait", "pid", "stderr", "stdin", "stdout")

    def __init__(self, plain: Plain, thread: Thread, wait: Wait) -> None:
        self._plain, self._thread, self._wait = plain, thread, wait
        self._readers: list[asyncio.ReadTransport] = []
        self.pid = plain.pid
        self.stdin: asyncio.StreamWriter | None = None
        self.stdout: asyncio.StreamReader | None = None
        self.stderr: asyncio.StreamReader | None = None

    async def connect(self, limit: int) -> None:
        """Give its files to the event loop.

        limit   bytes that a reader keeps
        """
        loop = asyncio.get_running_loop()
        files = self._plain.detach()
        try:
            for number in (1, 2):
                file, files[number] = files[number], None
                if file is not None:
                    reader = await self._reader(file, limit)
                    self.stdout, self.stderr = (reader, None) if number == 1 else (self.stdout, reader)
            file, files[0] = files[0], None
            if file is not None:
                flow = asyncio.streams.FlowControlMixin(loop)
                transport, _ = await loop.connect_write_pipe(lambda: flow, file)
                self.stdin = asyncio.StreamWriter(transport, flow, None, loop)
        finally:
            for left in files:
                if left is not None:
                    left.close()

    async def _reader(self, file: IO[bytes], limit: int) -> asyncio.StreamReader:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=limit, loop=loop)
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader, loop=loop), file)
        self._readers.append(transport)
        return reader

    async def wait(self) -> int | None:
        """Wait until it has ended; result and errors are those of `Process.wait`.  A task that is cancelled only waits
        no longer.
        """
        held = self._plain.fileno()
        if held >= 0:
            held = os.dup(held)
            try:
                await self._wait(held)
            finally:
                os.close(held)
        code: int | None = await self._thread(self._plain.wait)
        return code

    async def outcome(self) -> Outcome:
        """Wait until it has ended, and return what became of it, as `Process.outcome`."""
        await self.wait()
        return self._plain.outcome()

    def kill(self, signal: int = 9) -> None:
        """Send it a signal; SIGKILL goes to all that it has started, too."""
        self._plain.kill(signal)

    def usage(self) -> Usage:
        """Return what it and all that it has started have used so far, as `Process.usage`."""
        return self._plain.usage()

    def close(self) -> None:
        """Give its streams up; it goes on."""
        if self.stdin is not None and not self.stdin.is_closing():
            self.stdin.transport.abort()
        for transport in self._readers:
            transport.close()

    async def __aenter__(self) -> Process:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._thread(self._end)
        finally:
            self.close()

    def _end(self) -> None:
        self._plain.kill()
        self._plain.wait()

    def __repr__(self) -> str:
        return repr(self._plain)


class Starting:
    """What `aio.popen` returns: to be awaited, or to be entered by ``async with``."""

    __slots__ = ("_process", "_start")

    def __init__(self, start: Callable[[], Awaitable[Process]]) -> None:
        self._start = start
        self._process: Process | None = None

    def __await__(self) -> Generator[Any, Any, Process]:
        return self._start().__await__()

    async def __aenter__(self) -> Process:
        self._process = await self._start()
        return self._process

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            await self._process.__aexit__(kind, error, trace)
