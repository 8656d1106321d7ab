"""A foreground terminal: bytes between the caller's terminal and the container's, sizes, and the mode restored."""

from __future__ import annotations

import os
from errno import EIO

from ...errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import select
    from collections.abc import Callable
    from typing import Any

    from .interrupts import Interrupts

_CHUNK = 65536
_TIOCGWINSZ, _TIOCSWINSZ = 0x5413, 0x5414
_POLLIN, _POLLOUT, _POLLHUP = 1, 4, 16


class Relay:
    """Copies between fds 0 and 1 of this process and the terminal's master.

    The caller's terminal is in raw mode while this lives: the container's own terminal does the editing
    and the signals.  The caller's alone makes a newline a carriage return and a newline, so that output which
    goes to a file or a pipe has plain ones.  Output that cannot be written stops reading, so nothing is kept
    without bound.

    hung_up   the caller's terminal was closed
    """

    __slots__ = ("_input_open", "_interrupts", "_master", "_saved", "_size_from", "_to_master", "_to_output", "hung_up")

    def __init__(self, master: int) -> None:
        self._interrupts: Interrupts | None = None
        self.hung_up = False
        self._master = master
        self._saved: list[Any] | None = None
        self._to_master = b""
        self._to_output = b""
        self._input_open = True
        os.set_blocking(master, False)
        _set_mode(master, "container's", _leave_newlines)
        self._size_from = next((fd for fd in (0, 1, 2) if _is_tty(fd)), -1)
        if _is_tty(0):
            self._saved = _set_mode(0, "caller's", _raw)
        self.resize()

    def resize(self) -> None:
        """Give the container's terminal the size of the caller's; the kernel sends SIGWINCH."""
        if self._size_from < 0:
            return
        import fcntl

        try:
            size = fcntl.ioctl(self._size_from, _TIOCGWINSZ, b"\0" * 8)
            fcntl.ioctl(self._master, _TIOCSWINSZ, size)
        except OSError:
            pass

    def register(self, waiter: select.poll) -> None:
        """Say what to wait for, given what is still to be written."""
        master = (_POLLIN if not self._to_output else 0) | (_POLLOUT if self._to_master else 0)
        waiter.register(self._master, master)
        _set(waiter, 0, _POLLIN if self._input_open and not self._to_master else 0)
        _set(waiter, 1, _POLLOUT if self._to_output else 0)

    def serve(self, ready: dict[int, int], waiter: select.poll) -> None:
        """Copy what can be copied without waiting."""
        if self._input_open and ready.get(0, 0):
            self._to_master = self._read_input()
        if ready.get(self._master, 0) & (_POLLIN | _POLLHUP) and not self._to_output:
            self._to_output = self._read_master()
            if not self._to_output and ready[self._master] & _POLLHUP:
                # Every process has closed the terminal for now; polling it would spin.
                waiter.unregister(self._master)
                _set(waiter, 0, 0)
                return
        self._flush()
        self.register(waiter)

    def _read_input(self) -> bytes:
        try:
            data = os.read(0, _CHUNK)
        except OSError:
            data = b""
        if not data:
            self._input_open = False
            if self._saved is not None:
                self.hung_up = True  # a terminal has no other end
                return b""
            return b"\x04"  # end-of-file, as typing ^D says it
        if self._interrupts is not None:
            self._interrupts.typed(data, self._master)
        return data

    def watch(self, interrupts: Interrupts) -> None:
        """Show it what is typed."""
        self._interrupts = interrupts

    def look(self) -> None:
        """See if the caller's terminal was closed, as SIGHUP says it."""
        import termios

        try:
            if self._size_from >= 0:
                termios.tcgetattr(self._size_from)
        except termios.error as error:
            self.hung_up = error.args[0] == EIO

    def leave(self, waiter: select.poll) -> None:
        """Wait no more for either end."""
        for fd in (0, 1, self._master):
            _set(waiter, fd, 0)

    def _read_master(self) -> bytes:
        try:
            return os.read(self._master, _CHUNK)
        except OSError:  # EAGAIN, or EIO when the other side is closed
            return b""

    def _flush(self) -> None:
        if self._to_master:
            try:
                self._to_master = self._to_master[os.write(self._master, self._to_master) :]
            except BlockingIOError:
                pass
            except OSError:
                self._to_master = b""
        if self._to_output:
            try:
                self._to_output = self._to_output[os.write(1, self._to_output) :]
            except BlockingIOError:
                pass
            except OSError:
                self._to_output = b""

    def drain(self) -> None:
        """Copy the last words of a program that has ended."""
        while True:
            if not self._to_output:
                self._to_output = self._read_master()
            if not self._to_output:
                return
            self._flush()

    def close(self) -> None:
        """Restore the caller's terminal."""
        if self._saved is not None:
            import termios

            try:
                termios.tcsetattr(0, termios.TCSADRAIN, self._saved)
            except termios.error:
                pass
            self._saved = None


def _set(waiter: select.poll, fd: int, events: int) -> None:
    if events:
        waiter.register(fd, events)
    else:
        try:
            waiter.unregister(fd)
        except (KeyError, OSError):
            pass


def _is_tty(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False


def _leave_newlines(settings: list[Any]) -> None:
    """Pass newlines on as they are."""
    import termios

    settings[1] &= ~termios.ONLCR


def _raw(settings: list[Any]) -> None:
    """Set raw mode as cfmakeraw(3), but with output processing."""
    import termios

    settings[0] &= ~(
        termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON
    )
    settings[1] |= termios.OPOST
    settings[2] = (settings[2] & ~(termios.CSIZE | termios.PARENB)) | termios.CS8
    settings[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)


def _set_mode(fd: int, whose: str, change: Callable[[list[Any]], None]) -> list[Any]:
    """Change the settings of a terminal; returns the old ones.  Raises HostError."""
    import termios

    call = "tcgetattr"
    try:
        old = termios.tcgetattr(fd)
        new = list(old)
        change(new)
        call = "tcsetattr"
        termios.tcsetattr(fd, termios.TCSADRAIN, new)
    except termios.error as error:  # no OSError
        raise HostError.from_os(f"settings of the {whose} terminal", OSError(*error.args), call=call) from None
    return old
