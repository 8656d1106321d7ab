"""Routing messages of the kernel, as far as network devices and their addresses need them.

Source: rtnetlink(7), netlink(7) and the uapi headers of Linux 6.18.
"""

from __future__ import annotations

import _socket
import os
from struct import Struct

from ..._native import lib
from ...errors import errno_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# linux/rtnetlink.h
NEWLINK, GETLINK = 16, 18
NEWADDR, GETADDR = 20, 22
# linux/netlink.h
_ERROR, _DONE = 2, 3
_REQUEST, _ACK, _EXCL, _CREATE, _DUMP = 1, 4, 0x200, 0x400, 0x300
_CAPPED, _ACK_TLVS = 0x100, 0x200
_SOL_NETLINK, _EXT_ACK = 270, 11
_TYPE_MASK = 0x3FFF

_HEADER = Struct("=IHHII")
_ATTRIBUTE = Struct("=HH")
# struct ifinfomsg without type: family, index, flags, change; struct ifaddrmsg: family, prefix, flags, scope, index
LINK = Struct("=BxxxiII")
ADDRESS = Struct("=BBBBI")
U32 = Struct("=I")


class NetlinkError(OSError):
    """What the kernel answered; `said` is its own text, often more than the errno tells, or ""."""

    def __init__(self, errno: int, said: str) -> None:
        super().__init__(errno, said or errno_words(errno))
        self.said = said


class Netlink:
    """A routing socket in one network namespace.

    namespace   a descriptor of it; None: that of the calling thread
    """

    __slots__ = ("_number", "_socket")

    def __init__(self, namespace: int | None = None) -> None:
        if namespace is None:
            self._socket = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, 0)
        else:
            fd = lib.ocirun_netlink_socket(namespace)
            if fd < 0:
                raise OSError(-fd, os.strerror(-fd))
            self._socket = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, 0, fd)
        self._socket.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
        self._number = 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def ask(self, kind: int, head: bytes, attributes: dict[int, bytes] | None = None, *, dump: bool = False) -> bytes:
        """Return the first answer to a question.  Raises NetlinkError."""
        return next(iter(self._talk(kind, _REQUEST | (_DUMP if dump else 0), head, attributes or {})), b"")

    def all(self, kind: int, head: bytes) -> list[bytes]:
        """Return every answer to a question.  Raises NetlinkError."""
        return list(self._talk(kind, _REQUEST | _DUMP, head, {}))

    def change(self, kind: int, head: bytes, attributes: dict[int, bytes], *, new: bool = False) -> None:
        """Ask for a change and wait for the answer; `new`: of something that is not there yet.

        Raises NetlinkError.
        """
        for _ in self._talk(kind, _REQUEST | _ACK | (_CREATE | _EXCL if new else 0), head, attributes):
            pass

    def _talk(self, kind: int, flags: int, head: bytes, attributes: dict[int, bytes]) -> Iterator[bytes]:
        self._number += 1
        body = head + b"".join(_packed(number, value) for number, value in attributes.items())
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, self._number, 0) + body)
        many = bool(flags & (_DUMP | _ACK))
        while True:
            data = self._socket.recv(1 << 17)
            at = 0
            while at + _HEADER.size <= len(data):
                size, found, how, number, _ = _HEADER.unpack_from(data, at)
                part, at = data[at + _HEADER.size : at + size], at + max(_HEADER.size, size + 3 & ~3)
                if number != self._number:
                    continue
                if found == _ERROR:
                    _raise(part, how)
                    return
                if found == _DONE:
                    return
                yield part
                if not many:
                    return


def _packed(number: int, value: bytes) -> bytes:
    size = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(size, number) + value + b"\0" * (-size % 4)


def _raise(part: bytes, flags: int) -> None:
    """Raise the NetlinkError of an answer, with the words that the kernel adds since Linux 4.12;
    do nothing for success.
    """
    (code,) = Struct("=i").unpack_from(part)
    if code == 0:
        return
    said = ""
    if flags & _ACK_TLVS:
        (size,) = U32.unpack_from(part, 4)
        after = 4 + (_HEADER.size if flags & _CAPPED else size + 3 & ~3)
        said = attributes(part[after:]).get(1, b"").rstrip(b"\0").decode("utf-8", "replace")
    raise NetlinkError(-code, said)


def attributes(data: bytes) -> dict[int, bytes]:
    """Return the attributes in `data`, by number."""
    found = {}
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        size, number = _ATTRIBUTE.unpack_from(data, at)
        if size < _ATTRIBUTE.size:
            break
        found[number & _TYPE_MASK] = data[at + _ATTRIBUTE.size : at + size]
        at += size + 3 & ~3
    return found


def attribute_text(value: str) -> bytes:
    """Return a name as an attribute holds it."""
    return value.encode() + b"\0"
