"""Descriptors for the caller's sockets."""

from __future__ import annotations

import os
import socket
import threading
import time

import pytest

from ocirun.errors import HostError
from ocirun.execute.streams import sockets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


def listen(path: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """A listener; a long path through its directory, as no socket call takes it whole."""
    server = socket.socket(socket.AF_UNIX, kind)
    directory = os.open(os.path.dirname(path), os.O_RDONLY)
    server.bind(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
    os.close(directory)
    if kind == socket.SOCK_STREAM:
        server.listen(1)
    return server


def send_and_take(path: str) -> tuple[bytes, int]:
    with listen(path) as server:
        read, write = os.pipe()
        sockets.send_descriptor(path, write, b"payload")
        os.close(write)
        connection, _ = server.accept()
        with connection:
            data, fds, _, _ = socket.recv_fds(connection, 100, 4)
        os.write(fds[0], b"x")
        assert os.read(read, 1) == b"x"
        os.close(read)
        os.close(fds[0])
        return data, len(fds)


def test_send(tmp_path: Path) -> None:
    """Nobody accepts before the message is sent: engines do so only after the runtime has ended."""
    assert send_and_take(str(tmp_path / "s")) == (b"payload", 1)


@pytest.mark.parametrize("length", [107, 108, 109, 500, 2000])
def test_long_paths(tmp_path: Path, length: int) -> None:
    path = str(tmp_path)
    while len(path) + 2 < length:
        path += "/" + "d" * min(200, length - len(path) - 3)
    os.makedirs(path, exist_ok=True)
    assert send_and_take(path + "/s") == (b"payload", 1)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "empty or abstract"),
        ("\0abstract", "empty or abstract"),
        ("/no/such/socket", "no such file"),
        ("/", "socket /"),
    ],
)
def test_wrong_paths(path: str, words: str) -> None:
    with pytest.raises(HostError, match=words):
        sockets.send_descriptor(path, 0, b"x")


def test_nobody_listens(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    listen(path).close()
    with pytest.raises(HostError, match="refused"):
        sockets.send_descriptor(path, 0, b"x")
    with listen(str(tmp_path / "d"), socket.SOCK_DGRAM), pytest.raises(HostError):
        sockets.send_descriptor(str(tmp_path / "d"), 0, b"x")


def test_listener_that_never_accepts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "_TIME_LIMIT", 0.1)
    path = str(tmp_path / "s")
    begin = time.monotonic()

    def fill() -> None:
        for _ in range(20):
            sockets.send_descriptor(path, 0, b"x")

    with listen(path), pytest.raises(HostError, match="does not accept"):
        fill()
    assert time.monotonic() - begin > 0.09, "a slow listener is waited for"


def test_listener_that_hangs_up(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with listen(path) as server:
        thread = threading.Thread(target=lambda: server.accept()[0].close())
        thread.start()
        try:
            sockets.send_descriptor(path, 0, b"x")
        except HostError:
            pass
        thread.join()


def test_descriptors_are_closed(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    test_wrong_paths("/no/such/socket", "no such")
    test_nobody_listens(tmp_path)
    assert os.listdir("/proc/self/fd") == before


def test_a_name_that_no_address_has_room_for(tmp_path: Path) -> None:
    path = f"{tmp_path}/{'s' * 120}"
    with pytest.raises(HostError, match="its name has 120 bytes") as caught:
        sockets.send_descriptor(path, 0, b"x")
    assert "at most 80 bytes" in caught.value.remedy
