"""The rules on resources, the filter, network devices and the rare parts of ``linux``."""

from __future__ import annotations

from typing import Any

import pytest

from config.samples import changed, minimal, without
from ocirun.config.check import check

NOTIFY = {"names": ["mknod"], "action": "SCMP_ACT_NOTIFY"}


@pytest.mark.parametrize(
    ("changes", "pointer", "words"),
    [
        # resources
        ({"/linux/resources/cpu": {"quota": 10, "burst": 11}}, "/linux/resources/cpu/burst", "above the quota, 10"),
        ({"/linux/resources/blockIO": {"weight": 9}}, "/linux/resources/blockIO/weight", "10 to 1000"),
        (
            {"/linux/resources/blockIO": {"weightDevice": [{"major": 8, "minor": 0, "leafWeight": 1}]}},
            "/linux/resources/blockIO/weightDevice/0/leafWeight",
            "10 to 1000",
        ),
        (
            {"/linux/resources/hugepageLimits": [{"pageSize": "3MB", "limit": 0}]},
            "/linux/resources/hugepageLimits/0/pageSize",
            "a power of two",
        ),
        (
            {"/linux/resources/hugepageLimits": [{"pageSize": "9" * 5000 + "MB", "limit": 0}]},
            "/linux/resources/hugepageLimits/0/pageSize",
            "a power of two",
        ),
        (
            {"/linux/resources/hugepageLimits": [{"pageSize": "2MB", "limit": 0}] * 2},
            "/linux/resources/hugepageLimits/1/pageSize",
            "2MB is set by entry 0 already",
        ),
        *(
            ({"/linux/resources/unified": {key: "1"}}, f"/linux/resources/unified/{shown}", "not the name of")
            for key, shown in (
                ("a.b/c", "a.b~1c"),
                ("..", ".."),
                ("a..b", "a..b"),
                ("memory", "memory"),
                (".x", ".x"),
            )
        ),
        # seccomp
        (
            {"/linux/seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}},
            "/linux/seccomp/defaultErrnoRet",
            "has no meaning for SCMP_ACT_ALLOW",
        ),
        (
            {
                "/linux/seccomp": {
                    "defaultAction": "SCMP_ACT_ALLOW",
                    "syscalls": [{"names": ["a"], "action": "SCMP_ACT_KILL", "errnoRet": 0}],
                }
            },
            "/linux/seccomp/syscalls/0/errnoRet",
            "has no meaning for SCMP_ACT_KILL",
        ),
        (
            {"/linux/seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4096}},
            "/linux/seccomp/defaultErrnoRet",
            "at most 4095",
        ),
        ({"/linux/seccomp": {"defaultAction": "SCMP_ACT_NOTIFY"}}, "/linux/seccomp/defaultAction", "stop the runtime"),
        (
            {"/linux/seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [NOTIFY, NOTIFY]}},
            "/linux/seccomp/syscalls/0/action",
            "needs listenerPath",
        ),
        (
            {
                "/linux/seccomp": {
                    "defaultAction": "SCMP_ACT_ALLOW",
                    "listenerPath": "/s",
                    "syscalls": [{**NOTIFY, "names": ["mknod", "write"]}],
                }
            },
            "/linux/seccomp/syscalls/0/names/1",
            "cannot be notified about",
        ),
        (
            {"/linux/seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x"}},
            "/linux/seccomp/listenerMetadata",
            "needs listenerPath",
        ),
        # network devices
        ({"/linux/netDevices": {"a/b": {}}}, "/linux/netDevices/a~1b", "cannot be the name"),
        ({"/linux/netDevices": {"eth0": {"name": "é" * 8}}}, "/linux/netDevices/eth0/name", "name of a network device"),
        ({"/linux/netDevices": {"eth0": {"name": ".."}}}, "/linux/netDevices/eth0/name", "name of a network device"),
        ({"/linux/netDevices": {"eth0": {"name": "a b"}}}, "/linux/netDevices/eth0/name", "name of a network device"),
        ({"/linux/netDevices": {"eth0": {"name": "a%d%d"}}}, "/linux/netDevices/eth0/name", "name of a network device"),
        ({"/linux/netDevices": {"eth0": {"name": "a%s"}}}, "/linux/netDevices/eth0/name", "name of a network device"),
        ({"/linux/netDevices": {"a:b": {"name": "x"}}}, "/linux/netDevices/a:b", "cannot be the name"),
        ({"/linux/netDevices": {"a": {"name": "x"}, "x": {}}}, "/linux/netDevices/x/name", "the name of 'a' already"),
        (
            {"/linux/netDevices": {"eth0": {}}, "/linux/namespaces": without("network")},
            "/linux/netDevices",
            "needs a network namespace",
        ),
        # the rare ones
        ({"/linux/intelRdt": {"closID": ".."}}, "/linux/intelRdt/closID", "the name of a group"),
        ({"/linux/intelRdt": {"closID": "a/b"}}, "/linux/intelRdt/closID", "the name of a group"),
        (
            {"/linux/intelRdt": {"memBwSchema": "L3:0=1"}},
            "/linux/intelRdt/memBwSchema",
            "one line that starts with MB:",
        ),
        ({"/linux/intelRdt": {"memBwSchema": "MB:0=1\n"}}, "/linux/intelRdt/memBwSchema", "one line"),
        ({"/linux/intelRdt": {"schemata": ["a", "b\nc"]}}, "/linux/intelRdt/schemata/1", "one line"),
        ({"/linux/memoryPolicy": {"mode": "MPOL_DEFAULT", "nodes": "0"}}, "/linux/memoryPolicy/nodes", "no meaning"),
        ({"/linux/memoryPolicy": {"mode": "MPOL_LOCAL", "nodes": "0"}}, "/linux/memoryPolicy/nodes", "no meaning"),
        ({"/linux/memoryPolicy": {"mode": "MPOL_BIND"}}, "/linux/memoryPolicy/nodes", "is required for MPOL_BIND"),
        (
            {"/linux/memoryPolicy": {"mode": "MPOL_BIND", "nodes": "9876543210"}},
            "/linux/memoryPolicy/nodes",
            "up to 1023",
        ),
        (
            {
                "/linux/memoryPolicy": {
                    "mode": "MPOL_BIND",
                    "nodes": "0",
                    "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"],
                }
            },
            "/linux/memoryPolicy/flags",
            "exclude each other",
        ),
        (
            {"/linux/memoryPolicy": {"mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_NUMA_BALANCING"]}},
            "/linux/memoryPolicy/flags",
            "MPOL_INTERLEAVE does not take",
        ),
        (
            {"/linux/personality": {"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]}},
            "/linux/personality/flags",
            "defines no flag",
        ),
    ],
)
def test_an_error(changes: dict[str, Any], pointer: str, words: str) -> None:
    (problem,) = check(changed(minimal(), changes))
    assert problem.pointer == pointer
    assert words in problem.message
    assert not problem.warning
