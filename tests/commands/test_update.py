"""New limits: what is checked, merged and written, and what is undone."""

from __future__ import annotations

import json
import os

import pytest

from ocirun.cgroup.settings.previous_value import previous
from ocirun.cgroup.settings.translation import Setting
from ocirun.commands import update as resources
from ocirun.errors import ConfigError, HostError, StateDamagedError

from .fakes import UNLIMITED, CheckingDriver, FakeDriver, files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

MIB = 1 << 20


class Box:
    """A state directory and a driver.

    directory   descriptor of the state directory
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.driver = FakeDriver()
        self.directory = os.open(path, os.O_RDONLY)
        self.config({})

    def config(self, limits: dict[str, Any]) -> None:
        """Let the container have been made with these limits."""
        process = {"cwd": "/", "args": ["a"], "user": {"uid": 0, "gid": 0}}
        config = {"ociVersion": "1.0.0", "root": {"path": "r"}, "process": process, "linux": {"resources": limits}}
        (self.path / "config.json").write_text(json.dumps(config), encoding="ascii")

    def update(self, wanted: object) -> list[tuple[str, str]]:
        """Update; gives what was written."""
        self.driver.writes.clear()
        self.warnings = resources.update(self.directory, self.driver, wanted, source="here")
        return self.driver.writes

    def saved(self) -> Any:
        """The limits that the next update starts from."""
        return resources.saved(self.directory)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path)
    yield made
    os.close(made.directory)


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"memory": {"limit": 0, "swap": 0, "reservation": 0, "kernel": 0, "kernelTCP": 0}},
        {"cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": ""}},
        {"pids": {"limit": 0}, "blockIO": {"weight": 0}},
        {"cpu": None, "memory": {"limit": None}},
        {"devices": [{"allow": False, "access": "rwm"}]},
        {"devices": [{"allow": False, "type": "a", "major": None, "access": "rwm"}]},
        {"devices": []},
        {"memory": {"useHierarchy": True, "disableOOMKiller": False}},
    ],
)
def test_nothing_asked_nothing_written(box: Box, wanted: dict[str, Any]) -> None:
    assert box.update(wanted) == []
    assert box.warnings == []
    assert box.saved() == {}


@pytest.mark.parametrize(
    ("wanted", "pointer"),
    [
        ({"memory": {"limit": "64m"}}, "/memory/limit"),
        ({"memory": {"limit": True}}, "/memory/limit"),
        ({"memory": {"limit": 1.0}}, "/memory/limit"),
        ({"memory": {"limit": -2}}, "/memory/limit"),
        ({"memory": []}, "/memory"),
        ({"devices": "nonsense"}, "/devices"),
        ({"devices": [{"allow": True, "type": "c", "access": "x"}]}, "/devices/0/access"),
        ({"cpu": {"shares": -1}}, "/cpu/shares"),
        ({"cpu": {"period": 100}}, "/cpu/period"),
        ({"cpu": {"idle": 2}}, "/cpu/idle"),
        ({"cpu": {"quota": 5000, "burst": 6000}}, "/cpu/burst"),
        ({"pids": {"limit": "x"}}, "/pids/limit"),
        ({"blockIO": {"weight": 5}}, "/blockIO/weight"),
        ({"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]}, "/hugepageLimits/0/pageSize"),
        ({"unified": {"memory.high": "1"}}, "/unified"),
        ([], ""),
        (None, ""),
        ("x", ""),
    ],
)
def test_wrong_values_are_refused_with_a_pointer(box: Box, wanted: object, pointer: str) -> None:
    with pytest.raises(ConfigError) as caught:
        box.update(wanted)
    assert caught.value.pointer == pointer
    assert caught.value.message.startswith("here: ")
    assert "linux" not in caught.value.message
    assert box.driver.writes == []
    assert not (box.path / resources.FILE).exists()


def test_all_problems_are_told_at_once(box: Box) -> None:
    with pytest.raises(ConfigError, match=r"/memory/limit: .*; /cpu/shares: "):
        box.update({"memory": {"limit": "x"}, "cpu": {"shares": "y"}})


@pytest.mark.parametrize("raw", [b"", b"{", b"{} x", b'{"cpu":{},"cpu":{}}', b"\xff"])
def test_what_is_no_json(box: Box, raw: bytes) -> None:
    with pytest.raises(ConfigError, match=r"^here: "):
        box.update(raw)


def test_json_in_any_case_of_keys(box: Box) -> None:
    assert box.update(b'{"CPU":{"Shares":300}}\n') == [("cpu.shares", "300")]
    assert box.saved() == {"cpu": {"shares": 300}}
    with pytest.raises(ConfigError):
        box.update({"CPU": {"Shares": "300"}})


def test_unknown_keys_are_ignored_with_a_warning(box: Box) -> None:
    assert box.update({"memori": {"limit": 1}, "pids": {"limit": 7, "max": 8}}) == [("pids.max", "7")]
    assert [line.partition(":")[0] for line in box.warnings] == ["/memori", "/pids/max"]
    assert box.saved() == {"pids": {"limit": 7}}


def test_period_and_quota_keep_each_other(box: Box) -> None:
    box.config({"cpu": {"quota": 50000, "period": 100000}})
    assert box.update({"cpu": {"period": 50000}}) == [("cpu.cfs_period_us", "50000")]
    assert box.update({"cpu": {"quota": 20000}}) == [("cpu.cfs_quota_us", "20000")]
    assert box.saved()["cpu"] == {"quota": 20000, "period": 50000}
    with pytest.raises(ConfigError, match="/cpu/burst: 30000 is above cpu/quota, 20000"):
        box.update({"cpu": {"burst": 30000}})


def test_swap_alone_needs_the_limit_from_before(box: Box) -> None:
    with pytest.raises(ConfigError, match="/memory/swap"):
        box.update({"memory": {"swap": 64 * MIB}})
    box.config({"memory": {"limit": 32 * MIB}})
    assert box.update({"memory": {"swap": 64 * MIB}}) == [("memory.memsw.limit_in_bytes", str(64 * MIB))]
    with pytest.raises(ConfigError, match=r"/memory/swap: .* is less than memory/limit"):
        box.update({"memory": {"limit": 128 * MIB}})
    assert box.update({"memory": {"limit": 16 * MIB}}) == [("memory.limit_in_bytes", str(16 * MIB))]


def test_no_limit_lifts_swap_as_well(box: Box) -> None:
    box.config({"memory": {"limit": 32 * MIB, "swap": 32 * MIB}})
    written = box.update({"memory": {"limit": -1}})
    assert written == [("memory.memsw.limit_in_bytes", "-1"), ("memory.limit_in_bytes", "-1")]
    assert box.saved()["memory"] == {"limit": -1}


def test_the_same_value_is_written_again(box: Box) -> None:
    # Somebody else may have changed the file.
    box.config({"pids": {"limit": 7}, "cpu": {"shares": 100}})
    assert box.update({"pids": {"limit": 7}, "cpu": {"shares": 100}}) == [("pids.max", "7"), ("cpu.shares", "100")]


def test_weight_comes_back_after_idle(box: Box) -> None:
    box.config({"cpu": {"shares": 100, "idle": 1}})
    assert box.update({"cpu": {"idle": 0}}) == [("cpu.idle", "0"), ("cpu.shares", "100")]


def test_arrays_keep_the_other_entries(box: Box) -> None:
    def rate(minor: int, value: int) -> dict[str, int]:
        return {"major": 8, "minor": minor, "rate": value}

    box.config({"blockIO": {"throttleReadBpsDevice": [rate(0, 100), rate(16, 500)]}})
    wanted = {"blockIO": {"throttleReadBpsDevice": [rate(0, 200)]}}
    assert box.update(wanted) == [("blkio.throttle.read_bps_device", "8:0 200")]
    assert box.saved()["blockIO"]["throttleReadBpsDevice"] == [rate(16, 500), rate(0, 200)]


def test_a_refused_value_undoes_the_others(box: Box) -> None:
    box.driver.refused.add("cpuset.cpus")
    before = dict(box.driver.files)
    wanted = {"memory": {"limit": MIB, "swap": MIB}, "pids": {"limit": 5}, "cpu": {"shares": 5, "cpus": "9"}}
    with pytest.raises(HostError, match=r"^cannot write cpuset\.cpus"):
        box.update(wanted)
    assert box.driver.files == before
    assert box.saved() == {}


def test_what_cannot_be_undone_is_told(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    apply = FakeDriver.apply

    def once(driver: FakeDriver, settings: list[Setting]) -> None:
        try:
            apply(driver, settings)
        finally:
            driver.refused.add("pids.max")

    monkeypatch.setattr(FakeDriver, "apply", once)
    box.driver.refused.add("cpu.shares")
    with pytest.raises(HostError, match=r"not all could be set back: cannot write pids\.max"):
        box.update({"pids": {"limit": 5}, "cpu": {"shares": 5}})


def test_limits_that_cannot_be_saved_are_undone(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ocirun.state.store.write_file", full)
    with pytest.raises(HostError, match="no space left"):
        box.update({"pids": {"limit": 5}})
    assert box.driver.files == files()


def test_check_before_update(box: Box) -> None:
    box.driver = CheckingDriver()
    box.driver.used = 2 * MIB
    with pytest.raises(HostError, match=f"rejecting memory limit {MIB}") as caught:
        box.update({"memory": {"limit": MIB, "checkBeforeUpdate": True}})
    assert caught.value.pointer == "/memory/limit"
    assert box.driver.files["memory.limit_in_bytes"] == UNLIMITED
    assert box.update({"memory": {"limit": 3 * MIB, "checkBeforeUpdate": True}})
    with pytest.raises(HostError, match="rejecting"):
        box.update({"memory": {"limit": MIB}})
    assert box.update({"memory": {"limit": MIB, "checkBeforeUpdate": False}})


def test_kernel_checks_by_itself_on_v1(box: Box) -> None:
    box.driver.used = 2 * MIB
    assert box.update({"memory": {"limit": MIB, "checkBeforeUpdate": True}})


@pytest.mark.parametrize("text", ["", "[]", '{"memory":5}', '{"memory":{"limit":"x"}}'])
def test_damaged_saved_limits(box: Box, text: str) -> None:
    (box.path / resources.FILE).write_text(text, encoding="ascii")
    with pytest.raises(StateDamagedError):
        box.update({"pids": {"limit": 5}})
    assert box.driver.writes == []


@pytest.mark.parametrize(
    ("file", "value", "text", "expected"),
    [
        ("pids.max", "5", "max", "max"),
        ("memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 0", "0"),
        ("blkio.throttle.read_bps_device", "8:0 5", "8:16 7\n8:0 9", "8:0 9"),
        ("blkio.throttle.read_bps_device", "8:0 5", "", "8:0 0"),
        ("blkio.bfq.weight_device", "8:0 5", "", "8:0 default"),
        ("net_prio.ifpriomap", "eth0 5", "lo 0\neth0 1", "eth0 1"),
        ("rdma.max", "mlx hca_handle=1", "", "mlx hca_handle=max hca_object=max"),
    ],
)
def test_what_undoes_a_setting(file: str, value: str, text: str, expected: str) -> None:
    setting = Setting(file.partition(".")[0], file, value, "/p")
    assert previous(setting, text).fields() == (setting.controller, file, expected, "/p")


FULL = [{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "rw"}]


def test_device_rules(box: Box) -> None:
    box.driver.files |= {"devices.allow": "", "devices.deny": ""}
    wrote = box.update({"devices": FULL, "pids": {"limit": 7}})
    assert wrote == [("pids.max", "7"), ("devices.allow", "c 1:11 rw")]
    assert box.saved() == {"devices": FULL, "pids": {"limit": 7}}
    assert box.update({"devices": FULL}) == [], "the same rules, as engines send them"
    assert box.update({"devices": [{"allow": False, "access": "rwm"}]}) == [], "what engines send for none"
    assert box.update({"devices": FULL[:1] * 2 + [{**FULL[1], "access": "r"}]}) == [("devices.deny", "c 1:11 w")]


def test_device_rules_that_fail_leave_all_as_it_was(box: Box) -> None:
    box.driver.files |= {"devices.allow": "", "devices.deny": ""}
    box.driver.refused = {"devices.allow"}
    with pytest.raises(HostError, match=r"devices\.allow"):
        box.update({"devices": FULL, "pids": {"limit": 7}})
    assert box.driver.files["pids.max"] == "max"
    assert box.saved() == {}
