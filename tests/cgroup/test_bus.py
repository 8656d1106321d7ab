"""D-Bus: where systemd is looked for, calls, the end of jobs, and whatever else may be at the other end."""

from __future__ import annotations

import os
import random
import socket

import pytest

from ocirun.cgroup.systemd import bus as buses
from ocirun.cgroup.systemd.bus import Bus, BusError, addresses
from ocirun.errors import HostError, UnsupportedError

from .fake_systemd import FakeSystemd, Refusal, message_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def systemd(open_directory: Path) -> Iterator[FakeSystemd]:
    made = FakeSystemd(str(open_directory / "bus"))
    yield made
    made.close()


def connect(systemd: FakeSystemd, *, is_bus: bool = True, limit: float = 5.0) -> Bus:
    return Bus([("/nonexistent/bus", True), (systemd.path, is_bus)], limit=limit)


def test_addresses_of_the_system_are_fixed() -> None:
    environ = {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/evil", "XDG_RUNTIME_DIR": "/evil"}
    found = addresses(user=False, environ=environ, uid=0)
    assert found == [("/run/dbus/system_bus_socket", True), ("/run/systemd/private", False)]


@pytest.mark.parametrize(
    ("address", "runtime", "places"),
    [
        ("", "", ["/run/user/5/bus", "/run/user/5/systemd/private"]),
        ("unix:path=/x/bus,guid=1", "/x", ["/x/bus", "/x/systemd/private"]),
        ("tcp:host=h;unix:abstract=/tmp/a%20b", "/r", ["\0/tmp/a b", "/r/bus", "/r/systemd/private"]),
        ("unix:dir=/x;nonsense", "relative", ["/run/user/5/bus", "/run/user/5/systemd/private"]),
    ],
)
def test_addresses_of_a_user(address: str, runtime: str, places: list[str]) -> None:
    environ = {"DBUS_SESSION_BUS_ADDRESS": address, "XDG_RUNTIME_DIR": runtime}
    assert [path for path, _ in addresses(user=True, environ=environ, uid=5)] == places


def test_call_and_property(systemd: FakeSystemd) -> None:
    with connect(systemd) as bus:
        assert bus.get("/org/freedesktop/systemd1", "Manager", "Version") == "252.39-1~deb12u1"
        with pytest.raises(BusError) as caught:
            bus.manager("GetUnit", "s", "no.scope")
        assert caught.value.name.endswith("NoSuchUnit") and "not loaded" in caught.value.text
    assert systemd.members() == ["Hello", "Get", "GetUnit"]


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("is_bus", [False, True])
def test_end_of_a_job(systemd: FakeSystemd, is_bus: bool, early: bool) -> None:
    systemd.early = early
    with connect(systemd, is_bus=is_bus) as bus:
        bus.subscribe()
        (job,) = bus.manager("StartTransientUnit", "ssa(sv)a(sa(sv))", "a.scope", "fail", [("PIDs", ("au", [5]))], [])
        assert bus.job(job) == "done"
    # A private connection has no bus that greets and filters.
    assert ("Hello" in systemd.members(), "AddMatch" in systemd.members()) == (is_bus, is_bus)
    assert systemd.calls[-1][1][2] == [("PIDs", ("au", [5]))]


def test_nobody_listens(open_directory: Path) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(open_directory / "dead"))
    with pytest.raises(UnsupportedError) as caught:
        Bus([("/nonexistent/bus", True), (str(open_directory / "dead"), False)])
    dead.close()
    assert "/nonexistent/bus: no such file" in caught.value.message and "connection refused" in caught.value.message
    assert "systemd_cgroup" in caught.value.remedy


def test_time_limit(systemd: FakeSystemd) -> None:
    systemd.silent = {"StopUnit"}
    with connect(systemd, limit=0.2) as bus, pytest.raises(HostError, match=r"no answer within 0.2 s; .*StopUnit"):
        bus.manager("StopUnit", "ss", "a", "replace")
    with connect(systemd, limit=0.2) as bus, pytest.raises(HostError, match=r"no answer within .* the job /j"):
        bus.job("/j")


