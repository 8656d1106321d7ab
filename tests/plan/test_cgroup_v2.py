"""The cgroup v2 parts of plans, on a host that does not exist."""

from __future__ import annotations

import pytest
from config import samples as configs

from ocirun.cgroup import choose, driver
from ocirun.errors import ConfigError
from ocirun.host.cgroups import Layout, Mount
from ocirun.host.unified import Reach
from ocirun.plan import constants as c
from ocirun.plan.build import build
from ocirun.plan.builder import Facts, Request

from . import rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.plan.ops import Op, Plan

GROUP = "/sys/fs/cgroup/user/box"


class Host(Layout):
    """A v2 host with three controllers, of which one is on in the root already."""

    __slots__ = ()

    def __init__(self) -> None:
        mount = Mount("/sys/fs/cgroup", options=("rw", "memory_localevents"), device="0:9")
        super().__init__({}, {"": "/user/me"}, mount, files={"cpu": ("cpu.max",)})

    def reach(self, below: str) -> Reach:
        assert below == "user/box"
        names = ["cpu", "memory", "pids"]
        return Reach(names, [("/sys/fs/cgroup", names[1:]), ("/sys/fs/cgroup/user", names)])


def plan(
    change: dict[str, Any] | None = None,
    *,
    process: dict[str, Any] | None = None,
    sessions: bool = False,
    **linux: Any,
) -> Plan:
    data = configs.minimal()
    data["process"].update(process or {})
    data["linux"] = {
        "namespaces": [{"type": kind} for kind in ("pid", "mount", "cgroup")],
        "cgroupsPath": "box",
        **linux,
    }
    data.update(change or {})
    host = Host()
    group = choose.new_driver(host, cgroups_path="box", container_id="c")
    request = Request(container_id="c", bundle="/bundle", directory="/run/ocirun/c", sessions=sessions)
    return build(data, Facts(layout=host), request, group)


def ops(made: Plan, *names: str) -> list[Op]:
    return [op for op in made.ops if op.name in names]


def mounted(*options: str, destination: str = "/sys/fs/cgroup") -> dict[str, Any]:
    proc = {"destination": "/proc", "type": "proc", "source": "proc"}
    group = {"destination": destination, "type": "cgroup", "source": "cgroup", "options": list(options)}
    return {"mounts": [proc, group]}


def test_order() -> None:
    made = plan(resources={"memory": {"limit": 1 << 26}, "cpu": {"quota": 5000}, "pids": {"limit": 5}})
    names = [op.name for op in made.ops]
    wanted = [
        "make_cgroup",
        "enable_controllers",
        "filter_devices",
        "write_cgroup",
        "start_in_cgroup",
        "spawn",
        "unshare",
    ]
    assert sorted(wanted, key=names.index) == wanted
    assert not ops(made, "open_cgroup", "join_cgroup")
    # What would hinder the set-up comes after it.
    late = [op.args["file"] for op in ops(made, "write_cgroup") if made.ops.index(op) > rules.place(made, "spawn")]
    assert sorted(late) == ["cpu.max", "pids.max"]


def test_controllers_are_switched_on_from_the_top() -> None:
    made = plan(resources={"memory": {"limit": 1 << 26}, "pids": {"limit": 5}})
    assert [op.args for op in ops(made, "enable_controllers")] == [
        {"path": "/sys/fs/cgroup", "controllers": ["memory", "pids"], "others": []},
        {"path": "/sys/fs/cgroup/user", "controllers": ["memory", "pids"], "others": ["cpu"]},
    ]


def test_a_limit_without_its_controller() -> None:
    with pytest.raises(ConfigError, match="/linux/resources/hugepageLimits/0"):
        plan(resources={"hugepageLimits": [{"pageSize": "2MB", "limit": 1}]})


def test_mount_in_a_cgroup_namespace() -> None:
    made = plan(mounted("ro"))
    (mount,) = [op for op in ops(made, "new_filesystem") if op.args["type"] == "cgroup2"]
    assert mount.pointer == "/mounts/1"
    assert mount.args["attributes"] & 1
    # After the namespace is made: its root is what the mount shows.
    assert made.ops.index(mount) > rules.place(made, "unshare")
    assert not ops(made, "clone_tree")


@pytest.mark.parametrize("namespaces", [("pid", "mount"), ("pid", "mount", "cgroup=/proc/1/ns/cgroup")])
def test_mount_without_a_new_cgroup_namespace(namespaces: tuple[str, ...]) -> None:
    entries = [dict(zip(("type", "path"), kind.split("="), strict=False)) for kind in namespaces]
    made = plan({**mounted("rw"), "linux": {"namespaces": entries, "cgroupsPath": "box"}})
    (tree,) = ops(made, "clone_tree")
    assert (tree.args["path"], tree.args["recursive"], bool(tree.why)) == (GROUP, 0, True)
    assert not [op for op in ops(made, "new_filesystem") if op.args["type"] == "cgroup2"]


def test_options_of_the_hierarchy_in_a_cgroup_namespace() -> None:
    # There the kernel looks at them, and changes nothing; a wrong one it refuses.
    made = plan(mounted("nsdelegate", "ro", "wrong=1"))
    (mount,) = [op for op in ops(made, "new_filesystem") if op.args["type"] == "cgroup2"]
    assert mount.args["options"] == [("nsdelegate", None), ("wrong", "1")]
    assert mount.args["places"] == [0, 2]


