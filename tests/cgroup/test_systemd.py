"""The driver for systemd, against a server that plays it: the order of calls, refusals, and whose unit it is."""

from __future__ import annotations

import os

import pytest

from ocirun.cgroup import choose
from ocirun.cgroup.driver import Driver
from ocirun.cgroup.drivers import systemd as module
from ocirun.cgroup.drivers.systemd import SystemdDriver, find_manager, version_number
from ocirun.cgroup.paths import UNIFIED, Group
from ocirun.cgroup.settings.translation import Setting
from ocirun.cgroup.systemd import unit as units
from ocirun.cgroup.systemd.unit import Manager
from ocirun.errors import HostError, StateDamagedError, UnsupportedError

from .fake_systemd import INVOCATION, FakeSystemd, Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import Any


class Inner(Driver):
    """Files that are remembered."""

    __slots__ = ("done",)

    kind = "v2"

    def __init__(self) -> None:
        super().__init__([Group(("",), "/nonexistent", "", "a")])
        self.done: list[str] = []

    def prepare(self) -> int | None:
        assert self.adopts
        self.done.append("prepare")
        self.prepared = True
        return None

    def apply(self, settings: Sequence[Setting]) -> None:
        self.done += [f"{setting.file}={setting.value}" for setting in settings]

    def kill(self, signal: int, *, wait: float = 0.0) -> int:
        self.done.append(f"kill {signal}")
        return 0

    def remove(self, *, kill: bool = False, limit: float = 5.0) -> None:
        self.done.append("remove")

    def discard(self) -> None:
        self.done.append("discard")


@pytest.fixture
def systemd(open_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSystemd]:
    made = FakeSystemd(str(open_directory / "bus"))
    monkeypatch.setattr(module, "addresses", lambda **_: [(made.path, True)])
    monkeypatch.setattr(module, "_BOOTED", str(tmp_path))
    monkeypatch.setattr(SystemdDriver, "_verify", lambda self, pid: None)
    yield made
    made.close()


def make(path: str = "", **how: Any) -> tuple[SystemdDriver, Inner]:
    inner = Inner()
    unit = units.unit(path, "web", Manager(**how))
    return SystemdDriver(inner, unit, version=252, properties=[("Description", "s", "x"), ("Foo", "t", 5)]), inner


def started(systemd: FakeSystemd) -> tuple[SystemdDriver, Inner]:
    driver, inner = make()
    driver.check()
    driver.start(77, driver.unit_properties([Setting("pids", "pids.max", "9")]))
    systemd.calls.clear()
    inner.done.clear()
    return driver, inner


def refusal(name: str, text: str) -> Callable[[Any], Any]:
    def answer(_: Any) -> Any:
        raise Refusal(name, text)

    return answer


def test_start(systemd: FakeSystemd) -> None:
    driver, inner = make()
    driver.check()
    driver.start(77, driver.unit_properties([Setting("pids", "pids.max", "9")]))
    # Told of the end of jobs before there is one.
    assert systemd.members()[:4] == ["Hello", "AddMatch", "Subscribe", "StartTransientUnit"]
    name, mode, properties, others = systemd.calls[3][1]
    assert (name, mode, others) == ("ocirun-web.scope", "fail", [])
    assert properties == [
        ("Description", ("s", "x")),
        ("Foo", ("t", 5)),
        ("TasksMax", ("t", 9)),
        ("PIDs", ("au", [77])),
    ]
    assert inner.done == ["prepare"] and driver.prepared
    record = driver.record()
    assert record["invocation"] == INVOCATION.hex() and record["inner"]["prepared"]


def test_annotations_win_over_limits(systemd: FakeSystemd) -> None:
    inner = Inner()
    unit = units.unit("", "web", Manager())
    driver = SystemdDriver(inner, unit, version=252, properties=[("TasksMax", "t", 3)])
    assert driver.unit_properties([Setting("pids", "pids.max", "9")]) == [("TasksMax", "t", 3)]


def test_slice_has_no_process_of_its_own(systemd: FakeSystemd) -> None:
    driver, _ = make(":x:a-b.slice")
    driver.start(77, [])
    assert next(body for member, body in systemd.calls if member == "StartTransientUnit")[2] == []


