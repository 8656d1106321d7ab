"""Configs that are right, and small changes to them."""

from __future__ import annotations

import copy
from typing import Any

#: In `changed`: take the key or the entry out.
ABSENT = object()

CAPABILITIES = [
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
]  # fmt: skip


def changed(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A copy of `base` with the value at each JSON pointer set.

    Objects on the way are made, and "-" appends to an array.
    """
    result = copy.deepcopy(base)
    for pointer, value in changes.items():
        *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
        target: Any = result
        for part in parents:
            target = target[int(part)] if isinstance(target, list) else target.setdefault(part, {})
        if isinstance(target, list) and last == "-":
            target.append(value)
            continue
        key: Any = int(last) if isinstance(target, list) else last
        if value is ABSENT:
            del target[key]
        else:
            target[key] = value
    return result


def minimal() -> dict[str, Any]:
    """The least that can run, with every kind of namespace but user and time."""
    kinds = ("pid", "network", "mount", "ipc", "uts", "cgroup")
    return {
        "ociVersion": "1.3.0",
        "root": {"path": "rootfs"},
        "process": {"cwd": "/", "args": ["true"], "user": {"uid": 0, "gid": 0}},
        "linux": {"namespaces": [{"type": kind} for kind in kinds]},
    }


def without(*kinds: str) -> list[dict[str, str]]:
    """The namespaces of `minimal` but these."""
    return [entry for entry in minimal()["linux"]["namespaces"] if entry["type"] not in kinds]


def docker() -> dict[str, Any]:
    """What an engine writes for a container with default settings: some 700 values."""
    calls = [f"call_{number}" for number in range(360)]
    denied = {"allow": False, "access": "rwm"}
    devices = [(1, 5, "rwm"), (1, 3, "rwm"), (1, 9, "rwm"), (1, 8, "rwm"), (5, 0, "rwm"), (5, 1, "rwm")]
    return {
        "ociVersion": "1.2.1",
        "process": {
            "terminal": True,
            "consoleSize": {"height": 50, "width": 120},
            "user": {"uid": 0, "gid": 0, "additionalGids": [0, 10]},
            "args": ["docker-entrypoint.sh", "postgres", "-c", "shared_buffers=256MB"],
            "env": [
                "PATH=/usr/local/sbin:/usr/sbin:/sbin:/bin",
                "HOSTNAME=3f2a",
                "TERM=xterm",
                "LANG=en_US.utf8",
                "EMPTY=",
            ],
            "cwd": "/",
            "capabilities": {name: list(CAPABILITIES) for name in ("bounding", "effective", "permitted")},
            "apparmorProfile": "docker-default",
            "oomScoreAdj": 0,
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1048576, "soft": 1024}],
        },
        "root": {"path": "/var/lib/docker/overlay2/a7d2/merged"},
        "hostname": "3f2a9c1e77b0",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {
                "destination": "/dev",
                "type": "tmpfs",
                "source": "tmpfs",
                "options": ["nosuid", "mode=755", "size=65536k"],
            },
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "gid=5"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["mode=1777", "size=67108864"]},
            *(
                {
                    "destination": f"/etc/{name}",
                    "type": "bind",
                    "source": f"/c/{name}",
                    "options": ["rbind", "rprivate"],
                }
                for name in ("resolv.conf", "hostname", "hosts")
            ),
        ],
        "hooks": {
            "prestart": [{"path": "/proc/1201/exe", "args": ["libnetwork-setkey", "-exec-root=/var/run/docker"]}]
        },
        "linux": {
            "sysctl": {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"},
            "resources": {
                "devices": [
                    denied,
                    *(
                        {"allow": True, "type": "c", "major": major, "minor": minor, "access": access}
                        for major, minor, access in devices
                    ),
                    {"allow": False, "type": "c", "major": 10, "minor": 229, "access": "rwm"},
                ],
                "memory": {"limit": 268435456, "swap": 536870912, "disableOOMKiller": False},
                "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0-1"},
                "pids": {"limit": 100},
                "blockIO": {},
            },
            "cgroupsPath": "/docker/3f2a9c1e77b0",
            "namespaces": [{"type": kind} for kind in ("mount", "network", "uts", "pid", "ipc", "cgroup")],
            "seccomp": {
                "defaultAction": "SCMP_ACT_ERRNO",
                "defaultErrnoRet": 1,
                "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
                "syscalls": [
                    {"names": calls, "action": "SCMP_ACT_ALLOW"},
                    *(
                        {
                            "names": ["personality"],
                            "action": "SCMP_ACT_ALLOW",
                            "args": [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"}],
                        }
                        for value in (0, 8, 131072, 131080, 4294967295)
                    ),
                    {
                        "names": ["clone"],
                        "action": "SCMP_ACT_ALLOW",
                        "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
                    },
                    {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
                ],
            },
            "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    }


def full() -> dict[str, Any]:
    """Every key of the schema at least once; no rule finds anything."""
    mapping = {"containerID": 0, "hostID": 100000, "size": 65536}
    hook = {"path": "/bin/true", "args": ["true", ""], "env": ["A=b=c"], "timeout": 5}
    throttle = [{"major": 8, "minor": 0, "rate": 1048576}]
    config = changed(
        docker(),
        {
            "/domainname": "example.org",
            "/root/readonly": False,
            "/annotations": {"org.example.note": "", "org.example.a/b~c": "ä"},
            "/hooks": {
                point: [hook]
                for point in ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
            },
            "/mounts/-": {
                "destination": "/data",
                "source": "data",
                "options": ["bind", "idmap"],
                "uidMappings": [mapping],
                "gidMappings": [mapping],
            },
            "/process/user/umask": 0o22,
            "/process/capabilities/inheritable": ["CAP_KILL"],
            "/process/capabilities/ambient": ["CAP_KILL"],
            "/process/noNewPrivileges": True,
            "/process/selinuxLabel": "system_u:system_r:container_t:s0",
            "/process/ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},
            "/process/execCPUAffinity": {"initial": "0-3,7", "final": "0"},
            "/process/scheduler": {
                "policy": "SCHED_DEADLINE",
                "nice": 0,
                "priority": 0,
                "flags": ["SCHED_FLAG_RESET_ON_FORK"],
                "runtime": 10000000,
                "deadline": 30000000,
                "period": 30000000,
            },
            "/linux/namespaces": [
                *({"type": kind} for kind in ("mount", "network", "uts", "pid", "ipc", "cgroup", "user", "time"))
            ],
            "/linux/namespaces/1/path": "/run/netns/a",
            "/linux/uidMappings": [mapping],
            "/linux/gidMappings": [mapping],
            "/linux/timeOffsets": {"monotonic": {"secs": -5, "nanosecs": 999999999}, "boottime": {"secs": 100}},
            "/linux/devices": [
                {"type": "c", "path": "/dev/fuse", "major": 10, "minor": 229, "fileMode": 0o20666, "uid": 0, "gid": 0},
                {"type": "p", "path": "/run/pipe"},
            ],
            "/linux/netDevices": {"eth1": {"name": "lan0"}, "eth2": {}},
            "/linux/rootfsPropagation": "rslave",
            "/linux/mountLabel": "system_u:object_r:container_file_t:s0",
            "/linux/intelRdt": {
                "closID": "gold",
                "schemata": ["L2:0=f"],
                "l3CacheSchema": "L3:0=7f0;1=1f",
                "memBwSchema": "MB:0=20;1=70",
                "enableMonitoring": True,
            },
            "/linux/memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0-1,3", "flags": ["MPOL_F_STATIC_NODES"]},
            "/linux/personality": {"domain": "LINUX32", "flags": []},
            "/linux/resources/memory": {
                "limit": -1,
                "reservation": 0,
                "swap": -1,
                "kernel": -1,
                "kernelTCP": -1,
                "swappiness": 60,
                "disableOOMKiller": True,
                "useHierarchy": True,
                "checkBeforeUpdate": True,
            },
            "/linux/resources/cpu": {
                "shares": 1024,
                "quota": 100000,
                "burst": 100000,
                "period": 100000,
                "realtimeRuntime": 950000,
                "realtimePeriod": 1000000,
                "cpus": "0-1",
                "mems": "0",
                "idle": 0,
            },
            "/linux/resources/blockIO": {
                "weight": 500,
                "leafWeight": 0,
                "weightDevice": [{"major": 8, "minor": 0, "weight": 10, "leafWeight": 1000}],
                "throttleReadBpsDevice": throttle,
                "throttleWriteBpsDevice": throttle,
                "throttleReadIOPSDevice": throttle,
                "throttleWriteIOPSDevice": throttle,
            },
            "/linux/resources/hugepageLimits": [{"pageSize": "2MB", "limit": 18446744073709551615}],
            "/linux/resources/network": {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 500}]},
            "/linux/resources/rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}},
            "/linux/resources/unified": {"memory.high": "1000000", "io.max": "8:0 rbps=1\n8:16 rbps=2"},
            "/linux/seccomp/flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "/linux/seccomp/listenerPath": "/run/agent.sock",
            "/linux/seccomp/listenerMetadata": "note",
            "/linux/seccomp/syscalls/-": {"names": ["mknod"], "action": "SCMP_ACT_NOTIFY"},
        },
    )
    # deepcopy keeps what is shared shared; a test that changes one place must not change another.
    unshared: dict[str, Any] = _unshared(config)
    return unshared


def _unshared(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unshared(item) for key, item in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list) else value
