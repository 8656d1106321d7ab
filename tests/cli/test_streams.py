"""Standard descriptors that are closed, full or without a reader; signals; file names that are not UTF-8."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import threading

import pytest

from ocirun.cli.output import OutputClosedError, encode, out, quoted, visible, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Spawner = Callable[..., subprocess.CompletedProcess[bytes]]

CLOSE = "import os\nfor fd in %r: os.close(fd)\nsys.exit(main())"
SUBSETS = [subset for size in (1, 2, 3) for subset in itertools.combinations(range(3), size)]


@pytest.mark.parametrize("closed", SUBSETS)
def test_closed_descriptors(spawn: Spawner, tmp_path: Path, closed: tuple[int, ...]) -> None:
    log = str(tmp_path / "log")
    result = spawn("--log", log, "state", "unknown", code=CLOSE % (closed,))
    assert result.returncode == 1
    assert (tmp_path / "log").read_text().endswith('msg="container does not exist"\n')
    assert result.stderr == (b"" if 2 in closed else b"container does not exist\n")
    assert result.stdout == b""
    assert spawn("state", "c1", code=CLOSE % (closed,)).returncode == 0
    assert spawn("spec", "-b", str(tmp_path), code=CLOSE % (closed,)).returncode == 0
    assert json.loads((tmp_path / "config.json").read_text())["ociVersion"] == "1.3.0"


def test_closed_descriptors_are_filled_in_order(spawn: Spawner) -> None:
    report = "; ".join(
        (
            "import os",
            "[os.close(fd) for fd in range(3)]",
            "r, w = 0, 0",
            "main(['state', 'c1'])",
            "sys.exit(sum(os.readlink(f'/proc/self/fd/{fd}') == '/dev/null' for fd in range(3)) + 40)",
        )
    )
    assert spawn(code=report).returncode == 43


def test_stdout_without_a_reader(spawn: Spawner) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = spawn("state", "c1", stdout=writer)
    os.close(writer)
    assert (result.returncode, result.stderr) == (141, b"")


def test_stdout_full(spawn: Spawner) -> None:
    with open("/dev/full", "wb") as full:
        result = spawn("state", "c1", stdout=full)
        assert result.returncode == 1
        assert b"write to standard output: no space left on device" in result.stderr
        # The mistake in the call is what matters, not that its help found no room.
        assert b"unknown option --x" in spawn("state", "--x", stdout=full).stderr


def test_stderr_without_a_reader_or_full(spawn: Spawner) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    assert spawn("state", "unknown", stderr=writer).returncode == 1
    os.close(writer)
    with open("/dev/full", "wb") as full:
        assert spawn("state", "unknown", stderr=full).returncode == 1
        assert spawn("nosuch", stderr=full).returncode == 3


def test_names_that_are_not_utf8(spawn: Spawner) -> None:
    for locale in ({}, {"LC_ALL": "C"}, {"LC_ALL": "C.UTF-8"}):
        result = spawn(b"state", b"\xff\xc3", env=locale)
        assert result.returncode == 1
        result = spawn(b"--log-format", b"json", b"nosuch\xff\n", env=locale)
        assert result.returncode == 3
        assert json.loads(result.stderr)["msg"] == 'unknown command "nosuch\\xff\n"'


def test_nothing_left_to_report_with(spawn: Spawner) -> None:
    code = "sys.modules['ocirun.cli.log'] = None\nfake.failure = OSError('a\\n\\udcff')\nsys.exit(main())"
    result = spawn("start", "c1", code=code)
    assert (result.returncode, result.stdout, result.stderr) == (1, b"", b"ocirun: a\\n\\udcff\n")
    assert spawn("start", "c1", code="import os\nos.write = None\n" + code).returncode == 1


def test_interrupt_from_a_terminal(spawn: Spawner) -> None:
    code = """
import _signal, os
fake.known = set()
class Slow:
    def __contains__(self, id):
        os.kill(os.getpid(), _signal.SIGINT)
        while True: pass
fake.known = Slow()
sys.exit(main())
"""
    result = spawn("state", "c1", code=code)
    assert (result.returncode, result.stdout, result.stderr) == (130, b"", b"")


def test_write_all_waits_for_room() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    room = fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ)
    data = os.urandom(3 * room)
    got: list[bytes] = []

    def read() -> None:
        while part := os.read(reader, 1 << 14):
            got.append(part)

    thread = threading.Thread(target=read)
    thread.start()
    write_all(writer, data)
    os.close(writer)
    thread.join()
    os.close(reader)
    assert b"".join(got) == data


def test_out_tells_closed_from_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(fd: int, data: object) -> int:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(os, "write", closed)
    with pytest.raises(OutputClosedError):
        out("x")


def test_texts() -> None:
    assert encode("a\udcff\xe9") == b"a\xff\xc3\xa9"
    assert encode("\ud800") == b"\\ud800"
    assert visible("a b\xe9\u4e00") == "a b\xe9\u4e00"
    assert visible("\a\b\t\n\v\f\r\x1b\x7f\x9b") == r"\a\b\t\n\v\f\r\x1b\x7f\u009b"
    assert visible("\U000e0001") == r"\U000e0001"
    assert quoted('a"\\n\n') == r'"a\"\\n\n"'
