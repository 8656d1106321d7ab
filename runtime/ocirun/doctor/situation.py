"""Facts about this host and this process that explain why something is refused."""

from __future__ import annotations

import os

from .._base import procfile, rights
from ..host import users
from ..host.cgroups import unescape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# A user namespace counts against limits of its own, and against those of the namespaces above it (namespaces(7)).
_LIMITED = {
    "user": "user",
    "mount": "mnt",
    "pid": "pid",
    "network": "net",
    "ipc": "ipc",
    "uts": "uts",
    "cgroup": "cgroup",
    "time": "time",
}


class Situation:
    """Plain values.

    kernel         its release
    capabilities   mask of what this process may use
    privileged     it has CAP_SYS_ADMIN in the initial user namespace
    caller         ids, maps, and what locks user namespaces; see host.users
    filtered       a seccomp filter is loaded that we inherited
    no_new_privs   set-user-id programs give no rights
    profile        the AppArmor profile, "" for none
    limits         type of a namespace -> (sysctl, its value)
    absent         types of namespaces that the kernel is built without
    covered        paths below /proc and /sys on which something is mounted
    proc_options   options of the procfs on /proc: hidepid=, subset=
    rooted         the root directory is a mount point, and no plain directory that chroot(2) went to
    """

    __slots__ = (
        "absent",
        "caller",
        "capabilities",
        "covered",
        "filtered",
        "kernel",
        "limits",
        "no_new_privs",
        "privileged",
        "proc_options",
        "profile",
        "rooted",
    )

    def __init__(
        self,
        *,
        caller: users.Caller,
        kernel: str = "6.1",
        capabilities: int = 0,
        privileged: bool = False,
        filtered: bool = False,
        no_new_privs: bool = False,
        profile: str = "",
        limits: Mapping[str, tuple[str, str]] | None = None,
        absent: Sequence[str] = (),
        covered: Sequence[str] = (),
        proc_options: Sequence[str] = (),
        rooted: bool = True,
    ) -> None:
        self.caller = caller
        self.kernel = kernel
        self.capabilities = capabilities
        self.privileged = privileged
        self.filtered = filtered
        self.no_new_privs = no_new_privs
        self.profile = profile
        self.limits = dict(limits or {})
        self.absent = tuple(absent)
        self.covered = tuple(covered)
        self.proc_options = tuple(proc_options)
        self.rooted = rooted

    @property
    def direct(self) -> bool:
        """Containers can be made without a user namespace."""
        return bool(self.capabilities >> rights.CAP_SYS_ADMIN & 1)


def read() -> Situation:
    """Return the situation of this process.  Raises HostError without /proc."""
    permitted, bounding = rights.own_capabilities()
    status = _fields(procfile.text("/proc/self/status", 1 << 16))
    profile = procfile.text("/proc/self/attr/apparmor/current").strip("\0\n ")
    mounts = procfile.text("/proc/self/mountinfo", 1 << 24)
    limits = {}
    for kind, short in _LIMITED.items():
        name = f"max_{short}_namespaces"
        limits[kind] = (f"user.{name}", procfile.text(f"/proc/sys/user/{name}").strip())
    return Situation(
        caller=users.caller(),
        kernel=os.uname().release,
        capabilities=permitted & bounding,
        privileged=rights.privileged(),
        filtered=status.get("Seccomp") == "2",
        no_new_privs=status.get("NoNewPrivs") == "1",
        profile="" if profile.startswith("unconfined") else profile,
        limits=limits,
        absent=[kind for kind, short in _LIMITED.items() if not procfile.exists(f"/proc/self/ns/{short}")],
        covered=covered(mounts),
        proc_options=proc_options(mounts),
        rooted=any(point == "/" for point, _, _ in _mounts(mounts)),
    )


def covered(mountinfo: str) -> list[str]:
    """Return the paths below /proc and /sys on which something is mounted, by the text of mountinfo.

    What is mounted on empty directories made for that (binfmt_misc, cgroups, debugfs) hides nothing.
    """
    found = []
    for point, kind, _ in _mounts(mountinfo):
        for top in ("/proc/", "/sys/"):
            if point.startswith(top) and kind not in _HARMLESS and not point.startswith("/sys/fs/cgroup"):
                found.append(point)
    return found


_HARMLESS = frozenset(
    (
        *("autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "efivarfs", "fusectl"),
        *("nfsd", "pstore", "resctrl", "securityfs", "selinuxfs", "tracefs"),
    )
)


def proc_options(mountinfo: str) -> list[str]:
    """Return options of the file system on /proc that hide something."""
    found: list[str] = []
    for point, kind, options in _mounts(mountinfo):
        if point == "/proc" and kind == "proc":
            found = [word for word in options.split(",") if word.startswith(("hidepid=", "subset="))]
    return [word for word in found if word not in ("hidepid=0", "hidepid=off")]


def _mounts(mountinfo: str) -> list[tuple[str, str, str]]:
    """Return (mount point, type, options of the file system) of each mount, see proc_pid_mountinfo(5)."""
    found = []
    for line in mountinfo.split("\n"):
        head, _, tail = line.partition(" - ")
        fields, system = head.split(" "), tail.split(" ")
        if len(fields) > 5 and len(system) > 2:
            found.append((unescape(fields[4]), system[0], system[2]))
    return found


def _fields(status: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in status.split("\n"))
    return {name: value.strip() for name, _, value in pairs}
