"""Plans for other hosts: what would be written there, whatever this host is like."""

from __future__ import annotations

import copy
import json

import pytest

from ocirun import hostfacts
from ocirun.commands import planning
from ocirun.config import load
from ocirun.errors import HostError, OcirunError, UnsupportedError, UsageError
from ocirun.execute.options import CreateOptions
from ocirun.host.facts_file import FactsFile

from .hosts import ORDINARY, UNIFIED, V1, V2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from ocirun.plan.ops import Plan


def config(resources: dict[str, Any], **linux: Any) -> load.Config:
    data = {
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "process": {"cwd": "/", "args": ["/bin/true"], "user": {"uid": 0, "gid": 0}},
        "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}], "resources": resources, **linux},
    }
    return load.from_values(data, bundle="/bundle", path="config.json")


def explain(document: dict[str, Any], made: load.Config, **options: Any) -> Plan:
    where = FactsFile(json.loads(json.dumps(document)), "facts.json")
    return planning.explain("", "web", "/run/ocirun", CreateOptions(**options), config=made, where=where)


def writes(plan: Plan) -> dict[str, str]:
    """Path of each cgroup file that the plan writes -> the value."""
    return {f"{op.args['path']}/{op.args['file']}": op.args["value"] for op in plan.ops if op.name == "write_cgroup"}


LIMITS = {"memory": {"limit": 1 << 26}, "pids": {"limit": 7}}


def test_files_and_values_of_a_v2_host() -> None:
    found = writes(explain(V2, config(LIMITS, cgroupsPath="/engine/web")))
    assert found[f"{UNIFIED}/engine/web/memory.max"] == "67108864"
    assert found[f"{UNIFIED}/engine/web/pids.max"] == "7"
    assert not any("limit_in_bytes" in path for path in found)


def test_files_and_values_of_a_v1_host() -> None:
    found = writes(explain(V1, config({"memory": {"limit": 1 << 26}})))
    assert found["/sys/fs/cgroup/memory/daemons/web/memory.limit_in_bytes"] == "67108864"


def test_properties_of_a_unit() -> None:
    plan = explain(V2, config(LIMITS, cgroupsPath="system.slice:ocirun:web"), systemd_cgroup=True)
    text = json.dumps(plan.record())
    assert "ocirun-web.scope" in text
    assert "MemoryMax" in text
    assert "67108864" in text
    nowhere = {**V2, "systemd": {"system": None, "user": None}}
    with pytest.raises(UnsupportedError, match="does not run on that host"):
        explain(nowhere, config(LIMITS, cgroupsPath="system.slice:ocirun:web"), systemd_cgroup=True)


def test_an_ordinary_user_there() -> None:
    ids = [{"containerID": 0, "hostID": 1000, "size": 1}, {"containerID": 1, "hostID": 100000, "size": 65536}]
    more = {"uidMappings": ids, "gidMappings": ids, "namespaces": [{"type": "user"}, {"type": "mount"}]}
    plan = explain(ORDINARY, config({}, **more))
    assert any(op.name == "write_id_maps" for op in plan.ops)
    none = copy.deepcopy(ORDINARY)
    none["caller"]["subuids"] = []
    with pytest.raises(OcirunError) as caught:
        explain(none, config({}, **more))
    assert "ada" in (caught.value.message + caught.value.remedy)


def test_facts_that_change_the_plan() -> None:
    base = config({}).data
    data: dict[str, Any] = {
        **base,
        "process": {**base["process"], "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2048}]},
    }
    made = load.from_values(data, bundle="/bundle", path="config.json")
    assert any(op.name == "limit_process" for op in explain(V2, made).ops)
    higher = {**V2, "hardLimits": {"7": 4096}}
    assert any(op.name == "set_rlimit" for op in explain(higher, made).ops)
    assert any(op.name == "join_keyring" for op in explain(V2, made).ops)
    assert not any(op.name == "join_keyring" for op in explain({**V2, "keyrings": False}, made).ops)


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/format", 2),
        ("/privileged", "yes"),
        ("/permitted", -1),
        ("/lastCapability", 64),
        ("/keyrings", None),
        ("/cgroups", []),
        ("/cgroups/mountinfo", "text"),
        ("/cgroups/own", [5]),
        ("/cgroups/files/memory", {}),
        ("/cgroups/unified/~1sys~1fs~1cgroup/mayEnable", 1),
        ("/cgroups/unified/~1sys~1fs~1cgroup", 1),
    ],
)
def test_wrong_documents(pointer: str, value: Any) -> None:
    document: Any = copy.deepcopy(V2)
    owner = document
    *above, last = [key.replace("~1", "/") for key in pointer.split("/")[1:]]
    for key in above:
        owner = owner[key]
    owner[last] = value
    with pytest.raises(UsageError) as caught:
        explain(document, config(LIMITS))
    if pointer != "/format":
        assert caught.value.pointer.startswith(pointer)
    assert "facts.json" in caught.value.message


def test_wrong_callers() -> None:
    for key, value in (("uid", "1000"), ("uid_map", [[1]]), ("color", "red")):
        document = copy.deepcopy(ORDINARY)
        document["caller"][key] = value
        with pytest.raises(UsageError) as caught:
            explain(document, config({}))
        assert caught.value.pointer.startswith(f"/caller/{key}")


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "facts"
    with pytest.raises(HostError, match="no such file"):
        hostfacts.read(str(path))
    path.write_text("{")
    with pytest.raises(UsageError, match="facts"):
        hostfacts.read(str(path))
    path.write_text(json.dumps(V2))
    assert hostfacts.read(str(path)).privileged()


@pytest.mark.parametrize(
    ("said", "taken"), [({"treeNamespace": True}, True), ({"treeNamespace": False}, False), ({}, False)]
)
def test_a_kernel_that_makes_a_mount_namespace_of_one_tree(said: dict[str, bool], taken: bool) -> None:
    """Documents of older versions do not tell, and plans for them are as they were."""
    names = [op.name for op in explain(V2 | said, config({})).ops]
    assert ("enter_tree" in names, "pivot" in names) == (taken, not taken)
