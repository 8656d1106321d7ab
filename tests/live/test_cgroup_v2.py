"""A container on cgroup v2: where it is, what it sees of its group, whose that is; everything gone after delete."""

from __future__ import annotations

import json
import os

import pytest

from . import device_rules, execs, process
from .v2 import SLEEP, TOP, directory, mount_cgroups, needs_v2, put, value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .bundles import Bundle
    from .case import Case

pytestmark = needs_v2
LOOK = "cat /proc/self/cgroup; ls -d /sys/fs/cgroup/*/; mkdir /sys/fs/cgroup/new 2>&1; ls -d /sys/fs/cgroup/new"


def group_of(pid: int) -> str:
    with open(f"/proc/{pid}/cgroup", encoding="ascii") as file:
        return file.read().strip()


def test_from_create_to_delete(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    live.create(bundle)
    pid = live.pid(bundle)
    place = f"0::{bundle.linux['cgroupsPath']}"
    assert group_of(pid) == place
    live.start(bundle)
    assert group_of(pid) == place
    # Switched on above for the figures, although nothing is limited.
    assert {"cpu", "memory", "pids"} <= set(value(bundle, "cgroup.controllers").split())
    live.command("pause", bundle.id).ok()
    assert (live.status(bundle), value(bundle, "cgroup.freeze")) == ("paused", "1")
    live.command("exec", bundle.id, "/bin/true").failed("paused")
    live.command("resume", bundle.id).ok()
    assert live.status(bundle) == "running"
    assert live.command("ps", "--format", "json", bundle.id).ok().json() == [pid]
    # A paused one can be deleted by force, with what it made below its group.
    os.makedirs(f"{directory(bundle)}/a/b")
    live.command("pause", bundle.id).ok()
    live.delete(bundle, "--force")
    live.assert_clean()


@pytest.mark.parametrize("user", [False, True], ids=["root", "userns"])
@pytest.mark.parametrize("mode", ["ro", "rw"])
def test_the_mount_in_a_cgroup_namespace(live: Case, mode: str, user: bool) -> None:
    bundle = live.shell(LOOK)
    if user:
        bundle.user_namespace()
    mount_cgroups(bundle, mode)
    out = live.output(bundle) if mode == "rw" else live.run(bundle).out
    assert out.startswith("0::/\n")
    # The container's group, not the host's: there are no groups in it.
    assert "init.scope" not in out
    assert ("Read-only file system" in out) == (mode == "ro")


@pytest.mark.parametrize("mode", ["ro", "rw"])
def test_the_mount_without_a_cgroup_namespace(live: Case, mode: str) -> None:
    bundle = live.shell(LOOK)
    mount_cgroups(bundle, mode, namespace=False)
    out = live.run(bundle).out
    assert out.startswith(f"0::{bundle.linux['cgroupsPath']}\n")
    assert "init.scope" not in out
    assert ("Read-only file system" in out) == (mode == "ro")


def test_the_mount_of_a_privileged_pod(live: Case) -> None:
    """Without a cgroup namespace, and with the options that the host's hierarchy has, as containerd 2.3 writes it."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        (words,) = (line.split() for line in file if line.split()[4] == TOP)
    has = words[-1].split(",")[1:]
    bundle = live.shell("cat /proc/mounts")
    mount_cgroups(bundle, "rw", *has, namespace=False)
    (shown,) = [line for line in live.output(bundle).splitlines() if f" {TOP} " in line]
    assert set(has) <= set(shown.split()[3].split(","))
    other = live.shell("true")
    assert "favordynmods" not in has
    mount_cgroups(other, "rw", *has, "favordynmods", namespace=False)
    live.run(other).failed("'favordynmods'", "would change the host's hierarchy")


def owners(bundle: Bundle) -> dict[str, int]:
    where = directory(bundle)
    names = ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads", "memory.max"]
    return {name: os.stat(f"{where}/{name}").st_uid for name in names}


def test_the_group_is_given_to_the_user_of_the_container(live: Case) -> None:
    # config-linux.md, "Cgroup ownership"
    mine = {
        "": 101000,
        "cgroup.procs": 101000,
        "cgroup.subtree_control": 101000,
        "cgroup.threads": 101000,
        "memory.max": 0,
    }
    bundle = live.bundle(SLEEP)
    bundle.user_namespace()
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    mount_cgroups(bundle)
    live.create(bundle)
    assert owners(bundle) == mine
    live.delete(bundle)
    # Not where the mount is read-only, or in the host's cgroup namespace.
    for options, namespace in ((["ro"], True), ([], False)):
        bundle = live.bundle(SLEEP)
        bundle.process["user"] = {"uid": 1000, "gid": 1000}
        mount_cgroups(bundle, *options, namespace=namespace)
        live.create(bundle)
        assert set(owners(bundle).values()) == {0}
        live.delete(bundle)


def test_devices(live: Case) -> None:
    script = "exec 2>&1; echo a >/dev/null && echo null; mknod /dev/mem c 1 1 && echo made; cat /dev/mem | head -c 1; echo end"
    bundle = live.shell(script)
    for kind in bundle.process["capabilities"].values():
        kind += ["CAP_MKNOD", "CAP_SYS_RAWIO"]
    out = live.output(bundle)
    # Nodes may be made, but not opened.
    assert "null\nmade\n" in out and "can't open '/dev/mem': Operation not permitted" in out
    bundle = live.shell(
        "mknod /dev/full2 c 1 7; (echo x >/dev/full2) 2>&1; cat </dev/zero 2>&1 | head -c 1 | od -An -c"
    )
    for kind in bundle.process["capabilities"].values():
        kind.append("CAP_MKNOD")
    bundle.linux["resources"] = {
        "devices": [
            {"allow": False, "access": "rwm"},
            {"allow": True, "type": "c", "major": 1, "minor": 7, "access": "r"},
        ]
    }
    # The defaults come last: full and zero are among them.
    out = live.output(bundle)
    assert "No space left" in out and "\\0" in out


def test_device_rules_change_without_a_gap(live: Case) -> None:
    """The program opens a device all the time, which all rules allow; another device comes and goes."""
    bundle = device_rules.opening(live.shell)
    live.launch(bundle)
    path = f"{live.scratch}/rules"
    always, both, everything = device_rules.ALWAYS, device_rules.BOTH, device_rules.ALL
    for rules, allowed in ((always, False), (both, True), (always, False), (everything, True)):
        with open(path, "w", encoding="ascii") as file:
            json.dump({"devices": rules}, file)
        live.command("update", "--resources", path, bundle.id).ok()
        assert device_rules.seen(live.command("exec", bundle.id, *device_rules.LOOK).ok().out) is allowed
    assert live.status(bundle) == "running"


def test_exec_starts_in_the_group(live: Case) -> None:
    bundle = execs.idle(live)
    assert execs.probe(live, bundle)["cgroup"] == f"0::{bundle.linux['cgroupsPath']}\n"
    os.makedirs(f"{directory(bundle)}/in/it")
    assert execs.probe(live, bundle, "--cgroup", "in/it")["cgroup"] == f"0::{bundle.linux['cgroupsPath']}/in/it\n"
    assert execs.probe(live, bundle, "--ignore-paused")["cgroup"] == f"0::{bundle.linux['cgroupsPath']}\n"
    for text, words in (("..", "leads out"), ("none", "no such file in this cgroup")):
        execs.with_options(live, bundle, ["--cgroup", text], "/bin/true").failed(words)


def test_exec_follows_init_where_its_group_may_hold_no_process(live: Case) -> None:
    # As systemd in a container leaves it: processes below, controllers on.
    bundle = execs.idle(live)
    os.mkdir(f"{directory(bundle)}/init")
    put(f"{directory(bundle)}/init/cgroup.procs", str(live.pid(bundle)))
    put(f"{directory(bundle)}/cgroup.subtree_control", "+memory")
    assert execs.probe(live, bundle)["cgroup"] == f"0::{bundle.linux['cgroupsPath']}/init\n"
    # Asked for in so many words, it is an error.
    result = execs.with_options(live, bundle, ["--cgroup", "/"], "/bin/true")
    result.failed("device or resource busy")


def test_bad_places(live: Case) -> None:
    bundle = live.bundle()
    own = group_of(os.getpid()).removeprefix("0::")
    # A group that holds processes, us for one.
    bundle.linux["cgroupsPath"] = own
    live.refused(bundle, "container's cgroup is not empty", verbs=["run"])
    # A group below one with processes can have no controllers.
    bundle.linux["cgroupsPath"] = f"{own}/{live.session.mark}"
    bundle.linux["resources"] = {"memory": {"limit": 1 << 26}}
    live.refused(bundle, "/linux/resources/memory/limit", "needs the cgroup controller memory", verbs=["run"])
    threaded = live.group(f"{TOP}{live.session.parent}/t-{live.session.mark}")
    os.mkdir(f"{threaded}/u")
    put(f"{threaded}/u/cgroup.type", "threaded")
    bundle.linux["cgroupsPath"] = f"{live.session.parent}/t-{live.session.mark}/box"
    del bundle.linux["resources"]
    live.make("run", bundle).failed("cannot hold the container's processes", "/linux/cgroupsPath")


def test_a_process_in_a_group_below_is_killed(live: Case) -> None:
    bundle = live.shell("sleep 641 & exec sleep 642")
    bundle.share_host("pid")
    live.launch(bundle)
    process.eventually(lambda: len(process.children(live.pid(bundle))) == 1, "one child")
    os.mkdir(f"{directory(bundle)}/inner")
    put(f"{directory(bundle)}/inner/cgroup.procs", str(process.children(live.pid(bundle))[0]))
    live.delete(bundle, "--force")
    live.assert_clean()
