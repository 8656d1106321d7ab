"""Hosts that are not this one, by their facts as JSON."""

from __future__ import annotations

from ocirun.host.facts_file import FactsFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.host.cgroups import Layout

UNIFIED = "/sys/fs/cgroup"


def group(*enabled: str, may: bool = True) -> dict[str, Any]:
    known = ["cpuset", "cpu", "io", "memory", "pids"]
    return {"controllers": known, "enabled": list(enabled), "mayEnable": may, "mayMake": may, "mayMove": may}


# As a server with systemd on cgroup v2 says it of root.
V2: dict[str, Any] = {
    "format": 1,
    "kernel": "6.1.0",
    "privileged": True,
    "permitted": 2**41 - 1,
    "bounding": 2**41 - 1,
    "lastCapability": 40,
    "keyrings": True,
    "seccompFlags": 63,
    "hardLimits": {"7": 1024},
    "apparmor": "attr/apparmor/exec",
    "selinux": False,
    "resctrl": "",
    "caller": None,
    "systemd": {"system": {"version": 252, "controlGroup": ""}, "user": None},
    "cgroups": {
        "mountinfo": ["30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw"],
        "own": ["0::/system.slice/ssh.service"],
        "files": {
            "memory": ["memory.max", "memory.swap.max", "memory.low", "memory.oom.group"],
            "pids": ["pids.max"],
            "cpu": ["cpu.max", "cpu.weight", "cpu.idle"],
        },
        "writable": [],
        "unified": {
            UNIFIED: group("cpu", "memory", "pids"),
            f"{UNIFIED}/system.slice": group("memory", "pids"),
            f"{UNIFIED}/system.slice/ssh.service": group(may=False),
        },
    },
}
V1: dict[str, Any] = {
    **V2,
    "cgroups": {
        "mountinfo": [
            "31 23 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
            "32 23 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
            "33 23 0:29 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices",
        ],
        "own": ["3:devices:/", "2:cpu,cpuacct:/", "1:memory:/daemons"],
        "files": {"memory": ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"], "cpu": ["cpu.cfs_quota_us"]},
        "writable": ["/sys/fs/cgroup/memory"],
        "unified": {},
    },
}
ORDINARY: dict[str, Any] = {
    **V2,
    "privileged": False,
    "permitted": 0,
    "caller": {
        "uid": 1000,
        "gid": 1000,
        "name": "ada",
        "uid_map": [[0, 2**32 - 1]],
        "gid_map": [[0, 2**32 - 1]],
        "subuids": [[100000, 65536]],
        "subgids": [[100000, 65536]],
        "newuidmap": "/usr/bin/newuidmap",
        "newgidmap": "/usr/bin/newgidmap",
    },
    "systemd": {"system": None, "user": None},
}


def layout(document: dict[str, Any]) -> Layout:
    """The cgroup hierarchies of such a host."""
    return FactsFile(document, "facts.json").cgroup_layout()
