"""The config of a sandbox, from values that are checked and ids that are chosen.  Pure."""

from __future__ import annotations

from .._base.version import SPEC_VERSION
from ..plan.mounts.upper import UPPER, inodes_for
from . import filter as filters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..plan.mounts.upper import Upper

#: The annotation with the names of the parameters that were left out, with a blank between them.
LEFT_OUT = "org.ocirun.sandbox.left-out"

#: What the program's environment begins with.
ENVIRONMENT = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)

#: Files of /proc and /sys that tell about the host; engines mask the same.
MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
)
#: Files of /proc that change the host.
READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_NAMESPACES = ("user", "mount", "pid", "network", "ipc", "uts", "cgroup")
_SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")
_PERIOD = 100_000
_SAFE = ("nosuid", "nodev")


class Wishes:
    """What `sandbox` was asked for; its parameters by their names.  None: without."""

    __slots__ = (
        *("args", "capabilities", "cpus", "cwd", "env", "file_size", "memory", "mounts", "open_files", "pids"),
        *("rootfs", "seccomp", "shm", "tmp", "upper", "user"),
    )

    def __init__(
        self,
        *,
        rootfs: str,
        args: Sequence[str],
        env: Sequence[str],
        cwd: str,
        user: tuple[int, int],
        mounts: Sequence[dict[str, Any]],
        memory: int | None,
        pids: int | None,
        cpus: float | None,
        open_files: int | None,
        file_size: int | None,
        tmp: int | None,
        shm: int | None,
        capabilities: Sequence[str],
        seccomp: bool,
        upper: Upper | None,
    ) -> None:
        self.rootfs = rootfs
        self.args = args
        self.env = env
        self.cwd = cwd
        self.user = user
        self.mounts = mounts
        self.memory = memory
        self.pids = pids
        self.cpus = cpus
        self.open_files = open_files
        self.file_size = file_size
        self.tmp = tmp
        self.shm = shm
        self.capabilities = capabilities
        self.seccomp = seccomp
        self.upper = upper


def config(
    wishes: Wishes, *, uids: Sequence[tuple[int, int]], gids: Sequence[tuple[int, int]], left_out: Sequence[str] = ()
) -> dict[str, Any]:
    """Return config.json as a dict.

    uids, gids   spans of the host's ids, as (first, count); inside they follow each other from 0
    left_out     names of parameters that the host cannot serve
    """
    linux: dict[str, Any] = {
        "namespaces": [{"type": name} for name in _NAMESPACES],
        "uidMappings": _mappings(uids),
        "gidMappings": _mappings(gids),
        "maskedPaths": list(MASKED),
        "readonlyPaths": list(READONLY),
    }
    if resources := _resources(wishes, left_out):
        linux["resources"] = resources
    if wishes.seccomp and "seccomp" not in left_out:
        linux["seccomp"] = filters.seccomp(wishes.capabilities)
    made: dict[str, Any] = {
        "ociVersion": SPEC_VERSION,
        "process": {
            "user": {"uid": wishes.user[0], "gid": wishes.user[1]},
            "args": list(wishes.args),
            "env": [*ENVIRONMENT, *wishes.env],
            "cwd": wishes.cwd,
            "capabilities": {name: list(wishes.capabilities) for name in _SETS},
            "rlimits": _rlimits(wishes),
            "noNewPrivileges": True,
        },
        "root": {"path": wishes.rootfs, "readonly": wishes.upper is None},
        "hostname": "sandbox",
        "mounts": [*_mounts(wishes), *wishes.mounts],
        "linux": linux,
    }
    annotations = {LEFT_OUT: " ".join(left_out)} if left_out else {}
    if wishes.upper is not None:
        annotations[UPPER] = wishes.upper.text()
    if annotations:
        made["annotations"] = annotations
    return made


def _mappings(spans: Sequence[tuple[int, int]]) -> list[dict[str, int]]:
    made, inside = [], 0
    for first, count in spans:
        made.append({"containerID": inside, "hostID": first, "size": count})
        inside += count
    return made


def _resources(wishes: Wishes, left_out: Sequence[str]) -> dict[str, Any]:
    resources: dict[str, Any] = {}
    if wishes.memory is not None and "memory" not in left_out:
        resources["memory"] = {"limit": wishes.memory, "swap": wishes.memory}
    if wishes.pids is not None and "pids" not in left_out:
        resources["pids"] = {"limit": wishes.pids}
    if wishes.cpus is not None and "cpus" not in left_out:
        resources["cpu"] = {"quota": int(wishes.cpus * _PERIOD), "period": _PERIOD}
    return resources


def _rlimits(wishes: Wishes) -> list[dict[str, Any]]:
    limits = [("RLIMIT_CORE", 0), ("RLIMIT_NOFILE", wishes.open_files), ("RLIMIT_FSIZE", wishes.file_size)]
    return [{"type": name, "soft": value, "hard": value} for name, value in limits if value is not None]


def _mounts(wishes: Wishes) -> list[dict[str, Any]]:
    made = [
        _mount("/proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro"),
        _mount("/dev", "tmpfs", "nosuid", "noexec", "mode=0755", "size=64k"),
        # No gid=5 as engines have it: with a single id there is no such group.
        _mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
    ]
    if wishes.shm is not None:
        made.append(_mount("/dev/shm", "tmpfs", *_SAFE, "noexec", "mode=1777", *_room(wishes.shm)))  # noqa: S108
    if wishes.tmp is not None:
        made.append(_mount("/tmp", "tmpfs", *_SAFE, "mode=1777", *_room(wishes.tmp)))  # noqa: S108
    return made


def _room(size: int) -> tuple[str, str]:
    """Return the options for the size of a tmpfs: without a number, the kernel lets half of its memory be inodes."""
    return f"nr_inodes={inodes_for(size)}", f"size={size}"


def _mount(destination: str, type: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": type, "source": type, "options": list(options)}
