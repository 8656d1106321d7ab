"""mounts add, remove, list: a running container's mounts, seen from inside and from the host."""

from __future__ import annotations

import json
import os
import re

import pytest

from .users import COUNT, FIRST, UID, User

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .bundles import Bundle
    from .case import Case
    from .process import Result

SLEEP = ["/bin/sleep", "600"]


def change(live: Case, bundle: Bundle, action: str, mounts: object, *options: str) -> Result:
    """Call mounts add or remove with what is to be in the file."""
    path = f"{live.scratch}/mounts.json"
    with open(path, "w", encoding="utf-8") as file:
        json.dump(mounts, file)
    return live.command("mounts", action, *options, bundle.id, path)


def inside(live: Case, bundle: Bundle, script: str) -> str:
    """What a shell in the container prints."""
    return live.command("exec", bundle.id, "/bin/sh", "-c", script).ok().out


def listed(live: Case, bundle: Bundle) -> list[str]:
    """The destinations that `mounts list` has."""
    return [mount["destination"] for mount in live.command("mounts", "list", "--format", "json", bundle.id).ok().json()]


def points(bundle: Bundle, live: Case) -> list[str]:
    """The mount points that the kernel has in the container, in order."""
    with open(f"/proc/{live.pid(bundle)}/mountinfo", encoding="utf-8") as file:
        return [line.split(" ")[4] for line in file]


def source(live: Case) -> str:
    """A directory of the host with a file and a mount in it."""
    path = f"{live.dir}/source"
    os.makedirs(f"{path}/sub")
    with open(f"{path}/file", "w", encoding="ascii") as file:
        file.write("from the host\n")
    live.mount("inner", f"{path}/sub", "tmpfs")
    with open(f"{path}/sub/deep", "w", encoding="ascii") as file:
        file.write("deep\n")
    return path


def bind(path: str, destination: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": "bind", "source": path, "options": list(options or ("bind",))}


TMPFS = {"destination": "/data/t", "type": "tmpfs", "source": "tmpfs", "options": ["size=64k", "mode=700", "noexec"]}


@pytest.mark.parametrize("user", [False, True])
def test_added_and_removed(live: Case, user: bool) -> None:
    path = source(live)
    bundle = live.bundle(SLEEP)
    if user:
        bundle.user_namespace()
        os.chmod(path, 0o750)
        os.chown(path, 0, 100000)
        for name in ("", "home"):
            os.chown(f"{bundle.rootfs}/{name}", 100000, 100000)
    live.launch(bundle)
    before, had = points(bundle, live), listed(live, bundle)
    wanted = [bind(path, "/data/b", "rbind", "ro"), TMPFS, bind(f"{path}/file", "/home/one")]
    change(live, bundle, "add", wanted).ok()
    assert inside(
        live, bundle, "cat /data/b/file /home/one; echo x > /data/b/y || echo refused; stat -c %a /data/t"
    ) == ("from the host\nfrom the host\nrefused\n700\n")
    assert inside(live, bundle, "cat /data/b/sub/deep; stat -c %u /data/t") == "deep\n0\n"
    assert points(bundle, live) == [*before, "/data/b", "/data/b/sub", "/data/t", "/home/one"]
    assert listed(live, bundle) == [*had, "/data/b", "/data/t", "/home/one"]
    change(live, bundle, "remove", wanted).ok()
    assert points(bundle, live) == before
    assert listed(live, bundle) == had
    assert os.path.exists(f"{path}/sub/deep"), "what the host has mounted in the source stays there"


def test_a_shared_source_stays_mounted_on_the_host(live: Case) -> None:
    path = source(live)
    bundle = live.bundle(SLEEP)
    live.launch(bundle)
    wanted = [bind(path, "/s", "rbind", "rshared")]
    change(live, bundle, "add", wanted).ok()
    change(live, bundle, "remove", wanted).ok()
    assert os.path.exists(f"{path}/sub/deep")


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (bind("/nonexistent", "/b"), "/1: open /nonexistent"),
        ({"destination": "/b", "type": "tmpfs", "options": ["siz=3"]}, "/1/options/0"),
        (bind("/etc/hostname", "/home"), "/1: "),
        ({"destination": "/proc/kcore", "type": "bind", "source": "/dev/null", "options": ["bind"]}, "/1/destination"),
        ({"destination": "/b", "type": "tmpfs", "options": ["remount"]}, "/1/options: remount"),
        ({"destination": 3}, "/1/destination"),
    ],
)
def test_all_or_nothing(live: Case, second: dict[str, Any], words: str) -> None:
    bundle = live.bundle(SLEEP)
    live.launch(bundle)
    before, had = points(bundle, live), listed(live, bundle)
    failed = change(live, bundle, "add", [TMPFS, second])
    failed.failed(words)
    assert points(bundle, live) == before
    assert listed(live, bundle) == had


