"""CRIU's end of the conversation is played by a script: versions, moments, failures, a sudden end."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest

from ocirun.errors import HostError, UnsupportedError
from ocirun.execute.criu import images, restoration, service
from ocirun.execute.mounts import mountinfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RUNTIME = Path(__file__).resolve().parents[2] / "runtime"
# The first line of a script may have no space: the shell starts the interpreter, to which its line is a text.
_PLAYER = """\
#!/bin/sh
'''exec' {python} "$0" "$@"
'''
import array, os, socket, sys
sys.path.insert(0, {runtime!r})
from ocirun.execute.criu.service import _ANSWER, _REQUEST
from ocirun.execute.criu.protobuf import decode, encode
assert sys.argv[1] == "swrk"
peer = socket.socket(fileno=int(sys.argv[2]))
def hear(): return decode(peer.recv(65536), _REQUEST)
def say(**answer): peer.send(encode(answer, _ANSWER))
{play}
"""


@pytest.fixture
def player(tmp_path: Path) -> Iterator[Callable[[str], service.Connection]]:
    """Starts a script that plays CRIU."""
    made: list[service.Connection] = []

    def start(play: str) -> service.Connection:
        path = tmp_path / "criu"
        path.write_text(
            _PLAYER.format(python=shlex.quote(sys.executable), runtime=str(RUNTIME), play=play), encoding="ascii"
        )
        path.chmod(0o755)
        made.append(service.Connection())
        made[0].start(str(path))
        return made[0]

    yield start
    for one in made:
        one.close()


def ignore(_: str, __: int, ___: int) -> None:
    pass


def test_conversation(player: Callable[[str], service.Connection]) -> None:
    play = """
assert hear() == {"type": 10, "keep_open": True}
say(type=10, success=True, version={"major_number": 4, "minor_number": 1})
assert hear()["features"] == {"mem_track": True}
say(type=9, success=True, features={"mem_track": True})
request = hear()
assert request["type"] == 1 and request["opts"]["pid"] == 42 and request["opts"]["external"] == "mnt[/b]:/b"
for moment in ("pre-dump", "network-lock"):
    say(type=6, success=True, notify={"script": moment, "pid": 7})
    assert hear() == {"type": 6, "notify_success": True}
end = os.open("/dev/null", os.O_RDONLY)
message = encode({"type": 6, "success": True, "notify": {"script": "orphan-pts-master"}}, _ANSWER)
peer.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [end]))])
assert hear()["notify_success"]
say(type=1, success=True, restore={"pid": 77})
"""
    connection = player(play)
    assert connection.version() == (4, 1)
    assert connection.can("mem_track")
    moments: list[tuple[str, int]] = []

    def notify(moment: str, pid: int, fd: int) -> None:
        moments.append((moment, pid))
        if fd >= 0:
            assert os.readlink(f"/proc/self/fd/{fd}") == "/dev/null"
            assert not os.get_inheritable(fd)
            os.close(fd)

    answer = connection.serve(service.DUMP, {"pid": 42, "external": ["mnt[/a]:/a", "mnt[/b]:/b"]}, notify)
    assert answer["success"] is True
    assert answer["restore"] == {"pid": 77}
    assert moments == [("pre-dump", 7), ("network-lock", 7), ("orphan-pts-master", 0)]


def test_moment_that_fails_is_told(player: Callable[[str], service.Connection]) -> None:
    play = """
