"""Hostile images and neighbours: nothing of the host is touched (A01, A04-A06, A08, A14-A16).

The oracle hashes the canary tree after every test, so a test that only runs
something is a test all the same: it fails when the runtime followed a link out.
"""

from __future__ import annotations

import os
import stat

import pytest

from .test_mounts import source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import process
    from .bundles import Bundle
    from .case import Case


def dump(live: Case, bundle: Bundle) -> str:
    """Have the mounts written down before the pivot; gives the file."""
    path = f"{live.dir}/mountinfo"
    bundle.hook("createContainer", f"cat /proc/self/mountinfo > {path}")
    return path


def outside(path: str, before: set[str], rootfs: str) -> list[str]:
    """Mount points of the dump that are neither the host's own nor below the rootfs."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        points = {line.split()[4] for line in file}
    return [one for one in points - before if one != rootfs and not one.startswith(rootfs + "/")]


def host_points() -> set[str]:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return {line.split()[4] for line in file}


def settle(result: process.Result, *words: str) -> None:
    """A hostile image may be refused, but only cleanly."""
    if result.code:
        result.failed(*words)


LINKS = {
    "absolute": "{canary}",
    "climbing": "../../../../../../../../{canary}",
    "through another": "/other",
    "dangling": "/newdir/x",
    "dangling in the canary": "{canary}/newdir/x",
}


@pytest.mark.parametrize("what", ["tmpfs", "directory", "file"])
@pytest.mark.parametrize("name", LINKS)
def test_a01_link_in_a_destination(live: Case, name: str, what: str) -> None:
    bundle = live.bundle()
    os.symlink(LINKS[name].format(canary=live.canary), f"{bundle.rootfs}/link")
    os.symlink(live.canary, f"{bundle.rootfs}/other")
    path = source(live)
    for destination in ("/link", "/link/sub/deep"):
        if what == "tmpfs":
            bundle.mount(destination, "tmpfs", kind="tmpfs")
        elif what == "directory":
            bundle.mount(destination, path, "bind")
        elif destination != "/link":
            bundle.mount(destination, f"{path}/file", "bind")
    points = host_points()
    before = dump(live, bundle)
    result = live.run(bundle)
    settle(result, "/mounts/")
    assert outside(before, points, bundle.rootfs) == []
    if name in ("absolute", "dangling") and what == "tmpfs":
        assert result.code == 0, "a link that stays inside is followed inside: " + result.report()


@pytest.mark.parametrize("count", [39, 60, 300])
def test_a16_chain_and_loop_of_links(live: Case, count: int) -> None:
    bundle = live.bundle()
    for number in range(count):
        os.symlink(f"/l{number + 1}", f"{bundle.rootfs}/l{number}")
    os.mkdir(f"{bundle.rootfs}/l{count}")
    bundle.mount("/l0", "tmpfs", kind="tmpfs")
    result = live.run(bundle)
    if count < 40:
        result.ok()
    settle(result, "/mounts/4")


def test_a16_loop(live: Case) -> None:
    bundle = live.bundle()
    os.symlink("loop", f"{bundle.rootfs}/loop")
    bundle.mount("/loop", "tmpfs", kind="tmpfs")
    live.refused(bundle, "/mounts/4", verbs=["create"])


@pytest.mark.parametrize("length", [255, 256, 4095, 4096, 100000])
def test_a16_long_names(live: Case, length: int) -> None:
    bundle = live.bundle()
    name = "n" * length if length < 300 else ("n" * 250 + "/") * (length // 251) + "n" * (length % 251)
    bundle.mount("/" + name, "tmpfs", kind="tmpfs")
    result = live.run(bundle, limit=10)
    if length == 255:
        result.ok()
    settle(result, "/mounts/4")


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("target", ["{canary}", "../../../../../../../..{canary}"])
def test_a04_dev_is_a_link(live: Case, target: str, terminal: bool) -> None:
    # runc 1.1 differs: it fills the directory outside and replaces the decoy ptmx.
    bundle = live.bundle()
    bundle.without_dev()
    os.rmdir(f"{bundle.rootfs}/dev")
    os.symlink(target.format(canary=live.canary), f"{bundle.rootfs}/dev")
    bundle.linux["devices"] = [{"type": "c", "path": "/dev/extra", "major": 1, "minor": 3}]
    bundle.process["terminal"] = terminal
    settle(live.run(bundle), "/dev")
    live.assert_clean()


@pytest.mark.parametrize("name", ["pts", "shm", "mqueue", "ptmx", "fd", "null", "console"])
def test_a04_link_inside_dev(live: Case, name: str) -> None:
    bundle = live.bundle()
    bundle.config["mounts"] = [one for one in bundle.mounts if one["destination"] != "/dev"]
    os.symlink(f"{live.canary}/{name}", f"{bundle.rootfs}/dev/{name}")
    settle(live.run(bundle))
    live.assert_clean()


@pytest.mark.parametrize("kind", ["file", "directory at ptmx", "fifo at null"])
def test_a04_something_odd_in_dev(live: Case, kind: str) -> None:
    bundle = live.bundle()
    bundle.without_dev()
    if kind == "file":
        os.rmdir(f"{bundle.rootfs}/dev")
        bundle.file("/dev", "file")
    elif kind == "directory at ptmx":
        os.mkdir(f"{bundle.rootfs}/dev/ptmx")
    else:
        os.mkfifo(f"{bundle.rootfs}/dev/null")
    settle(live.run(bundle, limit=4), "/dev")


@pytest.mark.parametrize("name", ["proc", "sys"])
@pytest.mark.parametrize("target", ["/tmp/p", "tmp", "{canary}/proc", "file"])
def test_a05_proc_or_sys_is_a_link(live: Case, name: str, target: str) -> None:
    bundle = live.bundle()
    os.rmdir(f"{bundle.rootfs}/{name}")
    os.mkdir(f"{bundle.rootfs}/tmp/p")
    if target == "file":
        bundle.file(f"/{name}", "")
    else:
        os.symlink(target.format(canary=live.canary), f"{bundle.rootfs}/{name}")
    if name == "sys":
        bundle.mount("/sys", "sysfs", "ro", kind="sysfs")
    for destination in (f"/{name}", f"/{name}/"):
        next(one for one in bundle.mounts if one["destination"].rstrip("/") == f"/{name}")["destination"] = destination
        live.refused(bundle, f"/{name}", verbs=["create"])


def test_a05_proc_below_a_link(live: Case) -> None:
    bundle = live.bundle(["/bin/grep", " proc ", "/proc/self/mountinfo"])
    os.symlink("/", f"{bundle.rootfs}/a")
    bundle.mounts[0]["destination"] = "/a/proc"
    result = live.run(bundle)
    settle(result, "/mounts/0")
    if not result.code:
        assert result.out.split()[4] == "/proc"


@pytest.mark.parametrize(
    "destination",
    [
        "/proc/self/attr",
        "/proc/sys",
        "/proc/mounts",
        "/proc/1",
        "/proc/",
        "//proc",
        "/x/../proc",
        "proc",
        "/q",
        "/proc/self/exe",
    ],
)
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_a06_mount_over_proc(live: Case, destination: str, kind: str) -> None:
    bundle = live.bundle()
    os.symlink("/proc", f"{bundle.rootfs}/q")
    os.mkdir(f"{bundle.rootfs}/x")
    if kind == "tmpfs":
        index = bundle.mount(destination, "tmpfs", kind="tmpfs")
    else:
        os.makedirs(f"{live.dir}/fake/self/attr")
        index = bundle.mount(destination, f"{live.dir}/fake", "bind")
    live.refused(bundle, f"/mounts/{index}", verbs=["create"])


def test_a06_bind_of_the_hosts_proc_is_allowed(live: Case) -> None:
    bundle = live.shell("test -d /proc/1 && echo there")
    bundle.config["mounts"][0] = {"destination": "/proc", "type": "bind", "source": "/proc", "options": ["rbind", "ro"]}
    assert live.output(bundle) == "there\n"


def test_a08_copy_of_everything_odd(live: Case) -> None:
    # A copy must not follow links, block on a FIFO, or fill the disk with a sparse file.
    bundle = live.shell("readlink /var/link; stat -c '%F' /var/fifo; stat -c %s /var/sparse; cat /var/inner/name*")
    top = f"{bundle.rootfs}/var"
    os.symlink(f"{live.canary}/secret", f"{top}/link")
    os.symlink(live.canary, f"{top}/dirlink")
    os.mkfifo(f"{top}/fifo")
    os.mknod(f"{top}/sock", stat.S_IFSOCK | 0o600)
    os.mknod(f"{top}/device", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    bundle.file("/var/sparse", "")
    os.truncate(f"{top}/sparse", 1 << 20)
    bundle.file("/var/inner/name with\nline", "odd name\n")
    bundle.mount("/var", "tmpfs", "tmpcopyup", "size=64m", kind="tmpfs")
    result = live.run(bundle, limit=8)
    settle(result, "/mounts/4")
    if not result.code:
        lines = result.out.splitlines()
        assert lines[0] == f"{live.canary}/secret"
        assert lines[-1] == "odd name"
    assert "decoy" not in result.out


def test_a08_sparse_file_that_does_not_fit(live: Case) -> None:
    bundle = live.bundle()
    bundle.file("/var/huge", "")
    os.truncate(f"{bundle.rootfs}/var/huge", 1 << 40)
    bundle.mount("/var", "tmpfs", "tmpcopyup", "size=1m", kind="tmpfs")
    settle(live.run(bundle, limit=10), "/mounts/4")


@pytest.mark.parametrize(
    ("where", "kind"),
    [
        ("/etc/passwd", "fifo"),
        ("/etc/hostname", "fifo"),
        ("/etc/hostname", "socket"),
        ("/etc/hostname", "device"),
        ("/etc/hostname", "directory"),
        ("/mnt", "fifo"),
    ],
)
def test_a14_special_file_at_a_mount_point(live: Case, where: str, kind: str) -> None:
    bundle = live.bundle()
    path = f"{bundle.rootfs}{where}"
    if os.path.isdir(path):
        os.rmdir(path)
    elif os.path.exists(path):
        os.unlink(path)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        os.mknod(path, stat.S_IFSOCK | 0o600)
    elif kind == "device":
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    else:
        os.mkdir(path)
    bundle.mount(where, f"{source(live)}/file", "bind", "ro")
    settle(live.run(bundle, limit=4), "/mounts/4")


@pytest.mark.parametrize(
    "destination", ["", "/", ".", "..", "/..", "/../..", "/mnt/.", "/mnt/..", "/a,b", "/a\nb", "/a\tb\\", "/a b"]
)
def test_a15_odd_destinations(live: Case, destination: str) -> None:
    bundle = live.bundle(["/probe"])
    bundle.mount(destination, "tmpfs", "size=4k", kind="tmpfs")
    settle(live.run(bundle), "/mounts/4")
    live.assert_clean()


@pytest.mark.parametrize(
    "option", ["size=4k,mode=777,uid=5", "lowerdir=/", "context=x", "ro,nosuid", "", "size=4k\nro", "\0"]
)
def test_a15_odd_options(live: Case, option: str) -> None:
    bundle = live.bundle(["/probe"])
    bundle.mount("/mnt", "tmpfs", option, kind="tmpfs")
    settle(live.run(bundle), "/mounts/4")
