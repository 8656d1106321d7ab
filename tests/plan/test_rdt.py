"""Intel RDT as operations: which directory, which lines in which order, when the process joins."""

from __future__ import annotations

import pytest

from ocirun.errors import UnsupportedError
from ocirun.plan import rdt

from . import rules
from .samples import config, plan
from .test_joining import build as build_exec
from .test_joining import config as joined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.plan.ops import Plan

TOP = "/sys/fs/resctrl"


def build(block: dict[str, Any], **facts: Any) -> Plan:
    data = config("clock")
    data["linux"] = {**data["linux"], "intelRdt": block}
    made = plan(data, facts=facts)
    rules.check(made)
    return made


def groups(made: Plan, name: str = "make_rdt_group") -> list[tuple[str, ...]]:
    return [(op.pointer, *op.args.values()) for op in made.ops if op.name == name]


@pytest.mark.parametrize(
    ("block", "group"),
    [
        ({}, ("/linux/intelRdt", f"{TOP}/sample", [], 0)),
        ({"closID": ""}, ("/linux/intelRdt", f"{TOP}/sample", [], 0)),
        ({"closID": "gold"}, ("/linux/intelRdt/closID", f"{TOP}/gold", [], 1)),
        ({"closID": "/"}, ("/linux/intelRdt/closID", TOP, [], 1)),
        ({"closID": "g", "memBwSchema": "MB:0=20"}, ("/linux/intelRdt/closID", f"{TOP}/g", ["MB:0=20"], 0)),
        ({"schemata": ["L3:0=f"]}, ("/linux/intelRdt", f"{TOP}/sample", ["L3:0=f"], 0)),
    ],
)
def test_group(block: dict[str, Any], group: tuple[Any, ...]) -> None:
    made = build(block)
    assert groups(made) == [group]
    assert groups(made, "join_rdt_group") == [("/linux/intelRdt", group[1])]
    names = rules.names(made)
    # Made before there is a process, joined by the finished one.
    assert names.index("make_rdt_group") < names.index("spawn")
    assert names.index("ready") < names.index("join_rdt_group") < names.index("wait_start")


def test_monitoring() -> None:
    made = build({"closID": "g", "enableMonitoring": True})
    assert groups(made)[1] == ("/linux/intelRdt/enableMonitoring", f"{TOP}/g/mon_groups/sample", [], 0)
    assert [path for _, path in groups(made, "join_rdt_group")] == [f"{TOP}/g", f"{TOP}/g/mon_groups/sample"]


@pytest.mark.parametrize(
    ("block", "lines"),
    [
        ({}, []),
        ({"l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=1", "schemata": ["L2:0=3", "L3:1=1"]},
         ["L3:0=f", "MB:0=1", "L2:0=3", "L3:1=1"]),
        # The bandwidth has a field of its own.
        ({"l3CacheSchema": "L3:0=f\nMB:0=9\n", "memBwSchema": "MB:0=1"}, ["L3:0=f", "MB:0=1"]),
        ({"l3CacheSchema": "L3:0=f\nMB:0=9"}, ["L3:0=f", "MB:0=9"]),
        ({"l3CacheSchema": "L3CODE:0=f\nL3DATA:0=1"}, ["L3CODE:0=f", "L3DATA:0=1"]),
    ],
)  # fmt: skip
def test_schemata(block: dict[str, Any], lines: list[str]) -> None:
    assert rdt.schemata(block) == lines


def test_exec_joins_too() -> None:
    made = build_exec(joined("mount", intelRdt={"enableMonitoring": True}))
    assert [path for _, path in groups(made, "join_rdt_group")] == [f"{TOP}/c", f"{TOP}/c/mon_groups/c"]
    assert groups(made) == []


def test_without_resctrl() -> None:
    with pytest.raises(UnsupportedError) as caught:
        build({}, resctrl="")
    assert caught.value.pointer == "/linux/intelRdt"
    assert "no resctrl" in caught.value.message


def test_not_asked_for() -> None:
    data = config("clock")
    assert not [op for op in plan(data, facts={"resctrl": ""}).ops if "rdt" in op.name]
