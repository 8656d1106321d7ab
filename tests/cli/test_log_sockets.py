"""``--log journald:NAME`` and ``--log syslog:NAME``: what arrives at the sockets; and ``--log-level``."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket

import pytest

from ocirun.cli import log_sockets
from ocirun.errors import StateError, StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cli.conftest import Result
    from cli.fake import Fake

    Caller = Callable[..., Result]

KINDS = {"journald": "JOURNAL", "syslog": "SYSLOG"}


class Listener:
    """A socket of datagrams in the place of one of the host's."""

    def __init__(self, kind: str, path: str) -> None:
        self.kind = kind
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)

    def records(self) -> list[bytes]:
        """Every datagram that has come since."""
        found = []
        while True:
            try:
                found.append(self.socket.recv(1 << 20, socket.MSG_DONTWAIT))
            except BlockingIOError:
                return found


@pytest.fixture(params=KINDS)
def listener(
    request: pytest.FixtureRequest, open_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Listener]:
    path = str(open_directory / "socket")
    monkeypatch.setattr(log_sockets, KINDS[request.param], path)
    made = Listener(request.param, path)
    yield made
    made.socket.close()


def test_an_error_arrives(call: Caller, fake: Fake, listener: Listener) -> None:
    fake.failure = StepError("mount /x", errno=2, remedy="create it")
    result = call("--log", f"{listener.kind}:me", "start", "c1")
    assert (result.status, result.err) == (1, "mount /x (create it)\n")
    (record,) = listener.records()
    if listener.kind == "journald":
        assert record == b"MESSAGE=mount /x (create it)\nPRIORITY=3\nSYSLOG_IDENTIFIER=me\nERRNO=2\n"
    else:
        # user.err, and the time as syslog(3) of the C library writes it
        stamp = rb"<11>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d me: "
        assert re.fullmatch(stamp + re.escape(b"mount /x (create it)"), record)


def test_json_is_the_message(call: Caller, fake: Fake, listener: Listener) -> None:
    fake.failure = StateError("a\nb")
    call("--log", f"{listener.kind}:", "--log-format=json", "start", "c1")
    (record,) = listener.records()
    text = record.decode()
    assert "ocirun" in text
    found = json.loads(text[text.index("{") : text.rindex("}") + 1])
    assert (found["level"], found["msg"]) == ("error", "a\nb")


def test_levels(call: Caller, fake: Fake, listener: Listener) -> None:
    fake.warnings = ["careful"]
    call("--log", f"{listener.kind}:x", "--log-level", "debug", "list")
    records = listener.records()
    assert len(records) == 2
    priorities = [b"PRIORITY=7", b"PRIORITY=4"] if listener.kind == "journald" else [b"<15>", b"<12>"]
    assert all(priority in record for priority, record in zip(priorities, records, strict=True))
    assert b"careful" in records[1]


def test_nothing_is_sent_without_an_error(call: Caller, listener: Listener) -> None:
    assert call("--log", f"{listener.kind}:x", "start", "c1").status == 0
    assert listener.records() == []


def test_a_control_character_stays_in_one_line(call: Caller, fake: Fake, listener: Listener) -> None:
    fake.failure = StateError("a\nPRIORITY=0\udcff")
    call("--log", f"{listener.kind}:x\ny", "start", "c1")
    (record,) = listener.records()
    assert rb"a\nPRIORITY=0\xff" in record
    if listener.kind == "journald":
        assert b"SYSLOG_IDENTIFIER\n\3\0\0\0\0\0\0\0x\ny\n" in record


@pytest.mark.parametrize("kind", KINDS)
def test_no_socket(call: Caller, fake: Fake, open_directory: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(log_sockets, KINDS[kind], str(open_directory / "none"))
    result = call("--log", f"{kind}:x", "start", "c1")
    assert result.status == 1
    assert fake.calls == []
    assert f"cannot open the log {kind}:x: ENOENT (there must be a listener at /" in result.err


def test_a_full_socket_is_told_and_not_waited_for(call: Caller, fake: Fake, listener: Listener) -> None:
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sender.connect(listener.socket.getsockname())
    sender.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            sender.send(b"x")
    sender.close()
    fake.failure = StateError("the error")
    result = call("--log", f"{listener.kind}:x", "start", "c1")
    assert result.status == 1
    assert result.err == f"the error\ncannot write the log {listener.kind}:x: EAGAIN\n"


@pytest.mark.parametrize(
    ("prefix", "name"), [("file:", "log"), ("", "a:b"), ("file:", "journald:x"), ("", "./syslog:x")]
)
def test_files(
    call: Caller, fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    fake.failure = StateError("x")
    call("--log", prefix + name, "start", "c1")
    assert [entry.read_text().endswith('msg="x"\n') for entry in tmp_path.iterdir()] == [True]
    assert os.path.exists(name)


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    ("level", "levels"),
    [("error", []), ("warning", ["warning"]), ("debug", ["debug", "warning"])],
)
def test_log_level(call: Caller, fake: Fake, tmp_path: Path, form: str, level: str, levels: list[str]) -> None:
    path = tmp_path / "log"
    fake.warnings = ["w"]
    call("--log", str(path), "--log-format", form, "--log-level", level, "list")
    lines = path.read_text().splitlines()
    assert [re.search(r'level"?[=:]"?(\w+)', line)[1] for line in lines] == levels  # type: ignore[index]


def test_debug_outweighs_the_level(call: Caller, tmp_path: Path) -> None:
    path = tmp_path / "log"
    call("--debug", "--log-level", "error", "--log", str(path), "list")
    assert "level=debug" in path.read_text()