@pytest.mark.parametrize("word", ["nsdelegate", "memory_recursiveprot", "wrong=1", "sync"])
def test_options_of_the_hierarchy_without_a_cgroup_namespace(word: str) -> None:
    # The kernel would take them for the host's own hierarchy.
    linux = {"namespaces": [{"type": kind} for kind in ("pid", "mount")], "cgroupsPath": "box"}
    with pytest.raises(ConfigError) as error:
        plan({**mounted("ro", word), "linux": linux})
    assert error.value.problems[0].pointer == "/mounts/1/options/1"
    with pytest.raises(ConfigError) as error:
        plan({"mounts": [*mounted("ro")["mounts"], *mounted("remount", word)["mounts"][1:]]})
    assert error.value.problems[0].pointer == "/mounts/2/options/1"


def test_options_that_the_hierarchy_has() -> None:
    """An engine that names them, as it would for a mount of its own, asks for no change."""
    linux = {"namespaces": [{"type": kind} for kind in ("pid", "mount")], "cgroupsPath": "box"}
    assert ops(plan({**mounted("ro", "memory_localevents"), "linux": linux}), "clone_tree")
    with pytest.raises(ConfigError) as error:
        plan({**mounted("memory_localevents", "nsdelegate"), "linux": linux})
    assert [one.pointer for one in error.value.problems] == ["/mounts/1/options/1"]


def test_attributes_and_propagation_of_the_hierarchy() -> None:
    made = plan(mounted("ro", "rnosuid", "exec", "rslave", "shared"))
    (mount,) = [op for op in ops(made, "new_filesystem") if op.args["type"] == "cgroup2"]
    assert mount.args["attributes"] == c.MOUNT_ATTR_RDONLY | c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NODEV
    attributes = [op.args for op in ops(made, "set_mount_attr") if op.pointer == "/mounts/1"]
    assert [(one.get("set"), one.get("propagation"), one["recursive"]) for one in attributes] == [
        (c.MOUNT_ATTR_NOSUID, None, 1),
        (None, c.MS_SLAVE, 1),
        (None, c.MS_SHARED, 0),
    ]


def test_the_groups_of_the_host_are_shown_to_nobody() -> None:
    data = configs.minimal()
    data["linux"] = {"namespaces": [{"type": "mount"}]}
    data.update(mounted("ro"))
    request = Request(container_id="c", bundle="/bundle", directory="/run/ocirun/c")
    with pytest.raises(ConfigError, match="/mounts/1: shows all groups of the host"):
        build(data, Facts(layout=Host()), request, driver.Driver())


def test_a_group_for_the_first_process() -> None:
    """So that others can have one beside it: it is made, and then the one above counts for those below."""
    made = plan(mounted(), process=USER, sessions=True, resources={"memory": {"limit": 1 << 26}})
    places = [op.args["path"] for op in ops(made, "make_cgroup", "make_subgroup", "start_in_cgroup")]
    assert places == [GROUP, f"{GROUP}/init", f"{GROUP}/init"]
    last = ops(made, "enable_controllers")[-1]
    assert last.args == {"path": GROUP, "controllers": [], "others": ["cpu", "memory", "pids"]}
    names = [op.name for op in made.ops]
    assert names.index("make_subgroup") < made.ops.index(last) < names.index("start_in_cgroup")
    # Limits are those of the whole; what is the container's own to change is what it sees.
    assert {op.args["path"] for op in ops(made, "write_cgroup")} == {GROUP}
    assert [op.args["path"] for op in ops(made, "give_cgroup")] == [f"{GROUP}/init"]
    assert not ops(plan(), "make_subgroup")


USER = {"user": {"uid": 7, "gid": 7}}
MAPPED = {"uidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}]}
MAPPED["gidMappings"] = MAPPED["uidMappings"]


def given(made: Plan) -> list[int]:
    return [op.args["uid"] for op in ops(made, "give_cgroup")]


def test_the_group_is_given_away_where_the_container_may_write_to_it() -> None:
    # config-linux.md, "Cgroup ownership"
    assert given(plan(mounted(), process=USER)) == [7]
    for words in (("ro",), ("nosuid,ro",), ("rro",)):
        assert given(plan(mounted(*words), process=USER)) == []
    assert given(plan(mounted(destination="/mnt"), process=USER)) == []
    assert given(plan(process=USER)) == []
    assert given(plan(mounted())) == [], "it is root's already"
    without = [{"type": "mount"}]
    assert given(plan({**mounted(), "linux": {"namespaces": without, "cgroupsPath": "box"}}, process=USER)) == []


def test_the_group_is_given_to_the_user_outside() -> None:
    kinds = [{"type": kind} for kind in ("pid", "mount", "cgroup", "user")]
    linux = {"namespaces": kinds, "cgroupsPath": "box", **MAPPED}
    assert given(plan({**mounted(), "linux": linux}, process=USER)) == [1007]
    assert given(plan({**mounted(), "linux": linux})) == [1000]
