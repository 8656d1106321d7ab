"""The plan of exec: what is joined, in which order, and what is never in the hands of the visible process."""

from __future__ import annotations

import pytest

from ocirun.cgroup import choose
from ocirun.errors import ConfigError
from ocirun.plan import constants as c
from ocirun.plan import encode
from ocirun.plan.builder import Facts, Request
from ocirun.plan.exec_plan import build_exec

from . import samples

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.plan.ops import Op, Plan

ALL = ("pid", "network", "ipc", "uts", "mount", "user", "cgroup", "time")


def config(*kinds: str, process: dict[str, Any] | None = None, **linux: Any) -> dict[str, Any]:
    own = {"args": ["prog"], "cwd": "/", "user": {"uid": 7, "gid": 8}, **(process or {})}
    linux["namespaces"] = [{"type": kind} for kind in kinds]
    return {"ociVersion": "1.0.2", "root": {"path": "rootfs"}, "process": own, "linux": linux}


def build(data: dict[str, Any], *, foreign: set[str] | None = None, umask: int | None = None, **how: Any) -> Plan:
    where = samples.layout()
    group = choose.new_driver(where, cgroups_path="", container_id="c", rootless=False)
    facts = Facts(layout=where, **how.pop("facts", {}))
    request = Request(container_id="c", bundle="/bundle", directory="", detach=False, **how)
    files = [(name, "") for name, _ in group.joined_by_child()]
    seen = None if foreign is None else frozenset(foreign)
    return build_exec(
        data, facts, request, group, pid=4242, foreign=seen, own_umask=umask, status="running", cgroup_files=files
    )


def named(plan: Plan, *names: str) -> list[Op]:
    return [op for op in plan.ops if op.name in names]


def flags(plan: Plan) -> list[int]:
    return [op.args["flag"] for op in named(plan, "join_namespace")]


def mask(*kinds: str) -> int:
    return sum(c.NAMESPACE_FLAGS[kind] for kind in kinds)


def test_host_objects_are_closed_before_the_fork() -> None:
    names = [op.name for op in build(config(*ALL)).ops]
    fork = names.index("fork_init")
    for name in ("guard", "join_cgroup", "join_namespace", "close", "become_root"):
        assert all(index < fork or name == "close" for index, here in enumerate(names) if here == name)
    assert names.index("close") < fork
    assert names[0] == "open_init" and names.index("spawn") < names.index("guard")
    assert names[-3:-1] == ["ready", "wait_start"] or "ready" in names[:-2]


def test_cgroup_before_namespaces() -> None:
    names = [op.name for op in build(config(*ALL)).ops]
    last = max(index for index, name in enumerate(names) if name == "join_cgroup")
    assert last < names.index("join_namespace")


def test_user_namespace_last_with_the_rights_of_the_host() -> None:
    rest = tuple(kind for kind in ALL if kind != "user")
    assert flags(build(config(*ALL))) == [mask(*rest), c.CLONE_NEWUSER]


def test_all_at_once_without_them() -> None:
    assert flags(build(config(*ALL), facts={"privileged": False})) == [mask(*ALL)]
    assert flags(build(config("pid", "mount"), facts={"privileged": False})) == [mask("pid", "mount")]


def test_what_init_has_counts() -> None:
    # The caller stands in another network namespace than the container's, which has none of its own.
    assert flags(build(config("pid", "mount"), foreign={"pid", "mount", "network"})) == [
        mask("pid", "mount", "network")
    ]
    # And it may stand in the container's already.
    assert flags(build(config("pid", "mount", "user"), foreign={"pid"})) == [mask("pid")]
    assert flags(build(config(), foreign=set())) == []


def test_user_namespace_that_init_made_itself() -> None:
    plan = build(config("pid", "mount"), foreign={"pid", "mount", "user"})
    assert flags(plan) == [mask("pid", "mount")]
    assert named(plan, "become_root") == []


def test_root_without_mount_namespace() -> None:
    plan = build(config("pid"))
    assert [op.args["path"] for op in named(plan, "open_root")] == ["/bundle/rootfs", "/"]
    assert len(named(plan, "change_root")) == 1
    assert named(build(config("pid", "mount")), "change_root") == []


def test_keyring() -> None:
    (op,) = named(build(config("pid")), "join_keyring")
    assert op.args["name"] == "_ses.c"
    assert named(build(config("pid"), no_new_keyring=True), "join_keyring") == []
    assert named(build(config("pid"), facts={"keyrings": False}), "join_keyring") == []


def test_umask() -> None:
    def given(own: int | None, process: dict[str, Any] | None = None) -> int:
        (op,) = named(build(config("pid", process=process), umask=own), "set_umask")
        value: int = op.args["umask"]
        return value

    assert given(63) == 63
    assert given(63, {"user": {"uid": 0, "gid": 0, "umask": 2}}) == 2
    assert given(None) == 0x10000


AFFINITY = [
    (None, [("reset_affinity", "")]),
    ({"initial": "0"}, [("set_affinity", "initial")]),
    ({"final": "1"}, [("reset_affinity", ""), ("set_affinity", "final")]),
    ({"initial": "0", "final": "1"}, [("set_affinity", "initial"), ("set_affinity", "final")]),
]


@pytest.mark.parametrize(("wanted", "expected"), AFFINITY)
def test_affinity(wanted: dict[str, str] | None, expected: list[tuple[str, str]]) -> None:
    plan = build(config("pid", process={"execCPUAffinity": wanted} if wanted else None))
    found = named(plan, "reset_affinity", "set_affinity")
    assert [(op.name, op.pointer.removeprefix("/process/execCPUAffinity").strip("/")) for op in found] == expected
    names = [op.name for op in plan.ops]
    if wanted and "initial" in wanted:
        assert names.index("set_affinity") < names.index("join_cgroup")


def test_mask_of_many_processors() -> None:
    plan = build(config("pid", process={"execCPUAffinity": {"final": "0,3,64"}}))
    (op,) = named(plan, "set_affinity")
    assert op.args["mask"] == [9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    with pytest.raises(ConfigError, match="/process/execCPUAffinity/final"):
        build(config("pid", process={"execCPUAffinity": {"final": "3-1"}}))


def test_terminal() -> None:
    process = {"terminal": True, "consoleSize": {"height": 20, "width": 60}}
    plan = build(config("pid", process=process), console_socket="/c.sock")
    names = [op.name for op in plan.ops]
    place = names.index("open_console")
    assert names[place : place + 4] == ["open_console", "send_fd", "pass_console", "use_console"]
    assert plan.ops[place].args["size"] == 20 << 16 | 60 and plan.ops[place].args["uid"] == 7
    assert plan.ops[place + 3].args["target"] is None
    assert "fix_stdio" not in names


def test_files_and_sockets_only_when_all_is_ready() -> None:
    plan = build(config("pid"), pid_file="/p", pidfd_socket="/s")
    names = [op.name for op in plan.ops]
    assert names.index("ready") < names.index("pass_pidfd") < names.index("write_pid_file") < names.index("wait_start")


def test_kept_descriptors() -> None:
    plan = build(config("pid"), facts={"inherited": (3, 5, 9), "listen_fds": 1}, keep_fds=2)
    assert plan.keep == [3, 5]


def test_can_be_encoded() -> None:
    plan = build(config(*ALL, process={"terminal": True, "execCPUAffinity": {"initial": "0", "final": "0"}}))
    assert encode.encode(plan)[:4] == b"ANP1"
