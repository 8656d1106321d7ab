"""Device nodes, default devices and the links in /dev."""

from __future__ import annotations

import os
import stat

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .case import Case

DEFAULTS = {"null": "1:3", "zero": "1:5", "full": "1:7", "random": "1:8", "urandom": "1:9", "tty": "5:0"}


def device(path: str, major: int = 1, minor: int = 3, **more: Any) -> dict[str, Any]:
    return {"path": path, "type": "c", "major": major, "minor": minor, **more}


def test_default_devices_and_links(live: Case) -> None:
    bundle = live.shell(
        "cd /dev; for d in null zero full random urandom tty; do stat -c '%n %F %t:%T %a %u:%g' $d; done;"
        "for l in fd stdin stdout stderr ptmx; do echo $l $(readlink $l); done"
    )
    lines = live.output(bundle).splitlines()
    for name, number in DEFAULTS.items():
        assert f"{name} character special file {number} 666 0:0" in lines
    assert lines[6:] == [
        "fd /proc/self/fd",
        "stdin /proc/self/fd/0",
        "stdout /proc/self/fd/1",
        "stderr /proc/self/fd/2",
        "ptmx pts/ptmx",
    ]


def test_devices_of_the_image_directory(live: Case) -> None:
    # Without a mount at /dev they are made in the image.
    bundle = live.shell("echo x > /dev/null; head -c 2 /dev/zero | od -An -tx1")
    bundle.without_dev()
    assert live.output(bundle) == " 00 00\n"
    assert live.output(bundle) == " 00 00\n", "nodes and links that are there already are fine"


def test_listed_device(live: Case) -> None:
    bundle = live.shell("stat -c '%F %t:%T %a %u:%g' /dev/mine /dev/sub/dir/b /outside /dev/pipe")
    bundle.linux["devices"] = [
        device("/dev/mine", 1, 7, fileMode=0o640, uid=7, gid=8),
        {"path": "/dev/sub/dir/b", "type": "b", "major": 7, "minor": 200, "fileMode": 0o600},
        device("/outside", 1, 5, fileMode=0o21666),
        {"path": "/dev/pipe", "type": "p", "fileMode": 0o622},
    ]
    result = live.run(bundle, before=lambda: os.umask(0o077)).ok()
    assert result.out.splitlines() == [
        "character special file 1:7 640 7:8",
        "block special file 7:c8 600 0:0",
        "character special file 1:5 1666 0:0",
        "fifo 0:0 622 0:0",
    ]


def test_listed_device_replaces_a_default_one(live: Case) -> None:
    bundle = live.shell("stat -c '%t:%T %a %u' /dev/null /dev/tty")
    bundle.linux["devices"] = [device("/dev/null", fileMode=0o600, uid=5), device("/dev/tty", 5, 0, fileMode=0o644)]
    assert live.output(bundle) == "1:3 600 5\n5:0 644 0\n"
    assert stat.S_IMODE(os.stat("/dev/null").st_mode) == 0o666


@pytest.mark.parametrize("kind", ["file", "other device", "directory", "fifo"])
def test_something_else_is_there(live: Case, kind: str) -> None:
    # The specification: an existing file that does not match is an error.  runc and crun accept it.
    bundle = live.bundle()
    path = f"{bundle.rootfs}/mydev"
    if kind == "file":
        bundle.file("/mydev", "decoy")
    elif kind == "other device":
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    elif kind == "directory":
        os.mkdir(path)
    else:
        os.mkfifo(path)
    bundle.linux["devices"] = [device("/mydev")]
    live.refused(bundle, "/linux/devices/0")


