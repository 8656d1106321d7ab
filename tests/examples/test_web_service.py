"""examples/web_service.py: answers, limits of requests, and its end."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys

import pytest

from .conftest import ENVIRONMENT, EXAMPLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


class Service:
    """The service as a process."""

    def __init__(self, rootfs: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, EXAMPLES / "web_service.py", rootfs, "0"],
            env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout
        self.address = ("127.0.0.1", int(self.process.stdout.readline().split()[1]))

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=60)

    def ask(self, script: bytes) -> tuple[int, Any]:
        return answer(self.connect(), request(script))

    def end(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        said = self.process.communicate(timeout=60)[1]
        return self.process.returncode, said


def request(script: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n%s" % (len(script), script)


def answer(connection: socket.socket, sent: bytes) -> tuple[int, Any]:
    with connection, connection.makefile("rb") as stream:
        connection.sendall(sent)
        head, _, body = stream.read().partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body)


@pytest.fixture
def service(rootfs: str) -> Iterator[Service]:
    made = Service(rootfs)
    yield made
    assert made.end() == (0, "")


def test_answers(service: Service) -> None:
    assert service.ask(b"echo hello; exit 3") == (
        200,
        {"exit_code": 3, "signal": None, "limit": "", "stdout": "hello\n", "stderr": ""},
    )


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: here\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nec",  # and no more for so long
        b"x" * 8193,
    ],
)
def test_bad_requests(service: Service, sent: bytes) -> None:
    assert answer(service.connect(), sent)[0] == 400


def test_hostile_scripts(service: Service) -> None:
    assert service.ask(b"b() { b | b & b; }; b")[0] == 200
    status, told = service.ask(b"yes")
    assert (status, told["limit"], len(told["stdout"])) == (200, "time", 65536)
    assert service.ask(b"cat /dev/zero >/tmp/fill")[1]["exit_code"] != 0
    assert service.ask(b"echo on")[1]["stdout"] == "on\n"


def test_too_many_at_once(service: Service) -> None:
    waiting = [service.connect() for _ in range(8)]
    refused = service.connect()
    assert answer(refused, b"")[0] == 503
    for connection in waiting:
        assert answer(connection, request(b"echo on"))[1]["stdout"] == "on\n"
    assert service.ask(b"echo on")[0] == 200


def test_its_end_waits_for_those_that_have_begun(rootfs: str) -> None:
    service = Service(rootfs)
    first = service.connect()
    with first, first.makefile("rb") as stream:
        first.sendall(request(b"sleep 2; echo done"))
        assert service.ask(b"echo on")[0] == 200  # the first one was taken before
        service.process.send_signal(signal.SIGTERM)
        assert json.loads(stream.read().partition(b"\r\n\r\n")[2])["stdout"] == "done\n"
    assert service.end() == (0, "")
