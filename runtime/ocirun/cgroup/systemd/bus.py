"""A D-Bus connection to systemd: calls, answers and one kind of signal, with a time limit for each.

jeepney makes and reads the messages; the socket, the sizes and the time are
ours, as what is at the other end need not be systemd: a user's own address may
lead anywhere.  Sources: the D-Bus specification ("Authentication Protocol",
"Message Protocol"), org.freedesktop.systemd1(5).
"""

from __future__ import annotations

import os
import socket
import struct
import time

from jeepney import DBusAddress, Message, MessageType, new_method_call

from ...errors import HostError, UnsupportedError, option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

LIMIT = 30.0
# What systemd answers and signals is some hundred bytes; the specification allows 128 MiB.
_SIZE_LIMIT = 1 << 20
_LINE_LIMIT = 4096
_SYSTEM_BUS = "/run/dbus/system_bus_socket"
_SYSTEM_PRIVATE = "/run/systemd/private"
_NAME = "org.freedesktop.systemd1"
_BUS = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
_MANAGER = f"{_NAME}.Manager"
_JOBS = f"type='signal',sender='{_NAME}',interface='{_MANAGER}',member='JobRemoved',path='/org/freedesktop/systemd1'"


class BusError(Exception):
    """An error that the other end answered with: its D-Bus name, such as ``org.freedesktop.systemd1.UnitExists``."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text


def addresses(*, user: bool, environ: Mapping[str, str], uid: int) -> list[tuple[str, bool]]:
    """Return where an instance of systemd can be reached, best first: (path of a socket, it is a bus).

    The system's instance is at fixed places, whatever the environment says.  An abstract socket has a NUL in
    front.
    """
    if not user:
        return [(_SYSTEM_BUS, True), (_SYSTEM_PRIVATE, False)]
    found = [(path, True) for path in _unix_paths(environ.get("DBUS_SESSION_BUS_ADDRESS", ""))]
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if not runtime.startswith("/"):
        runtime = f"/run/user/{uid}"
    found += [(f"{runtime}/bus", True), (f"{runtime}/systemd/private", False)]
    return list(dict.fromkeys(found))


def _unix_paths(text: str) -> list[str]:
    """Return the sockets in a D-Bus address list; other transports are passed over."""
    paths = []
    for entry in text.split(";"):
        transport, _, rest = entry.partition(":")
        pairs = dict(pair.split("=", 1) for pair in rest.split(",") if "=" in pair)
        if transport == "unix" and "path" in pairs:
            paths.append(_unquoted(pairs["path"]))
        elif transport == "unix" and "abstract" in pairs:
            paths.append("\0" + _unquoted(pairs["abstract"]))
    return paths


def _unquoted(text: str) -> str:
    first, *rest = text.split("%")
    for part in rest:
        try:
            first += chr(int(part[:2], 16)) + part[2:]
        except ValueError:
            first += "%" + part
    return first


class Bus:
    """A connection.  Every method raises HostError where the other end is silent, gone or speaks no D-Bus."""

    def __init__(self, places: list[tuple[str, bool]], *, limit: float = LIMIT) -> None:
        self._limit = limit
        self._serial = 0
        self._jobs: dict[str, str] = {}
        self._subscribed = False
        self._socket, self.place, self._is_bus = _connected(places, limit)
        try:
            self._until = time.monotonic() + limit
            self._authenticate()
            if self._is_bus:
                self._call(_BUS, "Hello")
        except BusError as error:
            self.close()
            raise HostError(f"D-Bus at {self._where()}: {error.text}", call=error.name) from None
        except BaseException:
            self.close()
            raise

    def manager(self, member: str, signature: str = "", *body: Any) -> tuple[Any, ...]:
        """Return a method of systemd's manager object.  Raises BusError for an error as the answer."""
        address = DBusAddress("/org/freedesktop/systemd1", _NAME, _MANAGER)
        return self._call(address, member, signature, *body)

    def get(self, path: str, interface: str, name: str) -> Any:
        """Return a property of an object, without its type."""
        address = DBusAddress(path, _NAME, "org.freedesktop.DBus.Properties")
        answer = self._call(address, "Get", "ss", f"{_NAME}.{interface}", name)
        if len(answer) != 1 or not isinstance(answer[0], tuple) or len(answer[0]) != 2:
            raise self._nonsense(f"the property {name} has no value")
        return answer[0][1]

    def subscribe(self) -> None:
        """Ask to be told of the end of jobs; before the first job is started."""
        if self._subscribed:
            return
        if self._is_bus:
            self._call(_BUS, "AddMatch", "s", _JOBS)
        self.manager("Subscribe")
        self._subscribed = True

    def job(self, path: str) -> str:
        """Wait for the end of a job; its result, "done" or another word."""
        self._until = time.monotonic() + self._limit
        while path not in self._jobs:
            self._note(self._receive(f"the end of the job {path}"))
        return self._jobs.pop(path)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def __enter__(self) -> Bus:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _where(self) -> str:
        return self.place.replace("\0", "@")

    def _nonsense(self, what: str) -> HostError:
        return HostError(f"D-Bus at {self._where()}: what came is no answer of systemd: {what}", call="recvmsg")

    def _authenticate(self) -> None:
        """Authenticate by EXTERNAL without a name: the other end takes the credentials that the kernel tells it.

        So a user namespace, in which we have another uid than outside, does not matter.
        """
        self._send(b"\0AUTH EXTERNAL\r\nDATA\r\n")
        for wanted in (b"DATA", b"OK"):
            line = self._line()
            if line.split(b" ")[0] != wanted:
                raise HostError(
                    f"D-Bus at {self._where()}: does not let us in: {line.decode('ascii', 'replace')[:80]!a}",
                    call="recvmsg",
                    remedy="it belongs to another user" if line.startswith(b"REJECTED") else "",
                )
        self._send(b"BEGIN\r\n")

    def _line(self) -> bytes:
        line = bytearray()
        while not line.endswith(b"\r\n"):
            line += self._exactly(1, "its greeting")
            if len(line) > _LINE_LIMIT:
                raise self._nonsense("a line without an end")
        return bytes(line[:-2])

    def _call(self, address: DBusAddress, member: str, signature: str = "", *body: Any) -> tuple[Any, ...]:
        self._until = time.monotonic() + self._limit
        self._serial += 1
        serial = self._serial
        message = new_method_call(address, member, signature or None, body)
        self._send(message.serialise(serial))
        while True:
            answer = self._receive(f"the answer to {member}")
            kind = answer.header.message_type
            if kind == MessageType.signal:
                self._note(answer)
            elif answer.header.fields.get(_REPLY_SERIAL) != serial:
                continue
            elif kind == MessageType.error:
                text = answer.body[0] if answer.body and isinstance(answer.body[0], str) else ""
                raise BusError(str(answer.header.fields.get(_ERROR_NAME, "")), _one_line(text))
            else:
                return tuple(answer.body)

    def _note(self, message: Message) -> None:
        """Remember the end of a job."""
        fields = message.header.fields
        if message.header.message_type != MessageType.signal or fields.get(_MEMBER) != "JobRemoved":
            return
        body = message.body
        if fields.get(_SIGNATURE) == "uoss":
            self._jobs[body[1]] = body[3]

    def _receive(self, what: str) -> Message:
        """Return the next message."""
        head = self._exactly(16, what)
        try:
            order = {b"l": "<", b"B": ">"}[head[:1]]
            body, _, fields = struct.unpack_from(f"{order}III", head, 4)
            rest = -(-fields // 8) * 8 + body
            if rest > _SIZE_LIMIT:
                raise self._nonsense(f"a message of {rest} bytes")
            return Message.from_buffer(head + self._exactly(rest, what))
        except HostError:
            raise
        except Exception as error:  # jeepney trusts what it reads, and fails in many ways
            raise self._nonsense(f"{type(error).__name__} in a message") from None

    def _exactly(self, size: int, what: str) -> bytes:
        data = bytearray()
        while len(data) < size:
            try:
                self._socket.settimeout(max(0.001, self._until - time.monotonic()))
                part = self._socket.recv(size - len(data))
            except TimeoutError:
                raise HostError(
                    f"D-Bus at {self._where()}: no answer within {self._limit:g} s; waited for {what}",
                    call="recvmsg",
                    remedy="see `systemctl list-jobs` and the journal of systemd",
                ) from None
            except OSError as error:
                raise HostError.from_os(f"D-Bus at {self._where()}", error, call="recvmsg") from None
            if not part:
                raise HostError(
                    f"D-Bus at {self._where()}: the connection was closed; waited for {what}", call="recvmsg"
                )
            data += part
        return bytes(data)

    def _send(self, data: bytes) -> None:
        try:
            self._socket.settimeout(max(0.001, self._until - time.monotonic()))
            self._socket.sendall(data)
        except OSError as error:
            raise HostError.from_os(f"D-Bus at {self._where()}", error, call="sendmsg") from None


# Header fields by number, as the specification has them; jeepney's enumeration compares equal.
_MEMBER, _ERROR_NAME, _REPLY_SERIAL, _SIGNATURE = 3, 4, 5, 8


def _one_line(text: str) -> str:
    return " ".join(text.split())[:500]


# ENOENT, EACCES, ENOTDIR, ECONNREFUSED: nobody listens there, or not for us. Any other says nothing of systemd.
_NOBODY = (2, 13, 20, 111)


def _connected(places: list[tuple[str, bool]], limit: float) -> tuple[socket.socket, str, bool]:
    """Return the first place where somebody listens.  Raises UnsupportedError where nobody does."""
    reasons = []
    for path, is_bus in places:
        made = None
        try:
            made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            made.settimeout(limit)
            made.connect(os.fsencode(path))
            return made, path, is_bus
        except OSError as error:
            if made is not None:
                made.close()
            reason = HostError.from_os(path.replace("\0", "@"), error, call="connect")
            if error.errno not in _NOBODY:
                raise reason from None
            reasons.append(reason.message)
    raise UnsupportedError(
        f"systemd cannot be reached: {'; '.join(reasons)}",
        pointer="/linux/cgroupsPath",
        remedy="is systemd running, and for an ordinary user its user instance (`loginctl enable-linger`)? "
        f"Or leave out {option('systemd-cgroup')}",
    )
