"""Ctrl-C at a program without a handler: counted, told, and the third one kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from ocirun.execute.streams import interrupts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_PLAIN = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_{0}); print(flush=True); time.sleep(600)"
_WITH = "import signal, time; signal.signal(signal.SIGINT, lambda *_: 0); print(flush=True); time.sleep(600)"


@pytest.fixture
def programs() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Programs that were started, to be ended."""
    found: list[subprocess.Popen[bytes]] = []
    yield found
    for program in found:
        program.kill()
        program.communicate()


def start(programs: list[subprocess.Popen[bytes]], text: str) -> int:
    program = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE)
    programs.append(program)
    assert program.stdout is not None and program.stdout.readline() == b"\n"
    return os.pidfd_open(program.pid)


@pytest.mark.parametrize("disposition", ["DFL", "IGN"])
def test_the_third(
    programs: list[subprocess.Popen[bytes]],
    disposition: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    counter = interrupts.Interrupts(start(programs, _PLAIN.format(disposition)))
    counter.signalled()
    assert capfd.readouterr().err == "", "nobody is there"
    monkeypatch.setattr(interrupts, "_of_a_person", lambda: True)
    counter.signalled()
    assert capfd.readouterr().err == ""
    counter.signalled()
    assert (
        capfd.readouterr().err == "\nocirun: the program has no handler for SIGINT; press Ctrl-C once more to kill it\n"
    )
    assert programs[0].poll() is None
    counter.signalled()
    assert capfd.readouterr().err == "\nocirun: killing the program\n"
    assert programs[0].wait(10) == -signal.SIGKILL
    counter.signalled()


def test_a_handler(
    programs: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    counter = interrupts.Interrupts(start(programs, _WITH))
    monkeypatch.setattr(interrupts, "_of_a_person", lambda: True)
    for _ in range(9):
        counter.signalled()
    assert capfd.readouterr().err == ""
    assert programs[0].poll() is None


def test_other_input_between_them(
    programs: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    counter = interrupts.Interrupts(start(programs, _PLAIN.format("DFL")))
    monkeypatch.setattr(interrupts, "_interrupts", lambda master, groups: master == 77)
    for data in (b"\x03", b"ls\r", b"\x03", b"a\x03", b"\x03"):
        counter.typed(data, 77)
    counter.typed(b"\x03\x03\x03", 78)
    assert capfd.readouterr().err == ""
    counter.typed(b"\x03", 77)
    assert "press Ctrl-C once more" in capfd.readouterr().err
    assert programs[0].poll() is None


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        (_PLAIN.format("DFL"), True),
        (_PLAIN.format("DFL").replace("INT", "HUP"), True),
        (_PLAIN.format("IGN").replace("INT", "HUP"), False),
        (_WITH.replace("INT", "HUP"), False),
    ],
)
def test_a_closed_terminal(programs: list[subprocess.Popen[bytes]], text: str, ends: bool) -> None:
    """SIGHUP ends what neither takes nor ignores it."""
    interrupts.Interrupts(start(programs, text)).hung_up()
    if ends:
        assert programs[0].wait(10) == -signal.SIGKILL
    else:
        assert programs[0].poll() is None
