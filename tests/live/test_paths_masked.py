"""maskedPaths and readonlyPaths: what is read there, what cannot be undone."""

from __future__ import annotations

import os
import stat

import pytest

from .test_mounts import mount_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .case import Case


def test_file_reads_empty_and_directory_is_empty(live: Case) -> None:
    bundle = live.shell("cat /secret; ls -A /hidden; cat /proc/keys; ls -A /proc/fs; echo end")
    bundle.file("/secret", "secret\n")
    bundle.file("/hidden/file", "secret\n")
    bundle.linux["maskedPaths"] = ["/secret", "/hidden", "/proc/keys", "/proc/fs"]
    assert live.output(bundle) == "end\n"


def test_nothing_can_be_written_through_a_mask(live: Case) -> None:
    bundle = live.shell("echo x > /secret; cat /secret; touch /hidden/x && echo made; stat -c %t:%T /secret")
    bundle.file("/secret", "secret\n")
    os.mkdir(f"{bundle.rootfs}/hidden")
    bundle.linux["maskedPaths"] = ["/secret", "/hidden"]
    result = live.run(bundle)
    assert result.out == "1:3\n", "the file is a null device, the directory read-only"
    assert bundle.read("/secret") == "secret\n"


@pytest.mark.parametrize("kind", ["fifo", "socket", "char", "block", "link"])
def test_mask_of_special_files(live: Case, kind: str) -> None:
    bundle = live.shell("stat -L -c '%F %t:%T' /thing")
    path = f"{bundle.rootfs}/thing"
    modes = {"fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK, "char": stat.S_IFCHR, "block": stat.S_IFBLK}
    if kind == "link":
        bundle.file("/etc/target", "secret\n")
        os.symlink("/etc/target", path)
    else:
        os.mknod(path, modes[kind] | 0o666, os.makedev(7, 201))
    bundle.linux["maskedPaths"] = ["/thing"]
    assert live.output(bundle, limit=4) == "character special file 1:3\n"


def test_missing_paths_are_skipped(live: Case) -> None:
    bundle = live.shell("ls /nosuch /proc/nosuch 2> /dev/null; echo fine")
    bundle.linux["maskedPaths"] = ["/nosuch", "/proc/nosuch/x"]
    bundle.linux["readonlyPaths"] = ["/nosuch", "/proc/nosuch"]
    assert live.output(bundle) == "fine\n"


def test_listed_twice_and_nested(live: Case) -> None:
    bundle = live.bundle()
    bundle.file("/a/b/c", "secret")
    bundle.linux["maskedPaths"] = ["/a/b", "/a/b", "/a/b/c", "/a"]
    seen = live.probe(bundle)
    assert len([line for line in seen["mountinfo"].splitlines() if line.split()[4] == "/a"]) == 1


def test_readonly_paths(live: Case) -> None:
    bundle = live.shell(
        "for p in /etc/x /etc/sub/x /home/x; do touch $p 2> /dev/null && echo $p made || echo $p refused; done; echo 1 > /proc/sys/kernel/msgmax"
    )
    bundle.file("/etc/sub/f", "")
    bundle.linux["readonlyPaths"] = ["/etc", "/proc/sys"]
    result = live.run(bundle)
    assert result.out == "/etc/x refused\n/etc/sub/x refused\n/home/x made\n"
    assert "Read-only" in result.err


def test_readonly_path_keeps_the_flags_of_its_parent(live: Case) -> None:
    bundle = live.bundle()
    bundle.config["mounts"][0] = {**bundle.mounts[0], "options": ["nosuid", "nodev", "noexec"]}
    bundle.linux["readonlyPaths"] = ["/proc/sys"]
    flags = set(mount_at(live.probe(bundle), "/proc/sys")[5].split(","))
    assert {"ro", "nosuid", "nodev", "noexec"} <= flags


def test_masks_with_a_readonly_root(live: Case) -> None:
    bundle = live.shell("cat /secret; ls -A /hidden; echo end")
    bundle.file("/secret", "secret\n")
    bundle.file("/hidden/file", "secret\n")
    bundle.config["root"]["readonly"] = True
    bundle.linux["maskedPaths"] = ["/secret", "/hidden"]
    assert live.output(bundle) == "end\n"


def test_masks_in_a_user_namespace(live: Case) -> None:
    bundle = live.shell(
        "umount /secret 2> /dev/null && echo undone; umount /hidden 2> /dev/null && echo undone; cat /secret; ls -A /hidden; echo end"
    )
    bundle.file("/secret", "secret\n")
    bundle.file("/hidden/file", "secret\n")
    bundle.user_namespace()
    bundle.linux["maskedPaths"] = ["/secret", "/hidden"]
    assert live.output(bundle) == "end\n"


def test_nested_user_namespace_cannot_undo_them(live: Case) -> None:
    # D10: unshare gives every capability in a namespace of its own, and the copies of the mounts are locked there.
    bundle = live.shell(
        "unshare -Urm sh -c 'umount /secret && echo undone; mount -o remount,rw,bind /etc && echo undone;"
        " cat /secret; touch /etc/x && echo undone' 2>&1"
    )
    bundle.process["noNewPrivileges"] = True
    bundle.file("/secret", "the secret\n")
    bundle.linux["maskedPaths"] = ["/secret"]
    bundle.linux["readonlyPaths"] = ["/etc"]
    out = live.run(bundle).out
    assert "undone" not in out
    assert "the secret" not in out
    assert out.strip(), "the shell in the nested namespace has run"


def test_order_masks_after_all_mounts(live: Case) -> None:
    bundle = live.shell("cat /mnt/secret; ls -A /mnt/sub; echo end")
    volume = f"{live.dir}/volume"
    os.makedirs(f"{volume}/sub")
    for name in ("secret", "sub/file"):
        with open(f"{volume}/{name}", "w", encoding="ascii") as file:
            file.write("secret\n")
    bundle.mount("/mnt", volume, "rbind")
    bundle.linux["maskedPaths"] = ["/mnt/secret", "/mnt/sub"]
    assert live.output(bundle) == "end\n"


def test_two_hundred_masks(live: Case) -> None:
    bundle = live.shell("cat /many/*; ls -A /dirs/*/ | grep f")
    for number in range(100):
        bundle.file(f"/many/{number}", "secret\n")
        bundle.file(f"/dirs/{number}/f", "secret\n")
    bundle.linux["maskedPaths"] = [f"/many/{n}" for n in range(100)] + [f"/dirs/{n}" for n in range(100)]
    result = live.run(bundle)
    assert result.out == ""


def test_the_usual_list(live: Case) -> None:
    # As engines send it; which of them exist depends on the kernel.
    bundle = live.shell(
        "cat /proc/timer_list /proc/keys; ls -A /sys/firmware /proc/acpi /proc/scsi 2> /dev/null | grep -v :; echo x > /proc/sysrq-trigger"
    )
    bundle.mount("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro", kind="sysfs")
    names = ("asound", "acpi", "kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug", "scsi")
    bundle.linux["maskedPaths"] = [
        *(f"/proc/{name}" for name in names),
        "/sys/firmware",
        "/sys/devices/virtual/powercap",
    ]
    bundle.linux["readonlyPaths"] = [f"/proc/{name}" for name in ("bus", "fs", "irq", "sys", "sysrq-trigger")]
    result = live.run(bundle)
    assert result.out.strip() == ""
    assert result.code != 0
