"""User namespaces: mappings, ids, groups, devices and sources through them."""

from __future__ import annotations

import os

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .bundles import Bundle
    from .case import Case


def maps(live: Case, bundle: Bundle) -> tuple[list[list[int]], list[list[int]]]:
    """uid_map and gid_map of a created container."""
    live.create(bundle)
    pid = live.pid(bundle)
    found = []
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/{pid}/{name}", encoding="ascii") as file:
            found.append([[int(word) for word in line.split()] for line in file])
    live.delete(bundle)
    return found[0], found[1]


def test_mapping_is_written_as_given(live: Case) -> None:
    bundle = live.bundle(["/bin/sleep", "600"])
    bundle.user_namespace()
    bundle.linux["gidMappings"] = [
        {"containerID": 0, "hostID": 200000, "size": 1000},
        {"containerID": 1000, "hostID": 300000, "size": 5},
    ]
    for name in ("", "tmp", "home/app", "dev", "proc", "sys", "mnt"):
        os.chown(f"{bundle.rootfs}/{name}", 100000, 200000)
    uids, gids = maps(live, bundle)
    assert uids == [[0, 100000, 65536]]
    assert gids == [[0, 200000, 1000], [1000, 300000, 5]]


def test_full_identity_map(live: Case) -> None:
    bundle = live.bundle(["/bin/sleep", "600"])
    bundle.user_namespace(0, 4294967295)
    assert maps(live, bundle) == ([[0, 0, 4294967295]], [[0, 0, 4294967295]])


def test_ids_inside_and_outside(live: Case) -> None:
    bundle = live.shell("id -u; id -g; touch /tmp/made; stat -c %u:%g /tmp/made")
    bundle.user_namespace()
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    assert live.output(bundle) == "1000\n1000\n1000:1000\n"
    made = os.stat(f"{bundle.rootfs}/tmp/made")
    assert (made.st_uid, made.st_gid) == (101000, 101000)


def test_root_inside_has_its_capabilities(live: Case) -> None:
    bundle = live.bundle()
    bundle.user_namespace()
    seen = live.probe(bundle)
    plain = live.probe(live.bundle())
    assert seen["uids"] == [0, 0, 0]
    assert seen["caps"] == plain["caps"]


