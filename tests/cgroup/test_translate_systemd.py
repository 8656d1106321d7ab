"""Settings of cgroup files as properties of a unit, and the properties that annotations add."""

from __future__ import annotations

import pytest

from ocirun._base.jsonio import pointer_token
from ocirun.cgroup.settings import translate
from ocirun.cgroup.settings.systemd import INFINITY, annotated, cpu_mask, properties, unit_properties
from ocirun.cgroup.settings.translation import Setting
from ocirun.cgroup.systemd.unit import Manager, unit
from ocirun.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@pytest.mark.parametrize(
    ("file", "value", "expected"),
    [
        ("memory.max", "1048576", {"MemoryMax": 1048576}),
        ("memory.max", "max", {"MemoryMax": INFINITY}),
        ("memory.low", "5", {"MemoryLow": 5}),
        # As `unified` may have them: with the kernel's suffixes, or not to be understood.
        ("memory.max", "1G", {"MemoryMax": 1 << 30}),
        ("memory.max", "16k", {"MemoryMax": 16384}),
        ("memory.max", "99999999E", {"MemoryMax": INFINITY}),
        ("memory.max", "", {}),
        ("memory.max", "lots", {}),
        ("memory.max", "\u0663", {}),
        ("pids.max", "many", {}),
        ("cpu.max", "x y", {}),
        ("cpu.max", "", {}),
        ("io.weight", "\u00b2", {}),
        ("io.max", "8:0 rbps=x wbps=5", {"IOWriteBandwidthMax": [("/dev/block/8:0", 5)]}),
        ("cpuset.cpus", "\u00b2", {}),
        ("cpuset.cpus", "9" * 5000, {}),
        ("memory.swap.max", "0", {"MemorySwapMax": 0}),
        ("memory.limit_in_bytes", "-1", {"MemoryLimit": INFINITY}),
        ("pids.max", "7", {"TasksMax": 7}),
        ("pids.max", "0", {"TasksMax": 1}),
        ("pids.max", "max", {"TasksMax": INFINITY}),
        ("cpu.weight", "100", {"CPUWeight": 100}),
        ("cpu.shares", "512", {"CPUShares": 512}),
        ("cpu.max", "50000 100000", {"CPUQuotaPerSecUSec": 500000, "CPUQuotaPeriodUSec": 100000}),
        ("cpu.max", "max 100000", {"CPUQuotaPerSecUSec": INFINITY, "CPUQuotaPeriodUSec": 100000}),
        ("cpu.max", "33333 100000", {"CPUQuotaPerSecUSec": 340000, "CPUQuotaPeriodUSec": 100000}),
        ("cpu.idle", "1", {"CPUWeight": 0}),
        ("cpu.idle", "0", {"CPUWeight": 100}),
        ("cpuset.cpus", "0-1,9", {"AllowedCPUs": [3, 2]}),
        ("cpuset.mems", "0", {"AllowedMemoryNodes": [1]}),
        ("io.weight", "default 200", {"IOWeight": 200}),
        ("io.weight", "200", {"IOWeight": 200}),
        ("io.weight", "8:0 200", {}),
        ("blkio.bfq.weight", "500", {"BlockIOWeight": 500}),
        ("hugetlb.2MB.max", "5", {}),
        ("memory.swappiness", "5", {}),
    ],
)
def test_one_setting(file: str, value: str, expected: dict[str, Any]) -> None:
    found = {name: value for name, _, value in properties([Setting("c", file, value)], version=252)}
    assert found == expected


def test_older_versions_have_fewer_properties() -> None:
    settings = [
        Setting("cpuset", "cpuset.cpus", "0"),
        Setting("cpu", "cpu.max", "1000 10000"),
        Setting("cpu", "cpu.idle", "1"),
        Setting("memory", "memory.min", "5"),
    ]
    assert [name for name, _, _ in properties(settings, version=239)] == ["CPUQuotaPerSecUSec"]
    assert [name for name, _, _ in properties(settings, version=242)] == [
        "MemoryMin",
        "CPUQuotaPeriodUSec",
        "CPUQuotaPerSecUSec",
    ]


def test_v1_quota_with_the_period_of_another_file() -> None:
    quota, period = Setting("cpu", "cpu.cfs_quota_us", "5000"), Setting("cpu", "cpu.cfs_period_us", "10000")
    both = {name: value for name, _, value in properties([period, quota], version=252)}
    assert both == {"CPUQuotaPeriodUSec": 10000, "CPUQuotaPerSecUSec": 500000}
    assert {n: v for n, _, v in properties([quota], version=252, period=50000)}["CPUQuotaPerSecUSec"] == 100000
    assert {n: v for n, _, v in properties([quota], version=252)}["CPUQuotaPerSecUSec"] == 50000


