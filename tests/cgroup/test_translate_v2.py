"""cgroup.translate for v2: what is written for which value, in which order, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocirun.cgroup.settings import translate, v2

from .translated import MIB, make_v2, refused_v2, without

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MEMORY: list[tuple[dict[str, Any], list[str]]] = [
    ({"limit": 0}, []),
    ({"limit": 64 * MIB}, ["memory.max=67108864"]),
    ({"limit": -1}, ["memory.max=max", "memory.swap.max=max"]),
    ({"limit": -1, "swap": -1}, ["memory.max=max", "memory.swap.max=max"]),
    # swap is memory and swap together in config.json, and swap alone in the kernel.
    ({"limit": 100, "swap": 300}, ["memory.max=100", "memory.swap.max=200"]),
    ({"limit": 100, "swap": 100}, ["memory.max=100", "memory.swap.max=0"]),
    ({"limit": 100, "swap": 0}, ["memory.max=100"]),
    ({"limit": 100, "swap": -1}, ["memory.max=100", "memory.swap.max=max"]),
    ({"swap": -1}, ["memory.swap.max=max"]),
    ({"reservation": 32 * MIB}, ["memory.low=33554432"]),
    ({"reservation": -1}, ["memory.low=max"]),
    ({"swappiness": 2**64 - 1, "disableOOMKiller": False, "kernel": 0}, []),
    ({"useHierarchy": True, "checkBeforeUpdate": True}, []),
]


@pytest.mark.parametrize(("block", "expected"), MEMORY)
def test_memory(block: dict[str, Any], expected: list[str]) -> None:
    assert make_v2({"memory": block}) == expected


@pytest.mark.parametrize(
    ("block", "pointer"),
    [
        ({"swap": 200}, "swap"),
        ({"limit": -1, "swap": 200}, "swap"),
        ({"limit": 200, "swap": 100}, "swap"),
        ({"limit": -2}, "limit"),
        ({"reservation": -5}, "reservation"),
        ({"swappiness": 0}, "swappiness"),
        ({"swappiness": 60}, "swappiness"),
        ({"disableOOMKiller": True}, "disableOOMKiller"),
    ],
)
def test_memory_refused(block: dict[str, Any], pointer: str) -> None:
    assert refused_v2({"memory": block}) == [f"memory/{pointer}"]


def test_memory_where_swap_is_not_counted() -> None:
    assert make_v2({"memory": {"limit": 100, "swap": 100}}, "memory.swap.max") == ["memory.max=100"]
    assert make_v2({"memory": {"limit": -1}}, "memory.swap.max") == ["memory.max=max"]
    assert refused_v2({"memory": {"limit": 100, "swap": 300}}, "memory.swap.max") == ["memory/swap"]


def test_ignored_with_a_warning() -> None:
    block = {"kernel": 1, "kernelTCP": 1, "useHierarchy": False}
    made, warnings = translate.translate("v2", {"memory": block}, available=without(), devices=False)
    assert (made, len(warnings)) == ([], 3)


@pytest.mark.parametrize(
    ("shares", "weight"),
    [(1, 1), (2, 1), (3, 2), (512, 59), (1024, 100), (2048, 174), (260000, 9929), (262144, 10000), (2**64 - 1, 10000)],
)
def test_shares(shares: int, weight: int) -> None:
    assert make_v2({"cpu": {"shares": shares}}) == [f"cpu.weight={weight}"]


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_weight_keeps_the_order_of_shares(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert 1 <= v2.weight(low) <= v2.weight(high) <= 10000


CPU: list[tuple[dict[str, Any], list[str]]] = [
    ({"shares": 0, "quota": 0, "period": 0}, []),
    ({"quota": 50000}, ["cpu.max=50000"]),
    ({"quota": 50000, "period": 200000}, ["cpu.max=50000 200000"]),
    ({"period": 200000}, ["cpu.max=max 200000"]),
    ({"quota": -1}, ["cpu.max=max"]),
    ({"quota": -1, "period": 50000}, ["cpu.max=max 50000"]),
    ({"quota": 50000, "burst": 10000}, ["cpu.max=50000", "cpu.max.burst=10000"]),
    ({"burst": 0}, ["cpu.max.burst=0"]),
    ({"cpus": "0-1", "mems": "0"}, ["cpuset.cpus=0-1", "cpuset.mems=0"]),
    # An idle group takes no weight.
    ({"idle": 0, "shares": 1024}, ["cpu.idle=0", "cpu.weight=100"]),
    ({"idle": 1, "shares": 1024}, ["cpu.weight=100", "cpu.idle=1"]),
    ({"realtimeRuntime": 0, "realtimePeriod": 0}, []),
]


@pytest.mark.parametrize(("block", "expected"), CPU)
def test_cpu(block: dict[str, Any], expected: list[str]) -> None:
    assert make_v2({"cpu": block}) == expected


@pytest.mark.parametrize(
    ("block", "pointer"),
    [
        ({"quota": 999}, "quota"),
        ({"period": 999}, "period"),
        ({"quota": 5000, "burst": 6000}, "burst"),
        ({"idle": 2}, "idle"),
        ({"realtimeRuntime": 1}, "realtimeRuntime"),
        ({"realtimePeriod": 1}, "realtimePeriod"),
        ({"cpus": "a"}, "cpus"),
    ],
)
def test_cpu_refused(block: dict[str, Any], pointer: str) -> None:
    assert refused_v2({"cpu": block}) == [f"cpu/{pointer}"]


@pytest.mark.parametrize(("limit", "value"), [(0, "0"), (5, "5"), (-1, "max"), (-7, "max"), (1 << 40, "max")])
def test_pids(limit: int, value: str) -> None:
    assert make_v2({"pids": {"limit": limit}}) == [f"pids.max={value}"]


def test_block_io() -> None:
    device = {"major": 8, "minor": 0}
    block = {
        "weight": 750,
        "weightDevice": [{**device, "weight": 10}],
        "throttleReadBpsDevice": [{**device, "rate": 1}, {**device, "rate": 2}],
        "throttleWriteBpsDevice": [{**device, "rate": 3}],
        "throttleReadIOPSDevice": [{**device, "rate": 4}],
        "throttleWriteIOPSDevice": [{**device, "rate": 0}],
    }
    limits = ["io.max=8:0 rbps=2", "io.max=8:0 wbps=3", "io.max=8:0 riops=4", "io.max=8:0 wiops=max"]
    assert make_v2({"blockIO": block}) == ["io.bfq.weight=750", "io.bfq.weight=8:0 10", *limits]
    assert make_v2({"blockIO": block}, "io.bfq.weight") == ["io.weight=7475", "io.weight=8:0 1", *limits]
    assert refused_v2({"blockIO": {"weight": 10}}, "io.bfq.weight", "io.weight") == ["blockIO/weight"]
    assert make_v2({"blockIO": {"weight": 1000}}, "io.bfq.weight") == ["io.weight=10000"]


@pytest.mark.parametrize(
    ("block", "pointer"),
    [
        ({"leafWeight": 10}, "leafWeight"),
        ({"weight": 9}, "weight"),
        ({"weightDevice": [{"major": 1, "minor": 1}]}, "weightDevice/0"),
        ({"weightDevice": [{"major": 1, "minor": 1, "weight": 10, "leafWeight": 10}]}, "weightDevice/0/leafWeight"),
        ({"throttleReadBpsDevice": [{"major": 4096, "minor": 1, "rate": 1}]}, "throttleReadBpsDevice/0/major"),
    ],
)
def test_block_io_refused(block: dict[str, Any], pointer: str) -> None:
    assert refused_v2({"blockIO": block}) == [f"blockIO/{pointer}"]


def test_huge_pages() -> None:
    limits = [{"pageSize": "2MB", "limit": 4}]
    assert make_v2({"hugepageLimits": limits}) == ["hugetlb.2MB.max=4", "hugetlb.2MB.rsvd.max=4"]
    assert make_v2({"hugepageLimits": limits}, "hugetlb.2MB.rsvd.max") == ["hugetlb.2MB.max=4"]
    assert refused_v2({"hugepageLimits": limits}, "hugetlb.2MB.max") == ["hugepageLimits/0/pageSize"]
    assert refused_v2({"hugepageLimits": [{"pageSize": "3MB", "limit": 4}]}) == ["hugepageLimits/0/pageSize"]


def test_rdma() -> None:
    assert make_v2({"rdma": {"mlx5_0": {"hcaHandles": 3}}}) == ["rdma.max=mlx5_0 hca_handle=3"]


def test_network_is_refused() -> None:
    assert refused_v2({"network": {"classID": 5}}) == ["network/classID"]
    assert refused_v2({"network": {"priorities": [{"name": "lo", "priority": 1}]}}) == ["network/priorities/0"]
    assert make_v2({"network": {"classID": 0, "priorities": []}}) == []


def test_unified_comes_last_one_write_a_line() -> None:
    unified = {"io.max": "8:0 rbps=1\n8:1 rbps=2\n", "memory.max": "5", "cgroup.max.depth": "3", "pids.new": ""}
    made, _ = translate.translate(
        "v2", {"unified": unified, "memory": {"limit": 100}}, available=without(), devices=False
    )
    assert [(one.controller, one.file, one.value) for one in made] == [
        ("memory", "memory.max", "100"),
        ("io", "io.max", "8:0 rbps=1"),
        ("io", "io.max", "8:1 rbps=2"),
        ("memory", "memory.max", "5"),
        ("unified", "cgroup.max.depth", "3"),
    ]
    assert made[1].pointer == "/linux/resources/unified/io.max"


@pytest.mark.parametrize(
    "file", ["cgroup.procs", "cgroup.threads", "cgroup.kill", "cgroup.freeze", "cgroup.subtree_control"]
)
def test_unified_acts_on_no_process(file: str) -> None:
    # "0" in cgroup.procs would move the runtime itself.
    assert refused_v2({"unified": {file: "0"}}) == [f"unified/{file}"]


def test_what_needs_a_controller_that_is_missing() -> None:
    assert refused_v2({"unified": {"memory.high": "5"}}, "memory") == ["unified/memory.high"]
    assert refused_v2({"memory": {"limit": 5}}, "memory") == ["memory/limit"]
    assert refused_v2({"blockIO": {"weight": 500}}, "io") == ["blockIO/weight"]
    assert refused_v2({"cpu": {"quota": 5000}}, "cpu") == ["cpu/quota"]
    # No limit needs no controller.
    assert (
        make_v2({"memory": {"limit": -1}, "cpu": {"quota": -1}, "pids": {"limit": -1}}, "memory", "cpu", "pids") == []
    )


def test_late_are_those_that_hinder() -> None:
    made, _ = translate.translate(
        "v2", {"cpu": {"quota": 5000, "burst": 1, "shares": 5}}, available=without(), devices=False
    )
    assert [one.file for one in made if one.late] == ["cpu.max", "cpu.max.burst"]
