"""Callers who are not root of the host: how maps are written, what is refused, with which remedy."""

from __future__ import annotations

import pytest

from ocirun.errors import UnsupportedError
from ocirun.host import users
from ocirun.host.users import Caller

from . import rules
from .samples import config, plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.plan.ops import Op, Plan

ALL = (1 << 41) - 1
PROGRAMS = {"newuidmap": "/usr/bin/newuidmap", "newgidmap": "/usr/bin/newgidmap"}
SELF = [{"containerID": 0, "hostID": 1000, "size": 1}]
RANGE = [{"containerID": 0, "hostID": 1000, "size": 1}, {"containerID": 1, "hostID": 100000, "size": 65536}]
SUBIDS = {"subuids": [(100000, 65536)], "subgids": [(100000, 65536)]}


def ada(**facts: Any) -> Caller:
    """An ordinary user with the id 1000."""
    return Caller(**{"uid": 1000, "gid": 1000, "name": "ada", **facts})


def build(
    caller: Caller,
    *,
    uids: Any = SELF,
    gids: Any = SELF,
    kinds: tuple[str, ...] = ("user", "mount", "pid"),
    mounts: Any = (),
    capabilities: int = 0,
    user: dict[str, Any] | None = None,
    **linux: Any,
) -> Plan:
    data = config("clock")
    data["linux"] = {"namespaces": [{"type": kind} for kind in kinds], **linux}
    if "user" in kinds:
        data["linux"] |= {"uidMappings": uids, "gidMappings": gids}
    data.pop("hostname", None)
    data["root"] = {"path": "rootfs"}
    data["mounts"] = list(mounts)
    if user is not None:
        data["process"] = {**data["process"], "user": user}
    made = plan(
        data,
        facts={
            "privileged": False,
            "capabilities": capabilities,
            "caller": caller,
            "setgroups": caller.setgroups and bool(capabilities >> 6 & 1),
        },
    )
    rules.check(made)
    return made


def named(made: Plan, name: str) -> list[Op]:
    return [op for op in made.ops if op.name == name]


def refused(pointer: str, *words: str, caller: Caller | None = None, **how: Any) -> None:
    with pytest.raises(UnsupportedError) as caught:
        build(caller or ada(), **how)
    assert caught.value.pointer == pointer
    for word in words:
        assert word in caught.value.line(), caught.value.line()


def test_own_ids_need_no_program() -> None:
    made = build(ada())
    maps = named(made, "write_id_maps")[0]
    assert maps.args == {
        "uid_map": "0 1000 1\n",
        "gid_map": "0 1000 1\n",
        "uid_program": "",
        "gid_program": "",
        "setgroups": "deny",
    }
    assert "own gid" in maps.why
    assert named(made, "become_root")[0].args == {"drop_groups": 0}
    assert named(made, "set_groups") == []


def test_helper_stays_open_until_its_maps_are_written() -> None:
    assert named(build(ada()), "guard")[0].args == {"dumpable": 1}
    assert named(build(ada(), kinds=("mount", "pid"), capabilities=ALL), "guard")[0].args == {}


def test_more_ids_by_newuidmap() -> None:
    made = build(ada(**PROGRAMS, **SUBIDS), uids=RANGE, gids=RANGE, user={"uid": 0, "gid": 0, "additionalGids": [7]})
    maps = named(made, "write_id_maps")[0]
    assert maps.args["uid_program"] == "/usr/bin/newuidmap"
    assert maps.args["gid_program"] == "/usr/bin/newgidmap"
    assert maps.args["setgroups"] == "allow"
    assert named(made, "become_root")[0].args == {"drop_groups": 1}
    assert named(made, "set_groups")[0].args == {"gids": [7]}


def test_each_map_has_its_own_way() -> None:
    maps = named(build(ada(**PROGRAMS, **SUBIDS), uids=RANGE), "write_id_maps")[0].args
    assert (maps["uid_program"], maps["gid_program"], maps["setgroups"]) == ("/usr/bin/newuidmap", "", "deny")


