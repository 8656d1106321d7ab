"""The plan of a container whose cgroup systemd makes: the unit, its properties, and the order."""

from __future__ import annotations

import pytest

from ocirun.cgroup import choose
from ocirun.cgroup.systemd.unit import Manager
from ocirun.errors import ConfigError
from ocirun.plan.build import build
from ocirun.plan.builder import Facts, Request
from ocirun.plan.exec_plan import build_exec
from ocirun.plan.render import phrase

from . import rules
from .samples import config, layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.cgroup.driver import Driver
    from ocirun.plan.ops import Plan

REQUEST = Request(container_id="web", bundle="/bundle", directory="/run/ocirun/web")


def chosen(path: str, *, annotations: dict[str, str] | None = None, user: bool = False) -> Driver:
    manager = Manager(user=user, control_group="/user" if user else "")
    return choose.new_driver(
        layout(), cgroups_path=path, container_id="web", manager=manager, annotations=annotations, rootless=False
    )


def plan(path: str = "a.slice:p:n", resources: dict[str, Any] | None = None, **how: Any) -> Plan:
    data = config("clock")
    data["linux"] = {**data["linux"], "cgroupsPath": path, "resources": resources or {}}
    made = build(data, Facts(layout=layout()), REQUEST, chosen(path, **how))
    rules.check(made)
    return made


def properties(made: Plan, name: str) -> dict[str, Any]:
    op = next(op for op in made.ops if op.name == name)
    return {key: value for key, _, value in op.args["properties"]}


def test_unit_is_started_with_the_helper_in_it() -> None:
    made = plan(resources={"memory": {"limit": 1 << 26}})
    names = rules.names(made)
    order = ["spawn", "guard", "sync", "start_unit", "make_cgroup", "place_process", "write_cgroup"]
    places = [names.index(name) for name in order]
    assert places == sorted(places)
    # Nothing of the container is made before it is limited.
    assert max(index for index, name in enumerate(names) if name == "write_cgroup") < names.index("new_session")
    assert "open_cgroup" not in names and "join_cgroup" not in names
    op = made.ops[places[3]]
    assert (op.args["unit"], op.args["slice"], op.args["instance"]) == ("p-n.scope", "a.slice", "system")
    assert phrase(op) == "have systemd start the unit p-n.scope"
    assert properties(made, "start_unit")["MemoryLimit"] == 1 << 26


def test_files_are_written_too() -> None:
    made = plan(resources={"memory": {"limit": 1 << 26}})
    written = [op.args for op in made.ops if op.name == "write_cgroup" and op.args["controller"] == "memory"]
    assert written[0]["path"] == "/sys/fs/cgroup/memory/a.slice/p-n.scope"


def test_late_limits() -> None:
    made = plan(resources={"cpu": {"quota": 5000, "period": 10000}, "pids": {"limit": 7}})
    names = rules.names(made)
    assert names.index("ready") < names.index("set_unit")
    assert properties(made, "set_unit") == {
        "CPUQuotaPeriodUSec": 10000,
        "CPUQuotaPerSecUSec": 500000,
        "TasksMax": 7,
    }
    assert "TasksMax" not in properties(made, "start_unit")
    assert "set_unit" not in rules.names(plan())


def test_annotations() -> None:
    data = {"org.systemd.property.TimeoutStopSec": "uint64 2", "other": "x"}
    assert properties(plan(annotations=data), "start_unit")["TimeoutStopUSec"] == 2000000
    with pytest.raises(ConfigError) as caught:
        plan(annotations={"org.systemd.property.Slice": "'x'"})
    assert caught.value.pointer == "/annotations/org.systemd.property.Slice"


def test_path_of_another_form() -> None:
    with pytest.raises(ConfigError, match="slice:prefix:name"):
        plan("/a/b")


@pytest.mark.parametrize("user", [False, True])
def test_exec(user: bool) -> None:
    group = chosen("a.slice:p:n", user=user)
    files = [(name, "below") for name, _ in group.joined_by_child()]
    made = build_exec(
        config("clock"),
        Facts(layout=layout()),
        REQUEST,
        group,
        pid=5,
        foreign=None,
        own_umask=None,
        cgroup_files=files,
        status="running",
        attach="below" if user else None,
    )
    names = rules.names(made)
    # A user's own processes are moved by the user's systemd, wherever they are.
    assert [op.args["below"] for op in made.ops if op.name == "attach_unit"] == ["below"] * user
    assert ("attach_unit" in names) is user and ("join_cgroup" in names) is not user
    if user:
        assert names.index("attach_unit") < names.index("join_namespace")
