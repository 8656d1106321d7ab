"""What this machine has, as far as checks depend on it: asked, never assumed."""

from __future__ import annotations

import glob
import os

CGROUPS = "/sys/fs/cgroup"


def text(path: str) -> str:
    """The content of a file; empty if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _mounts(kind: str) -> list[tuple[str, list[str]]]:
    """Mount point and options of the file system for each mount of a type."""
    found = []
    for line in text("/proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        words = right.split()
        if words and words[0] == kind:
            found.append((left.split()[4], words[2].split(",")))
    return found


def v1(controller: str) -> str:
    """The mount point of a cgroup v1 controller; empty if there is none."""
    return next((point for point, options in _mounts("cgroup") if controller in options), "")


def v2() -> str:
    """The mount point of cgroup v2 on a machine that has nothing else; empty on others."""
    return "" if _mounts("cgroup") else next((point for point, _ in _mounts("cgroup2")), "")


def cgroup(path: str, controller: str) -> str:
    """The directory of a cgroup path in the hierarchy of a controller, of v1 or v2; empty if there is none."""
    top = v1(controller) or (v2() if controller in text(f"{v2()}/cgroup.controllers").split() else "")
    return top + path if top else ""


def resctrl() -> str:
    """The mount point of the resctrl file system; empty if there is none."""
    return next((point for point, _ in _mounts("resctrl")), "")


def block_device(scheduler: str = "") -> tuple[int, int] | None:
    """Major and minor number of a whole block device, or of one whose I/O scheduler is in use."""
    for path in sorted(glob.glob("/sys/block/*/dev")):
        major, _, minor = text(path).strip().partition(":")
        if f"[{scheduler}" not in text(path.removesuffix("dev") + "queue/scheduler"):
            continue
        if major not in ("1", "7", "11", "43"):  # ram, loop, cd and network block devices may have no queue.
            return int(major), int(minor)
    return None


def huge_page_size() -> str:
    """A huge page size as the files of the hugetlb controller name it; empty if there is none."""
    sizes = sorted(glob.glob("/sys/kernel/mm/hugepages/hugepages-*kB"), key=len)
    if not sizes:
        return ""
    kib = int(sizes[0].rpartition("-")[2].removesuffix("kB"))
    for unit, factor in (("GB", 1 << 20), ("MB", 1 << 10)):
        if kib % factor == 0:
            return f"{kib // factor}{unit}"
    return f"{kib}KB"


def selinux() -> bool:
    """True where SELinux is on."""
    return os.path.exists("/sys/fs/selinux/enforce")


def kernel_file_system(kind: str) -> bool:
    """True if the kernel knows a type of file system."""
    return kind in text("/proc/filesystems").split()


def describe() -> str:
    """This machine in a few words."""
    cgroups = "cgroup v2" if v2() else "cgroup v1 and v2 (hybrid)" if _mounts("cgroup2") else "cgroup v1"
    name = os.uname()
    return f"Linux {name.release.partition('-')[0]}, {name.machine}, {cgroups}"
