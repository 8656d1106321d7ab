"""Containers of an ordinary user: maps with and without newuidmap, cgroups with and without rights to them,
and root of a user namespace, as which rootless engines call a runtime."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from . import kernel, process
from .users import COUNT, FIRST, GID, NAME, OTHER_GROUP, UID, User

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .bundles import Bundle
    from .case import Case

RANGE = [(0, UID, 1), (1, FIRST, COUNT)]
V1 = os.path.isdir("/sys/fs/cgroup/memory")


@pytest.fixture
def user(live: Case) -> Iterator[User]:
    made = User(live)
    try:
        yield made
    finally:
        made.close()


def test_bundle_of_spec(user: User) -> None:
    bundle = user.bundle("")
    user.run(*user.argv("spec", "--rootless", "--bundle", bundle.path)).ok()
    with open(f"{bundle.path}/config.json", encoding="utf-8") as file:
        config = json.load(file)
    config["process"] |= {"terminal": False, "args": ["sh", "-c", "id -u; echo > /dev/null && cat /proc/self/uid_map"]}
    bundle.config = config
    bundle.save()
    result = user.run(*user.argv("run", "--bundle", bundle.path, bundle.id))
    assert result.ok().out.split() == ["0", "0", str(UID), "1"]
    assert os.stat(f"{user.runtime_dir}/ocirun").st_mode & 0o7777 == 0o1700


def test_sandbox_of_spec(user: User) -> None:
    """With subordinate ids the caller's own is 0 inside, they follow, and the caller's groups do not come along."""
    bundle = user.bundle("")
    user.run(*user.argv("spec", "--sandbox", "--leave-out", "--bundle", bundle.path)).ok()
    with open(f"{bundle.path}/config.json", encoding="utf-8") as file:
        config = json.load(file)
    script = "id -u; cat /proc/self/uid_map; grep Groups /proc/self/status; grep -c : /proc/net/dev; touch /made"
    config["process"] |= {"args": ["sh", "-c", script], "user": {"uid": 1000, "gid": 1000}}
    bundle.config = config
    bundle.save()
    result = user.run(*user.argv("run", "--bundle", bundle.path, bundle.id))
    assert (result.code, "Read-only file system" in result.err) == (1, True)
    lines = [line.split() for line in result.out.splitlines()]
    assert lines == [["1000"], ["0", str(UID), "1"], ["1", str(FIRST), str(COUNT)], ["Groups:"], ["1"]]


def test_own_ids_only(user: User) -> None:
    bundle = user.bundle("id -u; id -g; touch /tmp/made; cat /proc/self/setgroups; hostname; ls /proc/1/ns | wc -w")
    # The default devices must be the host's, and work.
    bundle.process["args"][2] += "; head -c 2 /dev/zero | wc -c; echo x > /dev/null; stat -c %t:%T /dev/full"
    bundle.process["args"][2] += "; grep -c ' /dev/[a-z]* [^ ]*nosuid,noexec.* - devtmpfs' /proc/self/mountinfo"
    assert user.output(bundle).split() == ["0", "0", "deny", "live", "10", "2", "1:7", "6"]
    made = os.stat(f"{bundle.rootfs}/tmp/made")
    assert (made.st_uid, made.st_gid) == (UID, GID)


def test_ranges_by_newuidmap(user: User) -> None:
    assert shutil.which("newuidmap"), "the package uidmap is missing"
    bundle = user.bundle("id -u; id -G; touch /tmp/made; cat /proc/self/setgroups; grep Groups /proc/self/status")
    user.maps(bundle, RANGE)
    bundle.process["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [7]}
    out = user.output(bundle)
    assert out.split()[:1] == ["1000"] and "allow" in out
    # The caller's own groups must not come along.
    assert out.splitlines()[-1].split()[1:] == ["7"], out
    made = os.stat(f"{bundle.rootfs}/tmp/made")
    assert (made.st_uid, made.st_gid) == (FIRST + 999, FIRST + 999)


def test_groups_are_dropped_only_where_they_can_be(user: User) -> None:
    bundle = user.bundle("grep Groups /proc/self/status")
    assert user.output(bundle).split()[1:] == ["65534"]
    bundle.process["user"] = {"uid": 0, "gid": 0, "additionalGids": [0]}
    user.refused(bundle, "/process/user/additionalGids", "setgroups")
    assert OTHER_GROUP not in (GID, 65534)


def test_ids_that_nobody_gave(user: User) -> None:
    bundle = user.bundle("true")
    user.maps(bundle, [(0, UID, 1), (1, 4000000, 10)])
    user.refused(bundle, "/linux/uidMappings/1/hostID", f"usermod --add-subuids 4000000-4000009 {NAME}")
    user.maps(bundle, RANGE)
    user.entry("subgid", "")
    user.refused(bundle, "/linux/gidMappings/1/hostID", "none", "--add-subgids")


def test_without_a_user_namespace(user: User) -> None:
    bundle = user.bundle("true")
    bundle.share_host("user")
    del bundle.linux["uidMappings"], bundle.linux["gidMappings"]
    user.refused(bundle, "/linux/namespaces", "spec --rootless")


def test_plan_of_root_for_who_would_be_refused(user: User) -> None:
    bundle = user.bundle("true")
    bundle.save()
    own = user.command("explain", "--bundle", bundle.path).ok().out
    assert own.startswith("  op  by")
    bundle.share_host("user")
    del bundle.linux["uidMappings"], bundle.linux["gidMappings"]
    bundle.linux["resources"] = {"pids": {"limit": 5}}
    bundle.save()
    shown = user.command("explain", "--bundle", bundle.path).ok().out.splitlines()
    assert shown[0].startswith(f"Refused for uid {UID}: /linux/namespaces: has no user namespace")
    assert shown[1] == "For root the plan is:"
    # Nothing but what depends on the caller's own things may differ.
    roots = user.live.command("explain", "--bundle", bundle.path).ok().out.splitlines()
    assert [line.split()[:3] for line in shown[2:]] == [line.split()[:3] for line in roots]
    record = json.loads(user.command("explain", "--json", "--bundle", bundle.path).ok().out)
    assert "has no user namespace" in record["refused"]
    # What root could not do either is an error, for everybody.
    bundle.mount("/", "tmpfs", kind="tmpfs")
    bundle.save()
    user.command("explain", "--bundle", bundle.path).failed("has no user namespace")


def test_what_a_user_namespace_cannot_mount(user: User) -> None:
    bundle = user.bundle("true")
    bundle.share_host("network")
    index = bundle.mount("/sys", "sysfs", "ro", kind="sysfs")
    user.refused(bundle, f"/mounts/{index}", "network namespace", "rbind")
    bundle.mounts[index] = {"destination": "/dev/pts", "type": "devpts", "source": "d", "options": ["gid=5"]}
    user.refused(bundle, f"/mounts/{index}/options/0", "gid 5 is not mapped")
    bundle.mounts[index] = {"destination": "/sys", "type": "bind", "source": "/sys", "options": ["bind"]}
    user.refused(bundle, f"/mounts/{index}", "rbind only")
    bundle.mounts[index]["options"] = ["rbind", "nosuid", "noexec", "nodev", "ro"]
    bundle.process["args"][2] = "ls /sys/class/net | wc -w"
    assert int(user.output(bundle)) > 0


def test_flags_of_the_host_stay(user: User) -> None:
    live = user.live
    os.mkdir(f"{live.dir}/locked")
    live.mount("locked", f"{live.dir}/locked", "tmpfs", flags=kernel.MS_NOSUID | kernel.MS_NODEV)
    bundle = user.bundle("grep ' /locked ' /proc/self/mountinfo")
    index = bundle.mount("/locked", f"{live.dir}/locked", "bind", "noexec")
    words = user.output(bundle).split()[5].split(",")
    assert {"nosuid", "nodev", "noexec"} <= set(words)
    bundle.mounts[index]["options"] = ["bind", "suid"]
    user.refused(bundle, f"/mounts/{index}", "nosuid")


def test_life_of_a_container(user: User) -> None:
    bundle = user.bundle("trap 'exit 7' TERM; echo up > /tmp/up; while :; do sleep 0.05; done")
    user.make("create", bundle).ok()
    state = user.command("state", bundle.id).ok().json()
    assert (state["status"], state["owner"]) == ("created", NAME)
    assert user.command("exec", bundle.id, "id", "-u").ok().out == "0\n"
    user.command("start", bundle.id).ok()
    assert user.command("exec", "--user", "0", bundle.id, "cat", "/proc/self/setgroups").ok().out == "deny\n"
    assert bundle.id in user.command("list").ok().out
    assert str(state["pid"]) in user.command("ps", bundle.id).ok().out
    for verb in (("pause", bundle.id), ("update", "--memory", "64M", bundle.id)):
        user.command(*verb).failed("cgroup")
    user.command("kill", bundle.id, "KILL").ok()
    process.eventually(lambda: user.command("delete", bundle.id).code == 0, "deleted")


def test_ids_of_exec_with_ranges(user: User) -> None:
    bundle = user.bundle("sleep 600")
    user.maps(bundle, RANGE)
    user.make("create", bundle).ok()
    user.command("start", bundle.id).ok()
    out = user.command("exec", "--user", "1000:1000", bundle.id, "grep", "-E", "^(Uid|Groups)", "/proc/self/status")
    assert out.ok().out.split() == ["Uid:", "1000", "1000", "1000", "1000", "Groups:"]
    user.command("delete", "--force", bundle.id).ok()


def test_joined_user_namespace(user: User) -> None:
    first = user.bundle("sleep 600")
    user.make("create", first).ok()
    user.command("start", first.id).ok()
    pid = user.command("state", first.id).ok().json()["pid"]
    second = user.bundle("readlink /proc/self/ns/user; readlink /proc/self/ns/net; id -u")
    del second.linux["uidMappings"], second.linux["gidMappings"]
    second.namespace("user", f"/proc/{pid}/ns/user")
    second.namespace("network", f"/proc/{pid}/ns/net")
    wanted = [os.readlink(f"/proc/{pid}/ns/user"), os.readlink(f"/proc/{pid}/ns/net"), "0"]
    assert user.output(second).split() == wanted


def test_clocks(user: User) -> None:
    bundle = user.bundle("cat /proc/self/timens_offsets")
    bundle.namespace("time")
    bundle.linux["timeOffsets"] = {"boottime": {"secs": 3600}}
    assert user.output(bundle).split()[3:5] == ["boottime", "3600"]


def test_limits_need_a_cgroup(user: User) -> None:
    bundle = user.bundle("true")
    bundle.linux["resources"] = {"memory": {"limit": 1 << 26}}
    user.refused(bundle, "/linux/resources/memory/limit", "memory")
    del bundle.linux["resources"]
    bundle.linux["cgroupsPath"] = f"{user.live.session.parent}/no"
    user.refused(bundle, "/linux/cgroupsPath", "leave it out")
    # Device rules are the host's root's, and every engine sends some.
    bundle.linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    del bundle.linux["cgroupsPath"]
    user.make("run", bundle).ok()
    user.make("create", bundle, first=("--rootless", "false")).failed("cgroup")


@pytest.mark.skipif(not V1, reason="cgroup v1 hierarchies are not mounted")
def test_groups_that_were_given_to_the_user(user: User) -> None:
    given = user.delegate("memory", "pids", "freezer", "cpuset")
    bundle = user.bundle("while :; do sleep 0.05; done")
    bundle.linux["cgroupsPath"] = f"{user.live.session.parent}-user/box"
    bundle.linux["resources"] = {"memory": {"limit": 1 << 26}, "pids": {"limit": 50}, "cpu": {"cpus": "0"}}
    user.make("create", bundle).ok()
    user.command("start", bundle.id).ok()

    def read(name: str, file: str) -> str:
        with open(f"{given[name]}/box/{file}", encoding="ascii") as text:
            return text.read().strip()

    assert read("memory", "memory.limit_in_bytes") == str(1 << 26)
    assert (read("pids", "pids.max"), read("cpuset", "cpuset.cpus")) == ("50", "0")
    user.command("update", "--pids-limit", "60", bundle.id).ok()
    assert read("pids", "pids.max") == "60"
    user.command("pause", bundle.id).ok()
    assert user.command("state", bundle.id).ok().json()["status"] == "paused"
    user.command("resume", bundle.id).ok()
    assert user.command("ps", "--format", "json", bundle.id).ok().json()
    user.command("delete", "--force", bundle.id).ok()
    assert not os.path.exists(f"{given['pids']}/box")
    # A limit of a controller that was not given.
    bundle.linux["resources"]["cpu"]["shares"] = 512
    user.refused(bundle, "/linux/resources/cpu/shares", "controller cpu")


def engine(user: User, bundle: Bundle, script: str, **how: Any) -> Any:
    """A shell as root of a user namespace with one id, as podman is, with the variables that podman passes on."""
    bundle.save()
    runtime, state = user.live.session.runtime, f"{user.runtime_dir}/ocirun"
    text = f"set -e; R={runtime} I={bundle.id} B={bundle.path} S={state}; {script}"
    return user.run("unshare", "-Urm", "--propagation", "slave", "sh", "-c", text, **how)


def inside(user: User, script: str) -> Bundle:
    """A bundle as podman makes it: no user namespace, no cgroupsPath, nothing in resources."""
    bundle = user.bundle(script)
    bundle.share_host("user")
    bundle.share_host("network")
    del bundle.linux["uidMappings"], bundle.linux["gidMappings"]
    bundle.linux["resources"] = {}
    return bundle


def test_root_of_the_engines_user_namespace(user: User) -> None:
    bundle = inside(user, "echo $(id -u) $(stat -c %t:%T /dev/null) $(cat /proc/1/uid_map); sleep 600")
    script = """
        $R create --bundle $B --pid-file $B/pid $I > $B/out 2> $B/err </dev/null
        test -d $S/$I
        $R start $I; $R exec $I id -u; $R state $I | grep status
        while ! test -s $B/out; do sleep 0.05; done
        cat $B/out; $R kill $I KILL
        while ! $R delete $I 2> $B/err; do sleep 0.05; done
        ls $S
    """
    words = engine(user, bundle, script).ok().out.split()
    assert words == ["0", '"status":', '"running",', "0", "1:3", "0", str(UID), "1"]


def test_root_elsewhere_keeps_its_state_elsewhere(user: User) -> None:
    # USER=root: a root that only happens to be in a user namespace, as inside a container.
    bundle = inside(user, "true")
    result = engine(user, bundle, "$R create --bundle $B $I", env={"USER": "root"})
    result.failed("/run/ocirun")


def test_namespace_within_the_engines(user: User) -> None:
    bundle = inside(user, "cat /proc/self/uid_map")
    bundle.namespace("user")
    user.maps(bundle, [(0, 0, 1)])
    assert engine(user, bundle, "$R run --bundle $B $I").ok().out.split() == ["0", "0", "1"]
    user.maps(bundle, [(0, 0, 1), (1, 1, 1)])
    engine(user, bundle, "$R run --bundle $B $I").failed("/linux/uidMappings/1/hostID", "do not all exist")


def test_user_namespaces_switched_off(user: User) -> None:
    # The limit of a user namespace of our own, which is what the sysctl of the host is for the host.
    bundle = inside(user, "true")
    bundle.namespace("user")
    user.maps(bundle, [(0, 0, 1)])
    script = "echo 0 > /proc/sys/user/max_user_namespaces; $R run --bundle $B $I"
    engine(user, bundle, script).failed("/linux/namespaces", "max_user_namespaces is 0", "sysctl")


def test_sysfs_of_somebody_elses_network(user: User) -> None:
    bundle = inside(user, "true")
    index = bundle.mount("/sys", "sysfs", "ro", kind="sysfs")
    engine(user, bundle, "$R run --bundle $B $I").failed(f"/mounts/{index}", "bind /sys with rbind")


def test_no_place_for_the_state(user: User) -> None:
    bundle = user.bundle("true")
    bundle.save()
    result = user.run(*user.argv("run", "--bundle", bundle.path, bundle.id), env={"XDG_RUNTIME_DIR": ""})
    result.failed("/run/ocirun", "XDG_RUNTIME_DIR")