def test_not_let_in(systemd: FakeSystemd) -> None:
    for greeting, words in (
        (b"DATA\r\nREJECTED EXTERNAL\r\n", "REJECTED"),
        (b"HTTP/1.1 400 Bad Request\r\n", "HTTP"),
        (b"x" * 10000, "without an end"),
    ):
        systemd.greeting = greeting
        with pytest.raises(HostError, match=words):
            connect(systemd)


def test_refused_greeting(systemd: FakeSystemd) -> None:
    def no(_: object) -> tuple[str, tuple[str, ...]]:
        raise Refusal("org.freedesktop.DBus.Error.LimitsExceeded", "too many\nconnections")

    systemd.answers["Hello"] = no
    with pytest.raises(HostError, match="too many connections"):
        connect(systemd)


HEAD = b"l\2\0\1"
NONSENSE = {
    "another byte order": b"x\2\0\1" + bytes(12),
    "100 MiB": HEAD + (100 << 20).to_bytes(4, "little") + bytes(8),
    "a lie about its fields": HEAD + bytes(8) + b"\xff\xff\0\0" + b"\xff" * 65536,
    "an unknown type of field": HEAD + bytes(8) + b"\x08\0\0\0" + b"\x05\x01?\0\0\0\0\0",
    "no header fields": HEAD + bytes(12),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense(systemd: FakeSystemd, name: str) -> None:
    systemd.raw = NONSENSE[name]
    with pytest.raises(HostError):
        connect(systemd, limit=0.3)


def test_answers_of_the_wrong_type(systemd: FakeSystemd) -> None:
    systemd.answers["Get"] = lambda _: ("u", (7,))
    with connect(systemd) as bus, pytest.raises(HostError, match="no value"):
        bus.get("/a", "Unit", "X")


def test_spoiled_bytes(systemd: FakeSystemd, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whatever arrives is an answer or a HostError, and never takes long.
    good = message_bytes("sa{sv}(ay)", ("text", {"a": ("t", 5), "b": ("as", ["x"])}, (b"abc",)))
    dice = random.Random(7)
    ours, theirs = socket.socketpair()
    bus = Bus.__new__(Bus)
    bus._socket, bus.place, bus._limit, bus._jobs = ours, "fuzz", 0.01, {}
    for _ in range(2000):
        raw = bytearray(good)
        for _ in range(dice.randrange(1, 6)):
            raw[dice.randrange(len(raw))] = dice.randrange(256)
        theirs.send(raw)
        bus._until = float("inf")
        ours.setblocking(True)
        monkeypatch.setattr(bus, "_exactly", lambda size, what: _take(ours, size))
        try:
            bus._note(bus._receive("it"))
        except HostError:
            pass
        _drain(ours)
    ours.close()
    theirs.close()


def _take(end: socket.socket, size: int) -> bytes:
    try:
        return end.recv(size, socket.MSG_DONTWAIT).ljust(size, b"\0")
    except BlockingIOError:
        return bytes(size)


def _drain(end: socket.socket) -> None:
    try:
        while end.recv(1 << 16, socket.MSG_DONTWAIT):
            pass
    except BlockingIOError:
        pass


def test_closed_in_the_middle(systemd: FakeSystemd) -> None:
    systemd.raw = message_bytes("s", (":1.1",), to=1)[:20]
    bus = None
    with pytest.raises(HostError, match=r"closed|no answer"):
        bus = connect(systemd, limit=0.3)
    assert bus is None


def test_no_descriptor_is_left(systemd: FakeSystemd) -> None:
    before = len(os.listdir("/proc/self/fd"))
    systemd.greeting = b"DATA\r\nREJECTED\r\n"
    for _ in range(3):
        with pytest.raises(HostError):
            connect(systemd)
    with pytest.raises(UnsupportedError):
        Bus([("/nonexistent", True)])
    assert buses.LIMIT == 30.0
    # The server's own ends are closed by its thread, in its time.
    assert len(os.listdir("/proc/self/fd")) <= before + 1
