"""A small server on a Unix socket that speaks D-Bus as systemd does, or as something that is not systemd."""

from __future__ import annotations

import os
import socket
import struct
import threading

from jeepney import (
    DBusAddress,
    HeaderFields,
    Message,
    MessageType,
    new_error,
    new_method_return,
    new_signal,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MANAGER = "/org/freedesktop/systemd1"
INVOCATION = bytes(range(16))


class Refusal(Exception):
    """An error answer: its D-Bus name and text."""


class FakeSystemd:
    """Accepts connections until it is closed.

    calls     (member, body) of each method that was called
    answers   member -> function of the body, in place of the usual answer: (signature, body), or Refusal
    units     names of the units that there are
    result    how each job ends
    raw       bytes sent in place of everything behind the greeting
    early     a job's end is told before the answer that names the job
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.calls: list[tuple[str, Any]] = []
        self.answers: dict[str, Callable[[Any], tuple[str, tuple[Any, ...]]]] = {}
        self.units: set[str] = set()
        self.result = "done"
        self.raw = b""
        self.greeting = b"DATA\r\nOK 0123\r\n"
        self.early = False
        self.silent: set[str] = set()
        self._serial = 100
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(path)
        self._server.listen()
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, and close every connection."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._server.close()
        for connection in self._open:
            connection.close()
        os.unlink(self.path)

    def members(self) -> list[str]:
        """The names of the methods that were called."""
        return [member for member, _ in self.calls]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._open.append(connection)
            try:
                self._serve(connection)
            except (OSError, EOFError):
                pass
            connection.close()

    def _serve(self, connection: socket.socket) -> None:
        self._read(connection, len(b"\0AUTH EXTERNAL\r\nDATA\r\n"))
        connection.sendall(self.greeting)
        if not self.greeting.startswith(b"DATA\r\nOK"):
            return
        self._read(connection, len(b"BEGIN\r\n"))
        if self.raw:
            connection.sendall(self.raw)
            connection.recv(1 << 16)
            return
        while True:
            head = self._read(connection, 16)
            body, _, fields = struct.unpack_from("<III", head, 4)
            message = Message.from_buffer(head + self._read(connection, -(-fields // 8) * 8 + body))
            self._answer(connection, message)

    def _answer(self, connection: socket.socket, message: Message) -> None:
        member = message.header.fields[HeaderFields.member]
        self.calls.append((member, message.body))
        if member in self.silent:
            return
        job = ""
        try:
            if member in self.answers:
                signature, body = self.answers[member](message.body)
            else:
                signature, body = self._usual(member, message.body)
            answer = new_method_return(message, signature or None, body)
            if signature == "o" and member in ("StartTransientUnit", "StopUnit"):
                job = body[0]
        except Refusal as refusal:
            answer = new_error(message, refusal.args[0], "s", (refusal.args[1],))
        answers = [answer]
        if job:
            address = DBusAddress(MANAGER, interface="org.freedesktop.systemd1.Manager")
            name = message.body[0]
            # One that is not ours first.
            other = new_signal(address, "JobRemoved", "uoss", (1, "/job/other", "other.service", "failed"))
            signal = new_signal(address, "JobRemoved", "uoss", (2, job, name, self.result))
            answers = [other, signal, answer] if self.early else [other, answer, signal]
        for one in answers:
            self._serial += 1
            connection.sendall(one.serialise(self._serial))

    def _usual(self, member: str, body: Any) -> tuple[str, tuple[Any, ...]]:
        if member == "Hello":
            return "s", (":1.7",)
        if member == "Get":
            values = {
                "Version": ("s", "252.39-1~deb12u1"),
                "ControlGroup": ("s", "/"),
                "InvocationID": ("ay", INVOCATION),
                "ActiveState": ("s", "active"),
            }
            return "v", (values[body[1]],)
        if member == "StartTransientUnit":
            if body[0] in self.units:
                raise Refusal("org.freedesktop.systemd1.UnitExists", f"Unit {body[0]} was already loaded.")
            self.units.add(body[0])
            return "o", ("/job/9",)
        if member == "GetUnit":
            if body[0] not in self.units:
                raise Refusal("org.freedesktop.systemd1.NoSuchUnit", f"Unit {body[0]} not loaded.")
            return "o", ("/unit/x",)
        if member == "StopUnit":
            self.units.discard(body[0])
            return "o", ("/job/10",)
        return "", ()

    @staticmethod
    def _read(connection: socket.socket, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = connection.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data


def message_bytes(signature: str, body: tuple[Any, ...], *, serial: int = 1, to: int = 1) -> bytes:
    """An answer to the call `to` as bytes, to be spoiled by a test."""
    made = new_signal(DBusAddress("/a", interface="a.b"), "C", signature, body)
    made.header.message_type = MessageType.method_return
    made.header.fields[HeaderFields.reply_serial] = to
    raw: bytes = made.serialise(serial)
    return raw
