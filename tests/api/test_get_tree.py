"""Directories out of a container: as a directory and as an archive, also where the container is hostile."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import ocirun

from .conftest import AS_ORDINARY, shell
from .test_files import BOTH, owned, running

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Config = dict[str, Any]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


MAKE = """
mkdir -p /w/d/e; echo one > /w/d/file; ln -s /etc/passwd /w/link; mkfifo /w/fifo
chmod 4711 /w/d/file; chmod 750 /w/d; echo "$(printf 'odd\\nname')" > "$(printf '/w/odd\\nname')"
"""


@BOTH
def test_a_directory(rootfs: str, root: str, tmp_path: Path, config: Callable[..., Config]) -> None:
    with running(config(rootfs, "/bin/sleep", "60", user=(1000, 1001)), root) as container:
        container.put("/w/mine", b"put")
        assert container.run(shell("mkdir -m 777 /tmp/w")).ok
        assert container.run(shell(MAKE.replace("/w", "/tmp/w"))).ok
        before = os.listdir("/proc/self/fd")
        assert container.get_tree("/tmp/w/", tmp_path / "out") == [("/d/file", "set-user-ID or set-group-ID")]
        (tmp_path / "empty").mkdir()
        assert container.get_tree("/w", str(tmp_path / "empty")) == []
        file = io.BytesIO()
        assert container.get_tree("/tmp/w", file) == []
        assert os.listdir("/proc/self/fd") == before
    out = tmp_path / "out"
    assert sorted(os.listdir(out)) == ["d", "fifo", "link", "odd\nname"]
    assert (out / "d" / "file").read_bytes() == b"one\n" and os.readlink(out / "link") == "/etc/passwd"
    assert (out / "d" / "file").stat().st_mode & 0o7777 == 0o711 and out.stat().st_mode & 0o777 == 0o700
    assert (out / "d" / "file").stat().st_uid == os.geteuid()
    assert (tmp_path / "empty" / "mine").read_bytes() == b"put"
    file.seek(0)
    with tarfile.open(fileobj=file) as archive:
        found = {one.name: (one.type, one.mode, one.uid, one.gid, one.linkname) for one in archive}
    assert found == {
        "d": (tarfile.DIRTYPE, 0o750, 1000, 1001, ""),
        "d/e": (tarfile.DIRTYPE, 0o755, 1000, 1001, ""),
        "d/file": (tarfile.REGTYPE, 0o4711, 1000, 1001, ""),
        "fifo": (tarfile.FIFOTYPE, 0o644, 1000, 1001, ""),
        "link": (tarfile.SYMTYPE, 0o777, 1000, 1001, "/etc/passwd"),
        "odd\nname": (tarfile.REGTYPE, 0o644, 1000, 1001, ""),
    }


def test_out_and_in_again(rootfs: str, root: str, tmp_path: Path) -> None:
    """With times, also of directories, of links, and before 1970."""
    times = {"d/file": -1_500_000_000, "d/deep/x": 1, "link": 1_700_000_000_123_456_789, "d/deep": 10**9, "d": -1}
    file = io.BytesIO()
    with running(owned(rootfs, "/bin/sleep", "60"), root) as container:
        container.run(shell("mkdir -p /w/d/deep; echo one > /w/d/file; touch /w/d/deep/x; ln -s d /w/link"))
        top = Path(f"/proc/{container.pid}/root")
        for name, time in times.items():
            os.utime(top / "w" / name, ns=(0, time), follow_symlinks=False)
        container.get_tree("/w", tmp_path / "out")
        container.get_tree("/w", file)
        assert {name: os.lstat(tmp_path / "out" / name).st_mtime_ns for name in times} == times
        for again, owners in ((tmp_path / "out", False), (file.getvalue(), True)):
            container.put_tree("/again", again, owners=owners)
            assert {name: os.lstat(top / "again" / name).st_mtime_ns for name in times} == times
            assert container.run(shell("cat /again/link/file; rm -r /again")).stdout == b"one\n"
    file.seek(0)
    with tarfile.open(fileobj=file) as archive:
        assert archive.getmember("d/file").mtime == -1.5


def test_limits(rootfs: str, root: str, tmp_path: Path) -> None:
    with running(owned(rootfs, "/bin/sleep", "60"), root) as container:
        container.put("/w/file", bytes(200_000))
        container.run(shell("dd if=/dev/zero of=/w/sparse bs=1 seek=50000000 count=1"))
        for target in (tmp_path / "out", io.BytesIO()):
            with pytest.raises(ocirun.UsageError, match=r"^max_bytes: /w has more than 1000000 bytes"):
                container.get_tree("/w", target, max_bytes=1_000_000)
        deep = "/".join("d" * 70)
        container.run(shell(f"rm -r /w; mkdir -p /w/{deep}"))
        with pytest.raises(ocirun.StepError):
            container.get_tree("/w", tmp_path / "out")
        assert os.listdir(tmp_path).count("out") == 0


def test_what_is_no_directory(rootfs: str, root: str, tmp_path: Path) -> None:
    with running(owned(rootfs, "/bin/sleep", "60"), root) as container:
        for path in ("/etc/passwd", "/no/such", "/proc/1/exe"):
            with pytest.raises(ocirun.StepError, match=f"^open the directory {path}: "):
                container.get_tree(path, tmp_path / "out")
        for path, words in (("/dev", "a device cannot be made"), ("/", "files of procfs")):
            with pytest.raises(ocirun.StepError, match=r"^copy what is in the directory: ") as caught:
                container.get_tree(path, tmp_path / "out")
            assert words in caught.value.remedy
        assert container.run(shell("ls /no")).exit_code, "nothing is made in there"
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "x").touch()
        with pytest.raises(ocirun.UsageError, match=r"^target: .* is no empty directory"):
            container.get_tree("/etc", tmp_path / "full")
        for given, name in (
            *(({"path": "x"}, "path"), ({"path": 5}, "path"), ({"target": 5}, "target"), ({"target": ""}, "target")),
            *(({"max_bytes": 0}, "max_bytes"), ({"target": io.StringIO()}, "target")),
        ):
            call: dict[str, Any] = {"path": "/etc", "target": tmp_path / "out", **given}
            with pytest.raises(ocirun.UsageError, match=f"^{name}: "):
                container.get_tree(call.pop("path"), call.pop("target"), **call)
    assert sorted(os.listdir(tmp_path)) == ["full", "root"]


@BOTH
def test_hostile_links(rootfs: str, root: str, tmp_path: Path, config: Callable[..., Config]) -> None:
    """The directory, and what is in it, become links to the host's directory all the time."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"of the host")
    tmp_path.chmod(0o777)
    outside.chmod(0o777)
    script = (
        f"mkdir -p /tmp/real/sub {outside}; echo inside > /tmp/real/sub/file; cd /tmp;"
        f"while true; do ln -sfn {outside} d; ln -sfn /tmp/real d; ln -sfn /proc/1/root{outside} d;"
        f"mv real/sub real/s; ln -s {outside} real/sub; rm real/sub; mv real/s real/sub; done"
    )
    with running(config(rootfs, *shell(script)), root) as container:
        for number in range(40):
            with contextlib.suppress(ocirun.StepError):
                container.get_tree("/tmp/d", tmp_path / f"out{number}")
    found = {path.read_bytes() for path in tmp_path.glob("out[0-9]*/**/file") if not path.parent.is_symlink()}
    assert found <= {b"inside\n", b""}


