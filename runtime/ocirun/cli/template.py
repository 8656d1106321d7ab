"""The config that ``ocirun spec`` writes, the same in meaning as those of other runtimes."""

from __future__ import annotations

from ocirun._base.version import SPEC_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Line = tuple[int, int, int]

# The group of terminals, in all distributions.
_TTY = 5

_CAPABILITIES = ("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")

_ENVIRONMENT = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm")

# destination, type, source, options
_MOUNTS = (
    ("/proc", "proc", "proc", ()),
    ("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
    ("/dev/pts", "devpts", "devpts", ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5")),
    ("/dev/shm", "tmpfs", "shm", ("nosuid", "noexec", "nodev", "mode=1777", "size=65536k")),  # noqa: S108
    ("/dev/mqueue", "mqueue", "mqueue", ("nosuid", "noexec", "nodev")),
    ("/sys", "sysfs", "sysfs", ("nosuid", "noexec", "nodev", "ro")),
    ("/sys/fs/cgroup", "cgroup", "cgroup", ("nosuid", "noexec", "nodev", "relatime", "ro")),
)

_MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
)

_READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def config(*, cgroup_namespace: bool) -> dict[str, Any]:
    """Return a config for root.

    cgroup_namespace   give the container a cgroup namespace, as is usual on cgroup v2
    """
    namespaces = ["pid", "network", "ipc", "uts", "mount", *(["cgroup"] if cgroup_namespace else [])]
    # Not ambient, as others write: without the same in inheritable the kernel refuses each (capabilities(7)).
    sets = ("bounding", "effective", "permitted")
    return {
        "ociVersion": SPEC_VERSION,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": list(_ENVIRONMENT),
            "cwd": "/",
            "capabilities": {name: list(_CAPABILITIES) for name in sets},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "ocirun",
        "mounts": [_mount(*row) for row in _MOUNTS],
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": name} for name in namespaces],
            "maskedPaths": list(_MASKED),
            "readonlyPaths": list(_READONLY),
        },
    }


def make_rootless(config: dict[str, Any], *, uids: Sequence[Line], gids: Sequence[Line]) -> None:
    """Change `config` so that an ordinary user can run it.

    uids, gids   as for `make_mapped`; of the user's own ids, and further ones if the user has some

    - A user namespace whose root is that user.
    - No network namespace, as nobody could connect it to anything.
    - sysfs cannot be mounted without owning the network namespace, so the host's is bound.
    - No ``gid=`` for devpts where group 5 is not mapped, as mounting would fail (EINVAL).
    - No resources, as the cgroups belong to root.
    """
    linux = config["linux"]
    kept = [row for row in linux["namespaces"] if row["type"] not in ("network", "user")]
    del linux["resources"]
    linux["namespaces"] = kept
    make_mapped(config, uids=uids, gids=gids)
    for mount in config["mounts"]:
        if mount["destination"] == "/sys":
            mount.update(type="none", source="/sys", options=["rbind", "nosuid", "noexec", "nodev", "ro"])


def make_mapped(config: dict[str, Any], *, uids: Sequence[Line], gids: Sequence[Line]) -> None:
    """Change `config` so that root can run it in a user namespace.

    uids, gids   its maps, as lines of (first id inside, first id of the host, how many)
    A ``gid=`` that is not mapped is left out of mounts, as mounting would fail (EINVAL).
    """
    linux = config["linux"]
    linux["namespaces"].append({"type": "user"})
    for key, lines in (("uidMappings", uids), ("gidMappings", gids)):
        linux[key] = [{"containerID": first, "hostID": host, "size": size} for first, host, size in lines]
    if any(first <= _TTY < first + size for first, _, size in gids):
        return
    for mount in config["mounts"]:
        if "options" in mount:
            mount["options"] = [word for word in mount["options"] if word != f"gid={_TTY}"]


def _mount(destination: str, type: str, source: str, options: tuple[str, ...]) -> dict[str, Any]:
    row: dict[str, Any] = {"destination": destination, "type": type, "source": source}
    if options:
        row["options"] = list(options)
    return row
