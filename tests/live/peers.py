"""What sits at the other end of the runtime's sockets: engines that wait for a console, systemd's notify socket."""

from __future__ import annotations

import array
import fcntl
import os
import pty
import select
import socket
import struct
import termios
import time
import tty

import waiting

from . import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class ConsoleSocket:
    """An engine's console socket: takes one connection, and one message with one descriptor."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(path)
        self.socket.listen(1)
        self.socket.settimeout(5)

    def receive(self) -> tuple[bytes, list[int]]:
        """Accept and read one message; gives its payload and descriptors."""
        connection, _ = self.socket.accept()
        with connection:
            connection.settimeout(5)
            room = socket.CMSG_SPACE(4 * 8)
            payload, ancillary, _, _ = connection.recvmsg(4096, room)
            fds = array.array("i")
            for level, kind, data in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
            return payload, list(fds)

    def master(self) -> int:
        """Receive exactly one descriptor: the pty master."""
        payload, fds = self.receive()
        assert len(fds) == 1, f"engines take exactly one descriptor, {len(fds)} came"
        assert 0 < len(payload) < 4096, "the payload names the pty"
        return fds[0]

    def close(self) -> None:
        """Close and remove the socket."""
        self.socket.close()
        os.unlink(self.path)


def read_until(master: int, wanted: str, limit: float = 5.0, before: str = "") -> str:
    """Read a pty master until the text has come (after what was read before); fails with what came instead."""
    got = ""
    end = time.monotonic() + limit * waiting.PATIENCE
    while wanted not in before + got:
        process.reap()
        assert time.monotonic() < end, f"{wanted!r} has not come; got {got!r}"
        if select.select([master], [], [], 0.01)[0]:
            try:
                chunk = os.read(master, 65536)
            except OSError:  # EIO: the last user of the slave has gone.
                chunk = b""
            if not chunk:
                assert wanted in before + got, f"{wanted!r} has not come before the end; got {got!r}"
                break
            got += chunk.decode("utf-8", "replace")
    return got


def set_size(master: int, rows: int, columns: int) -> None:
    """TIOCSWINSZ."""
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class Terminal:
    """A command with a pty of ours as its controlling terminal, as a person would have it."""

    def __init__(
        self, argv: Sequence[str], scratch: str, rows: int = 33, columns: int = 99, *, raw: bool = False
    ) -> None:
        self.master, slave = pty.openpty()
        if raw:
            tty.setraw(slave)
        set_size(self.master, rows, columns)
        self.seen = ""
        self.before = termios.tcgetattr(slave)
        self.slave = slave

        def controlling() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process, _, _ = process.spawn(
            argv, scratch=scratch, stdin=slave, stdout=slave, stderr=slave, before=controlling
        )

    def write(self, text: str) -> None:
        """Type something."""
        os.write(self.master, text.encode())

    def expect(self, text: str, limit: float = 5.0) -> str:
        """Read until a text has come since the last expected one; gives what came before it, and it."""
        if text not in self.seen:
            self.seen += read_until(self.master, text, limit, self.seen)
        end = self.seen.index(text) + len(text)
        found, self.seen = self.seen[:end], self.seen[end:]
        return found

    def finish(self, limit: float = 10.0) -> int:
        """Wait for the command's end; gives its exit status, and checks the terminal's settings."""
        assert process.wait_end(self.process, limit), "the command did not end"
        assert termios.tcgetattr(self.slave) == self.before, "the terminal's settings are not as before"
        return self.process.returncode

    def close(self) -> None:
        """End the command if it still runs, and close the pty."""
        if self.process.poll() is None:
            self.process.kill()
            process.wait_end(self.process, 5)
        os.close(self.master)
        os.close(self.slave)
