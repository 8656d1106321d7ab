"""Which namespaces are made or joined, in which order, and when a second process is needed."""

from __future__ import annotations

import pytest

from ocirun.errors import ConfigError
from ocirun.plan import constants as c
from ocirun.plan import namespaces

from . import rules
from .samples import config, plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.plan.ops import Plan

MAPS = {
    "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}, {"containerID": 1, "hostID": 100000, "size": 9}],
    "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}],
}


def build(*kinds: str, facts: dict[str, Any] | None = None, **linux: Any) -> Plan:
    """A plan with namespaces given as ``pid`` (new) or ``pid=/path`` (joined)."""
    data = config("clock")
    entries = []
    for kind in kinds:
        name, _, path = kind.partition("=")
        entries.append({"type": name, "path": path} if path else {"type": name})
    data["linux"] = {"namespaces": entries, **linux}
    data.pop("hostname", None)
    if "user" in kinds and "pid" not in kinds:  # who may not mount a procfs then
        data["mounts"] = [mount for mount in data["mounts"] if mount["type"] != "proc"]
    data["root"] = {"path": "rootfs"}
    made = plan(data, facts=facts)
    rules.check(made)
    return made


def steps(made: Plan) -> list[str]:
    """What happens from spawn to the new session."""
    names = []
    for op in made.ops[rules.place(made, "spawn") :]:
        if op.name == "new_session":
            break
        if op.name == "join_namespace":
            names.append(op.args["slot"])
        elif op.name not in ("guard", "join_cgroup"):
            names.append(op.name)
    return names


def flags(made: Plan) -> int:
    value: int = made.ops[rules.place(made, "spawn")].args["flags"]
    return value


def test_new_ones_are_made_at_once() -> None:
    made = build("pid", "mount", "uts", "ipc", "network")
    assert steps(made) == ["spawn"]
    assert flags(made) == c.CLONE_NEWPID | c.CLONE_NEWNS | c.CLONE_NEWUTS | c.CLONE_NEWIPC | c.CLONE_NEWNET


def test_cgroup_namespace_after_the_cgroup_is_joined() -> None:
    made = build("pid", "mount", "cgroup")
    assert not flags(made) & c.CLONE_NEWCGROUP
    names = rules.names(made)
    last_join = max(index for index, name in enumerate(names) if name == "join_cgroup")
    assert names.index("unshare") > last_join
    assert made.ops[names.index("unshare")].args == {"flags": c.CLONE_NEWCGROUP}


def test_joined_ones_are_opened_before_anything_is_made() -> None:
    made = build("mount", "network=/n", "uts=/u", "ipc=/i")
    assert steps(made) == ["spawn", "ns_network", "ns_ipc", "ns_uts"]
    names = rules.names(made)
    assert names.index("open_namespace") < names.index("make_cgroup")
    paths = [(op.args["type"], op.args["path"], op.pointer) for op in made.ops if op.name == "open_namespace"]
    assert paths[0] == ("network", "/n", "/linux/namespaces/1/path")


def test_user_namespace_maps_then_root() -> None:
    made = build("user", "mount", "pid", **MAPS)
    assert steps(made) == ["spawn", "sync", "write_id_maps", "become_root"]
    maps = next(op for op in made.ops if op.name == "write_id_maps")
    assert maps.args == {
        "uid_map": "0 1000 1\n1 100000 9\n",
        "gid_map": "0 1000 1\n",
        "uid_program": "",
        "gid_program": "",
        "setgroups": "allow",
    }


@pytest.mark.parametrize(
    ("kinds", "linux", "order"),
    [
        (("pid=/p", "mount"), {}, ["spawn", "ns_pid", "unshare", "fork_init"]),
        (("time", "pid", "mount"), {}, ["spawn", "unshare", "fork_init"]),
        (
            ("time", "mount"),
            {"timeOffsets": {"boottime": {"secs": 1}}},
            ["spawn", "unshare", "sync", "write_time_offsets", "fork_init"],
        ),
        (
            ("user=/u", "network=/n", "mount"),
            {},
            ["spawn", "ns_network", "ns_user", "become_root", "unshare", "fork_init"],
        ),
        (
            ("user", "network=/n", "mount"),
            MAPS,
            ["spawn", "ns_network", "unshare", "sync", "write_id_maps", "unshare", "become_root", "fork_init"],
        ),
    ],
)
def test_two_processes(kinds: tuple[str, ...], linux: dict[str, Any], order: list[str]) -> None:
    made = build(*kinds, **linux)
    assert steps(made) == order
    assert flags(made) == 0
    assert made.ops[rules.place(made, "spawn")].why


def test_unprivileged_joins_the_user_namespace_first() -> None:
    made = build("user=/u", "network=/n", "mount", facts={"privileged": False})
    assert steps(made)[:4] == ["spawn", "ns_user", "become_root", "ns_network"]


@pytest.mark.parametrize("user", ["user", "user=/u"])
def test_root_that_only_the_host_may_reach(user: str) -> None:
    """It becomes the working directory while the helper has the host's rights, and is found there."""
    made = build(user, "mount", "network", facts={"root_closed": True}, **MAPS)
    opened = [op.args for op in made.ops if op.name == "open_root"]
    assert opened == [
        {"slot": "rootdir", "path": "/bundle/rootfs", "enter": 1},
        {"slot": "rootdir", "path": "."},
    ]
    names = rules.names(made)
    assert names.index("open_root") < min(names.index("become_root"), names.index("unshare")) < names.index("fork_init")
    assert names.index("spawn") < names.index("open_root")
    assert flags(made) == 0