def test_matching_node_is_there(live: Case) -> None:
    bundle = live.shell("stat -c '%t:%T %a' /mydev")
    os.mknod(f"{bundle.rootfs}/mydev", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    bundle.linux["devices"] = [device("/mydev", fileMode=0o666)]
    assert live.output(bundle).startswith("1:3 ")


def test_link_at_the_path_of_a_device(live: Case) -> None:
    # D08: the link must not be followed out of the image, nor its target be given away.
    bundle = live.bundle()
    os.symlink(f"{live.canary}/marker", f"{bundle.rootfs}/mydev")
    bundle.linux["devices"] = [device("/mydev", uid=1000, fileMode=0o600)]
    result = live.run(bundle)
    if result.code:
        result.failed("/linux/devices/0")
    live.assert_clean()


@pytest.mark.parametrize("path", ["/dev/../x", "/dev/x/", "/dev//y"])
def test_odd_device_paths_stay_inside(live: Case, path: str) -> None:
    bundle = live.bundle()
    bundle.linux["devices"] = [device(path)]
    bundle.process["args"] = ["/bin/stat", "-c", "%t:%T", os.path.normpath(path)]
    result = live.run(bundle)
    if result.code:
        result.failed("/linux/devices/0")
    else:
        assert result.out == "1:3\n"


@pytest.mark.parametrize(("major", "minor"), [(-1, 3), (1, -1), (1 << 32, 3), (4096, 0), (1, 1 << 20)])
def test_numbers_out_of_range(live: Case, major: int, minor: int) -> None:
    bundle = live.bundle()
    bundle.linux["devices"] = [device("/dev/x", major, minor)]
    live.refused(bundle, "/linux/devices/0", verbs=["create"])


def test_device_rules(live: Case) -> None:
    bundle = live.shell(
        "for d in null full zero; do head -c 1 /dev/$d > /dev/null 2>&1 && echo $d read || echo $d denied; done;"
        "mknod /tmp/m c 1 8 2> /dev/null && echo made || echo not made; echo x > /dev/null && echo written"
    )
    bundle.linux["resources"] = {
        "devices": [
            {"allow": False, "access": "rwm"},
            {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
            {"allow": True, "type": "c", "major": 1, "minor": 5, "access": "rm"},
            {"allow": False, "type": "c", "major": 1, "minor": 7, "access": "rw"},
        ]
    }
    bundle.process["capabilities"] = {name: ["CAP_MKNOD"] for name in ("bounding", "effective", "permitted")}
    lines = live.output(bundle).splitlines()
    assert lines[0] == "null read"
    assert lines[2] == "zero read"
    assert lines[-1] == "written"


def test_denied_device_cannot_be_opened(live: Case) -> None:
    # 10:200 is tun: no default rule of a runtime for plain containers allows more than it lists.
    bundle = live.shell("mknod /tmp/m b 7 200 && head -c 1 /tmp/m")
    bundle.linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    bundle.process["capabilities"] = {name: ["CAP_MKNOD"] for name in ("bounding", "effective", "permitted")}
    result = live.run(bundle)
    assert result.code != 0
    assert "not permitted" in result.err


def test_devices_in_a_user_namespace(live: Case) -> None:
    # The runtime makes them, whether the host has a node of that path or not; and it is none of the host's.
    names = "/dev/mine /dev/sub/loop /outside /dev/pipe /dev/null"
    bundle = live.shell(
        f"stat -c '%F %t:%T %a %u:%g' {names}; echo x > /dev/mine && echo written; "
        "chmod 600 /dev/null && grep -c -E ' (/dev/(mine|sub/loop|null)|/outside) [^ ]*nosuid,noexec' /proc/self/mountinfo"
    )
    bundle.user_namespace()
    os.chown(f"{bundle.rootfs}", 100000, 100000)
    bundle.linux["devices"] = [
        device("/dev/mine", 1, 3, fileMode=0o21640, uid=7, gid=8),
        {"path": "/dev/sub/loop", "type": "b", "major": 7, "minor": 300, "fileMode": 0o600},
        device("/outside", 1, 5),
        {"path": "/dev/pipe", "type": "p", "fileMode": 0o622, "uid": 3},
    ]
    result = live.run(bundle, before=lambda: os.umask(0o077)).ok()
    assert result.out.splitlines() == [
        "character special file 1:3 1640 7:8",
        "block special file 7:12c 600 0:0",
        "character special file 1:5 666 0:0",
        "fifo 0:0 622 3:0",
        "character special file 1:3 666 0:0",
        "written",
        "4",
    ]
    assert stat.S_IMODE(os.stat("/dev/null").st_mode) == 0o666


def test_device_in_a_user_namespace_with_an_owner_that_is_not_mapped(live: Case) -> None:
    bundle = live.bundle()
    bundle.user_namespace(size=1000)
    bundle.linux["devices"] = [device("/dev/mine", uid=1000)]
    live.refused(bundle, "/linux/devices/0/uid", "/dev/mine", "1000")


@pytest.mark.parametrize("propagation", ["", "shared", "rprivate", "runbindable"])
def test_nodes_leave_nothing_mounted(live: Case, propagation: str) -> None:
    bundle = live.shell("cat /proc/self/mountinfo; ls -d /0 /1")
    bundle.user_namespace()
    if propagation:
        bundle.linux["rootfsPropagation"] = propagation
    result = live.run(bundle)
    points = [line.split()[4] for line in result.out.splitlines()]
    assert points.count("/") == 1
    assert "/dev/null" in points
    assert result.err.count("No such file") == 2
