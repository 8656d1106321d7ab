"""Configs that must be accepted, and that the samples are as complete as the other tests take them to be."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from config.samples import changed, docker, full, minimal
from ocirun.config._tables import LIST, MAP, OBJECT, SPEC
from ocirun.config.check import check

BARE = {"ociVersion": "1.0.0", "root": {"path": "."}}


@pytest.mark.parametrize("config", [BARE, minimal(), docker(), full()], ids=["bare", "minimal", "docker", "full"])
def test_accepted_without_a_word(config: dict[str, Any]) -> None:
    before = copy.deepcopy(config)
    assert check(config) == []
    assert check(config, unknown=True) == []
    assert config == before


@pytest.mark.parametrize(
    "changes",
    [
        {"/ociVersion": "1.0.2-dev"},
        {"/ociVersion": "1.2.1+dev"},
        {"/ociVersion": "1.0.0-rc5+build.7"},
        {"/hostname": ""},
        {"/hostname": "h" * 64},
        {"/windows": {"layerFolders": 1}, "/vm": [], "/zos": None},
        {"/process/args": ["true", ""]},
        {"/process/env": ["A=", "A=b", "LINES=a\nb", "a b=c"]},
        {"/process/rlimits": []},
        {"/process/user/uid": 4294967294, "/process/user/gid": 4294967294},
        {"/process/user/umask": 0o777},
        {"/process/capabilities": {}},
        {"/process/scheduler": {"policy": "SCHED_BATCH", "nice": -20}},
        {"/process/scheduler": {"policy": "SCHED_OTHER", "nice": 19}},
        {"/process/scheduler": {"policy": "SCHED_FIFO", "priority": 1}},
        {"/process/execCPUAffinity/final": " 8191, 0-0000000003"},
        {"/process/scheduler": {"policy": "SCHED_RR", "priority": 99}},
        {"/process/scheduler": {"policy": "SCHED_DEADLINE", "runtime": 1024, "deadline": 1024}},
        {"/linux/namespaces": []},
        {"/linux/namespaces/1/path": ""},
        {"/linux/devices": [{"type": "u", "path": "/opt/dev/x/", "major": 4095, "minor": 1048575}]},
        {"/linux/devices": [{"type": "p", "path": "/p", "major": 0, "minor": 0}]},
        {"/linux/resources": {}},
        {"/linux/resources/devices": [{"allow": True}, {"allow": True, "type": "a", "major": -1, "minor": -1}]},
        {"/linux/resources/pids": {}},
        {"/linux/resources/pids/limit": 0},
        {"/linux/resources/cpu": {"quota": -1, "burst": 5}},
        {"/linux/resources/cpu": {"quota": 0, "burst": 5}},
        {"/linux/resources/unified": {"x.y": ""}},
        {"/linux/seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/s", "flags": []}},
        {"/linux/seccomp": {"defaultAction": "SCMP_ACT_TRACE", "defaultErrnoRet": 65535}},
        {"/linux/seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4095}},
        {"/linux/intelRdt": {}},
        {"/linux/intelRdt": {"closID": "/", "enableCMT": True}},
        {"/linux/memoryPolicy": {"mode": "MPOL_PREFERRED", "nodes": ""}},
        {"/linux/memoryPolicy": {"mode": "MPOL_LOCAL"}},
        {"/linux/memoryPolicy": {"mode": "MPOL_BIND", "nodes": "1023"}},
        {"/linux/netDevices": {"a" * 15: {}}},
        {"/linux/netDevices": {"eth0": {"name": "eth%d"}, "eth1": {"name": "eth%d"}}},
        {"/linux/uidMappings": [], "/linux/gidMappings": None},
    ],
    ids=str,
)
def test_accepted_variations(changes: dict[str, Any]) -> None:
    assert check(changed(minimal(), changes)) == []


def test_the_whole_id_range_can_be_mapped() -> None:
    whole = [{"containerID": 0, "hostID": 0, "size": 4294967295}]
    changes = {"/linux/namespaces/-": {"type": "user"}, "/linux/uidMappings": whole, "/linux/gidMappings": whole}
    assert check(changed(minimal(), changes)) == []


def test_a_map_may_have_340_lines() -> None:
    lines = [{"containerID": number, "hostID": 500 - number, "size": 1} for number in range(340)]
    changes = {"/linux/namespaces/-": {"type": "user"}, "/linux/uidMappings": lines, "/linux/gidMappings": lines}
    assert check(changed(minimal(), changes)) == []


def test_full_has_every_key_of_the_tables() -> None:
    missing = []

    def compare(node: Any, values: list[Any], pointer: str) -> None:
        if node[0] == OBJECT:
            for key, inner in node[1].items():
                found = [value[key] for value in values if key in value]
                if not found:
                    missing.append(f"{pointer}/{key}")
                compare(inner, found, f"{pointer}/{key}")
        elif node[0] == LIST:
            compare(node[1], [item for value in values for item in value], f"{pointer}/*")
        elif node[0] == MAP:
            compare(node[1], [item for value in values for item in value.values()], f"{pointer}/*")

    compare(SPEC, [full()], "")
    assert missing == []
