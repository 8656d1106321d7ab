"""The live table of ``ocirun top`` on a terminal.

The terminal is the caller's: its mode, its cursor and what stood on it are
given back at the end, before a stop by ^Z, and after an error.
"""

from __future__ import annotations

import os
import select
import signal
import termios
import time

from ocirun.cli.output import encode, write_all
from ocirun.cli.top import table as top_table
from ocirun.cli.top.sampler import processors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.cli.top.sampler import Row, Sampler

# The alternate screen without a cursor, and back (xterm, ECMA-48).
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
_BOLD, _INVERSE, _PLAIN = "\x1b[1m", "\x1b[7m", "\x1b[m"
_KEYS = "q quit   sort by: c cpu  m memory  p pids  i io  n name"
_CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP, signal.SIGWINCH)


def show(sampler: Sampler, interval: float, count: int, key: str) -> None:
    """Show the table until somebody has had enough of it, or `count` times if that is not 0."""
    with _Screen() as screen:
        rows = sampler.sample()
        due = time.monotonic() + min(interval, 0.5)  # rates as soon as there can be some
        updates = 0
        while True:
            screen.draw(frame(rows, key, *screen.size()))
            typed = screen.wait(due - time.monotonic())
            if typed is None:
                return
            for letter in typed:
                if letter == "q":
                    return
                key = letter if letter in top_table.ORDERS else key
            if time.monotonic() >= due:
                rows = sampler.sample()
                due = time.monotonic() + interval
                updates += 1
                if updates == count:
                    screen.draw(frame(rows, key, *screen.size()))
                    return


def frame(rows: list[Row], key: str, columns: int, height: int) -> list[str]:
    """Return the lines of one picture: a summary, the table, how many do not fit, the keys."""
    name = top_table.ORDERS[key][0]
    table = top_table.lines(top_table.ordered(rows, key), width=columns)
    room = max(height - 3, 1)
    head, *body = table
    left = len(body) - room
    if left > 0:
        body = [*body[: room - 1], f"... and {left + 1} more"]
    title = f"ocirun  {time.strftime('%H:%M:%S')}  {top_table.summary(rows, processors())}  by {name}"
    head = f"{_INVERSE}{head.ljust(columns)[:columns]}{_PLAIN}"
    picture = [f"{_BOLD}{title[:columns]}{_PLAIN}", head, *(line[:columns] for line in body)]
    picture += [""] * (height - 1 - len(picture))
    return [*picture[: height - 1], _KEYS[:columns]] if height > 1 else picture[:1]


class _Screen:
    """The terminal in the mode of a full-screen program, and the signals that concern it."""

    def __enter__(self) -> _Screen:
        self._mode = termios.tcgetattr(0)
        reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._reader = reader
        self._handlers: dict[int, Any] = {}
        for number in _CAUGHT:
            self._handlers[number] = signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._take()
        return self

    def __exit__(self, *_: object) -> None:
        self._give_back()
        signal.set_wakeup_fd(-1)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        os.close(self._reader)
        os.close(self._writer)

    def _take(self) -> None:
        mode = termios.tcgetattr(0)
        # Letter by letter and not shown; ^C and ^Z stay what they are.
        mode[3] &= ~(termios.ICANON | termios.ECHO)
        termios.tcsetattr(0, termios.TCSADRAIN, mode)
        write_all(1, _ENTER.encode())

    def _give_back(self) -> None:
        write_all(1, _LEAVE.encode())
        termios.tcsetattr(0, termios.TCSADRAIN, self._mode)

    @staticmethod
    def size() -> tuple[int, int]:
        """Return columns and lines; 80 and 24 where the terminal does not know."""
        found = os.get_terminal_size(1)
        return found.columns or 80, found.lines or 24

    @staticmethod
    def draw(picture: list[str]) -> None:
        """Put a picture on the screen without flicker: over the old one, the rest cleared."""
        write_all(1, encode(_HOME + f"{_REST_OF_LINE}\r\n".join(picture) + _REST_OF_LINE + _REST_OF_SCREEN))

    def wait(self, seconds: float) -> str | None:
        """Wait until something is typed, the size changes or the time is over: the letters, None to end."""
        poll = select.poll()
        poll.register(0, select.POLLIN)
        poll.register(self._reader, select.POLLIN)
        ready = dict(poll.poll(max(0, int(seconds * 1000) + 1)))
        if self._reader in ready:
            for number in os.read(self._reader, 100):
                if number == signal.SIGTSTP:
                    self._stop()
                elif number != signal.SIGWINCH:
                    return None
        if ready.get(0, 0) & (select.POLLHUP | select.POLLERR):
            return None
        if 0 in ready:
            typed = os.read(0, 100)
            return typed.decode("ascii", "ignore") if typed else None
        return ""

    def _stop(self) -> None:
        """Stop for ^Z: the shell gets its terminal as it was; after `fg` we go on."""
        self._give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()