def test_order_and_what_is_not_there(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    live.launch(bundle)
    outer = {"destination": "/o", "type": "tmpfs"}
    change(live, bundle, "add", [outer, {"destination": "/o/i", "type": "tmpfs"}]).ok()
    change(live, bundle, "remove", ["/o"]).failed("/0/destination", "/o/i is mounted in it")
    change(live, bundle, "remove", [{"destination": "/nothing"}]).failed("no mount on /nothing")
    change(live, bundle, "remove", {}).failed("must be an array")
    change(live, bundle, "remove", [{"destination": "/nothing", "options": 3}]).failed("no mount on /nothing")
    change(live, bundle, "add", []).failed("must be an array")
    change(live, bundle, "remove", ["/o", "/o/i"]).ok()
    assert "/o" not in points(bundle, live)


@pytest.mark.parametrize("call", ["clone3", "waitid", "unlinkat"])
def test_ctrl_c_leaves_no_mount_that_nobody_knows_of(live: Case, call: str) -> None:
    bundle = live.bundle(SLEEP)
    live.launch(bundle)
    path = f"{live.scratch}/mounts.json"
    with open(path, "w", encoding="utf-8") as file:
        json.dump([TMPFS], file)
    interrupting = ["strace", "-qq", "-o", "/dev/null", "-e", f"inject={call}:signal=SIGINT:when=1"]
    for action in ("add", "remove"):
        live.command_in(interrupting, "mounts", action, bundle.id, path)
        assert ("/data/t" in listed(live, bundle)) is ("/data/t" in points(bundle, live)), action


def test_a_mount_over_others_goes_alone(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    live.launch(bundle)
    before, had = points(bundle, live), listed(live, bundle)
    change(live, bundle, "add", [{"destination": "/dev", "type": "tmpfs"}]).ok()
    change(live, bundle, "remove", ["/dev"]).ok()
    assert (points(bundle, live), listed(live, bundle)) == (before, had)


def test_mounts_of_links(live: Case) -> None:
    """A link that is mounted is taken off itself; one that is made in place of a mount is none."""
    path = source(live)
    os.symlink("/etc/passwd", f"{path}/link")
    bundle = live.bundle(SLEEP)
    bundle.mounts.append(bind(f"{path}/link", "/before", "bind", "copy-symlink"))
    live.launch(bundle)
    before, had = points(bundle, live), listed(live, bundle)
    assert "/before" not in had
    inside(live, bundle, "ln -s /etc/group /to")
    wanted = [
        bind(f"{path}/link", "/itself", "bind", "src-nofollow"),
        bind(f"{path}/file", "/to", "bind,dest-nofollow"),
        bind(f"{path}/link", "/copied", "bind", "copy-symlink"),
    ]
    change(live, bundle, "add", wanted).ok()
    assert inside(live, bundle, "readlink /itself; cat /to; readlink /copied") == (
        "/etc/passwd\nfrom the host\n/etc/passwd\n"
    )
    assert listed(live, bundle) == [*had, "/itself", "/to"]
    change(live, bundle, "remove", ["/copied"]).failed("/0/destination", "no mount on /copied")
    change(live, bundle, "remove", wanted[:2]).ok()
    assert (points(bundle, live), listed(live, bundle)) == (before, had)
    failed = change(live, bundle, "add", [*wanted[:2], bind("/nonexistent", "/b")])
    failed.failed("/2: ")
    assert "could not be taken off" not in failed.err
    assert (points(bundle, live), listed(live, bundle)) == (before, had)


def test_a_remount_goes_with_its_mount(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    live.launch(bundle)
    before, had = points(bundle, live), listed(live, bundle)
    again = {"destination": "/data/t", "options": ["remount,size=128k"], "type": "tmpfs"}
    change(live, bundle, "add", [TMPFS, again]).failed("/1/options", "could not be undone")
    change(live, bundle, "add", [TMPFS]).ok()
    change(live, bundle, "add", [again]).ok()
    both = live.command("mounts", "list", "--format", "json", bundle.id).ok().json()[len(had) :]
    assert len(both) == 2, "a list that makes the same again"
    change(live, bundle, "remove", both).ok()
    assert (points(bundle, live), listed(live, bundle)) == (before, had)


def test_one_that_the_container_has_taken_off(live: Case) -> None:
    """A container may unmount by itself; nothing else is taken off in its place."""
    bundle = live.bundle(SLEEP)
    bundle.process["capabilities"] = {kind: ["CAP_SYS_ADMIN"] for kind in ("bounding", "effective", "permitted")}
    live.launch(bundle)
    change(live, bundle, "add", [TMPFS]).ok()
    inside(live, bundle, "umount /data/t")
    before = points(bundle, live)
    failed = change(live, bundle, "remove", [TMPFS]).failed("/0/destination", "nothing is mounted there")
    assert re.search(r"self/fd/\d+: invalid argument", failed.err)
    assert points(bundle, live) == before


def test_a_link_in_the_container_leads_nowhere_else(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    live.launch(bundle)
    inside(live, bundle, f"ln -s {live.canary} /out; ln -s ../../../../.. /up")
    change(
        live, bundle, "add", [{"destination": "/out/sub", "type": "tmpfs"}, {"destination": "/up/e", "type": "tmpfs"}]
    ).ok()
    assert points(bundle, live)[-2:] == [f"{live.canary}/sub", "/e"], "paths of the container's own root"
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        assert f"{live.canary}/sub" not in {line.split(" ")[4] for line in file}


def test_procfs_is_that_of_the_container(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    live.launch(bundle)
    change(live, bundle, "add", [{"destination": "/p", "type": "proc", "source": "proc"}]).ok()
    assert inside(live, bundle, "cat /p/1/comm") == "sleep\n"


def test_remount_of_an_own_file_system(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    live.launch(bundle)
    change(live, bundle, "add", [TMPFS]).ok()
    change(live, bundle, "add", [{"destination": "/data/t", "options": ["remount", "size=128k"], "type": "tmpfs"}]).ok()
    assert "size=128k" in inside(live, bundle, "grep /data/t /proc/self/mounts")


def test_idmapped(live: Case) -> None:
    path = source(live)
    bundle = live.bundle(SLEEP)
    live.launch(bundle)
    mapped = {
        **bind(path, "/m", "bind"),
        "uidMappings": [{"containerID": 0, "hostID": 4242, "size": 1}],
        "gidMappings": [{"containerID": 0, "hostID": 4242, "size": 1}],
    }
    change(live, bundle, "add", [mapped]).ok()
    assert inside(live, bundle, "stat -c %u:%g /m/file") == "4242:4242\n"


def test_explain_changes_nothing(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    live.launch(bundle)
    before = points(bundle, live)
    plan = change(live, bundle, "add", [TMPFS], "--explain").ok().out
    assert "open the mount point /data/t" in plan
    assert "fork" not in plan, "nothing in the container sees the helper, unless a procfs is mounted"
    assert points(bundle, live) == before
    assert "/data/t" not in listed(live, bundle)
    change(live, bundle, "add", [TMPFS]).ok()
    assert "take off the mount" in change(live, bundle, "remove", [TMPFS], "--explain").ok().out
    assert points(bundle, live)[-1] == "/data/t"


def test_refused_by_state_and_namespace(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    live.create(bundle)
    change(live, bundle, "add", [TMPFS]).ok()
    live.start(bundle)
    assert inside(live, bundle, "stat -c %a /data/t") == "700\n"
    live.kill(bundle, "KILL")
    live.until(bundle, "stopped")
    change(live, bundle, "add", [TMPFS]).failed("container not running")
    shared = live.bundle(SLEEP)
    shared.share_host("mount")
    shared.config["mounts"] = []
    for key in ("maskedPaths", "readonlyPaths"):
        shared.linux.pop(key, None)
    live.launch(shared)
    change(live, shared, "add", [TMPFS]).failed("/linux/namespaces", "no mount namespace of its own")


@pytest.mark.parametrize("ranges", [False, True])
def test_an_ordinary_user(live: Case, ranges: bool) -> None:
    user = User(live)
    try:
        bundle = user.bundle("exec sleep 600")
        if ranges:
            user.maps(bundle, [(0, UID, 1), (1, FIRST, COUNT)])
        path = f"{live.dir}/own"
        os.mkdir(path)
        with open(f"{path}/file", "w", encoding="ascii") as file:
            file.write("mine\n")
        bundle.save()
        user.run(*user.argv("create", "--bundle", bundle.path, bundle.id)).ok()
        user.run(*user.argv("start", bundle.id)).ok()
        wanted = f"{path}/wanted"
        with open(wanted, "w", encoding="ascii") as file:
            json.dump([bind(path, "/tmp/own", "bind", "ro"), {"destination": "/tmp/t", "type": "tmpfs"}], file)
        user.run(*user.argv("mounts", "add", bundle.id, wanted)).ok()
        seen = user.run(*user.argv("exec", bundle.id, "/bin/sh", "-c", "cat /tmp/own/file; stat -c %u /tmp/t"))
        assert seen.ok().out == "mine\n0\n"
        user.run(*user.argv("mounts", "remove", bundle.id, wanted)).ok()
        seen = user.run(*user.argv("exec", bundle.id, "/bin/sh", "-c", "ls /tmp/own"))
        assert seen.ok().out == ""
        user.run(*user.argv("delete", "--force", bundle.id)).ok()
    finally:
        user.close()
