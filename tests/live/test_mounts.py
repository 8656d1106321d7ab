"""The mounts array: what appears where, in which order, from which source."""

from __future__ import annotations

import os
import stat

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .case import Case


def mount_at(seen: Any, point: str) -> list[str]:
    """The fields of the topmost mount at a point of the probe's mountinfo."""
    lines = [line.split() for line in seen["mountinfo"].splitlines()]
    found = [fields for fields in lines if fields[4] == point]
    assert found, f"nothing is mounted at {point}:\n{seen['mountinfo']}"
    return list(found[-1])


def kind_at(seen: Any, point: str) -> str:
    """The file system type there."""
    fields = mount_at(seen, point)
    return fields[fields.index("-") + 1]


def source(live: Case, name: str = "source") -> str:
    """A directory outside the bundle with one file in it."""
    path = f"{live.dir}/{name}"
    os.mkdir(path)
    with open(f"{path}/file", "w", encoding="ascii") as file:
        file.write(f"{name}\n")
    return path


def test_the_usual_filesystems(live: Case) -> None:
    bundle = live.bundle()
    bundle.namespace("cgroup")
    bundle.mount("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro", kind="sysfs")
    bundle.mount("/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev", kind="mqueue")
    bundle.mount("/sys/fs/cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro", kind="cgroup")
    seen = live.probe(bundle)
    for point, kind in (
        ("/proc", "proc"),
        ("/sys", "sysfs"),
        ("/dev", "tmpfs"),
        ("/dev/pts", "devpts"),
        ("/dev/shm", "tmpfs"),
        ("/dev/mqueue", "mqueue"),
    ):
        assert kind_at(seen, point) == kind
    inside = [line for line in seen["mountinfo"].splitlines() if " /sys/fs/cgroup" in line]
    assert inside
    for line in inside:
        assert "ro" in line.split()[5].split(","), f"asked ro, is not: {line}"


def test_nothing_of_the_host_is_mounted(live: Case) -> None:
    points = [line.split()[4] for line in live.probe(live.bundle())["mountinfo"].splitlines()]
    assert sorted(set(points)) == ["/", "/dev", "/dev/pts", "/dev/shm", "/proc"]


def test_modes_of_proc_and_shm(live: Case) -> None:
    bundle = live.shell("stat -c '%a %n' /proc /dev /dev/shm")
    assert live.output(bundle) == "555 /proc\n755 /dev\n1777 /dev/shm\n"


def test_bind_of_a_directory_and_of_a_file(live: Case) -> None:
    path = source(live)
    bundle = live.shell("cat /new/deep/file /new/name; echo more >> /new/name")
    bundle.mount("/new/deep", path, "bind")
    bundle.mount("/new/name", f"{path}/file", "bind")
    assert live.output(bundle) == "source\nsource\n"
    with open(f"{path}/file", encoding="ascii") as file:
        assert file.read() == "source\nmore\n"
    made = os.stat(f"{bundle.rootfs}/new/deep")
    assert stat.S_IMODE(made.st_mode) == 0o755, "a missing target is a directory 0755"
    made = os.stat(f"{bundle.rootfs}/new/name")
    assert (stat.S_ISREG(made.st_mode), made.st_size) == (True, 0), "or an empty file"


def test_relative_source_is_from_the_bundle(live: Case) -> None:
    bundle = live.shell("cat /mnt/data; ls /var/config.json")
    os.mkdir(f"{bundle.path}/side")
    with open(f"{bundle.path}/side/data", "w", encoding="ascii") as file:
        file.write("beside\n")
    bundle.mount("/mnt", "side", "bind")
    bundle.mount("/var", ".", "bind")
    assert live.output(bundle, cwd="/") == "beside\n/var/config.json\n"


def test_relative_and_odd_destinations(live: Case) -> None:
    path = source(live)
    bundle = live.shell("cat /rel/file /a/b/file /c/d/file")
    for destination in ("rel", "/a//b/", "/c/./x/../d"):
        bundle.mount(destination, path, "bind")
    assert live.output(bundle) == "source\n" * 3


def test_order_is_the_order_of_the_config(live: Case) -> None:
    bundle = live.shell("cat /mnt/file; ls /mnt/inner")
    first, second = source(live, "first"), source(live, "second")
    os.mkdir(f"{first}/inner")
    os.mkdir(f"{second}/inner")
    bundle.mount("/mnt", first, "bind")
    bundle.mount("/mnt", second, "bind")
    bundle.mount("/mnt/inner", first, "bind")
    assert live.output(bundle) == "second\nfile\ninner\n"


def test_tmpfs_takes_the_mode_of_the_directory(live: Case) -> None:
    bundle = live.shell("stat -c '%a %n' /mnt /var /fresh")
    os.chmod(f"{bundle.rootfs}/mnt", 0o3751)
    os.chmod(f"{bundle.rootfs}/var", 0o700)
    bundle.mount("/mnt", "tmpfs", kind="tmpfs")
    bundle.mount("/var", "tmpfs", "mode=0711", kind="tmpfs")
    bundle.mount("/fresh", "tmpfs", kind="tmpfs")
    assert live.output(bundle) == "3751 /mnt\n711 /var\n1777 /fresh\n"
    assert stat.S_IMODE(os.stat(f"{bundle.rootfs}/var").st_mode) == 0o700
    assert stat.S_IMODE(os.stat(f"{bundle.rootfs}/fresh").st_mode) == 0o755


