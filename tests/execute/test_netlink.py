"""Routing messages: what is sent, what an answer says, with a fake kernel at the other end of the socket."""

from __future__ import annotations

import os
import socket
from struct import pack

import pytest

from ocirun.execute.net import netlink as nl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Kernel:
    """Takes the place of the socket: keeps what is sent, gives the answers in turn."""

    def __init__(self, *answers: bytes) -> None:
        self.sent: list[bytes] = []
        self.answers = list(answers)

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def recv(self, _: int) -> bytes:
        return self.answers.pop(0)


def talker(*answers: bytes) -> tuple[Any, Kernel]:
    made = nl.Netlink.__new__(nl.Netlink)
    kernel = Kernel(*answers)
    made._socket, made._number = kernel, 0  # type: ignore[assignment]
    return made, kernel


def message(kind: int, body: bytes, *, flags: int = 0, number: int = 1) -> bytes:
    return pack("=IHHII", 16 + len(body), kind, flags, number, 0) + body + b"\0" * (-len(body) % 4)


def test_attributes_are_padded_and_read_back() -> None:
    sent, kernel = talker(message(2, pack("=i", 0) + b"\0" * 16))
    sent.change(nl.NEWLINK, b"head", {3: nl.attribute_text("abc"), 49: nl.U32.pack(7)}, new=True)
    (raw,) = kernel.sent
    size, kind, flags = pack("=I", len(raw)), raw[4:6], raw[6:8]
    assert raw[:4] == size
    assert (kind, flags) == (pack("=H", 16), pack("=H", 1 | 4 | 0x600))
    assert nl.attributes(raw[20:]) == {3: b"abc\0", 49: nl.U32.pack(7)}


def test_a_dump_ends_with_done_and_other_numbers_are_not_ours() -> None:
    talk, _ = talker(
        message(20, b"one!") + message(20, b"stray", number=9),
        message(20, b"two!") + message(3, b"\0\0\0\0"),
    )
    assert talk.all(nl.GETADDR, b"") == [b"one!", b"two!"]


def test_an_error_has_the_words_of_the_kernel() -> None:
    request = b"\0" * 20
    words = pack("=HH", 4 + 6, 1) + b"right\0" + b"\0\0"
    body = pack("=iI", -22, len(request)) + request[4:] + words
    talk, _ = talker(message(2, body, flags=0x200))
    with pytest.raises(nl.NetlinkError) as caught:
        talk.change(nl.NEWLINK, b"", {})
    assert (caught.value.errno, caught.value.said) == (22, "right")


def test_a_capped_error_and_one_without_words() -> None:
    capped = pack("=i", -1) + b"\0" * 16 + pack("=HH", 4 + 3, 1) + b"no\0\0"
    talk, _ = talker(message(2, capped, flags=0x300))
    with pytest.raises(nl.NetlinkError, match="no"):
        talk.ask(nl.GETLINK, b"")
    talk, _ = talker(message(2, pack("=i", -19) + b"\0" * 16))
    with pytest.raises(nl.NetlinkError) as caught:
        talk.ask(nl.GETLINK, b"")
    assert (caught.value.errno, caught.value.said) == (19, "")


@pytest.mark.parametrize("raw", [b"", b"\x01", b"\x02\0\x01\0", b"\xff\xff\x01\0ab", b"\x05\0\x01\0x"])
def test_broken_attributes_end_the_reading(raw: bytes) -> None:
    assert isinstance(nl.attributes(raw), dict)


def test_the_loopback_device_of_this_namespace() -> None:
    for namespace in (None, os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)):
        if namespace is not None and os.geteuid():
            os.close(namespace)
            continue
        talk = nl.Netlink(namespace)
        try:
            answer = talk.ask(nl.GETLINK, nl.LINK.pack(0, 0, 0, 0), {3: nl.attribute_text("lo")})
            assert nl.LINK.unpack_from(answer)[1] == socket.if_nametoindex("lo")
        finally:
            talk.close()
            if namespace is not None:
                os.close(namespace)


def test_a_namespace_that_is_none() -> None:
    fd = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    with pytest.raises(OSError, match=r"Invalid argument|Operation not permitted"):
        nl.Netlink(fd)
    os.close(fd)
