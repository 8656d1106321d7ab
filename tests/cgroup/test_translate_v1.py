"""cgroup.translate for v1: what is written for which value, in which order, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocirun.cgroup.settings import translate, translation
from ocirun.errors import ConfigError

from .translated import MIB, make, refused, warned, without

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


MEMORY: Iterable[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"limit": 0}, []),
    ({"limit": None, "swap": None}, []),
    ({"limit": 64 * MIB}, ["memory.limit_in_bytes=67108864"]),
    # No limit of memory is none of memory and swap either; swap goes first, or it would hold memory down.
    ({"limit": -1}, ["memory.memsw.limit_in_bytes=-1", "memory.limit_in_bytes=-1"]),
    ({"limit": -1, "swap": -1}, ["memory.memsw.limit_in_bytes=-1", "memory.limit_in_bytes=-1"]),
    ({"limit": 100, "swap": 200}, ["memory.limit_in_bytes=100", "memory.memsw.limit_in_bytes=200"]),
    ({"limit": 100, "swap": 100}, ["memory.limit_in_bytes=100", "memory.memsw.limit_in_bytes=100"]),
    ({"limit": 100, "swap": 0}, ["memory.limit_in_bytes=100"]),
    ({"limit": 100, "swap": -1}, ["memory.memsw.limit_in_bytes=-1", "memory.limit_in_bytes=100"]),
    ({"swap": -1}, ["memory.memsw.limit_in_bytes=-1"]),
    ({"reservation": 0}, []),
    ({"reservation": 32 * MIB}, ["memory.soft_limit_in_bytes=33554432"]),
    ({"reservation": -1}, ["memory.soft_limit_in_bytes=-1"]),
    ({"swappiness": 0}, ["memory.swappiness=0"]),
    ({"swappiness": 100}, ["memory.swappiness=100"]),
    ({"swappiness": 2**64 - 1}, []),
    ({"disableOOMKiller": True}, ["memory.oom_control=1"]),
    ({"disableOOMKiller": False}, []),
    ({"useHierarchy": True}, []),
    ({"checkBeforeUpdate": True}, []),
    ({"kernel": 0, "kernelTCP": 0}, []),
    ({"limit": 2**63 - 1}, ["memory.limit_in_bytes=9223372036854775807"]),
]


@pytest.mark.parametrize(("block", "expected"), MEMORY)
def test_memory(block: dict[str, Any], expected: list[str]) -> None:
    assert make({"memory": block}) == expected


@pytest.mark.parametrize(
    ("block", "pointer"),
    [
        ({"swap": 200}, "swap"),
        ({"limit": 0, "swap": 200}, "swap"),
        ({"limit": -1, "swap": 200}, "swap"),
        ({"limit": 200, "swap": 100}, "swap"),
        ({"limit": -2}, "limit"),
        ({"swap": -2}, "swap"),
        ({"reservation": -5}, "reservation"),
        ({"swappiness": 101}, "swappiness"),
    ],
)
def test_memory_refused(block: dict[str, Any], pointer: str) -> None:
    assert refused({"memory": block}) == [f"memory/{pointer}"]


def test_kernel_memory_is_ignored_with_a_warning() -> None:
    block = {"kernel": 1, "useHierarchy": False}
    assert warned({"memory": block}) == ["memory/kernel", "memory/useHierarchy"]


def test_the_limit_for_buffers_of_tcp_is_set_where_the_kernel_has_it() -> None:
    file = "memory.kmem.tcp.limit_in_bytes"
    assert make({"memory": {"kernelTCP": 1 << 26}}) == [f"{file}={1 << 26}"]
    assert make({"memory": {"kernelTCP": -1}}) == [f"{file}=-1"]
    assert make({"memory": {"kernelTCP": 5}}, file) == []


def test_a_kernel_that_does_not_count_swap() -> None:
    memsw = "memory.memsw.limit_in_bytes"
    assert make({"memory": {"limit": -1}}, memsw) == ["memory.limit_in_bytes=-1"]
    assert refused({"memory": {"limit": 100, "swap": 200}}, memsw) == ["memory/swap"]


CPU: Iterable[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"shares": 0, "quota": 0, "period": 0, "realtimeRuntime": 0, "realtimePeriod": 0, "cpus": "", "mems": ""}, []),
    ({"shares": None, "burst": None, "idle": None, "cpus": None}, []),
    ({"shares": 2}, ["cpu.shares=2"]),
    ({"shares": 262144}, ["cpu.shares=262144"]),
    (
        {"quota": 50000, "period": 100000, "burst": 50000},
        ["cpu.cfs_period_us=100000", "cpu.cfs_quota_us=50000", "cpu.cfs_burst_us=50000"],
    ),
    ({"quota": 1000}, ["cpu.cfs_quota_us=1000"]),
    ({"quota": -1}, ["cpu.cfs_quota_us=-1"]),
    ({"quota": -7}, ["cpu.cfs_quota_us=-1"]),
    ({"period": 1000}, ["cpu.cfs_period_us=1000"]),
    ({"period": 1000000}, ["cpu.cfs_period_us=1000000"]),
    ({"burst": 0}, ["cpu.cfs_burst_us=0"]),
    ({"burst": 100, "quota": -1}, ["cpu.cfs_quota_us=-1", "cpu.cfs_burst_us=100"]),
    ({"realtimeRuntime": 950, "realtimePeriod": 1000}, ["cpu.rt_period_us=1000", "cpu.rt_runtime_us=950"]),
    ({"realtimeRuntime": -1}, ["cpu.rt_runtime_us=-1"]),
    # Shares of an idle group cannot be written.
    ({"idle": 1, "shares": 100}, ["cpu.shares=100", "cpu.idle=1"]),
    ({"idle": 0, "shares": 100}, ["cpu.idle=0", "cpu.shares=100"]),
    ({"cpus": "0-3,7", "mems": "0"}, ["cpuset.cpus=0-3,7", "cpuset.mems=0"]),
    ({"cpus": "0-31:2/4"}, ["cpuset.cpus=0-31:2/4"]),
    ({"cpus": "all"}, ["cpuset.cpus=all"]),
]


@pytest.mark.parametrize(("block", "expected"), CPU)
def test_cpu(block: dict[str, Any], expected: list[str]) -> None:
    assert make({"cpu": block}) == expected


@pytest.mark.parametrize(
    ("block", "pointer"),
    [
        ({"shares": 1}, "shares"),
        ({"shares": 262145}, "shares"),
        ({"period": 100}, "period"),
        ({"period": 999}, "period"),
        ({"period": 1000001}, "period"),
        ({"quota": 999}, "quota"),
        ({"quota": 2**44}, "quota"),
        ({"quota": 5000, "burst": 5001}, "burst"),
        ({"burst": 2**44}, "burst"),
        ({"idle": 2}, "idle"),
        ({"idle": -1}, "idle"),
        ({"realtimeRuntime": 2000, "realtimePeriod": 1000}, "realtimeRuntime"),
        ({"cpus": " "}, "cpus"),
        ({"cpus": "0\n1"}, "cpus"),
        ({"cpus": "0\0"}, "cpus"),
        ({"mems": "zero"}, "mems"),
        ({"mems": "٣"}, "mems"),
    ],
)
def test_cpu_refused(block: dict[str, Any], pointer: str) -> None:
    assert refused({"cpu": block}) == [f"cpu/{pointer}"]


@pytest.mark.parametrize(
    ("block", "file"),
    [
        ({"idle": 1}, "cpu.idle"),
        ({"burst": 5}, "cpu.cfs_burst_us"),
        ({"realtimeRuntime": 5}, "cpu.rt_runtime_us"),
        ({"realtimePeriod": 5}, "cpu.rt_period_us"),
    ],
)
def test_cpu_files_that_not_every_kernel_has(block: dict[str, Any], file: str) -> None:
    assert refused({"cpu": block}, file) == [f"cpu/{next(iter(block))}"]


def test_zeros_need_no_such_file() -> None:
    assert make({"cpu": {"idle": 0, "burst": 0}}, "cpu.idle", "cpu.cfs_burst_us") == []


def test_bandwidth_is_written_late() -> None:
    made, _ = translate.translate(
        "v1",
        {"cpu": {"shares": 5, "quota": 5000, "period": 10000, "burst": 1}, "pids": {"limit": 5}},
        available=without(),
        devices=False,
    )
    assert [setting.late for setting in made] == [False, True, True, True, False]


@pytest.mark.parametrize(
    ("limit", "value"),
    [(0, "0"), (1, "1"), (4194304, "4194304"), (4194305, "max"), (2**63 - 1, "max"), (-1, "max"), (-9, "max")],
)
def test_pids(limit: int, value: str) -> None:
    assert make({"pids": {"limit": limit}}) == [f"pids.max={value}"]


def test_pids_unset() -> None:
    assert make({"pids": {}}) == make({"pids": {"limit": None}}) == []


def test_unified_is_refused() -> None:
    assert refused({"unified": {"memory.high": "1"}}) == ["unified"]
    assert make({"unified": {}}) == []


LIMITS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "memory": ({"memory": {"limit": 1}}, ["memory/limit"]),
    "cpu": ({"cpu": {"shares": 2}}, ["cpu/shares"]),
    "cpuset": ({"cpu": {"cpus": "0", "mems": "0"}}, ["cpu/cpus", "cpu/mems"]),
    "pids": ({"pids": {"limit": 0}}, ["pids/limit"]),
    "blkio": ({"blockIO": {"weight": 10}}, ["blockIO/weight"]),
    "hugetlb": ({"hugepageLimits": [{"pageSize": "2MB", "limit": 1}]}, ["hugepageLimits/0"]),
    "net_cls": ({"network": {"classID": 1}}, ["network/classID"]),
    "net_prio": ({"network": {"priorities": [{"name": "lo", "priority": 1}]}}, ["network/priorities/0"]),
    "rdma": ({"rdma": {"a": {"hcaHandles": 1}}}, ["rdma/a"]),
}


@pytest.mark.parametrize("controller", LIMITS)
def test_a_missing_controller_is_named(controller: str) -> None:
    resources, pointers = LIMITS[controller]
    assert refused(resources, controller) == pointers
    with pytest.raises(ConfigError, match=f"controller {controller},"):
        translate.translate("v1", resources, available=without(controller), devices=False)
    with pytest.raises(ConfigError, match=f"controller {controller},"):
        translate.translate("none", resources, available=without())


def test_no_limit_needs_no_controller() -> None:
    lifted = {
        "memory": {"limit": -1, "swap": -1, "reservation": -1},
        "cpu": {"quota": -1, "burst": 0, "idle": 0},
        "pids": {"limit": -1},
        "blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 0}]},
    }
    assert make(lifted, "memory", "cpu", "pids", "blkio") == []
    assert translate.translate("none", lifted, available=without()) == ([], [])


def test_every_problem_is_reported() -> None:
    resources = {"memory": {"swap": 1}, "cpu": {"shares": 1, "period": 1}, "unified": {"a.b": "c"}}
    assert refused(resources) == ["memory/swap", "cpu/shares", "cpu/period", "unified"]


def test_what_an_engine_sends_for_an_update_without_changes() -> None:
    zeros = {
        "devices": [{"allow": False, "access": "rwm"}],
        "memory": {"limit": 0, "swap": 0, "kernel": 0, "kernelTCP": 0, "reservation": 0},
        "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": ""},
        "blockIO": {"weight": 0},
    }
    assert make(zeros) == []
    assert translate.translate("v1", zeros, available=without(), devices=False)[1] == []


def test_driver_none_warns_of_device_rules() -> None:
    made, warnings = translate.translate("none", {"devices": [{"allow": False}]}, available=without())
    assert (made, [problem.pointer for problem in warnings]) == ([], ["/linux/resources/devices"])
    with pytest.raises(ConfigError, match="unified"):
        translate.translate("none", {"unified": {"a.b": "c"}}, available=without())


def test_pointer_of_another_document() -> None:
    made, _ = translate.translate("v1", {"pids": {"limit": 3}}, pointer="", available=without(), devices=False)
    assert made == [translation.Setting("pids", "pids.max", "3", "/pids/limit")]


NUMBER = st.none() | st.integers(-(2**63), 2**64 - 1)
RESOURCES = st.fixed_dictionaries(
    {},
    optional={
        "memory": st.dictionaries(st.sampled_from(["limit", "swap", "reservation", "swappiness"]), NUMBER),
        "cpu": st.dictionaries(
            st.sampled_from(["shares", "quota", "period", "burst", "idle", "realtimeRuntime", "realtimePeriod"]), NUMBER
        ),
        "pids": st.dictionaries(st.just("limit"), NUMBER),
        "blockIO": st.dictionaries(st.sampled_from(["weight", "leafWeight"]), NUMBER),
        "rdma": st.dictionaries(st.text(), st.dictionaries(st.sampled_from(["hcaHandles", "hcaObjects"]), NUMBER)),
        "hugepageLimits": st.lists(st.fixed_dictionaries({"pageSize": st.text(), "limit": st.just(1)})),
    },
)


@given(RESOURCES)
def test_values_and_names_are_one_line_or_refused(resources: dict[str, Any]) -> None:
    try:
        made, _ = translate.translate("v1", resources, available=without())
    except ConfigError:
        return
    for setting in made:
        assert setting.file.startswith(f"{setting.controller}.")
        assert "/" not in setting.file
        assert setting.value
        assert setting.value.isprintable()
