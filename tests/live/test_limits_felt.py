"""Limits as a program in the container feels them, on whatever cgroups this host has: no file is looked at."""

from __future__ import annotations

import os
import subprocess

import pytest

from ocirun.host import cgroups

from . import process
from .v2 import MIB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from .bundles import Bundle
    from .case import Case

LAYOUT = cgroups.read_layout()
HUGE = "/sys/kernel/mm/hugepages/hugepages-2048kB"


def need(controller: str) -> None:
    """Skip without a controller; blkio of v1 is io on v2."""
    if LAYOUT.mode == "v2":
        names = LAYOUT.reach("x").controllers
        controller = {"blkio": "io"}.get(controller, controller)
    else:
        names = list(LAYOUT.mounts)
    if controller not in names:
        pytest.skip(f"no controller {controller} on this host")


def limited(live: Case, script: str, **resources: Any) -> Bundle:
    bundle = live.shell(script)
    bundle.linux["resources"] = resources
    return bundle


def figures(live: Case, bundle: Bundle) -> Any:
    return live.command("events", "--stats", bundle.id).ok().json()["data"]


def test_a_memory_hog_is_killed_at_its_limit(live: Case) -> None:
    need("memory")
    script = (
        "n=0; while :; do dd if=/dev/zero of=/dev/shm/$n bs=1M count=1 2>/dev/null || exit 5; n=$((n+1)); echo $n; done"
    )
    bundle = limited(live, script, memory={"limit": 16 * MIB})
    bundle.mounts[-1]["options"].remove("size=65536k")
    result = live.run(bundle)
    # The shell itself is killed, or its dd, after which it would go on no further.
    assert result.code in (137, 5), result.report()
    assert 8 <= len(result.out.split()) <= 16


def test_a_fork_bomb_stops_at_its_limit(live: Case) -> None:
    need("pids")
    # The inner shell forks until it cannot, and dies of that; with it there were twenty.
    bundle = limited(live, "(while :; do sleep 600 & done); echo failed; sleep 600", pids={"limit": 20})
    started = live.launch(bundle)
    process.eventually(lambda: "failed" in started.out, "fork fails", 20)
    process.eventually(lambda: figures(live, bundle)["pids"] == {"current": 19, "limit": 20}, "nineteen are left", 5)
    assert "can't fork" in started.err
    live.delete(bundle, "--force")
    live.assert_clean()


def test_a_quota_of_processor_time_holds(live: Case) -> None:
    need("cpu")
    quota = 20_000
    bundle = limited(live, "while :; do :; done & while :; do :; done", cpu={"quota": quota, "period": 100_000})
    live.launch(bundle)
    first = figures(live, bundle)["cpu"]

    def used() -> tuple[float, int]:
        now = figures(live, bundle)["cpu"]
        microseconds = (now["usage"]["total"] - first["usage"]["total"]) / 1000
        periods = now["throttling"].get("periods", 0) - first["throttling"].get("periods", 0)
        return microseconds, periods

    # By periods that the kernel counts, not by a clock: a busy machine gives the container less, never more.
    process.eventually(lambda: used()[1] >= 20, "twenty periods", 30)
    microseconds, periods = used()
    throttled = figures(live, bundle)["cpu"]["throttling"]
    assert microseconds <= 1.15 * quota * (periods + 1)
    assert throttled["throttledPeriods"] > 0 and throttled["throttledTime"] > 0
    if throttled["throttledPeriods"] > 0.9 * throttled["periods"]:
        assert microseconds >= 0.85 * quota * (periods - 1)


def test_processors_are_those_of_the_set(live: Case) -> None:
    need("cpuset")
    last = max(os.sched_getaffinity(0))
    bundle = limited(
        live, "grep -E '^(Cpus|Mems)_allowed_list' /proc/self/status", cpu={"cpus": str(last), "mems": "0"}
    )
    assert live.output(bundle).split() == ["Cpus_allowed_list:", str(last), "Mems_allowed_list:", "0"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[str, int, int]]:
    """A directory on a disk of its own, a loop device, and the disk's number."""
    image, place = tmp_path / "image", tmp_path / "disk"
    with open(image, "wb") as file:
        file.truncate(32 * MIB)
    place.mkdir()
    if not os.path.exists("/dev/loop-control"):
        subprocess.run(["modprobe", "loop"], check=True)
    device = subprocess.run(
        ["losetup", "--find", "--show", str(image)], check=True, capture_output=True, text=True
    ).stdout.strip()
    try:
        subprocess.run(["/bin/busybox", "mke2fs", device], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["mount", "-t", "ext4", device, str(place)], check=True)
        try:
            number = os.stat(device).st_rdev
            yield str(place), os.major(number), os.minor(number)
        finally:
            subprocess.run(["umount", str(place)], check=True)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


def test_direct_writes_are_throttled(live: Case, disk: tuple[str, int, int]) -> None:
    need("blkio")
    path, major, minor = disk
    script = "dd if=/dev/zero of=/mnt/x bs=64k count=32 oflag=direct 2>&1; cut -d ' ' -f 1 /proc/uptime"
    bundle = live.shell(f"cut -d ' ' -f 1 /proc/uptime; {script}")
    os.symlink("busybox", f"{bundle.rootfs}/bin/cut")
    bundle.mount("/mnt", path, "rbind", "rw")
    throttle = {"major": major, "minor": minor, "rate": MIB}
    bundle.linux["resources"] = {"blockIO": {"throttleWriteBpsDevice": [throttle]}}
    out = live.output(bundle, limit=60).splitlines()
    # Two megabytes at one a second; the first slice of time may be free.
    assert float(out[-1]) - float(out[0]) >= 1.5, out


def test_huge_pages_stop_at_their_limit(live: Case) -> None:
    need("hugetlb")
    mine = os.environ.get("OCIRUN_TEST_GUEST") == "1"
    if mine:
        with open(f"{HUGE}/nr_hugepages", "w", encoding="ascii") as file:
            file.write("4")
    try:
        with open(f"{HUGE}/free_hugepages", encoding="ascii") as file:
            if int(file.read()) < 3:
                pytest.skip("no huge pages are free on this host")
        script = "fallocate -l 4194304 /mnt/two && echo two; fallocate -l 6291456 /mnt/two 2>&1 || echo no more"
        bundle = limited(live, script, hugepageLimits=[{"pageSize": "2MB", "limit": 4 * MIB}])
        os.symlink("busybox", f"{bundle.rootfs}/bin/fallocate")
        bundle.mount("/mnt", "none", "pagesize=2M", kind="hugetlbfs")
        out = live.output(bundle)
        assert out.startswith("two\n") and out.endswith("no more\n")
    finally:
        if mine:
            with open(f"{HUGE}/nr_hugepages", "w", encoding="ascii") as file:
                file.write("0")
