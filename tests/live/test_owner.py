"""Whose cgroup it is, and what of a saved state is believed."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from . import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .bundles import Bundle
    from .case import Case
    from .process import Result

SLEEP = ["/bin/sleep", "600"]


def elsewhere(live: Case, *args: str) -> Result:
    """The runtime with another state root."""
    return process.run([live.session.runtime, "--root", f"{live.dir}/other", *args], scratch=live.scratch)


def change(live: Case, bundle: Bundle, /, **values: Any) -> None:
    """Change values of state.json."""
    path = f"{live.root}/{bundle.id}/state.json"
    with open(path, encoding="utf-8") as file:
        state = json.load(file)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({**state, **values}, file)


def saved(live: Case, bundle: Bundle) -> Any:
    with open(f"{live.root}/{bundle.id}/state.json", encoding="utf-8") as file:
        return json.load(file)


@pytest.mark.parametrize("shared", [False, True], ids=["own-pids", "host-pids"])
@pytest.mark.parametrize(
    "command", [["delete"], ["delete", "--force"], ["kill", "--all"], ["pause"], ["ps"], ["state"]]
)
def test_stopped_container_leaves_one_with_its_cgroup_alone(live: Case, shared: bool, command: list[str]) -> None:
    """Two state roots, one id and one cgroupsPath: the second container has taken over the empty groups."""
    first, second = live.bundle(["/bin/true"]), live.bundle(SLEEP)
    second.linux["cgroupsPath"] = first.linux["cgroupsPath"]
    if shared:
        first.share_host("pid")
        second.share_host("pid")
    live.launch(first)
    live.until(first, "stopped")
    second.save()
    elsewhere(live, "create", "--bundle", second.path, first.id).ok()
    elsewhere(live, "start", first.id).ok()
    result = live.command(*command, first.id, *(["KILL"] if command[0] == "kill" else []))
    assert "internal" not in result.err
    pid = json.loads(elsewhere(live, "state", first.id).ok().out)["pid"]
    assert json.loads(elsewhere(live, "state", first.id).out)["status"] == "running"
    if command == ["ps"]:
        assert str(pid) not in result.out
    assert str(pid) in elsewhere(live, "ps", "--format", "json", first.id).ok().out
    if command[0] != "delete":
        live.delete(first)
    assert json.loads(elsewhere(live, "state", first.id).out)["status"] == "running"
    elsewhere(live, "delete", "--force", first.id).ok()
    live.assert_clean()


def test_stranger_in_the_cgroup_is_not_killed(live: Case) -> None:
    """In a pid namespace of its own nothing outlives the first process: who is in the cgroup then is somebody else."""
    bundle = live.bundle(["/bin/true"])
    live.launch(bundle)
    live.until(bundle, "stopped")
    group = f"/sys/fs/cgroup/memory{bundle.linux['cgroupsPath']}"
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        with open(f"{group}/cgroup.procs", "w", encoding="ascii") as file:
            file.write(str(stranger.pid))
        result = live.delete(bundle)
        assert "not the container's" in result.err and stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
    os.rmdir(group)
    live.command("state", bundle.id).failed("does not exist")


def test_what_is_left_in_shared_pids_is_killed(live: Case) -> None:
    bundle = live.shell("sleep 600 & exit 0")
    bundle.share_host("pid")
    live.launch(bundle)
    live.until(bundle, "stopped")
    live.delete(bundle)
    live.assert_clean()


@pytest.mark.parametrize("name", ["../victim", "victim", "", "."])
def test_id_in_the_state_is_not_believed(live: Case, name: str) -> None:
    victim, bundle = live.bundle(SLEEP), live.bundle(["/bin/true"])
    live.launch(victim)
    os.mkdir(f"{live.dir}/victim")
    os.mkdir(f"{live.root}/victim~")
    with open(f"{live.dir}/victim/file", "w", encoding="ascii"):
        pass
    live.launch(bundle)
    live.until(bundle, "stopped")
    change(live, bundle, container_id=victim.id if name == "victim" else name)
    for command in (["delete"], ["state"], ["kill"], ["start"], ["pause"], ["ps"]):
        live.command(*command, bundle.id).failed("another container")
    live.command("delete", "--force", bundle.id).ok()
    assert os.path.exists(f"{live.dir}/victim/file") and live.status(victim) == "running"
    os.rmdir(f"{live.root}/victim~")
    live.delete(victim, "--force")
    live.assert_clean()


def test_state_of_another_boot(live: Case) -> None:
    """A state root on a disk: the groups, mounts and processes it names went with that boot."""
    running = live.bundle(SLEEP)
    live.launch(running)
    for command in (["delete"], ["delete", "--force"]):
        bundle = live.bundle(["/bin/true"])
        bundle.hook("poststop", f"echo stopped >> {live.dir}/hooks")
        live.launch(bundle)
        live.until(bundle, "stopped")
        for group in saved(live, bundle)["cgroup"]["groups"]:
            os.rmdir(f"{group['mount']}/{group['below']}")
        # What it says now leads to the groups of a container of this boot, on a device that was another one then.
        state = saved(live, running)
        for group in state["cgroup"]["groups"]:
            group["device"] = "0:999"
        keep = {name: state[name] for name in ("cgroup", "pid", "start_time")}
        change(live, bundle, boot_id="00000000-0000-4000-8000-000000000000", host_mounts=[], rootfs="/", **keep)
        assert live.status(bundle) == "stopped"
        live.command("ps", bundle.id)
        live.command("exec", bundle.id, "/bin/true").failed("stopped")
        live.command(*command, bundle.id).ok()
    with open(f"{live.dir}/hooks", encoding="ascii") as file:
        assert file.read() == "stopped\nstopped\n"
    os.unlink(f"{live.dir}/hooks")
    assert live.status(running) == "running"
    live.delete(running, "--force")
    live.assert_clean()


@pytest.mark.parametrize(
    "values",
    [
        {"rootfs": "/"},
        {"rootfs": "/proc"},
        {"bundle": "/"},
        {"rdt": ["/sys/fs/resctrl/somebody"]},
        {"rdt": ["/sys/fs/resctrl/../cgroup"]},
    ],
    ids=str,
)
def test_other_values_that_lead_to_what_is_not_the_containers(live: Case, values: dict[str, Any]) -> None:
    bundle = live.bundle(["/bin/true"])
    bundle.share_host("mount")
    bundle.config["mounts"] = []
    del bundle.config["hostname"]
    bundle.config.pop("maskedPaths", None)
    live.launch(bundle)
    live.until(bundle, "stopped")
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        before = file.read()
    change(live, bundle, **values)
    live.delete(bundle, "--force")
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        assert file.read() == before
    live.assert_clean()


@pytest.mark.parametrize("spare", ["missing", "garbage", "file", "directory", "cgroup", "elsewhere"])
@pytest.mark.parametrize("alive", [False, True])
def test_both_records_damaged(live: Case, spare: str, alive: bool) -> None:
    """`delete --force` removes it as the remedy says, and what it cannot know of it tells."""
    bundle = live.bundle(SLEEP if alive else ["/bin/true"])
    live.launch(bundle)
    pid = live.pid(bundle)
    if not alive:
        live.until(bundle, "stopped")
    where = f"{live.root}/{bundle.id}"
    groups = saved(live, bundle)["cgroup"]["groups"]
    text = json.loads(os.readlink(f"{where}/spare"))
    os.unlink(f"{where}/spare")
    os.truncate(f"{where}/state.json", 17)
    if spare == "garbage":
        os.symlink("[1, 2", f"{where}/spare")
    elif spare == "file":
        os.mknod(f"{where}/spare")
    elif spare == "directory":
        os.makedirs(f"{where}/spare/a/b/c/d")
    elif spare == "cgroup":
        text[4]["groups"][0]["below"] = "../../.."
        os.symlink(json.dumps(text), f"{where}/spare")
    elif spare == "elsewhere":
        os.symlink(json.dumps(["../x", *text[1:]]), f"{where}/spare")
    live.command("delete", bundle.id).failed("delete --force")
    result = live.delete(bundle, "--force")
    assert "damaged" in result.err or "its cgroup is left" in result.err
    assert not os.path.exists(where)
    if alive and spare != "cgroup":
        os.kill(pid, 9)
    process.eventually(lambda: process.describe(pid) == "(gone)", "the end of its process")
    for group in groups:
        process.eventually(lambda group=group: removed(f"{group['mount']}/{group['below']}"), "an empty group")  # type: ignore[misc]
    live.assert_clean()


def removed(path: str) -> bool:
    """Remove an empty cgroup, or find that it is gone; False while something is in it."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def test_file_in_place_of_the_directory(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    os.symlink(live.dir, f"{live.root}/{bundle.id}")
    live.make("create", bundle).failed("already exists")
    live.command("state", bundle.id).failed("is no directory", "delete --force")
    live.delete(bundle, "--force")
    live.create(bundle)
    live.delete(bundle, "--force")
    live.assert_clean()