def test_root_of_a_user_namespace_writes_itself() -> None:
    inner = Caller(uid=0, gid=0, uid_map=[(0, 65536)], gid_map=[(0, 65536)], owns_mounts=True)
    lines = [{"containerID": 0, "hostID": 5000, "size": 1000}]
    maps = named(build(inner, uids=lines, gids=lines, capabilities=ALL), "write_id_maps")[0].args
    assert (maps["uid_program"], maps["gid_program"], maps["setgroups"]) == ("", "", "allow")


def test_refusals_of_maps() -> None:
    refused("/linux/uidMappings", "newuidmap", "install the package uidmap", uids=RANGE)
    only = ada(**PROGRAMS, subuids=[(200000, 65536)], subgids=[(100000, 65536)])
    words = ("100000 to 165535", "200000 to 265535", "usermod --add-subuids 100000-165535 ada")
    refused("/linux/uidMappings/1/hostID", *words, caller=only, uids=RANGE, gids=RANGE)
    refused("/linux/gidMappings/1/hostID", "none", "--add-subgids", caller=ada(**PROGRAMS), gids=RANGE)
    # Nobody is told to make somebody root of the host, or another of its users.
    for number in (0, 1001):
        lines = [{"containerID": 0, "hostID": number, "size": 1}]
        refused("/linux/uidMappings/0/hostID", "map your own uid 1000", caller=ada(**PROGRAMS, **SUBIDS), uids=lines)
    lines = [{"containerID": 1, "hostID": 1000, "size": 1}]
    refused("/linux/uidMappings", "do not map uid 0", uids=lines)
    inner = Caller(uid=0, gid=0, uid_map=[(0, 1000)], gid_map=[(0, 1000)])
    lines = [{"containerID": 0, "hostID": 900, "size": 200}]
    refused("/linux/uidMappings/0/hostID", "900 to 1099", caller=inner, uids=lines, gids=lines, capabilities=ALL)


def test_subordinate_ids_of_another_service_are_newuidmaps_business() -> None:
    made = build(ada(**PROGRAMS, subuids=None, subgids=None), uids=RANGE, gids=RANGE)
    assert named(made, "write_id_maps")[0].args["uid_program"] == "/usr/bin/newuidmap"


def test_ranges_that_touch_count_as_one() -> None:
    caller = ada(**PROGRAMS, subuids=[(130000, 35536), (100000, 30000)], subgids=[(100000, 65536)])
    assert named(build(caller, uids=RANGE, gids=RANGE), "write_id_maps")


def test_groups_without_setgroups() -> None:
    refused("/process/user/additionalGids", "setgroups", user={"uid": 0, "gid": 0, "additionalGids": [7]})


def test_no_user_namespace() -> None:
    refused("/linux/namespaces", "only root", "spec --rootless", kinds=("mount", "pid"))


def test_locked_user_namespaces() -> None:
    caller = ada(locked="user.max_user_namespaces is 0", remedy="raise it")
    refused("/linux/namespaces/0", "max_user_namespaces", "raise it", caller=caller)
    # Root of a namespace that makes none is not concerned.
    assert build(caller, kinds=("mount", "pid"), capabilities=ALL)


@pytest.mark.parametrize(
    ("files", "word"),
    [
        ({}, ""),
        ({"namespaces": "0\n"}, "max_user_namespaces"),
        ({"namespaces": "96365\n", "unprivileged": "0\n"}, "unprivileged_userns_clone"),
        ({"apparmor": "1\n", "profile": "unconfined\n"}, "apparmor_restrict"),
        ({"apparmor": "1\n", "profile": "ocirun (unconfined)\n"}, ""),
        ({"apparmor": "0\n", "profile": "unconfined\n"}, ""),
    ],
)
def test_locks(files: dict[str, str], word: str) -> None:
    texts = {"namespaces": "9\n", "unprivileged": "", "apparmor": "", "profile": "", **files}
    locked, remedy = users.lock(**texts)
    assert word in locked if word else not locked
    assert bool(locked) == bool(remedy)