def test_groups(live: Case) -> None:
    bundle = live.bundle()
    bundle.user_namespace()
    bundle.process["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [5, 2000]}
    seen = live.probe(bundle)
    assert sorted(set(seen["groups"]) - {1000}) == [5, 2000]


def test_default_devices_work(live: Case) -> None:
    # No mknod in a user namespace: the runtime makes the nodes outside of it.
    bundle = live.shell(
        "echo x > /dev/null && head -c 4 /dev/zero | od -An -tx1 && stat -c '%t:%T %a' /dev/null /dev/zero /dev/full"
    )
    bundle.user_namespace()
    lines = live.output(bundle).splitlines()
    assert lines == [" 00 00 00 00", "1:3 666", "1:5 666", "1:7 666"]


def test_sources_that_root_inside_may_not_reach(live: Case) -> None:
    # Opened before the user namespace is entered; two, as the first may hide the fault of the second.
    bundle = live.shell("cat /one/f /two/f")
    bundle.user_namespace()
    for name in ("one", "two"):
        private = f"{live.dir}/{name}"
        os.makedirs(f"{private}/sub")
        with open(f"{private}/sub/f", "w", encoding="ascii") as file:
            file.write(name + "\n")
        os.chmod(private, 0o700)
        bundle.mount(f"/{name}", f"{private}/sub", "bind", "ro")
    assert live.output(bundle) == "one\ntwo\n"


@pytest.mark.parametrize("owner", [0, 4242], ids=["root", "somebody"])
@pytest.mark.parametrize("joined", [False, True], ids=["made", "joined"])
def test_root_below_directories_closed_to_root_inside(live: Case, owner: int, joined: bool) -> None:
    """As in somebody's home; all that is done with the root file system finds it there."""
    bundle = live.shell("stat -c %u /etc; id -u; echo made > /tmp/new; cat /mnt/f; pwd")
    bundle.user_namespace()
    bundle.mount("/mnt", bundle.rootfs, "bind", "ro")
    bundle.file("f", "from the source\n")
    bundle.hook("createContainer", f"test -f f && pwd > {live.dir}/hook")
    os.chmod(live.dir, 0o777)
    if joined:
        first = live.bundle(["/bin/sleep", "600"])
        first.user_namespace()
        live.launch(first)
        bundle.namespace("user", f"/proc/{live.pid(first)}/ns/user")
    os.chown(bundle.path, owner, owner)
    os.chmod(bundle.path, 0o700)
    assert live.output(bundle).splitlines() == ["65534", "0", "from the source", "/"]
    made = os.stat(f"{bundle.rootfs}/tmp/new")
    assert (made.st_uid, made.st_gid) == (100000, 100000)
    assert os.path.exists(f"{live.dir}/hook")


def test_uid_outside_the_mapping(live: Case) -> None:
    bundle = live.bundle()
    bundle.user_namespace(size=1000)
    bundle.process["user"] = {"uid": 1000, "gid": 0}
    live.refused(bundle, "/process/user/uid")


def test_joined_with_equal_mappings(live: Case) -> None:
    # Engines send the path and the mappings of the same namespace together.
    first = live.bundle(["/bin/sleep", "600"])
    first.user_namespace()
    live.launch(first)
    second = live.bundle()
    second.user_namespace()
    second.namespace("user", f"/proc/{live.pid(first)}/ns/user")
    assert live.probe(second)["ns"]["user"] == os.readlink(f"/proc/{live.pid(first)}/ns/user")


def test_overlapping_mapping_is_refused(live: Case) -> None:
    bundle = live.bundle()
    bundle.user_namespace()
    bundle.linux["uidMappings"] = [
        {"containerID": 0, "hostID": 100000, "size": 10},
        {"containerID": 5, "hostID": 200000, "size": 10},
    ]
    live.refused(bundle, "/linux/uidMappings")


def test_size_zero_is_refused(live: Case) -> None:
    bundle = live.bundle()
    bundle.user_namespace()
    bundle.linux["uidMappings"][0]["size"] = 0
    live.refused(bundle, "/linux/uidMappings/0")


def test_mount_and_hostname_in_a_user_namespace(live: Case) -> None:
    bundle = live.shell("hostname; grep -c ' /dev/shm ' /proc/self/mountinfo; ls /sys/class")
    bundle.user_namespace()
    bundle.mount("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro", kind="sysfs")
    lines = live.output(bundle).splitlines()
    assert lines[:2] == ["live", "1"]
    assert "net" in lines


def test_readonly_root_keeps_flags_of_the_host(live: Case) -> None:
    bundle = live.shell("touch /x 2>&1; echo $?")
    bundle.user_namespace()
    bundle.config["root"]["readonly"] = True
    assert "Read-only file system" in live.output(bundle)


def test_what_is_mounted_inside_stays_inside(live: Case) -> None:
    # A source opened by the runtime is in the host's peer group, unless that is undone.
    path = f"{live.dir}/shared"
    os.mkdir(path)
    bundle = live.shell("cat /proc/self/mountinfo; mkdir -p /mnt/sub; mount -t tmpfs inner /mnt/sub && echo mounted")
    bundle.user_namespace()
    os.chown(path, 100000, 100000)
    for name in ("bounding", "effective", "permitted"):
        bundle.process["capabilities"][name].append("CAP_SYS_ADMIN")
    bundle.mount("/mnt", path, "bind")
    created = live.create(bundle)
    live.start(bundle)
    live.until(bundle, "stopped")
    out = created.out
    assert "mounted" in out
    line = next(line for line in out.splitlines() if " /mnt " in line)
    assert "shared:" not in line
    assert "master:" in line
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        assert path + "/sub" not in file.read()
    live.delete(bundle)
