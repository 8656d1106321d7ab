"""A host with cgroup v2 besides v1: a container is in a group of both, since systemd and BPF programs look in v2."""

from __future__ import annotations

import os

import pytest

from . import process
from .users import UID, User

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .case import Case

UNIFIED = "/sys/fs/cgroup/unified"
SLEEP = ["/bin/sleep", "600"]
pytestmark = pytest.mark.skipif(
    not (os.path.exists(f"{UNIFIED}/cgroup.procs") and os.path.exists("/sys/fs/cgroup/memory")),
    reason="needs a host with cgroup v2 besides v1",
)


def group(pid: int) -> str:
    with open(f"/proc/{pid}/cgroup", encoding="ascii") as file:
        return next(line[3:].strip() for line in file if line.startswith("0::"))


def test_from_create_to_delete(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    live.create(bundle)
    pid, path = live.pid(bundle), str(bundle.linux["cgroupsPath"])
    assert group(pid) == path
    live.start(bundle)
    shown = live.command("exec", bundle.id, "/bin/cat", "/proc/self/cgroup").ok().out
    assert f"0::{path}" in shown.splitlines()
    shown = live.command("exec", "--ignore-paused", bundle.id, "/bin/cat", "/proc/self/cgroup").ok().out
    assert f"0::{path}" in shown.splitlines()
    live.command("pause", bundle.id).ok()
    assert live.status(bundle) == "paused"
    live.command("resume", bundle.id).ok()
    os.mkdir(f"{UNIFIED}{path}/below")
    live.kill(bundle, "KILL")
    live.ended(bundle)
    assert not os.path.exists(UNIFIED + path)
    live.assert_clean()


def test_failed_create_leaves_no_group(live: Case) -> None:
    bundle = live.bundle(["/none"])
    live.refused(bundle, "no such file")
    assert not os.path.exists(UNIFIED + str(bundle.linux["cgroupsPath"]))


def test_own_id_is_the_group_without_a_path(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    del bundle.linux["cgroupsPath"]
    live.create(bundle)
    own = group(os.getpid()).rstrip("/")
    assert group(live.pid(bundle)) == f"{own}/{bundle.id}"
    live.delete(bundle, "--force")
    live.assert_clean()


def test_somebody_elses_group(live: Case) -> None:
    """It is refused as one of v1 is: by its processes, and when it is frozen."""
    bundle = live.bundle(SLEEP)
    path = UNIFIED + str(bundle.linux["cgroupsPath"])
    os.makedirs(path)
    with open(f"{path}/cgroup.freeze", "w", encoding="ascii") as file:
        file.write("1")
    live.make("create", bundle).failed("unexpectedly frozen")
    with open(f"{path}/cgroup.freeze", "w", encoding="ascii") as file:
        file.write("0")
    proc, _, _ = process.spawn(["sleep", "600"], scratch=live.scratch)
    with open(f"{path}/cgroup.procs", "w", encoding="ascii") as file:
        file.write(str(proc.pid))
    live.make("create", bundle).failed("not empty", "unified")
    proc.kill()
    proc.wait()
    live.create(bundle)
    live.delete(bundle, "--force")
    assert not os.path.exists(path)
    live.assert_clean()


@pytest.mark.parametrize("given", [False, True], ids=["not-given", "given"])
def test_ordinary_user(live: Case, given: bool) -> None:
    """The group of v2 is used only where the user may move processes to it: from a group that is below one of theirs."""
    user = User(live)
    tops = user.delegate("memory", "pids", "freezer")
    parent = f"{live.session.parent}-user"
    mine, home = f"{UNIFIED}{parent}/mine", group(os.getpid())
    try:
        os.makedirs(mine)
        if given:
            for path in (UNIFIED + parent, f"{UNIFIED}{parent}/cgroup.procs"):
                os.chown(path, UID, UID)
        _put(f"{mine}/cgroup.procs", "0")
        bundle = user.bundle("sleep 600")
        bundle.linux["cgroupsPath"] = f"{parent}/box"
        user.make("create", bundle).ok()
        user.command("start", bundle.id).ok()
        pid = user.command("state", bundle.id).ok().json()["pid"]
        assert group(pid) == (f"{parent}/box" if given else f"{parent}/mine")
        shown = user.command("exec", bundle.id, "/bin/cat", "/proc/self/cgroup").ok().out
        assert f"0::{group(pid)}" in shown.splitlines()
        user.command("delete", "--force", bundle.id).ok()
        assert os.listdir(f"{UNIFIED}{parent}").count("box") == 0
    finally:
        _put(f"{UNIFIED}{home}/cgroup.procs", "0")
        user.close()
        for top in [*tops.values(), mine, UNIFIED + parent]:
            os.rmdir(top)


def _put(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def test_mount_of_cgroups_shows_those_of_v1(live: Case) -> None:
    bundle = live.shell("ls /sys/fs/cgroup")
    bundle.mount("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro", kind="sysfs")
    bundle.mount("/sys/fs/cgroup", "cgroup", "nosuid", "noexec", "nodev", "ro", kind="cgroup")
    names = live.output(bundle).split()
    assert "memory" in names and "unified" not in names
