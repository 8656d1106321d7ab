"""Limits of a run: each holds, and the outcome names the one that ended it, whatever the program says."""

from __future__ import annotations

import asyncio
import os

import pytest

import ocirun
from ocirun import aio

from .conftest import shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .conftest import Runner

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

BUSY = "while :; do :; done"


@pytest.mark.parametrize("init", [True, False])
def test_processor_time(run: Runner, init: bool) -> None:
    outcome = run(*shell(BUSY), cpu_time=0.2, timeout=60, init=init)
    assert (outcome.signal, outcome.limit, outcome.timed_out, outcome.ok) == (9, "cpu", False, False)
    assert outcome.cpu_seconds is not None
    assert 0.2 <= outcome.cpu_seconds < 2
    # It is that of the whole container, whoever uses it.
    family = run(*shell(f"({BUSY}) & ({BUSY}) & sleep 60"), cpu_time=0.2, timeout=60, init=init)
    assert (family.limit, family.signal) == ("cpu", 9)
    # Who sleeps uses none.
    idle = run(*shell("sleep 0.5"), cpu_time=0.3, init=init)
    assert (idle.limit, idle.ok) == ("", True)


def test_processor_time_elsewhere(bundle: str, root: str) -> None:
    prepared = ocirun.Prepared(bundle, root=root)
    assert prepared.run(args=shell(BUSY), cpu_time=0.1, timeout=60).limit == "cpu"
    with ocirun.Pool(prepared, size=1) as pool:
        assert pool.run(shell(BUSY), cpu_time=0.1, timeout=60).limit == "cpu"
    assert asyncio.run(aio.run(prepared, args=shell(BUSY), cpu_time=0.1, timeout=60)).limit == "cpu"
    # Over before anybody has looked: the counter tells.
    assert prepared.run(args=["/bin/true"], cpu_time=0.0).limit == "cpu"


def test_processor_time_that_nobody_counts(bundle: str, root: str) -> None:
    config = ocirun.sandbox(os.path.join(bundle, "rootfs"), ["/bin/true"], memory=None, pids=None, cpus=None)
    with pytest.raises(ocirun.UnsupportedError, match=r"^cpu_time: nobody counts"):
        ocirun.run(config=config, root=root, cgroup_manager="disabled", cpu_time=1.0)
    assert not os.path.exists(root) or not os.listdir(root)
    outcome = ocirun.run(config=config, root=root, cgroup_manager="disabled")
    assert outcome.ok
    assert (outcome.oom_killed, outcome.memory_peak, outcome.cpu_seconds) == (None, None, None)
    assert outcome.rss_peak, "the kernel counts it for each process"


def test_size_of_a_file(run: Runner) -> None:
    write = "head -c 20000 /dev/zero > /tmp/x; echo $?; exec head -c 20000 /dev/zero > /tmp/x"
    outcome = run(*shell(write), file_size=10_000)
    assert (outcome.signal, outcome.limit, outcome.stdout) == (25, "file_size", b"153\n")
    # Who only says so has no limit.
    assert run(*shell("kill -XFSZ $$")).limit == ""
    assert run(*shell("kill -XCPU $$")).limit == ""
    assert run(*shell("kill -KILL $$")).limit == ""


def test_open_files(run: Runner) -> None:
    assert run(*shell("ulimit -n; ulimit -Hn"), open_files=77).stdout == b"77\n77\n"
    plan = ocirun.Prepared(
        config={
            "ociVersion": "1.3.0",
            "process": {
                "cwd": "/",
                "user": {"uid": 0, "gid": 0},
                "args": ["x"],
                "rlimits": [
                    {"type": "RLIMIT_NOFILE", "soft": 5, "hard": 6},
                    {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
                ],
            },
            "root": {"path": "rootfs"},
            "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]},
        }
    ).plan(open_files=9, file_size=0)
    limits = [(op.args["resource"], op.args["soft"], op.args["hard"]) for op in plan.ops if "rlimits" in op.pointer]
    assert sorted(limits) == [(1, 0, 0), (4, 0, 0), (7, 9, 9)]


def test_processes(run: Runner) -> None:
    many = "for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait; exit 1"
    assert run(*shell(many), pids=4).limit == "pids"
    assert run(*shell("exit 1"), pids=4).limit == ""


def test_memory_with_and_without_cache(run: Runner) -> None:
    """Page cache counts for the group, and is in no process."""
    room = {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["size=32m"]}
    cache = run(*shell("head -c 20000000 /dev/zero > /tmp/x && echo done"), mounts=[room])
    assert cache.stdout == b"done\n"
    assert cache.memory_peak is not None
    assert cache.rss_peak is not None
    assert cache.memory_peak > 15_000_000 > cache.rss_peak
    own = run(*shell("head -c 20000000 /dev/zero | tail -n 1 | wc -c"))
    assert own.rss_peak is not None
    assert own.rss_peak > 15_000_000
    over = run("/bin/sh", "-c", "exec tail /dev/zero", memory=20 << 20)
    assert (over.limit, over.oom_killed, over.signal) == ("memory", True, 9)
