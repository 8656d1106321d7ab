"""Mounts but for their options, the root file system, and the files that are always there."""

from __future__ import annotations

import os
import stat

from live.bundles import APP_UID

from ..bench import mountinfo
from ..registry import covers, need
from . import features, mount_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..bench import Bench


@covers("config.root.readonly")
def read_only_root(bench: Bench) -> None:
    """Neither new files nor changes with it, both without it."""
    script = "touch /new 2>/dev/null && echo made; echo more >>/etc/passwd && echo changed; echo end"
    bundle = bench.shell(script)
    bundle.config["root"]["readonly"] = True
    assert bench.output(bundle) == "end\n"
    assert bench.shell_output(script) == "made\nchanged\nend\n"


@covers("config.mounts.order")
def order(bench: Bench) -> None:
    """A later mount covers an earlier one, and a mount on a mount needs the earlier one."""
    bundle = bench.bundle()
    for size in ("4k", "8k", "16k"):
        bundle.mount("/mnt", "tmpfs", f"size={size}", kind="tmpfs")
    bundle.mount("/mnt/a/b", "tmpfs", "size=32k", kind="tmpfs")
    found = mountinfo(bench.probe(bundle))
    assert found["/mnt"]["count"] == 3 and "size=16k" in found["/mnt"]["super"], found["/mnt"]
    assert "size=32k" in found["/mnt/a/b"]["super"]
    bundle = bench.shell("ls /mnt")
    bundle.mount("/mnt/a", "tmpfs", kind="tmpfs")
    bundle.mount("/mnt", "tmpfs", kind="tmpfs")
    assert bench.output(bundle) == "", "the first mount was made after the second, which should hide it"


@covers("config.mounts.destination.relative")
def relative_destination(bench: Bench) -> None:
    bundle = bench.bundle()
    bundle.process["cwd"] = "/tmp"
    bundle.mount("mnt", "tmpfs", kind="tmpfs")
    assert "/mnt" in mountinfo(bench.probe(bundle))


@covers("config.mounts.options.unknown")
def file_system_options(bench: Bench) -> None:
    """Two at once arrive at a tmpfs; one that it does not know is its error."""
    bundle = bench.bundle()
    bundle.mount("/mnt", "tmpfs", "nosuid", "size=64k", "nr_inodes=77", kind="tmpfs")
    shown = mountinfo(bench.probe(bundle))["/mnt"]["super"]
    assert {"size=64k", "nr_inodes=77"} <= set(shown), shown
    bundle = bench.bundle()
    bundle.mount("/mnt", "tmpfs", "nosuchoption=1", kind="tmpfs")
    bench.fails(bundle)


@covers("config.mounts.options.custom")
def custom_options(bench: Bench) -> None:
    """Those that `features` lists beyond the table: of these mount(8) knows acl and noacl, which tmpfs takes."""
    need(bench.has("features"), "the runtime has no command features that would tell")
    listed = set(features.document(bench).get("mountOptions") or ())
    extra = listed - set(mount_options.OPTIONS) - {"idmap", "ridmap", "mand", "nomand", "tmpcopyup"}
    need(extra, "features lists no option beyond the table")
    for option in sorted(extra & {"acl", "noacl"}):
        bundle = bench.bundle()
        bundle.mount("/mnt", "tmpfs", option, kind="tmpfs")
        assert "/mnt" in mountinfo(bench.probe(bundle))


@covers("config-linux.filesystems")
def default_file_systems(bench: Bench) -> None:
    """The template of the runtime has them, and they are there in its container."""
    need(bench.has("spec"), "the runtime has no command spec that would make a config")
    import json

    path = bench.directory("template")
    bench.command("spec", cwd=path).ok()
    with open(f"{path}/config.json", encoding="utf-8") as file:
        template = json.load(file)
    bundle = bench.bundle()
    bundle.config["mounts"] = [one for one in template["mounts"] if "cgroup" not in one["type"]]
    found = mountinfo(bench.probe(bundle))
    kinds = {place: found[place]["kind"] for place in ("/proc", "/sys", "/dev/pts", "/dev/shm") if place in found}
    assert kinds == {"/proc": "proc", "/sys": "sysfs", "/dev/pts": "devpts", "/dev/shm": "tmpfs"}, kinds


