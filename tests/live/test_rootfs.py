"""The root file system: read-only, propagation, odd places, and what of the host is left to see."""

from __future__ import annotations

import os

import pytest

from . import kernel, oracle
from .test_mounts import mount_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .case import Case


def test_readonly_root(live: Case) -> None:
    bundle = live.shell("touch /x 2>&1; touch /dev/shm/y && echo fine")
    bundle.config["root"]["readonly"] = True
    lines = live.output(bundle).splitlines()
    assert "Read-only file system" in lines[0]
    assert lines[1] == "fine"
    assert not os.path.exists(f"{bundle.rootfs}/x")


def test_readonly_root_leaves_the_host_writable(live: Case) -> None:
    bundle = live.bundle()
    bundle.config["root"]["readonly"] = True
    live.run(bundle).ok()
    bundle.file("/after", "writable")


def test_absolute_root_outside_the_bundle(live: Case) -> None:
    bundle = live.shell("echo fine")
    outside = f"{live.dir}/elsewhere"
    os.rename(bundle.rootfs, outside)
    bundle.config["root"]["path"] = outside
    assert live.output(bundle, cwd="/") == "fine\n"


def test_root_is_the_bundle_itself(live: Case) -> None:
    bundle = live.shell("echo fine")
    bundle.config["root"]["path"] = "."
    for name in os.listdir(bundle.rootfs):
        os.rename(f"{bundle.rootfs}/{name}", f"{bundle.path}/{name}")
    assert live.output(bundle) == "fine\n"


def test_root_on_a_mount_of_its_own(live: Case) -> None:
    bundle = live.shell("echo fine; touch /x || echo refused")
    live.mount(bundle.rootfs, bundle.rootfs, flags=kernel.MS_BIND)
    kernel.mount("", bundle.rootfs, flags=kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY)
    assert live.output(bundle) == "fine\nrefused\n"


def test_submounts_of_the_root_are_there(live: Case) -> None:
    bundle = live.shell("cat /mnt/inner")
    live.mount("sub", f"{bundle.rootfs}/mnt", "tmpfs")
    bundle.file("/mnt/inner", "inside\n")
    assert live.output(bundle) == "inside\n"


@pytest.mark.parametrize("kind", ["private", "slave", "shared", "unbindable", ""])
def test_root_propagation(live: Case, kind: str) -> None:
    bundle = live.bundle()
    if kind:
        bundle.linux["rootfsPropagation"] = kind
    fields = mount_at(live.probe(bundle), "/")
    tags = " ".join(fields[6 : fields.index("-")])
    wanted = {"private": "", "shared": "shared:", "unbindable": "unbindable"}
    if kind in wanted:
        assert wanted[kind] in tags
        assert tags if wanted[kind] else not tags
    if kind != "shared":
        assert "shared:" not in tags


def test_mount_events_do_not_reach_the_host(live: Case) -> None:
    # Everything of the harness is mounted shared, as on a host with systemd.
    bundle = live.shell(
        "mount -t tmpfs x /mnt; mount -t tmpfs y /tmp; grep -c -e ' /mnt ' -e ' /tmp ' /proc/self/mountinfo"
    )
    bundle.process["capabilities"] = {name: ["CAP_SYS_ADMIN"] for name in ("bounding", "effective", "permitted")}
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        before = file.read()
    live.create(bundle)
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        assert file.read() == before
    live.delete(bundle)
    assert live.output(bundle) == "2\n"


def test_shared_volume_still_propagates(live: Case) -> None:
    volume = f"{live.dir}/volume"
    os.makedirs(f"{volume}/in")
    bundle = live.shell("sleep 600")
    bundle.mount("/volume", volume, "rbind", "rslave")
    live.launch(bundle)
    live.mount("late", f"{volume}/in", "tmpfs")
    with open(f"/proc/{live.pid(bundle)}/mountinfo", encoding="utf-8") as file:
        assert " /volume/in " in file.read()


@pytest.mark.parametrize("name", [".old", "oldroot", ".pivot_root", "put_old"])
def test_nothing_named_for_the_pivot(live: Case, name: str) -> None:
    # The old root must have no name in the new one; links at likely names must stay as they are.
    bundle = live.bundle()
    os.symlink(live.canary, f"{bundle.rootfs}/{name}")
    before = sorted(os.listdir(bundle.rootfs))
    bundle.config["root"]["readonly"] = True
    live.run(bundle).ok()
    assert sorted(os.listdir(bundle.rootfs)) == before
    assert os.readlink(f"{bundle.rootfs}/{name}") == live.canary


def test_no_pivot(live: Case) -> None:
    bundle = live.shell("ls /; ls /../..; cat /etc/passwd")
    result = live.run(bundle, "--no-pivot").ok()
    assert "app:" in result.out
    assert "work" not in result.out.split()


def test_host_is_out_of_reach(live: Case) -> None:
    marker = f"{live.dir}/marker"
    with open(marker, "w", encoding="ascii"):
        pass
    bundle = live.shell(
        f"cd /; ls ../../../../..{marker}; ls {marker}; ls /proc/1/root{marker}; ls /proc/1/cwd/../..{marker}"
    )
    result = live.run(bundle)
    assert result.out == ""
    assert result.err.count("No such file") == 4


def test_no_runtime_directory_inside(live: Case) -> None:
    bundle = live.bundle()
    bundle.linux["maskedPaths"] = ["/proc/keys", "/home"]
    seen = live.probe(bundle)
    for line in seen["mountinfo"].splitlines():
        assert live.root not in line
    bundle.process["args"] = ["/bin/ls", "/run"]
    assert live.output(bundle) == ""


def test_root_image_is_unchanged_by_a_run(live: Case) -> None:
    bundle = live.bundle()
    before = sorted(oracle.tree(bundle.rootfs))
    live.run(bundle).ok()
    assert sorted(oracle.tree(bundle.rootfs)) == before
