"""Neighbours that change names during the set-up, sampled (A02, A03, A09).

Each test also fails when no race took place: then it proves nothing.
"""

from __future__ import annotations

import os

from . import process
from .test_mounts import source
from .test_security_rootfs import dump, host_points, outside, settle

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess

    from .case import Case


def exchanging(live: Case, first: str, second: str) -> subprocess.Popen[bytes]:
    """A neighbour that exchanges two names for ever."""
    return process.spawn([f"{live.session.tools}/swapper", "exchange", first, second], scratch=live.scratch)[0]


def stop(neighbour: subprocess.Popen[bytes]) -> None:
    assert neighbour.poll() is None, "the neighbour has ended early: nothing was tested"
    neighbour.kill()
    process.wait_end(neighbour, 5)


def test_a02_destination_exchanged_during_set_up(live: Case) -> None:
    # Sampled: some 60 starts; each outcome must be inside or a clean error.
    volume = f"{live.dir}/volume"
    os.makedirs(f"{volume}/a/b")
    os.symlink(live.canary, f"{volume}/s")
    bundle = live.bundle()
    bundle.mount("/v", volume, "rbind")
    bundle.mount("/v/a/b", "MARK", "size=4096", kind="tmpfs")
    points = host_points()
    path = dump(live, bundle)
    neighbour = exchanging(live, f"{volume}/a", f"{volume}/s")
    counts = {"refused": 0, "plain": 0, "through the link": 0}
    for _ in range(60):
        if os.path.exists(path):
            os.unlink(path)
        result = live.run(bundle)
        settle(result, "/mounts/")
        assert outside(path, points, bundle.rootfs) == []
        if result.code:
            counts["refused"] += 1
            continue
        with open(path, encoding="utf-8") as file:
            where = next(line.split()[4] for line in file if " MARK " in line)
        counts["plain" if where.endswith("/v/a/b") else "through the link"] += 1
    stop(neighbour)
    assert counts["plain"] and counts["refused"] + counts["through the link"], f"no race took place: {counts}"


def test_a03_mount_points_made_during_an_exchange(live: Case) -> None:
    volume = f"{live.dir}/volume"
    os.makedirs(f"{volume}/a")
    os.symlink(live.canary, f"{volume}/s")
    bundle = live.bundle()
    bundle.mount("/v", volume, "rbind")
    bundle.mount("/v/a/n/deep/er", "tmpfs", kind="tmpfs")
    bundle.mount("/v/a/m/file", f"{source(live)}/file", "bind")
    neighbour = exchanging(live, f"{volume}/a", f"{volume}/s")
    for number in range(60):
        bundle.mounts[-2]["destination"] = f"/v/a/n{number}/deep/er"
        bundle.mounts[-1]["destination"] = f"/v/a/m{number}/file"
        settle(live.run(bundle), "/mounts/")
    stop(neighbour)
    live.assert_clean()


def test_a09_source_exchanged_during_set_up(live: Case) -> None:
    # Links in a source may be followed; what is mounted must be what was looked at.
    os.mkdir(f"{live.dir}/plain")
    os.symlink(f"{live.canary}/marker", f"{live.dir}/swapped")
    bundle = live.shell(
        "if [ -d /mnt/x ]; then echo dir; else cat /mnt/x; fi; touch /mnt/x/y /mnt/x 2> /dev/null && echo written"
    )
    bundle.mount("/mnt/x", f"{live.dir}/plain", "bind", "ro")
    neighbour = exchanging(live, f"{live.dir}/plain", f"{live.dir}/swapped")
    for _ in range(40):
        result = live.run(bundle)
        if result.code in (0, 1) and not result.err.startswith("time="):
            assert result.out in ("dir\n", "decoy marker\n", ""), result.report()
    stop(neighbour)
    live.assert_clean()