def mount(fstype: str, *options: str) -> dict[str, Any]:
    return {"destination": f"/m/{fstype}", "type": fstype, "source": fstype, "options": list(options)}


def test_file_systems_of_namespaces() -> None:
    refused("/mounts/0", "network namespace", "rbind", mounts=[mount("sysfs", "ro")])
    refused("/mounts/0", "needs an ipc namespace", mounts=[mount("mqueue")])
    refused("/mounts/0", "needs a pid namespace", "bind /proc", mounts=[mount("proc")], kinds=("user", "mount"))
    assert build(ada(), mounts=[mount("proc")], kinds=("user", "mount", "pid"))
    assert build(ada(), mounts=[mount("sysfs"), mount("mqueue")], kinds=("user", "mount", "network", "ipc"))
    # Whose network it is cannot be seen from inside.
    assert build(ada(), mounts=[mount("sysfs")], kinds=("mount",), capabilities=ALL)


def test_ids_of_file_systems() -> None:
    refused("/mounts/0/options/1", "gid 5", "leave gid= out", mounts=[mount("devpts", "nosuid", "gid=5")])
    assert build(ada(**PROGRAMS, **SUBIDS), uids=RANGE, gids=RANGE, mounts=[mount("devpts", "gid=5")])
    inner = Caller(uid=0, gid=0, uid_map=[(0, 1)], gid_map=[(0, 1)])
    how: dict[str, Any] = {"caller": inner, "kinds": ("mount",), "capabilities": ALL}
    refused("/mounts/0/options/0", "uid 7", mounts=[mount("tmpfs", "uid=7")], **how)


def test_devices_are_bound_by_the_helper() -> None:
    made = build(ada())
    assert not named(made, "make_node") and not named(made, "open_source")
    assert "/dev/null" in [op.args["path"] for op in named(made, "clone_tree")]


def test_devices_in_the_user_namespace_of_an_engine() -> None:
    inner = Caller(uid=0, gid=0, uid_map=[(0, 65536)], gid_map=[(0, 65536)], owns_mounts=True)
    made = build(inner, kinds=("mount", "pid"), capabilities=ALL)
    assert not named(made, "make_node") and not named(made, "open_source")
    # With a namespace of its own inside, the runtime copies what its root may not reach.
    lines = [{"containerID": 0, "hostID": 5000, "size": 1000}]
    made = build(inner, uids=lines, gids=lines, capabilities=ALL)
    assert named(made, "open_source")


def test_flags_of_binds_are_locked() -> None:
    bind = {"destination": "/b", "source": "/b", "options": ["bind", "exec"]}
    made = build(ada(), kinds=("mount", "pid"), capabilities=ALL, mounts=[bind])
    assert any(op.args.get("locked") for op in named(made, "set_mount_attr"))


def test_offsets_are_written_before_the_helper_closes() -> None:
    offsets = {"boottime": {"secs": 5}}
    made = build(ada(), kinds=("user", "time", "mount", "pid"), timeOffsets=offsets)
    names = rules.names(made)
    assert names.index("write_time_offsets") < names.index("become_root") < names.index("fork_init")


SUBUID = """\
# comment
ada:100000:65536
1000:300000:10
bob:200000:65536
ada:bad:1
ada:1
"""


def test_reading_subuid() -> None:
    assert users.ranges(SUBUID, "ada", 1000) == [(100000, 65536), (300000, 10)]
    assert users.ranges(SUBUID, "eve", 5) == []
    assert users.id_map("         0       1500          1\n         1     100000      65536\n") == [(0, 1), (1, 65536)]