ORDINARY = """
config = ocirun.sandbox(rootfs, ["sleep", "60"], disk=1 << 20, missing="leave out", seccomp=False)
with ocirun.Container.create("ordinary", config=config, root=where + "/state") as container:
    container.start()
    os.mkdir("given")
    open("given/x", "w").write("x")
    os.mkdir("given/d")
    open("given/d/y", "w").write("y")
    for name in ("x", "d/y", "d"):
        os.utime("given/" + name, ns=(0, -5))
    container.put_tree("/w", where + "/given")
    container.get_tree("/w", where + "/out")
    file = io.BytesIO()
    container.get_tree("/w", file)
    file.seek(0)
    print(open("out/x").read(), [(one.name, one.uid, one.pax_headers["mtime"]) for one in tarfile.open(fileobj=file)])
    print([os.stat("out/" + name).st_mtime_ns for name in ("x", "d/y", "d")])
"""
USER = 23500


def test_of_an_ordinary_user(rootfs: str) -> None:
    where = Path(rootfs).parent
    subprocess.run(["chown", "-R", f"{USER}:{USER}", where], check=True)
    ran = subprocess.run(
        [sys.executable, "-c", AS_ORDINARY + ORDINARY, rootfs, str(where), str(USER)],
        capture_output=True,
        text=True,
        check=False,
    )
    time = "-0.000000005"
    told = ["x " + str([("d", 0, time), ("x", 0, time), ("d/y", 0, time)]), "[-5, -5, -5]"]
    assert (ran.stdout.splitlines(), ran.returncode) == (told, 0), ran.stderr
