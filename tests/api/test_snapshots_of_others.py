"""Snapshots of a caller that is killed, and of an ordinary user."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ocirun

from .conftest import AS_ORDINARY

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


KILLED = """
import os, sys
import ocirun
from ocirun.files import saving
config = ocirun.sandbox(sys.argv[1], ["sleep", "1000"], missing="leave out", disk=1 << 20)
null = os.open("/dev/null", os.O_RDWR)
options = ocirun.CreateOptions(stdio=(null, null, null))
container = ocirun.Container.create("killed", config=config, root=sys.argv[2], options=options)
container.start()
container.put("/one", b"1")
run = saving.Saving.run
saving.Saving.run = lambda self: (run(self), os.kill(os.getpid(), 9))
container.snapshot(sys.argv[3])
"""


def test_caller_is_killed(rootfs: str, root: str, tmp_path: Path) -> None:
    """What is left is half a snapshot, which is none, and a frozen container; `cleanup` undoes both."""
    place = tmp_path / "taken"
    done = subprocess.run([sys.executable, "-c", KILLED, rootfs, root, str(place)], check=False)
    try:
        assert done.returncode == -signal.SIGKILL
        assert (place / "layer" / "one").exists()
        with pytest.raises(ocirun.UsageError, match="unfinished"):
            ocirun.Snapshot(place)
        container = ocirun.Container.load("killed", root=root)
        assert container.status() == "paused"
        warned: list[str] = []
        assert ocirun.cleanup(root, warn=warned.append) == [] and warned == []
        assert not place.exists() and container.status() == "running"
        assert ocirun.cleanup(root) == []
    finally:
        ocirun.delete("killed", root=root, force=True)


ORDINARY = """
config = ocirun.sandbox(rootfs, ["sleep", "60"], disk=1 << 20, missing="leave out", seccomp=False)
root = where + "/state"
with ocirun.Container.create("ordinary", config=config, root=root) as container:
    container.start()
    script = "rm /letter; rm -r /dir; mkdir -m 700 /dir; echo x > /dir/x; ln /dir/x /dir/y; touch /u; chmod 4755 /u"
    assert container.run(["sh", "-c", script]).ok
    try:
        container.snapshot(where + "/closed")
    except ocirun.StateError as error:
        print(error.remedy[:8], os.path.exists(where + "/closed"))
    taken = container.snapshot(where + "/taken", live=True)
print(taken.left_out, taken.rootfs == rootfs)
with ocirun.Container.create("ordinary", config=config, root=root, snapshot=taken) as container:
    container.start()
    script = "cat /dir/y; ls /letter /dir; stat -c '%a %u %h' /dir/x /u; rm -r /dir"
    print(container.run(["sh", "-c", script]).stdout)
    second = container.snapshot(where + "/second", live=True)
outcome = ocirun.run(config=config, args=["ls", "/dir", "/u"], root=root, snapshot=second.path)
print(outcome.stdout, outcome.changes.removed)
second.delete(), taken.delete()
print(sorted(os.listdir(where)))
"""
USER = 23500


def test_of_an_ordinary_user(rootfs: str) -> None:
    """Without a cgroup of its own, and with the user's own attributes for the marks of the overlay."""
    where = Path(rootfs).parent
    subprocess.run(["chown", "-R", f"{USER}:{USER}", where], check=True)
    ran = subprocess.run(
        [sys.executable, "-c", AS_ORDINARY + ORDINARY, rootfs, str(where), str(USER)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [
        "pause it False",
        "[] True",
        r"b'x\n/dir:\nx\ny\n644 0 2\n4755 0 1\n'",
        "b'/u\\n' []",
        "['rootfs', 'state']",
    ]