hear()
say(type=6, success=True, notify={"script": "setup-namespaces", "pid": 7})
sys.exit(0 if hear() == {"type": 6, "notify_success": False} else 3)
"""

    def notify(_: str, __: int, ___: int) -> None:
        raise HostError("the hook failed")

    connection = player(play)
    with pytest.raises(HostError, match="the hook failed"):
        connection.serve(service.RESTORE, {}, notify)
    assert os.waitid(os.P_PIDFD, connection.pidfd, os.WEXITED | os.WNOWAIT).si_status == 0


def test_too_old(player: Callable[[str], service.Connection]) -> None:
    connection = player('hear(); say(type=10, success=True, version={"major_number": 3, "minor_number": 2})')
    with pytest.raises(UnsupportedError, match=r"CRIU 3\.2 is too old"):
        connection.version()


def test_sudden_end(player: Callable[[str], service.Connection]) -> None:
    """What it said on its way out is the best that there is."""
    connection = player('hear(); print("error while loading", file=sys.stderr); os._exit(1)')
    with pytest.raises(HostError, match="criu ended: error while loading"):
        connection.serve(service.DUMP, {}, ignore)


def test_answer_that_is_none(player: Callable[[str], service.Connection]) -> None:
    connection = player('hear(); peer.send(b"\\x08")')
    with pytest.raises(HostError, match="cannot be read"):
        connection.serve(service.DUMP, {}, ignore)


def test_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"/none:{tmp_path}")
    with pytest.raises(UnsupportedError, match="in PATH") as caught:
        service.find_criu()
    assert "install the package criu" in caught.value.remedy
    (tmp_path / "criu").write_text("")
    with pytest.raises(UnsupportedError):
        service.find_criu()
    (tmp_path / "criu").chmod(0o755)
    assert service.find_criu() == service.find_criu(str(tmp_path / "criu")) == str(tmp_path / "criu")
    with pytest.raises(UnsupportedError, match="there is no '/none/criu'"):
        service.find_criu("/none/criu")


LOG = """\
(00.000001) Version: 4.1.1
(00.000002) Error (criu/util.c:1): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted
(00.000003)     42: Error (criu/files.c:2): Can't lookup mount=5 for fd=1
(00.000004) Unlock network
(00.000005) Error (criu/cr-dump.c:3): Dumping FAILED.
"""


def test_error_with_the_end_of_the_log(tmp_path: Path) -> None:
    (tmp_path / "dump.log").write_text(LOG)
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        answer = {"success": False, "cr_errno": -17, "cr_errmsg": "Error (criu/util.c:1): rlimit"}
        error = service.failure("checkpoint of a", answer, directory, "dump.log", "/x/dump.log")
        assert error.message == (
            "checkpoint of a failed: 42: Error (criu/files.c:2): Can't lookup mount=5 for fd=1"
            " | Error (criu/cr-dump.c:3): Dumping FAILED."
        )
        assert (error.errno, error.remedy) == (17, "the whole log is /x/dump.log")
        assert "rlimit" in service.failure("restore of a", answer, directory, "none.log", "").message
        (tmp_path / "dump.log").write_text(
            '(00.1) Error: execvp("iptables-restore", ...) failed: No such file or directory\n' * 3
        )
        lacking = service.failure("checkpoint of a", {}, directory, "dump.log", "/x")
        assert lacking.message.count("iptables-restore") == 1
        assert "network_lock" in lacking.remedy
        (tmp_path / "link.log").symlink_to(tmp_path / "dump.log")
        assert service.log_tail(directory, "link.log") == ""
    finally:
        os.close(directory)


HOST = [
    "20 1 8:1 / / rw - ext4 /dev/sda1 rw",
    "21 20 0:6 / /dev rw - devtmpfs udev rw",
    "22 20 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
    "23 20 8:2 / /srv/with\\040blank rw - ext4 /dev/sda2 rw",
    "24 20 0:20 / /proc rw - proc proc rw",
    "25 20 0:21 / /sys rw - sysfs sysfs rw",
]
INSIDE = [
    "100 90 8:1 /bundle/rootfs / rw - ext4 /dev/sda1 rw",
    "101 100 0:50 / /proc rw - proc proc rw",
    "102 101 0:6 /null /proc/keys rw - devtmpfs udev rw",
    "103 101 0:50 /sys /proc/sys ro - proc proc rw",
    "104 100 0:51 / /dev rw - tmpfs tmpfs rw",
    "105 100 0:21 / /sys ro - sysfs sysfs rw",
    "106 105 0:30 /group/a /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory",
    "107 100 8:2 /data /data rw - ext4 /dev/sda2 rw",
    "108 100 8:1 /etc/hosts /etc/hosts rw - ext4 /dev/sda1 rw",
    "109 100 8:1 /bundle/rootfs/etc/own /etc/own ro - ext4 /dev/sda1 rw",
    "110 100 0:20 /sys/kernel/ostype /ostype ro - proc proc rw",
    "111 100 0:77 / /tmp rw - tmpfs tmpfs rw",
    "112 100 0:78 /0 /dev/null rw - tmpfs tmpfs rw",
]


def test_mounts_of_the_host() -> None:
    """By the device, as paths mean other things inside; parts of the root file system are no mounts of the host."""
    found = images.external_mounts(
        [mountinfo.Mount(line) for line in INSIDE],
        [mountinfo.Mount(line) for line in HOST],
        [("memory", "/sys/fs/cgroup/memory/group/a")],
    )
    assert [(one["mountpoint"], one["source"], one["cgroup"]) for one in found] == [
        ("/proc/keys", "/dev/null", ""),
        ("/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory/group/a", "memory"),
        ("/data", "/srv/with blank/data", ""),
        ("/etc/hosts", "/etc/hosts", ""),
        ("/ostype", "/proc/sys/kernel/ostype", ""),
        ("/dev/null", "", ""),
    ]
    assert [one["mountpoint"] for one in found if one["node"]] == ["/dev/null"]


def test_devices_come_back_from_the_hosts_own() -> None:
    """By number: a node of the same path may be another device."""
    assert restoration._host_node({}, "/dev/zero") == "/dev/zero"
    other = {"linux": {"devices": [{"path": "/dev/zero", "type": "c", "major": 1, "minor": 7}]}}
    with pytest.raises(HostError, match="is another device"):
        restoration._host_node(other, "/dev/zero")
    with pytest.raises(HostError, match="no such file"):
        restoration._host_node({}, "/dev/none-of-that-name")


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("2:memory:/a\n1:name=systemd:/a\n0::/user.slice\n", "ignore"),
        ("2:memory:/a\n1:cpu,cpuacct:/\n", "ignore"),
        ("2:memory:/a\n0::/\n", "ignore"),
        ("0::/system.slice/a.scope\n", "ignore"),
        ("0::/\n", "ignore"),
        ("1:name=a:b:/c:d\n", "soft"),
    ],
)
def test_cgroups_are_left_alone_where_criu_would_change_the_host(text: str, mode: str) -> None:
    assert service.mode_for(text) == mode


def test_own_mounts() -> None:
    assert mountinfo.mounts()[0].point


def test_files_of_ours(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        images.save(directory, "a.json", {"mounts": []})
        assert images.read_image(directory, "a.json") == {"mounts": []}
        assert images.read_image(directory, "none.json") is None
        (tmp_path / "bad.json").write_text("{")
        assert images.read_image(directory, "bad.json") is None
        (tmp_path / "link.json").symlink_to(tmp_path / "a.json")
        assert images.read_image(directory, "link.json") is None
    finally:
        os.close(directory)


def test_binds_of_the_config_by_their_mount_points() -> None:
    """The names are those that a checkpoint writes, so that another config can give another source."""
    mounts = [
        {"destination": "/etc/hosts", "source": "/new/hosts", "options": ["bind"]},
        {"destination": "data//x/", "source": "x", "options": ["rbind,ro"]},
        {"destination": "/proc", "type": "proc", "source": "proc"},
    ]
    assert restoration._binds({"mounts": mounts}, "/bundle") == {"/etc/hosts": "/new/hosts", "/data/x": "/bundle/x"}
