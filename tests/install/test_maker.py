"""The process that makes the preloaded interpreter: nobody waits for it, there is one, and it leaves nothing."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import time

import pytest
from waiting import eventually

from . import pythons
from .fresh import IDLE, LATER, Blocked, Fresh, read
from .test_launcher import _build

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Installed

pytestmark = [
    pytest.mark.skipif(not _build()._library(), reason="this interpreter has no shared library"),
    pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace"),
]


def test_nobody_waits_for_it(fresh: Fresh, tmp_path: Path) -> None:
    """All that the command has open is closed when it ends; what goes on has nothing of it."""
    blocked = Blocked(fresh, tmp_path)
    inner, outer = os.pipe()
    with subprocess.Popen(
        [fresh.program, "--version"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[outer],
        cwd=tmp_path,
        env={"SECRET": "x", "LD_X": "y"},
        preexec_fn=lambda: os.nice(-1) if os.geteuid() == 0 else None,
    ) as command:
        os.close(outer)
        assert (os.read(inner, 1), command.communicate()[1], command.returncode) == (b"", b"", 0)
    os.close(inner)
    maker = blocked.wait()
    stat = read(maker, "stat").rpartition(b") ")[2].split()
    assert int(stat[3]) == maker  # its own session, so without a terminal
    assert os.getpriority(os.PRIO_PROCESS, maker) == 19
    assert os.sched_getscheduler(maker) == os.SCHED_IDLE
    assert read(maker, "oom_score_adj") == b"1000\n"
    assert os.readlink(f"/proc/{maker}/cwd") == "/"
    variables = {entry.partition(b"=")[0] for entry in read(maker, "environ").split(b"\0") if entry}
    assert variables == {b"OCIRUN_PRELOAD", b"LC_ALL"}
    # Its own program has written already, but it may not have closed its copy of that one's end of the pipe yet.
    eventually(lambda: len(descriptors(maker, fresh)) == 1, lambda: f"one of {descriptors(maker, fresh)}", IDLE)
    (own,) = descriptors(maker, fresh)
    assert own.startswith("pipe:")  # what it reads the words of its own program from
    blocked.release()


def descriptors(maker: int, fresh: Fresh) -> list[str]:
    """What a maker has open besides its standard streams, which are closed, and files of its package."""
    links = {}
    for fd in os.listdir(f"/proc/{maker}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            links[fd] = os.readlink(f"/proc/{maker}/fd/{fd}")
    assert [links.pop(fd) for fd in "012"] == ["/dev/null"] * 3
    return [link for link in links.values() if not link.startswith(str(fresh.package))]


def test_a_failure_is_remembered(fresh: Fresh, tmp_path: Path) -> None:
    blocked = Blocked(fresh, tmp_path)
    fresh.says()
    blocked.wait()
    blocked.release()
    why = f"cannot write it: {fresh.stage} ended with status 3: refused".replace("version", "ver?ion")
    failed = f"it could not be made: preloaded interpreter: {why}"
    assert fresh.call(tmp_path) == (f"no ({failed}; {LATER})", "_start", 0)
    assert fresh.names() == fresh.before
    blocked.restore()
    fresh.age()
    assert fresh.call(tmp_path)[:2] == (f"no ({failed})", "_start")
    assert fresh.call(tmp_path) == ("yes", "_preload", 0)


def test_of_many_commands_at_once_one_does_it(fresh: Fresh, tmp_path: Path) -> None:
    blocked = Blocked(fresh, tmp_path)
    commands = [subprocess.Popen([fresh.program, "--version"], stdout=subprocess.DEVNULL) for _ in range(12)]
    assert [command.wait() for command in commands] == [0] * 12
    blocked.wait()
    assert fresh.says() == "no (not made yet)"  # it is under way, and started by nobody else
    eventually(lambda: len(fresh.makers()) <= 2, "those that have found it locked go", IDLE)
    blocked.release()
    assert blocked.log.read_text() == "called\n"


def test_locked_by_another_one(fresh: Fresh, tmp_path: Path) -> None:
    directory = os.open(fresh.package, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        assert fresh.call(tmp_path) == ("no (not made yet)", "_start", 0)
        pythons.run([str(fresh.program), "preload", "--background"])
        assert fresh.file.stat().st_size == 0
    finally:
        os.close(directory)


def killed(fresh: Fresh) -> list[int]:
    """Kill all makers that there are."""
    found = fresh.makers()
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found


def test_killed_while_it_is_made(fresh: Fresh, tmp_path: Path) -> None:
    """The next command has it made, without leftovers."""
    left = False
    for turn in range(4):
        fresh.says()
        eventually(lambda: fresh.names() - fresh.before or fresh.file.stat().st_size, "it is begun", IDLE, pause=0.001)
        time.sleep(0.02 * turn)
        eventually(lambda: not killed(fresh), "all makers end", IDLE, pause=0)
        left = left or bool(fresh.names() - fresh.before)
        if fresh.file.stat().st_size:  # it was quicker
            fresh.file.write_bytes(b"")
    assert left
    assert fresh.call(tmp_path)[0] == "no (not made yet)"
    assert fresh.call(tmp_path) == ("yes", "_preload", 0)
    assert fresh.names() == fresh.before


def test_removed_while_it_is_made(fresh: Fresh, tmp_path: Path) -> None:
    """What pip has removed does not come back."""
    blocked = Blocked(fresh, tmp_path)
    fresh.says()
    blocked.wait()
    (pack,) = fresh.package.glob("_pack.*")
    pack.unlink()
    fresh.file.unlink()
    blocked.release()
    assert fresh.names() == fresh.before - {pack.name, fresh.file.name}


def test_uninstalled_while_it_is_made(own: Installed, tmp_path: Path) -> None:
    """pip leaves what it does not know, and the directory; both go, or Python would import that."""
    python = pythons.environment(own.python, tmp_path / "env") / "python"
    pythons.install(python, own.wheels)
    fresh = Fresh(tmp_path / "env")
    blocked = Blocked(fresh, tmp_path)
    fresh.says()
    blocked.wait()
    (fresh.package / f"{fresh.file.name}.new").touch()
    pythons.run([str(python), "-m", "pip", "--disable-pip-version-check", "uninstall", "-q", "-y", "ocirun"])
    assert fresh.names() == {f"{fresh.file.name}.new"}
    blocked.release()
    assert not fresh.package.exists()
    tried = pythons.run([str(python), "-I", "-c", "import ocirun"], fails=True)
    assert "No module named 'ocirun'" in tried.stderr
    assert not list(fresh.home.rglob("*ocirun*"))