def test_shares_come_with_idle() -> None:
    settings = [Setting("cpu", "cpu.idle", "0"), Setting("cpu", "cpu.weight", "50")]
    assert properties(settings, version=252) == [("CPUWeight", "t", 50)]


def test_throttles() -> None:
    settings = [
        Setting("io", "io.max", "8:0 rbps=1000 wiops=max"),
        Setting("io", "io.max", "8:16 rbps=7"),
        Setting("blkio", "blkio.throttle.write_bps_device", "8:0 0"),
    ]
    assert properties(settings, version=252) == [
        ("IOReadBandwidthMax", "a(st)", [("/dev/block/8:0", 1000), ("/dev/block/8:16", 7)]),
        ("IOWriteIOPSMax", "a(st)", [("/dev/block/8:0", INFINITY)]),
        ("BlockIOWriteBandwidth", "a(st)", [("/dev/block/8:0", INFINITY)]),
    ]


@pytest.mark.parametrize(
    ("text", "mask"), [("0", [1]), ("0-8", [255, 1]), ("", []), ("0-6:2/4", []), ("3,", [8]), ("99999999", [])]
)
def test_masks(text: str, mask: list[int]) -> None:
    assert cpu_mask(text) == mask


def test_everything_that_translate_gives_can_be_read() -> None:
    resources = {
        "memory": {"limit": 1 << 26, "reservation": 1 << 25, "swap": 1 << 27},
        "cpu": {"shares": 1024, "quota": 50000, "period": 100000, "cpus": "0"},
        "pids": {"limit": 10},
        "blockIO": {"weight": 100, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 5}]},
    }
    settings, _ = translate.translate("v1", resources, available=lambda *_: True, devices=False)
    assert {name for name, _, _ in properties(settings, version=252)} == {
        "MemoryLimit",
        "CPUShares",
        "CPUQuotaPeriodUSec",
        "CPUQuotaPerSecUSec",
        "TasksMax",
        "BlockIOWeight",
        "BlockIOReadBandwidth",
        "AllowedCPUs",
    }


def of_unit(path: str = "", version: int = 252, **annotations: str) -> dict[str, tuple[str, Any]]:
    manager = Manager(version=version)
    texts = {f"org.systemd.property.{name}": text for name, text in annotations.items()}
    found = unit_properties(unit(path, "web", manager), manager, container_id="web", unified=True, annotations=texts)
    return {name: (signature, value) for name, signature, value in found}


def test_properties_of_a_scope() -> None:
    found = of_unit()
    assert found["Description"] == ("s", "ocirun container web")
    assert found["Slice"] == ("s", "system.slice")
    assert found["Delegate"] == ("b", True)
    assert found["CollectMode"] == ("s", "inactive-or-failed")
    assert found["IOAccounting"] == ("b", True)
    assert "CollectMode" not in of_unit(version=235)


def test_properties_of_a_slice() -> None:
    found = of_unit(":p:a-b.slice")
    assert found["Wants"] == ("as", ["a.slice"])
    assert not {"Slice", "Delegate", "CollectMode"} & set(found)


def test_annotations() -> None:
    found = of_unit(
        CollectMode="'inactive'",
        TimeoutStopUSec="uint64 123456789",
        TimeoutStopSec="2",
        RuntimeMaxSec="1.5",
        Before="['a.service']",
    )
    assert found["CollectMode"] == ("s", "inactive")
    assert found["TimeoutStopUSec"] == ("t", 2000000)
    assert found["RuntimeMaxUSec"] == ("t", 1500000)
    assert found["Before"] == ("as", ["a.service"])
    assert annotated({"other": "x", "org.systemd.property": "x"}) == []


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("ab", "1", "three letters"),
        ("A_b_c", "1", "letters"),
        ("Foo/Bar", "1", "letters"),
        ("Foo\nBar", "1", "letters"),
        ("PIDs", "[uint32 1]", "the runtime"),
        ("Slice", "'x.slice'", "cgroupsPath"),
        ("Delegate", "false", "for itself"),
        ("TimeoutStopSec", "'2'", "not a number"),
        ("TimeoutStopSec", "true", "not a number"),
        ("TimeoutStopSec", "-1", "seconds"),
        ("TimeoutStopSec", "double nan", "seconds"),
        ("TimeoutStopSec", "1e300", "seconds"),
        ("CollectMode", "inactive", "quotes"),
        ("CollectMode", "'" + "x" * 70000 + "'", "65536"),
    ],
)
def test_annotations_refused(name: str, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        of_unit(**{name: text})
    assert caught.value.pointer == f"/annotations/org.systemd.property.{pointer_token(name)}"
