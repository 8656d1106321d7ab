"""The lesson of two hosts: its page does what it shows, and whatever ends up.sh, nothing is left."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess

import pytest
import surroundings
from docs.test_tour import PROGRAM, run
from docs.tour import ROOT, Step, shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCRIPTS = ROOT / "examples" / "two-hosts"
PAGE = (SCRIPTS / "README.md").read_text(encoding="utf-8")
READERS = "/tmp/lesson"
NEEDED = ("ovs-vswitchd", "ovsdb-server", "ovn-northd", "ovn-controller", "tcpdump", "ethtool", "ip", "busybox")
MISSING = [name for name in NEEDED if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")]

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}: Debian's openvswitch-switch, ovn-host, ..."),
    pytest.mark.skipif(os.geteuid() != 0 or not PROGRAM.exists(), reason="needs root and the compiled program"),
    pytest.mark.skipif(not os.path.exists("/dev/net/tun"), reason="needs /dev/net/tun: Open vSwitch in userspace"),
]


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory with a short path, for sockets; nothing of it may be in use at the end."""
    made = surroundings.open_directory()
    try:
        yield made
    finally:
        ended = call("down.sh", made / "net")
        if not (made / "net").exists():
            shutil.rmtree(made)
        assert ended.returncode == 0, ended.stderr


def steps() -> Iterator[Step]:
    """The steps of the blocks, in order."""
    for block in re.findall(r"^```console\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            step = Step(part.splitlines()[0])
            step.output = part.splitlines()[1:]
            yield step


def environment(first: Path | None = None) -> dict[str, str]:
    """Where the program of the checkout is found; `first` is looked into before all else."""
    path = f"{PROGRAM.parent}:{os.environ['PATH']}:/usr/sbin:/sbin"
    return {"PATH": f"{first}:{path}" if first else path, "TERM": "dumb"}


def call(script: str, *words: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [str(SCRIPTS / script), *map(str, words)]
    return subprocess.run(
        command, env=env or environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def processes(directory: Path) -> list[str]:
    """The command lines that name a directory."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if f"{directory}/" in words:
            found.append(words)
    return found


def assert_nothing_is_left(directory: Path) -> None:
    assert not directory.exists()
    assert processes(directory) == []
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        assert str(directory) not in file.read()
    groups = [where for where, _, _ in os.walk("/sys/fs/cgroup") if f"two-hosts-{directory.name}" in where]
    assert groups == []


def test_what_the_page_shows(home: Path) -> None:
    net = home / "net"

    def own(text: str) -> str:
        return text.replace(READERS, str(net))

    for step in steps():
        found = run(own(step.command), environment())
        assert [shape(line) for line in found] == [shape(own(line)) for line in step.output], step.command
    assert_nothing_is_left(net)


def test_the_page_has_each_script() -> None:
    assert set(re.findall(r"[\w-]+\.sh", PAGE)) == {path.name for path in SCRIPTS.glob("*.sh")}
    assert all(len(path.read_text("utf-8").splitlines()) < 150 for path in SCRIPTS.glob("*.sh"))


def stub(home: Path, name: str, script: str) -> Path:
    """A directory with a program of this name in place of the real one."""
    real = shutil.which(name, path=environment()["PATH"])
    (home / "bin").mkdir()
    (home / "bin" / name).write_text(f"#!/bin/sh\nreal={real}\n{script}\n")
    (home / "bin" / name).chmod(0o755)
    return home / "bin"


@pytest.mark.parametrize("name", ["ovs-vswitchd", "ovn-northd", "tcpdump"])
def test_a_failure_takes_everything_back(home: Path, name: str) -> None:
    first = stub(home, name, f'[ "$1" != --version ] || exec $real "$@"\necho "{name} says no" >&2\nexit 7')
    result = call("up.sh", home / "net", env=environment(first))
    assert (result.returncode != 0, f"{name} says no" in result.stderr) == (True, True)
    assert_nothing_is_left(home / "net")


def test_a_signal_takes_everything_back(home: Path) -> None:
    """It comes when most is there."""
    first = stub(home, "tcpdump", f'echo here >{home}/here\nexec $real "$@"')
    os.mkfifo(home / "here")
    command = [str(SCRIPTS / "up.sh"), str(home / "net")]
    with subprocess.Popen(command, env=environment(first), stdin=subprocess.DEVNULL) as process:
        with open(home / "here", encoding="ascii") as file:
            file.read()
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 1
    assert_nothing_is_left(home / "net")


def test_a_directory_that_is_there(home: Path) -> None:
    """It is neither used nor removed."""
    (home / "net").mkdir()
    result = call("up.sh", home / "net")
    assert result.returncode == 1
    assert "is there already" in result.stderr
    assert list(home.iterdir()) == [home / "net"]
    (home / "net" / "other").write_text("mine")
    assert call("down.sh", home / "net").returncode != 0
    assert (home / "net" / "other").exists()
    (home / "net" / "other").unlink()


def test_down_ends_its_own_processes_only(home: Path) -> None:
    """A pid of a file may be another's by now."""
    place = home / "net" / "host1"
    place.mkdir(parents=True)
    with subprocess.Popen(["sleep", "1000"]) as other:
        (place / "tcpdump.pid").write_text(f"{other.pid}\n")
        (place / "ovs-vswitchd.pid").write_text("")
        result = call("down.sh", home / "net")
        assert (result.returncode, result.stderr) == (0, "")
        assert other.poll() is None
        other.kill()
    assert_nothing_is_left(home / "net")