@pytest.mark.parametrize(("levels", "code"), [(62, 0), (64, 1)])
def test_tmpcopyup_of_a_deep_tree(live: Case, levels: int, code: int) -> None:
    bundle = live.bundle()
    os.makedirs(f"{bundle.rootfs}/var" + "/d" * levels)
    bundle.mount("/var", "tmpfs", "tmpcopyup", kind="tmpfs")
    result = live.run(bundle)
    assert result.code == code, result.err
    assert not code or "copies trees of at most 64 levels" in result.err


def test_tmpcopyup(live: Case) -> None:
    bundle = live.shell("stat -c '%a %u %Y %n' /var/a /var/d /var/d/s; cat /var/a; readlink /var/l; echo new > /var/a")
    bundle.file("/var/a", "content\n", 0o640)
    bundle.file("/var/d/s", "", 0o4755)
    os.chmod(f"{bundle.rootfs}/var/d", 0o777)
    os.chown(f"{bundle.rootfs}/var/a", 1000, 1000)
    os.symlink("/etc/passwd", f"{bundle.rootfs}/var/l")
    for number, name in enumerate(("a", "d/s", "d")):
        os.utime(f"{bundle.rootfs}/var/{name}", (0, number - 1))
    bundle.mount("/var", "tmpfs", "tmpcopyup", kind="tmpfs")
    result = live.run(bundle, before=lambda: os.umask(0o022)).ok()
    assert result.out == "640 1000 -1 /var/a\n777 0 1 /var/d\n4755 0 0 /var/d/s\ncontent\n/etc/passwd\n"
    assert bundle.read("/var/a") == "content\n", "the copy is written, not the image"


def test_bind_of_fifo_socket_and_link(live: Case) -> None:
    bundle = live.shell("stat -c %F /in/fifo /in/socket /in/link")
    os.mkfifo(f"{live.dir}/fifo")
    os.mknod(f"{live.dir}/socket", stat.S_IFSOCK | 0o600)
    with open(f"{live.dir}/target", "w", encoding="ascii") as file:
        file.write("x")
    os.symlink("target", f"{live.dir}/link")
    for name in ("fifo", "socket", "link"):
        bundle.mount(f"/in/{name}", f"{live.dir}/{name}", "bind", "ro")
    assert live.output(bundle, limit=4) == "fifo\nsocket\nregular file\n"


def test_rbind_takes_submounts_and_bind_does_not(live: Case) -> None:
    bundle = live.shell("ls /one/inner; echo -; ls /all/inner")
    path = source(live)
    os.mkdir(f"{path}/inner")
    live.mount("inner", f"{path}/inner", "tmpfs")
    with open(f"{path}/inner/seen", "w", encoding="ascii"):
        pass
    bundle.mount("/one", path, "bind")
    bundle.mount("/all", path, "rbind")
    assert live.output(bundle) == "-\nseen\n"


def test_bind_of_the_hosts_dev_is_left_alone(live: Case) -> None:
    # Default devices and links are only made in a /dev of the container's own.
    fake = f"{live.dir}/dev"
    os.mkdir(fake)
    os.mknod(f"{fake}/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    bundle = live.shell("ls /dev")
    bundle.without_dev()
    bundle.mount("/dev", fake, "bind")
    assert live.output(bundle) == "null\n"
    assert os.listdir(fake) == ["null"]


def test_no_mounts_at_all(live: Case) -> None:
    bundle = live.shell("echo fine")
    bundle.config["mounts"] = []
    assert live.output(bundle) == "fine\n"
    del bundle.config["mounts"]
    assert live.output(bundle) == "fine\n"


def test_two_hundred_mounts(live: Case) -> None:
    path = source(live)
    bundle = live.shell("grep -c ' /many/' /proc/self/mountinfo; cat /many/199/file")
    for number in range(100):
        bundle.mount(f"/many/{number}", "tmpfs", "size=4k", kind="tmpfs")
    for number in range(100, 200):
        bundle.mount(f"/many/{number}", path, "bind", "ro")
    assert live.output(bundle) == "200\nsource\n"


@pytest.mark.parametrize("where", ["/proc/cpuinfo", "/proc/uptime", "/proc/meminfo"])
def test_files_of_proc_that_may_be_covered(live: Case, where: str) -> None:
    bundle = live.shell(f"cat {where}")
    bundle.mount(where, f"{source(live)}/file", "bind")
    assert live.output(bundle) == "source\n"


def test_overlay(live: Case) -> None:
    lower, upper, work = (f"{live.dir}/{name}" for name in ("lower", "upper", "work"))
    for path in (lower, upper, work):
        os.mkdir(path)
    with open(f"{lower}/base", "w", encoding="ascii") as file:
        file.write("base\n")
    bundle = live.shell("cat /mnt/base; echo changed > /mnt/base")
    bundle.mount("/mnt", "overlay", f"lowerdir={lower}", f"upperdir={upper}", f"workdir={work}", kind="overlay")
    assert live.output(bundle) == "base\n"
    with open(f"{upper}/base", encoding="ascii") as file:
        assert file.read() == "changed\n"


def test_destination_with_the_path_of_the_root(live: Case) -> None:
    bundle = live.shell("touch /mnt/here; cat /etc/name")
    bundle.mount(f"{bundle.rootfs}/mnt", "tmpfs", kind="tmpfs")
    bundle.mount(f"{bundle.rootfs}/etc/name", bundle.file("/own", "mine\n"), "bind")
    result = live.run(bundle).ok()
    assert result.out == "mine\n"
    assert os.listdir(f"{bundle.rootfs}/mnt") == []
    assert not os.path.exists(bundle.rootfs + bundle.path)