@pytest.mark.parametrize("result", ["failed", "timeout", "canceled", "dependency"])
def test_job_that_fails(systemd: FakeSystemd, result: str) -> None:
    systemd.result = result
    driver, inner = make()
    with pytest.raises(HostError, match=result) as caught:
        driver.start(77, [])
    assert caught.value.pointer == "/linux/cgroupsPath" and "systemctl status ocirun-web.scope" in caught.value.remedy
    assert inner.done == []


def test_unit_of_somebody_else(systemd: FakeSystemd) -> None:
    systemd.units.add("ocirun-web.scope")
    driver, inner = make()
    with pytest.raises(HostError, match="exists already, and is active") as caught:
        driver.start(77, [])
    assert "systemctl stop" in caught.value.remedy
    driver.discard()
    assert "StopUnit" not in systemd.members() and "ResetFailedUnit" not in systemd.members()
    assert inner.done == ["discard"]


def test_failed_unit_is_cleared_away(systemd: FakeSystemd) -> None:
    systemd.units.add("ocirun-web.scope")
    usual = systemd._usual

    def get(body: Any) -> Any:
        return ("v", (("s", "failed"),)) if body[1] == "ActiveState" else usual("Get", body)

    systemd.answers["Get"] = get
    systemd.answers["ResetFailedUnit"] = lambda body: (systemd.units.discard(body[0]), ("", ()))[1]
    driver, inner = make()
    driver.start(77, [])
    assert systemd.members().count("StartTransientUnit") == 2 and inner.done == ["prepare"]


def test_refused_property_is_found_in_the_annotations(systemd: FakeSystemd) -> None:
    name = "org.freedesktop.DBus.Error.PropertyReadOnly"
    systemd.answers["StartTransientUnit"] = refusal(name, "Cannot set property Foo, or unknown property.")
    driver, _ = make()
    with pytest.raises(HostError, match=r"refuses to start ocirun-web.scope: Cannot set property Foo") as caught:
        driver.start(77, [])
    assert caught.value.pointer == "/annotations/org.systemd.property.Foo"
    assert (caught.value.call, caught.value.remedy[:9]) == (name, "leave the")


def test_no_rights(systemd: FakeSystemd) -> None:
    name = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
    systemd.answers["StartTransientUnit"] = refusal(name, "Interactive authentication required.")
    driver, _ = make()
    with pytest.raises(HostError, match="authentication") as caught:
        driver.start(77, [])
    assert "own instance" in caught.value.remedy


def test_update_tells_systemd_first(systemd: FakeSystemd) -> None:
    driver, inner = started(systemd)
    driver.apply([Setting("memory", "memory.max", "4096"), Setting("hugetlb", "hugetlb.2MB.max", "0")])
    assert systemd.calls[-1] == ("SetUnitProperties", ("ocirun-web.scope", True, [("MemoryMax", ("t", 4096))]))
    assert inner.done == ["memory.max=4096", "hugetlb.2MB.max=0"]
    systemd.calls.clear()
    driver.apply([Setting("hugetlb", "hugetlb.2MB.max", "1")])
    assert systemd.calls == []


def test_update_that_systemd_refuses_writes_nothing(systemd: FakeSystemd) -> None:
    driver, inner = started(systemd)
    systemd.answers["SetUnitProperties"] = refusal("org.freedesktop.DBus.Error.InvalidArgs", "MemoryMax= is odd")
    with pytest.raises(HostError, match="MemoryMax= is odd"):
        driver.apply([Setting("memory", "memory.max", "4096")])
    assert inner.done == []


def test_end(systemd: FakeSystemd) -> None:
    driver, inner = started(systemd)
    driver.remove(kill=True)
    assert [name for name in systemd.members() if name.endswith("Unit")] == ["GetUnit", "StopUnit", "ResetFailedUnit"]
    # Killed first: systemd would wait for their end by SIGTERM.
    assert inner.done == ["kill 9", "remove"]


