"""A seccomp agent: takes the listeners that runtimes send, and answers what the kernel asks through them."""

from __future__ import annotations

import array
import errno
import fcntl
import json
import os
import select
import socket
import struct
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

# linux/seccomp.h: ioctl numbers, struct seccomp_notif and seccomp_notif_resp
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_QUESTION = struct.Struct("=QIIiIQ6Q")
_ANSWER = struct.Struct("=QqiI")
_CONTINUE = 1


class Agent:
    """Listens at a path, in a thread of its own, until the `with` block ends.

    answer    called with the number of a system call; gives an errno, or 0 for "go on"
    messages  what runtimes have sent, as JSON
    asked     numbers of the system calls that the kernel has asked about
    """

    def __init__(self, path: str, answer: Callable[[int], int]) -> None:
        self.path = path
        self.answer = answer
        self.messages: list[Any] = []
        self.asked: list[int] = []
        self.listeners: list[int] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(path)
        self._socket.listen(4)
        self._end, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        os.unlink(self.path)

    def stop(self) -> None:
        """Die: close all, so that the kernel answers ENOSYS itself."""
        if self._stop >= 0:
            os.close(self._stop)
            self._stop = -1
            self._thread.join(10)
            for fd in (*self.listeners, self._end):
                os.close(fd)
            self._socket.close()

    def _serve(self) -> None:
        while True:
            poller = select.poll()
            for fd in (self._end, self._socket.fileno(), *self.listeners):
                poller.register(fd, select.POLLIN)
            for fd, events in poller.poll():
                if fd == self._end:
                    return
                if fd == self._socket.fileno():
                    self._accept()
                elif events & select.POLLIN:
                    self._answer(fd)
                else:  # the last process of the filter has gone
                    self.listeners.remove(fd)
                    os.close(fd)

    def _accept(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            connection.settimeout(5)
            payload, ancillary, _, _ = connection.recvmsg(100, socket.CMSG_SPACE(32))
            fds = array.array("i")
            for level, kind, data in ancillary:
                assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
            while part := connection.recv(65536):
                payload += part
        self.listeners += fds
        self.messages.append({**json.loads(payload), "count": len(fds)})

    def _answer(self, listener: int) -> None:
        buffer = bytearray(_QUESTION.size)
        try:
            fcntl.ioctl(listener, _RECEIVE, buffer)
            ident, _, _, number, *_ = _QUESTION.unpack(buffer)
            self.asked.append(number)
            error = self.answer(number)
            reply = _ANSWER.pack(ident, 0, -error, 0 if error else _CONTINUE)
            fcntl.ioctl(listener, _SEND, bytearray(reply))
        except OSError as failure:
            if failure.errno not in (errno.ENOENT, errno.EINTR):  # the process was killed meanwhile
                raise