@pytest.mark.parametrize("kinds", [("mount",), ("user", "mount=/m")])
def test_root_that_is_not_entered(kinds: tuple[str, ...]) -> None:
    """Nobody takes rights away, or the path is one of another mount namespace."""
    made = build(*kinds, facts={"root_closed": True}, **(MAPS if "user" in kinds else {}))
    assert [op.args["path"] for op in made.ops if op.name == "open_root"] == ["/bundle/rootfs"]


def test_mount_namespace_is_joined_just_before_user() -> None:
    made = build("mount=/m", "user=/u", "pid=/p", "uts=/t")
    joined = [name for name in steps(made) if name.startswith("ns_")]
    assert joined[-2:] == ["ns_mount", "ns_user"]


def test_offsets() -> None:
    made = build("time", "mount", timeOffsets={"monotonic": {"secs": -1, "nanosecs": 5}, "boottime": {"secs": 2}})
    assert (
        next(op for op in made.ops if op.name == "write_time_offsets").args["offsets"]
        == "boottime 2 0\nmonotonic -1 5\n"
    )


def test_without_a_mount_namespace() -> None:
    made = build("pid")
    names = rules.names(made)
    assert "change_root" in names
    assert not {"pivot", "propagate", "move_root"} & set(names)


def test_loopback_of_a_new_network_only() -> None:
    assert "loopback_up" in rules.names(build("network", "mount"))
    assert "loopback_up" not in rules.names(build("network=/n", "mount"))


@pytest.mark.parametrize("kind", ["network", "network=/proc/5/ns/net"])
def test_devices_move_once_the_namespace_is_there(kind: str) -> None:
    made = build("mount", kind, netDevices={"eth1": {"name": "lan%d"}, "eth/2": {}})
    moves = [(index, op) for index, op in enumerate(made.ops) if op.name == "move_device"]
    assert [op.args for _, op in moves] == [
        {"device": "eth1", "name": "lan%d"},
        {"device": "eth/2", "name": "eth/2"},
    ]
    assert [op.pointer for _, op in moves] == ["/linux/netDevices/eth1", "/linux/netDevices/eth~12"]
    assert made.ops[moves[0][0] - 1].name == "sync"
    opened = [op.args["not_own_for"] for op in made.ops if op.name == "open_namespace"]
    assert opened == (["/linux/netDevices/eth1"] if "=" in kind else [])


def test_map_lines() -> None:
    assert namespaces.map_lines(()) == ""
    assert namespaces.map_lines([{"containerID": 0, "hostID": 2**32 - 2, "size": 1}]) == "0 4294967294 1\n"


# What would change the host, were there no namespace of that type; the rules refuse each of these.
CHANGES: list[tuple[str, str, dict[str, Any]]] = [
    ("uts", "/hostname", {"hostname": "h"}),
    ("uts", "/domainname", {"domainname": "d"}),
    ("uts", "/linux/sysctl/kernel.domainname", {"sysctl": {"kernel.domainname": "d"}}),
    ("ipc", "/linux/sysctl/kernel.msgmax", {"sysctl": {"kernel.msgmax": "1"}}),
    ("network", "/linux/sysctl/net.core.somaxconn", {"sysctl": {"net.core.somaxconn": "1"}}),
    ("user", "/linux/sysctl/user.max_user_namespaces", {"sysctl": {"user.max_user_namespaces": "1"}}),
    ("network", "/linux/netDevices/eth1", {"netDevices": {"eth1": {}}}),
    ("mount", "/linux/maskedPaths/0", {"maskedPaths": ["/x"]}),
    ("mount", "/linux/readonlyPaths/0", {"readonlyPaths": ["/x"]}),
]


def changing(kind: str, path: str, wanted: dict[str, Any]) -> Plan:
    """A plan that no rule has looked at: with no namespace of this type, or with one that is joined."""
    data = config("clock")
    kinds = {"pid", "mount", "uts", "ipc", "network"} - {kind}
    entries = [{"type": one} for one in sorted(kinds)] + ([{"type": kind, "path": path}] if path else [])
    data.pop("hostname", None)
    data["root"] = {"path": "rootfs"}
    data["linux"] = {"namespaces": entries, **{key: value for key, value in wanted.items() if "name" not in key}}
    data.update({key: value for key, value in wanted.items() if "name" in key})
    return plan(data)


@pytest.mark.parametrize(("kind", "pointer", "wanted"), CHANGES)
def test_no_plan_changes_a_namespace_of_the_host(kind: str, pointer: str, wanted: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as error:
        changing(kind, "", wanted)
    assert error.value.problems[0].pointer == pointer
    joined = changing(kind, "/proc/1/ns/x", wanted)
    opened = {op.args["type"]: op.args["not_own_for"] for op in joined.ops if op.name == "open_namespace"}
    # Which one the path leads to is known when it is open.
    assert opened == {kind: "/linux/namespaces/4" if kind == "mount" else pointer}


def test_a_parameter_of_the_whole_host() -> None:
    with pytest.raises(ConfigError) as error:
        changing("", "", {"sysctl": {"vm.swappiness": "1"}})
    assert error.value.problems[0].pointer == "/linux/sysctl/vm.swappiness"


@pytest.mark.parametrize("key", ["hostname", "domainname"])
def test_an_empty_name_is_none(key: str) -> None:
    assert f"set_{key}" not in rules.names(changing("", "", {key: ""}))
    assert f"set_{key}" not in rules.names(changing("uts", "", {key: ""}))
