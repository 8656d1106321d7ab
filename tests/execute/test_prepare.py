"""When a prepared plan is that of a new container: its cgroup must be the prepared one with another id."""

from __future__ import annotations

import copy

import pytest
from commands import hosts

from ocirun.cgroup import choose
from ocirun.cgroup.systemd.unit import Manager
from ocirun.runs.preparation import Preparation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.cgroup.driver import Driver


def chosen(container_id: str, document: dict[str, Any] = hosts.V2, **more: Any) -> Driver:
    return choose.new_driver(hosts.layout(document), container_id=container_id, **more)


def fits(prepared: Driver, new: Driver, container_id: str) -> bool:
    preparation = Preparation.__new__(Preparation)
    preparation.hole, preparation._cgroup = "hole", prepared
    return preparation._fits(new, container_id)


@pytest.mark.parametrize("document", [hosts.V1, hosts.V2])
def test_another_id(document: dict[str, Any]) -> None:
    assert fits(chosen("hole", document), chosen("web.1", document), "web.1")
    assert fits(chosen("hole", document, cgroups_path="/a/b"), chosen("web", document, cgroups_path="/a/b"), "web")
    assert not fits(chosen("hole", document, cgroups_path="/a/b"), chosen("web", document), "web")


def test_another_driver() -> None:
    assert not fits(chosen("hole"), chosen("web", hosts.V1), "web")
    assert not fits(chosen("hole"), chosen("web", disabled=True), "web")
    assert fits(chosen("hole", disabled=True), chosen("web", disabled=True), "web")


def test_the_name_of_a_unit() -> None:
    prepared = chosen("hole", manager=Manager())
    assert fits(prepared, chosen("web", manager=Manager()), "web")
    assert not fits(prepared, chosen("a+b", manager=Manager()), "a+b")


def test_controllers_of_the_groups_above() -> None:
    """What must be switched on may become less, by the runs before; more was not planned for."""
    less: dict[str, Any] = copy.deepcopy(hosts.V2)
    less["cgroups"]["unified"][hosts.UNIFIED]["enabled"] = ["cpuset", "cpu", "io", "memory", "pids"]
    assert chosen("hole").enabling != chosen("hole", less).enabling
    assert fits(chosen("hole"), chosen("web", less), "web")
    assert not fits(chosen("hole", less), chosen("web"), "web")
