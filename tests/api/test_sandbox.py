"""What a program in a sandbox cannot do, and what it can: for root and for an ordinary user."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import ocirun
from ocirun import aio
from ocirun.sandboxes.config import LEFT_OUT

from .conftest import shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

USER = 23500
EPERM, ENOSYS, EROFS, EINVAL = errno.EPERM, errno.ENOSYS, errno.EROFS, errno.EINVAL
#: What `probe.c` tells, whoever has made the sandbox.
TOLD = {
    **dict.fromkeys(("write", "mkdir"), EROFS),
    **dict.fromkeys(("node", "capset", "mount", "umount", "unshare", "hostname", "chroot", "keyctl", "bpf"), EPERM),
    **dict.fromkeys(("userfaultfd", "io_uring", "unknown family", "new user namespace"), EPERM),
    "tmp": 0,
    "shm": 0,
    "clone": 0,
    "clone3": ENOSYS,
    "no_new_privs": 1,
    "proc": errno.EACCES,
    "network": errno.ENETUNREACH,
    "loopback": errno.ECONNREFUSED,
}


def told(output: bytes) -> dict[str, int]:
    lines = [line.rpartition(" ") for line in output.decode().splitlines()]
    return {name: int(number) for name, _, number in lines}


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("probe") / "probe"
    source = Path(__file__).with_name("probe.c")
    subprocess.run([os.environ.get("CC", "cc"), "-static", "-O1", "-o", made, source], check=True, capture_output=True)
    return made


@pytest.fixture
def rootfs(rootfs: str, probe: Path) -> str:
    """With the probe in it."""
    shutil.copy(probe, f"{rootfs}/bin/probe")
    return rootfs


def test_what_it_cannot_do(rootfs: str, root: str) -> None:
    outcome = ocirun.run(config=ocirun.sandbox(rootfs, ["/bin/probe"]), root=root, timeout=60)
    assert outcome.ok, outcome.stderr
    found = told(outcome.stdout)
    assert found.pop("setuid") == found.pop("chown") == EPERM
    assert found == TOLD
    assert not os.path.exists(f"{rootfs}/made") and not os.path.exists(f"{rootfs}/etc/made")


def test_it_is_the_filter_that_refuses(rootfs: str, root: str) -> None:
    config = ocirun.sandbox(rootfs, ["/bin/probe"], seccomp=False)
    found = told(ocirun.run(config=config, root=root, timeout=60).stdout)
    changed = {name for name in TOLD if found[name] != TOLD[name]}
    assert {"clone3", "new user namespace", "keyctl"} <= changed
    # The kernel refuses these by itself.
    assert changed.isdisjoint({"write", "mkdir", "proc", "node", "capset", "mount", "unshare", "network"})


def test_capabilities_that_are_asked_for(rootfs: str, root: str) -> None:
    config = ocirun.sandbox(rootfs, ["/bin/probe"], capabilities=["CAP_CHOWN", "CAP_SETUID"])
    found = told(ocirun.run(config=config, root=root, timeout=60).stdout)
    assert (found["setuid"], found["mount"]) == (0, EPERM)


def test_ids_outside(rootfs: str, root: str) -> None:
    """What the program makes belongs to ids that nobody has; the kernel numbers it so for the host."""
    config = ocirun.sandbox(rootfs, shell("id -u; id -g; cat /proc/self/uid_map"), user=(7, 8), ids=(1 << 30, 10))
    out = ocirun.run(config=config, root=root, timeout=60).stdout.split()
    assert out == [b"7", b"8", b"0", str(1 << 30).encode(), b"10"]


def limited(rootfs: str, root: str, script: str, **limits: Any) -> ocirun.Outcome:
    config = ocirun.sandbox(rootfs, shell(script), **limits)
    return ocirun.run(config=config, root=root, timeout=60)


def test_limits(rootfs: str, root: str) -> None:
    assert limited(rootfs, root, "tail /dev/zero", memory=16 << 20).limit == "memory"
    many = "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done"
    assert b"fork" in limited(rootfs, root, many, pids=5).stderr
    assert limited(rootfs, root, "ulimit -n; ulimit -c", open_files=33).stdout.split() == [b"33", b"0"]
    fill = "dd if=/dev/zero of=%s/x bs=1024 count=64"
    assert limited(rootfs, root, f"exec {fill % '/tmp'}", file_size=32 << 10).signal == 25  # SIGXFSZ
    for directory, name in (("/tmp", "tmp"), ("/dev/shm", "shm")):
        outcome = limited(rootfs, root, fill % directory, **{name: 32 << 10})
        assert b"No space left on device" in outcome.stderr, name
    assert limited(rootfs, root, "grep -c /tmp /proc/self/mounts", tmp=None).stdout == b"0\n"


def test_environment_and_directory(rootfs: str, root: str) -> None:
    outcome = limited(rootfs, root, "pwd; echo $A; hostname; touch here", env={"A": "b c"}, cwd="/tmp")
    assert (outcome.stdout, outcome.ok) == (b"/tmp\nb c\nsandbox\n", True)


def test_everywhere_a_config_goes(rootfs: str, root: str, tmp_path: Path) -> None:
    config = ocirun.sandbox(rootfs, ["/bin/echo", "x"])
    assert ocirun.Prepared(config=config, root=root).run().stdout == b"x\n"
    with ocirun.Pool(ocirun.Prepared(config=config, root=root), size=1) as pool:
        assert pool.run(["/bin/echo", "y"]).stdout == b"y\n"
    assert asyncio.run(aio.run(config=config, root=root)).stdout == b"x\n"
    ocirun.save_config(config, str(tmp_path / "saved"))
    assert ocirun.run(str(tmp_path / "saved"), root=root).stdout == b"x\n"


def command(program: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    """A command of an ordinary user who has no ids but the own one, and no cgroup."""
    return subprocess.run(
        [program, *words],
        check=False,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        user=USER,
        group=USER,
        extra_groups=[],
        env={"PATH": os.environ["PATH"], "OCIRUN_PRELOAD": "no"},
        timeout=60,
    )


def test_an_ordinary_user(open_program: str, rootfs: str) -> None:
    where = Path(rootfs).parent
    for path in (where, where / "root"):
        path.mkdir(exist_ok=True)
        os.chown(path, USER, USER)
    refused = command(open_program, "spec", "--sandbox", "--bundle", str(where))
    assert refused.returncode == 1
    assert b"memory, pids, cpus: /linux/resources/memory/limit: " in refused.stderr
    assert not (where / "config.json").exists()
    written = command(open_program, "spec", "--sandbox", "--leave-out", "--bundle", str(where))
    assert written.returncode == 0, written.stderr
    assert b"left out, as this host cannot do it: memory pids cpus" in written.stderr
    config = json.loads((where / "config.json").read_text())
    assert config["annotations"] == {LEFT_OUT: "memory pids cpus"}
    assert config["linux"]["uidMappings"] == [{"containerID": 0, "hostID": USER, "size": 1}]
    config["process"]["args"] = ["/bin/probe"]
    (where / "config.json").write_text(json.dumps(config))
    ran = command(open_program, "--root", str(where / "root"), "run", "--bundle", str(where), "one")
    assert ran.returncode == 0, ran.stderr
    found = told(ran.stdout)
    # There is no other id in its namespace.
    assert found.pop("setuid") == found.pop("chown") == EINVAL
    assert found == TOLD
    again = command(open_program, "spec", "--sandbox", "--leave-out", "--bundle", str(where))
    assert b"config.json exists" in again.stderr


def test_an_ordinary_user_with_a_root_to_throw_away(open_program: str, rootfs: str) -> None:
    where = Path(rootfs).parent
    for path in (where, where / "root"):
        path.mkdir(exist_ok=True)
        os.chown(path, USER, USER)
    subprocess.run(["chown", "-R", f"{USER}:{USER}", rootfs], check=True)
    written = command(open_program, "spec", "--sandbox", "--leave-out", "--disk", "1M", "--bundle", str(where))
    assert written.returncode == 0, written.stderr
    config = json.loads((where / "config.json").read_text())
    assert config["annotations"]["org.ocirun.root.upper"] == "size=1048576,inodes=1024"
    config["process"]["args"] = list(shell("rm /etc/passwd; mkdir /etc/passwd; cat /dev/zero > /fill"))
    (where / "config.json").write_text(json.dumps(config))
    ran = command(open_program, "--root", str(where / "root"), "run", "--bundle", str(where), "one")
    assert ran.returncode == 1 and ran.stderr.endswith(b"\ncat: write error: No space left on device\n"), ran.stderr
    assert (Path(rootfs) / "etc" / "passwd").is_file() and not (Path(rootfs) / "fill").exists()