def test_end_without_the_unit(systemd: FakeSystemd) -> None:
    driver, inner = started(systemd)
    systemd.units.clear()
    driver.remove(kill=True)
    assert "StopUnit" not in systemd.members() and inner.done == ["kill 9", "remove"]


def test_end_without_systemd(systemd: FakeSystemd, monkeypatch: pytest.MonkeyPatch) -> None:
    driver, inner = started(systemd)
    monkeypatch.setattr(module, "addresses", lambda **_: [("/nonexistent", True)])
    driver.remove(kill=True)
    assert inner.done == ["remove"]


def test_unit_that_is_somebody_elses_by_now(systemd: FakeSystemd) -> None:
    driver, inner = started(systemd)
    later = choose.recorded_driver({**driver.record(), "inner": Driver().record()})
    assert isinstance(later, SystemdDriver)
    later.prepared = True
    later._invocation = "00" * 16
    later.remove(kill=True)
    assert "StopUnit" not in systemd.members()
    with pytest.raises(HostError, match="not the container's any more"):
        later.set([("TasksMax", "t", 1)])
    with pytest.raises(HostError, match="not the container's any more"):
        later.attach(5)
    assert inner.done == []


def test_undo(systemd: FakeSystemd) -> None:
    driver, inner = started(systemd)
    driver.discard()
    assert "StopUnit" in systemd.members() and inner.done == ["kill 9", "discard"]
    systemd.calls.clear()
    driver.discard()
    assert systemd.calls == []


def test_attach(systemd: FakeSystemd) -> None:
    driver, _ = started(systemd)
    driver.attach(5, "a/b")
    assert systemd.calls[-1] == ("AttachProcessesToUnit", ("ocirun-web.scope", "/a/b", [5]))
    driver.version = 237
    with pytest.raises(UnsupportedError, match="237"):
        driver.attach(5)


def test_who_needs_to_be_attached(monkeypatch: pytest.MonkeyPatch) -> None:
    system, _ = make()
    user, _ = make(user=True, control_group="/u")
    monkeypatch.setattr(Inner, "home", lambda self, pid: ("init.scope", ""))
    assert system.attach_point(5, {}) is None
    assert user.attach_point(5, {}) == "init.scope"
    assert user.attach_point(5, {UNIFIED: "wanted"}) == "wanted"
    # v1, with systemd's own hierarchy of v2 and without.
    groups = {"name=systemd": system.unit.group}
    monkeypatch.setattr(module, "_own_groups", lambda pid: groups)
    system.kind = "v1"
    assert system.attach_point(5, {}) is None
    groups[""] = system.unit.group
    assert system.attach_point(5, {"name=systemd": "x"}) == "x"
    system.version = 237
    assert system.attach_point(5, {}) is None


def test_find(systemd: FakeSystemd, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = find_manager(user=True)
    assert (manager.version, manager.control_group, manager.user) == (252, "", True)
    monkeypatch.setattr(module, "_BOOTED", "/nonexistent")
    with pytest.raises(UnsupportedError, match="does not run") as caught:
        find_manager(user=False)
    assert caught.value.remedy == "leave out systemd_cgroup"


@pytest.mark.parametrize(
    ("text", "number"), [("252.39-1~deb12u1", 252), ("v245", 245), ("257 (257.4-1.fc42)", 257), ("x", 0), ("", 0)]
)
def test_versions(text: str, number: int) -> None:
    assert version_number(text) == number


def test_record(systemd: FakeSystemd) -> None:
    driver, _ = started(systemd)
    record = {**driver.record(), "inner": Driver().record()}
    again = choose.recorded_driver(record)
    assert isinstance(again, SystemdDriver)
    assert again.record() == record
    for change in (
        {"version": "252"},
        {"invocation": None},
        {"unit": {}},
        {"inner": record},
        {"inner": None},
    ):
        with pytest.raises(StateDamagedError):
            choose.recorded_driver({**record, **change})


def test_place_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    driver, _ = make()
    with pytest.raises(HostError, match=r"and '/system.slice/ocirun-web.scope' was expected"):
        driver._verify(os.getpid())
    with pytest.raises(HostError, match="cgroup of process"):
        driver._verify(2**22 + 5)
