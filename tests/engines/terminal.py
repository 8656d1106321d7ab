"""A person's terminal with a command in it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .machine import Machine


class Terminal:
    """A pseudo-terminal that a command inside a machine has as its controlling terminal."""

    def __init__(self, machine: Machine, *argv: str, rows: int = 24, columns: int = 80) -> None:
        self._master, slave = pty.openpty()
        self.shown = ""
        self.resize(rows, columns)

        def take() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            machine.words(argv),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**machine.environment, "TERM": "xterm"},
            preexec_fn=take,
        )
        os.close(slave)

    def resize(self, rows: int, columns: int) -> None:
        """Change the window size, as a terminal emulator does."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def follows(self, rows: int, columns: int) -> None:
        """Fail unless a shell in it sees a new size; a command that starts may miss the first signal about it."""
        for _ in range(20):
            self.resize(rows + 1, columns)
            self.resize(rows, columns)
            self.type("stty size\n")
            try:
                self.expect(f"{rows} {columns}", 1)
            except AssertionError:
                continue
            return
        raise AssertionError(f"does not become {rows} {columns}: {self.shown!r}")

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def press(self, *keys: str) -> None:
        """Press keys one after the other, as a person does: podman takes those that come together for pasted text."""
        for key in keys:
            self.type(key)
            time.sleep(0.2)

    def expect(self, text: str, limit: float = 60) -> str:
        """Wait until a text is shown; what comes after it is looked at next time."""
        end = time.monotonic() + limit
        while text not in self.shown:
            assert self._read(end - time.monotonic()), f"{text!r} is not shown: {self.shown!r}"
        before, _, self.shown = self.shown.partition(text)
        return before

    def wait(self, limit: float = 60) -> int:
        """Wait for the end of the command; its exit status."""
        end = time.monotonic() + limit
        while self._read(end - time.monotonic()):
            pass
        try:
            return self.process.wait(max(0.1, end - time.monotonic()))
        finally:
            os.close(self._master)

    def _read(self, seconds: float) -> bool:
        if not select.select([self._master], [], [], max(0, seconds))[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # EIO: nobody has the other side open
            return False
        self.shown += data.decode("utf-8", "replace")
        return bool(data)
