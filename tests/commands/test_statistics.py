"""The data of a stats event, from files as the kernel writes them."""

from __future__ import annotations

import os

import pytest

from ocirun.cgroup.usage import events, v2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = {
    "cpuacct.usage": "3000\n",
    "cpuacct.usage_percpu": "1000 2000 \n",
    "cpuacct.usage_all": "cpu user system\n0 100 200\n1 300 400\n",
    "cpuacct.stat": "user 7\nsystem 9\n",
    "cpu.stat": "nr_periods 4\nnr_throttled 1\nthrottled_time 55\n",
    "cpuset.cpus": "0-2,5\n",
    "cpuset.mems": "0\n",
    "cpuset.sched_load_balance": "1\n",
    "cpuset.sched_relax_domain_level": "-1\n",
    "memory.usage_in_bytes": "4096\n",
    "memory.max_usage_in_bytes": "8192\n",
    "memory.limit_in_bytes": "65536\n",
    "memory.failcnt": "3\n",
    "memory.memsw.limit_in_bytes": "9223372036854771712\n",
    "memory.kmem.limit_in_bytes": "9223372036854771712\n",
    "memory.stat": "rss 5\ncache 4\nhierarchical_memory_limit 65536\n",
    "pids.current": "2\n",
    "pids.max": "30\n",
    "blkio.throttle.io_service_bytes_recursive": "8:16 Read 4096\n8:16 Write 0\n8:16 Total 4096\nTotal 4096\n",
    "blkio.bfq.io_serviced_recursive": "8:0 Read 1\nTotal 1\n",
    "blkio.throttle.io_serviced_recursive": "8:0 Read 9\n",
    "blkio.sectors_recursive": "8:0 77\n",
    "hugetlb.2MB.usage_in_bytes": "0\n",
    "hugetlb.2MB.max_usage_in_bytes": "2097152\n",
    "hugetlb.2MB.failcnt": "0\n",
    "hugetlb.2MB.rsvd.usage_in_bytes": "0\n",
}


@pytest.fixture
def group(tmp_path: Path) -> Iterator[int]:
    """A directory with the files of all controllers."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="ascii")
    directory = os.open(tmp_path, os.O_RDONLY)
    yield directory
    os.close(directory)


def test_all_that_there_is(group: int) -> None:
    tops = dict.fromkeys(("cpuacct", "cpu", "cpuset", "memory", "pids", "blkio", "hugetlb"), group)
    found = events.read_event(tops)
    tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    assert found["cpu"] == {
        "usage": {
            "total": 3000,
            "percpu": [1000, 2000],
            "percpu_kernel": [200, 400],
            "percpu_user": [100, 300],
            "kernel": 9 * tick,
            "user": 7 * tick,
        },
        "throttling": {"periods": 4, "throttledPeriods": 1, "throttledTime": 55},
    }
    assert found["cpuset"] == {
        "cpus": [0, 1, 2, 5],
        "mems": [0],
        "cpu_exclusive": 0,
        "mem_hardwall": 0,
        "mem_exclusive": 0,
        "memory_migrate": 0,
        "memory_spread_page": 0,
        "memory_spread_slab": 0,
        "memory_pressure": 0,
        "sched_load_balance": 1,
        "sched_relax_domain_level": -1,
    }
    assert found["memory"] == {
        "cache": 4,
        "usage": {"limit": 65536, "usage": 4096, "max": 8192, "failcnt": 3},
        "swap": {"limit": 9223372036854771712, "failcnt": 0},
        "kernel": {"limit": 9223372036854771712, "failcnt": 0},
        "kernelTCP": {"limit": 0, "failcnt": 0},
        "raw": {"cache": 4, "hierarchical_memory_limit": 65536, "rss": 5},
    }
    assert found["pids"] == {"current": 2, "limit": 30}
    assert found["blkio"] == {
        "ioServiceBytesRecursive": [
            {"major": 8, "minor": 16, "op": "Read", "value": 4096},
            {"major": 8, "minor": 16, "op": "Write"},
            {"major": 8, "minor": 16, "op": "Total", "value": 4096},
        ],
        "ioServicedRecursive": [{"major": 8, "op": "Read", "value": 1}],
        "sectorsRecursive": [{"major": 8, "value": 77}],
    }
    assert found["hugetlb"] == {"2MB": {"max": 2097152, "failcnt": 0}}


def test_controllers_that_are_not_there() -> None:
    found = events.read_event({})
    assert found["cpu"] == {"usage": {"kernel": 0, "user": 0}, "throttling": {}}
    assert found["memory"]["usage"] == {"limit": 0, "failcnt": 0}
    assert (found["pids"], found["blkio"], found["hugetlb"]) == ({}, {}, {})


def test_no_limit_of_processes(group: int) -> None:
    os.truncate(os.open("pids.max", os.O_RDWR, dir_fd=group), 0)
    assert events.read_event({"pids": group})["pids"] == {"current": 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", []), ("0", [0]), ("0-3", [0, 1, 2, 3]), ("0-1,7,9-10", [0, 1, 7, 9, 10]), ("x,1-", [])],
)
def test_lists_of_numbers(text: str, expected: list[int]) -> None:
    assert events.numbers(text) == expected


def test_lines_that_are_no_devices() -> None:
    assert events.devices("Total 5\n\n8:0\nx:y Read 3\n8:0 a b c\n") == []


def test_resources_by_name(tmp_path: Path) -> None:
    texts = {
        "misc.current": "sev 2\nsev_es 0\n",
        "misc.max": "sev 5\nsev_es max\n",
        "misc.peak": "sev 3\nsev_es 0\n",
        "misc.events": "sev.max 7\nsev_es.max 0\n",
        "dmem.current": "drm/0000:03:00.0/vram0 12550144\ndrm/0000:03:00.0/stolen 0\n",
        "dmem.max": "drm/0000:03:00.0/vram0 max\ndrm/0000:03:00.0/stolen max\n",
        "io.stat": "8:16 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0 cost.vrate=100.00 cost.usage=250 "
        "cost.wait=1 cost.indebt=0 cost.indelay=0\n8:0 rbytes=1\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="ascii")
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        found = v2.usage_now(directory)
        of_v1 = events.read_event({"misc": directory})
    finally:
        os.close(directory)
    assert found["misc"] == {"sev": {"usage": 2, "limit": 5, "max": 3, "failcnt": 7}, "sev_es": {"usage": 0}}
    assert of_v1["misc"] == found["misc"]
    assert found["dmem"] == {
        "drm/0000:03:00.0/vram0": {"usage": 12550144},
        "drm/0000:03:00.0/stolen": {"usage": 0},
    }
    assert found["blkio"]["cost"] == [{"major": 8, "minor": 16, "usage": 250, "wait": 1, "indebt": 0, "indelay": 0}]
    assert "misc" not in events.read_event({})