DEVICES = {"null": "1:3", "zero": "1:5", "full": "1:7", "random": "1:8", "urandom": "1:9", "tty": "5:0"}


def _listing(bench: Bench) -> str:
    """/dev, and where its links lead."""
    script = (
        "for name in null zero full random urandom tty; do stat -c '%n %F %t:%T %a' /dev/$name; done;"
        "for name in fd stdin stdout stderr; do echo /dev/$name link $(readlink /dev/$name); done;"
        "stat -L -c 'ptmx %t:%T' /dev/ptmx; stat -c 'own %d:%i' /dev/pts/ptmx; stat -L -c 'that %d:%i' /dev/ptmx"
    )
    return bench.shell_output(script)


def _device(name: str) -> None:
    @covers(f"config-linux.defaultDevices.{name}")
    def check(bench: Bench) -> None:
        lines = bench.once("listing of /dev", _listing).splitlines()
        line = f"/dev/{name} character special file {DEVICES[name]} 666"
        assert line in lines, f"{line!r} is not among {lines}"


for _name in DEVICES:
    _device(_name)


@covers("config-linux.defaultDevices.ptmx")
def ptmx(bench: Bench) -> None:
    """The same device node as the container's own, by link or by bind mount."""
    lines = bench.once("listing of /dev", _listing).splitlines()
    own = next(line for line in lines if line.startswith("own ")).removeprefix("own ")
    assert f"that {own}" in lines and "ptmx 5:2" in lines, lines


@covers("config-linux.defaultDevices.console")
def console(bench: Bench) -> None:
    """/dev/console is a mount of the pty that the process has."""
    from live.peers import read_until

    script = "stat -c 'console %t:%T' /dev/console; stat -L -c 'stdin %t:%T' /proc/self/fd/0; grep -c ' /dev/console ' /proc/self/mountinfo; echo end"
    bundle = bench.shell(script)
    bundle.process["terminal"] = True
    result, master = bench.with_terminal(bundle)
    result.ok()
    bench.start(bundle)
    words = read_until(master, "end\r\n").split()
    os.close(master)
    assert words[1] == words[3] and words[4] == "1", words
    other = bench.shell("test -e /dev/console && echo there; echo end")
    assert bench.output(other) in ("end\n", "there\nend\n")


def _symlink(name: str, target: str) -> None:
    @covers(f"runtime-linux.symlinks.{name}")
    def check(bench: Bench) -> None:
        lines = bench.once("listing of /dev", _listing).splitlines()
        assert f"/dev/{name} link {target}" in lines, lines


for _name, _target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
    _symlink(_name, f"/proc/self/fd{_target}")


@covers("config-linux.devices.available")
def devices(bench: Bench) -> None:
    """A character device, a block device and a pipe, with owner and mode, in and outside /dev."""
    bundle = bench.shell("for name in /dev/one /two /dev/sub/three; do stat -c '%n %F %t:%T %a %u:%g' $name; done")
    bundle.linux["devices"] = [
        {"path": "/dev/one", "type": "c", "major": 1, "minor": 11, "fileMode": 0o640, "uid": APP_UID, "gid": 5},
        {"path": "/two", "type": "b", "major": 7, "minor": 200, "fileMode": 0o600, "uid": 0, "gid": 0},
        {"path": "/dev/sub/three", "type": "p", "fileMode": 0o622, "uid": 1, "gid": 2},
    ]
    assert bench.output(bundle).splitlines() == [
        f"/dev/one character special file 1:b 640 {APP_UID}:5",
        "/two block special file 7:c8 600 0:0",
        "/dev/sub/three fifo 0:0 622 1:2",
    ]


@covers("config-linux.devices.path.mismatch")
def other_file(bench: Bench) -> None:
    """A file, a device with other numbers, a pipe; but not for the device itself."""
    entry: dict[str, Any] = {"path": "/node", "type": "c", "major": 1, "minor": 3}
    for kind, number in (
        (stat.S_IFREG, 0),
        (stat.S_IFCHR, os.makedev(1, 5)),
        (stat.S_IFIFO, 0),
        (stat.S_IFBLK, os.makedev(1, 3)),
    ):
        bundle = bench.bundle()
        os.mknod(f"{bundle.rootfs}/node", kind | 0o666, number)
        bundle.linux["devices"] = [entry]
        bench.fails(bundle)