def test_host_without_cgroups(live: Case) -> None:
    """The way out is named; and what needs a cgroup is refused all the same."""
    bundle = live.bundle()
    bundle.save()
    script = (
        "for point in $(grep ' - cgroup' /proc/self/mountinfo | cut -d' ' -f5); do umount -l $point; done; exec \"$@\""
    )
    without = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh"]

    def create(*options: str) -> Result:
        argv = live.argv(*options, "run", "--bundle", bundle.path, bundle.id)
        return process.run([*without, *argv], scratch=live.scratch)

    create().failed("no cgroup file system is mounted", "--cgroup-manager disabled")
    create("--cgroup-manager", "disabled").ok()
    bundle.linux["resources"] = {"pids": {"limit": 10}}
    bundle.save()
    create("--cgroup-manager", "disabled").failed("/linux/resources/pids")
    live.assert_clean()


def test_creation_ended_by_a_delete_beside_it(live: Case) -> None:
    """Signal 9 alone does not tell why: memory is not blamed without an OOM kill."""
    bundle = live.bundle()
    bundle.hook("createContainer", "sleep 600")
    bundle.save()
    proc, _, err = process.spawn(live.argv("create", "--bundle", bundle.path, bundle.id), scratch=live.scratch)
    process.eventually(lambda: live.command("state", bundle.id).code == 0 and live.pid(bundle) > 0, "its process")
    live.delete(bundle, "--force")
    process.wait_end(proc, 15)
    with open(err, encoding="utf-8") as file:
        text = file.read()
    assert proc.returncode == 1 and "signal 9" in text and "memory" not in text
    live.assert_clean()
