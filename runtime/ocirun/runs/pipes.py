"""The streams of a process that goes on by itself: pipes, and what is said through them."""

from __future__ import annotations

import os
from errno import EPIPE

from .._base import parameters
from ..errors import UsageError
from . import terms
from .terms import DEVNULL, PIPE, STDOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any

    from .terms import Output

_NAMES = ("stdin", "stdout", "stderr")
_CHUNK = 65536


class Pipes:
    """The three streams of one process: what goes to it, and our ends.

    theirs     descriptors for the process
    encoding   of text, "" for bytes
    """

    def __init__(self, streams: tuple[Output, Output, Output], text: bool | str) -> None:
        """Open them; None is this process's own stream.  Raises UsageError, OSError."""
        self.encoding = terms.encoding(text)
        given = [_given(name, value) for name, value in zip(_NAMES, streams, strict=True)]
        self.theirs: list[int] = []
        self._opened: list[int] = []
        self._ours = [-1, -1, -1]
        self._files: list[IO[Any] | None] = [None, None, None]
        try:
            for number, fd in enumerate(given):
                self.theirs.append(self._open(number, fd))
        except BaseException:
            self.let_go()
            self.close()
            raise

    def _open(self, number: int, given: int) -> int:
        if given == STDOUT:
            return self.theirs[1]
        if given == DEVNULL:
            fd = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
            self._opened.append(fd)
            return fd
        if given != PIPE:
            return given
        reader, writer = os.pipe2(os.O_CLOEXEC)
        there, self._ours[number] = (reader, writer) if number == 0 else (writer, reader)
        self._opened.append(there)
        return there

    def let_go(self) -> None:
        """Close what the process has now."""
        while self._opened:
            os.close(self._opened.pop())

    def files(self) -> list[IO[Any] | None]:
        """Return our ends as files, None for what is no pipe."""
        for number, fd in enumerate(self._ours):
            if fd >= 0 and self._files[number] is None:
                self._files[number] = _file(fd, number, self.encoding)
        return self._files

    def detach(self) -> list[IO[bytes] | None]:
        """Return our ends, of bytes, as files without a buffer, which are the caller's from now on."""
        found: list[Any] = [None if file is None else file.detach() for file in self.files()]  # type: ignore[attr-defined]
        self._ours, self._files = [-1, -1, -1], [None, None, None]
        return found

    def close(self) -> None:
        """Close our ends."""
        for number, fd in enumerate(self._ours):
            file = self._files[number]
            try:
                if file is not None:
                    file.close()
                elif fd >= 0:
                    os.close(fd)
            except BrokenPipeError:
                pass  # what was not written yet, and nobody reads any more
            self._ours[number] = -1


def _given(name: str, value: object) -> int:
    if value is None:
        return _NAMES.index(name)
    if isinstance(value, int) and not isinstance(value, bool) and value in (PIPE, DEVNULL):
        return value
    if name != "stdin":
        return terms.output(name, value)
    return terms.descriptor(name, value, "an open file, PIPE, DEVNULL, or None")


def _file(fd: int, number: int, encoding: str) -> IO[Any]:
    import io

    plain: Any = os.fdopen(fd, "wb" if number == 0 else "rb")
    if not encoding:
        return plain  # type: ignore[no-any-return]
    # As subprocess has it: what is written goes on to the buffer, and that when it is flushed.
    errors = "strict" if number == 0 else "replace"
    return io.TextIOWrapper(plain, encoding=encoding, errors=errors, newline="", write_through=number == 0)


def of_stdio(stdio: object) -> tuple[int, int, int]:
    """Return three descriptors of the caller's.  Raises UsageError."""
    if not isinstance(stdio, (list, tuple)) or len(stdio) != 3:
        raise parameters.wrong("stdio", "three descriptors", stdio)
    first, second, third = (terms.descriptor("stdio", one, "three descriptors") for one in stdio)
    return first, second, third


class Conversation:
    """What goes through the pipes of a process until its end; it can be interrupted by a time-out."""

    def __init__(self, pipes: Pipes, input: bytes | str | None) -> None:
        """Take the pipes.  Raises UsageError."""
        self._pipes = pipes
        files = pipes.files()
        if any(file is not None and file.closed for file in files[1:]):
            raise UsageError("stdout, stderr: a file of the process is closed already")
        self._left = b"" if input is None else terms.content("input", input, pipes.encoding)
        self._said: list[list[bytes]] = [[], [], []]
        self._open = [number for number in (1, 2) if files[number] is not None]

    def go_on(self, pidfd: int, timeout: float | None) -> None:
        """Write and read until the process has ended.  Raises TimeoutError."""
        import select
        import time

        parameters.seconds("timeout", timeout)
        end = None if timeout is None or timeout > 2e6 else time.monotonic() + timeout
        poll = select.poll()
        places: dict[int, int] = {}
        for number, file in enumerate(self._pipes.files()):
            if file is not None and not file.closed and (number == 0 or number in self._open):
                if number == 0:
                    self._flush(file)
                    if not self._left:
                        self._close_input(file)
                        continue
                os.set_blocking(file.fileno(), False)
                places[file.fileno()] = number
                poll.register(file.fileno(), select.POLLOUT if number == 0 else select.POLLIN)
        if pidfd >= 0:
            poll.register(pidfd, select.POLLIN)
        while True:
            ready = poll.poll(None if end is None else max(0, int((end - time.monotonic()) * 1000 + 0.999)))
            if not ready:
                raise TimeoutError(f"the process has not ended within {timeout} s")
            for fd, _ in ready:
                if fd in places and not (self._write(fd) if places[fd] == 0 else self._read(fd, places[fd])):
                    poll.unregister(fd)
                    del places[fd]
            if pidfd < 0 or any(fd == pidfd for fd, _ in ready):
                break
            if not places and pidfd < 0:
                break
        # What is there at its end; whoever else goes on writing is not waited for.
        for fd, number in places.items():
            if number:
                self._rest(fd, number)
        self._pipes.close()

    def _flush(self, file: IO[Any]) -> None:
        try:
            file.flush()
        except BrokenPipeError:
            self._left = b""

    def _close_input(self, file: IO[Any]) -> None:
        try:
            file.close()
        except BrokenPipeError:
            pass

    def _write(self, fd: int) -> bool:
        try:
            self._left = self._left[os.write(fd, self._left[:_CHUNK]) :]
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno != EPIPE:
                raise
            self._left = b""  # nobody reads it
        if not self._left:
            file = self._pipes.files()[0]
            if file is not None:
                self._close_input(file)
        return bool(self._left)

    def _read(self, fd: int, number: int) -> bool:
        try:
            piece = os.read(fd, _CHUNK)
        except BlockingIOError:
            return True
        self._said[number].append(piece)
        if not piece:
            self._open.remove(number)
        return bool(piece)

    def _rest(self, fd: int, number: int) -> None:
        import fcntl
        import struct

        left = struct.unpack("i", fcntl.ioctl(fd, 0x541B, bytes(4)))[0]  # FIONREAD, ioctl_tty(2)
        while left > 0:
            piece = os.read(fd, min(left, _CHUNK))
            if not piece:
                return
            self._said[number].append(piece)
            left -= len(piece)

    def said(self) -> tuple[Any, Any]:
        """Return what has come of standard output and error, None for what is no pipe."""
        files, encoding = self._pipes.files(), self._pipes.encoding
        found: list[Any] = [None, None]
        for number in (1, 2):
            if files[number] is not None:
                raw = b"".join(self._said[number])
                found[number - 1] = raw.decode(encoding, "replace") if encoding else raw
        return found[0], found[1]
