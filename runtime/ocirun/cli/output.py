"""Writing to descriptors 1 and 2, past the buffers and codecs of ``sys.stdout``.

Locale, closed descriptors and file names that are not UTF-8 cannot make these
functions fail in a way of their own.
"""

from __future__ import annotations

import errno
import os

from ocirun.errors import HostError, UsageError

#: Logs that are no files: see `log_sockets`.
SOCKETS = ("journald:", "syslog:")

_ESCAPES = {"\a": "\\a", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\v": "\\v", "\f": "\\f", "\r": "\\r"}


class OutputClosedError(Exception):
    """Nobody reads standard output any more."""


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`, also to a pipe that is full and non-blocking.  Raises OSError."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            import select

            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            poll.poll()


def log_destination(given: str) -> str:
    """Return where records go, as `--log` has it: a path, "" for standard error, or what begins with one of SOCKETS."""
    path = given.removeprefix("file:")
    if path != given and path.startswith(SOCKETS):
        path = f"./{path}"
    # /dev/stderr cannot be opened where it is a socket, as under a service manager.
    return "" if path == "/dev/stderr" else path


def open_log(path: str) -> int:
    """Return a descriptor for records at the end of the log.  Raises OSError, ValueError for a NUL in the path.

    O_NONBLOCK so that a FIFO without a reader fails (ENXIO, fifo(7)) instead of waiting for one.
    """
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY, 0o644)


def check_log(path: str) -> None:
    """Open the log and close it: who asks for one is to know before anything is done.

    path   as `log_destination` returns it
    Raises HostError, UsageError.
    """
    if not path:
        return
    call, remedy = "open", ""
    try:
        if path.startswith(SOCKETS):
            from ocirun.cli import log_sockets

            call, remedy = "connect", f"there must be a listener at {log_sockets.socket_of(path)}"
            log_sockets.check(path)
        else:
            os.close(open_log(path))
    except OSError as error:
        # A symbol in place of words: "no such file or directory" here would pass for a missing program.
        number = error.errno or 0
        symbol = errno.errorcode.get(number, str(number))
        raise HostError(f"cannot open the log {path}: {symbol}", call=call, errno=number, remedy=remedy) from None
    except ValueError:
        raise UsageError(f"cannot open the log {path!a}: the path holds a NUL character") from None


def out(text: str) -> None:
    """Print `text` on standard output, bytes of file names as they were.

    Raises OutputClosedError when the reader has gone, HostError when the write fails otherwise.
    """
    try:
        write_all(1, encode(text))
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise OutputClosedError from None
        raise HostError.from_os("write to standard output", error, call="write") from None


def encode(text: str) -> bytes:
    """Return `text` as UTF-8; escaped bytes of file names (PEP 383) come back, other lone surrogates are spelt out."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


def visible(text: str) -> str:
    """Return `text` on one line and without anything that a terminal acts upon.

    Control characters, direction marks, line separators and bytes that are
    not UTF-8 become backslash escapes.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def quoted(text: str) -> str:
    """Return `text` as a string literal in double quotes, as Go's ``%q`` makes it."""
    return '"' + visible(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _escape(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, see PEP 383
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
