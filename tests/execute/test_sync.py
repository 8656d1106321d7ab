"""The runtime's side of the sync socket, against a child that sends whatever it likes."""

from __future__ import annotations

import array
import errno
import os
import socket
import struct

import pytest

from ocirun.errors import HostError
from ocirun.execute import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Fake:
    """A helper whose other end the test holds."""

    def __init__(self) -> None:
        self.other, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.helper = spawn.Helper(0, -1, ours.detach(), -1)

    def send(self, data: bytes, *fds: int) -> None:
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.other.sendmsg([data], control)


@pytest.fixture
def fake() -> Iterator[Fake]:
    made = Fake()
    yield made
    made.helper.close()
    made.other.close()


@pytest.fixture
def descriptors(fake: Fake) -> Iterator[None]:
    """No descriptor more afterwards than before."""
    before = os.listdir("/proc/self/fd")
    yield
    assert os.listdir("/proc/self/fd") == before


def message(index: int, value: int = 0) -> bytes:
    return struct.pack("<2I", index, value)


@pytest.mark.usefixtures("descriptors")
def test_message(fake: Fake) -> None:
    fake.send(message(7, 2**32 - 1))
    assert fake.helper.hear() == (7, 2**32 - 1, -1)


@pytest.mark.usefixtures("descriptors")
def test_message_with_a_descriptor(fake: Fake) -> None:
    read, write = os.pipe()
    fake.send(message(1), write)
    heard = fake.helper.hear()
    assert heard is not None
    assert os.get_inheritable(heard[2]) is False
    os.write(heard[2], b"x")
    assert os.read(read, 1) == b"x"
    for fd in (read, write, heard[2]):
        os.close(fd)


@pytest.mark.usefixtures("descriptors")
@pytest.mark.parametrize("size", [1, 4, 7, 9, 16, 4096, 60000])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_wrong_sizes(fake: Fake, size: int, count: int) -> None:
    fake.send(b"\xff" * size, *[0] * count)
    with pytest.raises(HostError) as caught:
        fake.helper.hear()
    assert caught.value.call == "recvmsg"


@pytest.mark.usefixtures("descriptors")
@pytest.mark.parametrize("count", [2, 4, 5, 100, 253])
def test_too_many_descriptors_are_closed(fake: Fake, count: int) -> None:
    fake.send(message(1), *[0] * count)
    with pytest.raises(HostError):
        fake.helper.hear()


@pytest.mark.usefixtures("descriptors")
@pytest.mark.parametrize("count", [0, 1, 5])
def test_empty_message_is_the_end(fake: Fake, count: int) -> None:
    fake.send(b"", *[0] * count)
    assert fake.helper.hear() is None


def test_end(fake: Fake) -> None:
    fake.other.close()
    assert fake.helper.hear() is None
    with pytest.raises(HostError) as caught:
        fake.helper.answer(1)
    assert caught.value.call == "sendmsg"


def test_end_with_something_unread(fake: Fake) -> None:
    """The peer closes with our answer unread: ECONNRESET, which is an end too."""
    fake.helper.answer(1)
    fake.other.close()
    assert fake.helper.hear() is None


def test_answer(fake: Fake) -> None:
    fake.helper.answer(5, value=9)
    data, fds, _, _ = socket.recv_fds(fake.other, 100, 4)
    assert (data, fds) == (message(5, 9), [])
    fake.helper.answer(6, fd=0)
    data, fds, _, _ = socket.recv_fds(fake.other, 100, 4)
    assert data == message(6)
    assert len(fds) == 1
    os.close(fds[0])


def test_silence_is_noticed(fake: Fake) -> None:
    asked = []

    def idle(helper: spawn.Helper) -> bool:
        asked.append(helper)
        return False

    assert fake.helper.hear(idle) is None
    assert asked == [fake.helper]


@pytest.mark.parametrize("pid", [1, 2**31 - 1, 2**31, 2**32 - 1, 0])
def test_adopting_a_process_that_is_not_ours(fake: Fake, pid: int) -> None:
    """A pid in a message is a claim: what is adopted is killed when `create` fails."""
    before = fake.helper.pid, fake.helper.pidfd
    fds = os.listdir("/proc/self/fd")
    with pytest.raises(HostError):
        fake.helper.adopt(pid)
    assert (fake.helper.pid, fake.helper.pidfd) == before
    assert os.listdir("/proc/self/fd") == fds


def test_adopting_a_child(fake: Fake) -> None:
    child = os.fork()
    if not child:
        os.read(0, 0)
        os._exit(7)
    fake.helper.adopt(child)
    assert fake.helper.pid == child
    assert spawn.reap(fake.helper.pidfd) == 7


def test_reap() -> None:
    for action, code in ((lambda: os._exit(3), 3), (lambda: os.kill(os.getpid(), 15), -15)):
        child = os.fork()
        if not child:
            action()
            os._exit(99)
        fd = os.pidfd_open(child)
        assert spawn.reap(fd) == code
        with pytest.raises(HostError, match="exit status of the first process: no child processes") as caught:
            spawn.reap(fd)
        assert (caught.value.call, caught.value.errno) == ("waitid", errno.ECHILD)
        assert "SIGCHLD" in caught.value.remedy
        spawn.forget(fd)
        os.close(fd)


def test_end_kills_what_does_not_end() -> None:
    child = os.fork()
    if not child:
        import time

        time.sleep(60)
        os._exit(0)
    fd = os.pidfd_open(child)
    assert spawn.end(fd) == -9
    os.close(fd)
