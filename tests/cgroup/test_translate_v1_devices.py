"""cgroup.translate for v1: block I/O, huge pages, network and RDMA."""

from __future__ import annotations

import pytest

from ocirun.cgroup.settings import common

from .translated import MIB, make, refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def test_block_io() -> None:
    block = {
        "weight": 500,
        "weightDevice": [{"major": 8, "minor": 0, "weight": 10}, {"major": 8, "minor": 16, "weight": 1000}],
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}, {"major": 8, "minor": 16, "rate": 2**64 - 1}],
        "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 2}],
        "throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 3}],
        "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 0}],
    }
    assert make({"blockIO": block}) == [
        "blkio.bfq.weight=500",
        "blkio.bfq.weight_device=8:0 10",
        "blkio.bfq.weight_device=8:16 1000",
        "blkio.throttle.read_bps_device=8:0 1",
        "blkio.throttle.read_bps_device=8:16 18446744073709551615",
        "blkio.throttle.write_bps_device=8:0 2",
        "blkio.throttle.read_iops_device=8:0 3",
        "blkio.throttle.write_iops_device=8:0 0",
    ]


def test_block_io_of_kernels_with_the_older_scheduler() -> None:
    bfq = ("blkio.bfq.weight", "blkio.bfq.weight_device")
    block = {"weight": 20, "leafWeight": 30, "weightDevice": [{"major": 8, "minor": 0, "weight": 40, "leafWeight": 50}]}
    assert make({"blockIO": block}, *bfq) == [
        "blkio.weight=20",
        "blkio.leaf_weight=30",
        "blkio.weight_device=8:0 40",
        "blkio.leaf_weight_device=8:0 50",
    ]
    none = (*bfq, "blkio.weight", "blkio.weight_device", "blkio.leaf_weight", "blkio.leaf_weight_device")
    assert refused({"blockIO": block}, *none) == [
        "blockIO/weight",
        "blockIO/leafWeight",
        "blockIO/weightDevice/0/weight",
        "blockIO/weightDevice/0/leafWeight",
    ]


def test_equal_throttles_collapse_to_the_last() -> None:
    rates = [
        {"major": 8, "minor": 0, "rate": 1},
        {"major": 8, "minor": 1, "rate": 2},
        {"major": 8, "minor": 0, "rate": 3},
    ]
    assert make({"blockIO": {"throttleReadBpsDevice": rates}}) == [
        "blkio.throttle.read_bps_device=8:0 3",
        "blkio.throttle.read_bps_device=8:1 2",
    ]


def test_block_io_zeros() -> None:
    assert make({"blockIO": {"weight": 0, "leafWeight": 0, "weightDevice": [], "throttleReadBpsDevice": None}}) == []


@pytest.mark.parametrize(
    ("block", "pointer"),
    [
        ({"weight": 9}, "weight"),
        ({"weight": 1001}, "weight"),
        ({"leafWeight": 5}, "leafWeight"),
        ({"weightDevice": [{"major": 8, "minor": 0}]}, "weightDevice/0"),
        ({"weightDevice": [{"major": 8, "minor": 0, "weight": 9}]}, "weightDevice/0/weight"),
        ({"weightDevice": [{"major": 4096, "minor": 0, "weight": 10}]}, "weightDevice/0/major"),
        ({"throttleReadBpsDevice": [{"major": 8, "minor": -1, "rate": 1}]}, "throttleReadBpsDevice/0/minor"),
        ({"throttleWriteIOPSDevice": [{"major": 8, "minor": 1, "rate": 2**64}]}, "throttleWriteIOPSDevice/0/rate"),
    ],
)
def test_block_io_refused(block: dict[str, Any], pointer: str) -> None:
    assert refused({"blockIO": block}) == [f"blockIO/{pointer}"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("2MB", "2MB"),
        ("1GB", "1GB"),
        ("64KB", "64KB"),
        ("2048KB", "2MB"),
        ("1024MB", "1GB"),
        ("16GB", "16GB"),
        ("3MB", ""),
        ("02MB", ""),
        ("2mb", ""),
        ("2M", ""),
        ("2", ""),
        ("", ""),
        ("MB", ""),
        ("B", ""),
        ("2TB", ""),
        ("2 MB", ""),
        ("-2MB", ""),
        ("²MB", ""),
        ("../../2MB", ""),
        ("2MB/../x", ""),
        ("2MB\n", ""),
        ("1" + "0" * 5000 + "MB", ""),
    ],
)
def test_page_size(text: str, name: str) -> None:
    assert common.page_size(text) == name


def test_huge_pages() -> None:
    block = [{"pageSize": "2MB", "limit": 4 * MIB}, {"pageSize": "1GB", "limit": 0}]
    assert make({"hugepageLimits": block}, "hugetlb.1GB.rsvd.limit_in_bytes") == [
        "hugetlb.2MB.limit_in_bytes=4194304",
        "hugetlb.2MB.rsvd.limit_in_bytes=4194304",
        "hugetlb.1GB.limit_in_bytes=0",
    ]
    assert refused({"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]}) == ["hugepageLimits/0/pageSize"]
    assert refused({"hugepageLimits": block}, "hugetlb.1GB.limit_in_bytes") == ["hugepageLimits/1/pageSize"]
    assert refused({"hugepageLimits": block}, "hugetlb") == ["hugepageLimits/0", "hugepageLimits/1"]


def test_network() -> None:
    block = {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 500}, {"name": "lo", "priority": 0}]}
    assert make({"network": block}) == [
        "net_cls.classid=1048577",
        "net_prio.ifpriomap=eth0 500",
        "net_prio.ifpriomap=lo 0",
    ]
    assert make({"network": {"classID": 0, "priorities": []}}) == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "a\nb", "a\0", "abcdefghijklmnop", "é" * 8, "a\tb"])
def test_network_names_refused(name: str) -> None:
    assert refused({"network": {"priorities": [{"name": name, "priority": 1}]}}) == ["network/priorities/0/name"]


def test_network_numbers_refused() -> None:
    block = {"classID": 2**32, "priorities": [{"name": "lo", "priority": 2**32}]}
    assert refused({"network": block}) == ["network/classID", "network/priorities/0/priority"]


def test_rdma() -> None:
    block = {"mlx5_0": {"hcaHandles": 3, "hcaObjects": 0}, "mlx5_1": {"hcaObjects": 10000}}
    assert make({"rdma": block}) == ["rdma.max=mlx5_0 hca_handle=3 hca_object=0", "rdma.max=mlx5_1 hca_object=10000"]


@pytest.mark.parametrize(
    ("block", "pointer"),
    [
        ({"mlx5_0": {}}, "rdma/mlx5_0"),
        ({"mlx5_0": None}, "rdma/mlx5_0"),
        ({"a b": {"hcaHandles": 1}}, "rdma/a b"),
        ({"a\nb": {"hcaHandles": 1}}, "rdma/a\\nb"),
        ({"a/~b": {"hcaHandles": 1}}, "rdma/a~1~0b"),
        ({"": {"hcaHandles": 1}}, "rdma/"),
        ({"mlx5_0": {"hcaHandles": 2**31}}, "rdma/mlx5_0/hcaHandles"),
    ],
)
def test_rdma_refused(block: dict[str, Any], pointer: str) -> None:
    assert refused({"rdma": block}) == [pointer]
