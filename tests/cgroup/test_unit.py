"""Names of units from cgroupsPath, and where their cgroups are."""

from __future__ import annotations

import pytest

from ocirun.cgroup.systemd.unit import Manager, Unit, escape, slice_path, unit, unit_from_record
from ocirun.errors import ConfigError, StateDamagedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SYSTEM = Manager()
USER = Manager(user=True, control_group="/user.slice/user-1000.slice/user@1000.service")


@pytest.mark.parametrize(
    ("path", "name", "slice", "group"),
    [
        ("", "ocirun-web.scope", "system.slice", "/system.slice/ocirun-web.scope"),
        ("system.slice:docker:1", "docker-1.scope", "system.slice", "/system.slice/docker-1.scope"),
        (":crio:1", "crio-1.scope", "system.slice", "/system.slice/crio-1.scope"),
        ("-:p:n", "p-n.scope", "-.slice", "/p-n.scope"),
        ("a-b-c.slice:p:n", "p-n.scope", "a-b-c.slice", "/a.slice/a-b.slice/a-b-c.slice/p-n.scope"),
        ("a.slice::n", "-n.scope", "a.slice", "/a.slice/-n.scope"),
        ("ignored.slice:p:a-b.slice", "a-b.slice", "a.slice", "/a.slice/a-b.slice"),
        ("x:p:a.slice"[1:], "a.slice", "-.slice", "/a.slice"),
    ],
)
def test_units(path: str, name: str, slice: str, group: str) -> None:
    made = unit(path, "web", SYSTEM)
    assert (made.name, made.slice, made.group) == (name, slice, group)
    assert made.is_slice == name.endswith(".slice")
    assert unit_from_record(made.record()) == made


def test_instance_of_a_user() -> None:
    made = unit("", "a+b", USER)
    assert made.name == "ocirun-a\\x2bb.scope"
    assert made.group == f"{USER.control_group}/user.slice/{made.name}"
    assert (made.instance, made.user) == ("user", True)
    assert Manager(control_group="/").control_group == ""


@pytest.mark.parametrize(
    "path",
    [
        "/a/b",
        "a.slice:b",
        "a:b:c:d",
        "system.slice:p:",
        "a:b:c",
        "a..slice:b:c/d",
        "a--b.slice:p:n",
        "-a.slice:p:n",
        "a/b.slice:p:n",
        ".slice:p:n",
        "s.slice:../p:n",
        "s.slice:p:a b",
        "s.slice:p:a\nb",
        "s.slice:p:a@b",
        "s.slice:p:" + "n" * 250,
        "s.slice:p:\u00e4",
        "s.slice:p:a--b.slice",
    ],
)
def test_refused(path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        unit(path, "web", SYSTEM)
    assert caught.value.pointer == "/linux/cgroupsPath"


def test_id_that_is_too_long() -> None:
    with pytest.raises(ConfigError, match="255"):
        unit("", "a" * 300, SYSTEM)


def test_directories_that_could_be_taken_for_files() -> None:
    assert [
        escape(name) for name in ("a.slice", "_a.scope", "cgroup.slice", "memory.scope", "tasks", "cpux.scope")
    ] == [
        "a.slice",
        "__a.scope",
        "_cgroup.slice",
        "_memory.scope",
        "_tasks",
        "cpux.scope",
    ]
    assert slice_path("cpu-a.slice") == ["_cpu.slice", "cpu-a.slice"]


@pytest.mark.parametrize(
    "change",
    [{"name": 5}, {"group": "relative"}, {"group": "/a/../b"}, {"slice": "x"}, {"user": "yes"}, {"name": "a/b.scope"}],
)
def test_damaged_records(change: dict[str, Any]) -> None:
    record = Unit("a.scope", "s.slice", user=False, group="/s.slice/a.scope").record()
    with pytest.raises(StateDamagedError):
        unit_from_record({**record, **change})
    for other in (None, {}, [], "x"):
        with pytest.raises(StateDamagedError):
            unit_from_record(other)
