"""For tests of a host with cgroup v2 alone."""

from __future__ import annotations

import os

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .bundles import Bundle

TOP = "/sys/fs/cgroup"
needs_v2 = pytest.mark.skipif(
    not os.path.exists(f"{TOP}/cgroup.controllers"),
    reason="needs a host with cgroup v2 alone, such as that of tests/vm",
)
SLEEP = ["/bin/sleep", "600"]
MIB = 1 << 20


def directory(bundle: Bundle) -> str:
    """The container's cgroup."""
    return TOP + str(bundle.linux["cgroupsPath"])


def value(bundle: Bundle, file: str) -> str:
    """A file of the container's cgroup."""
    with open(f"{directory(bundle)}/{file}", encoding="ascii") as opened:
        return opened.read().strip()


def put(path: str, text: str) -> None:
    """Write a file of a cgroup."""
    with open(path, "w", encoding="ascii") as opened:
        opened.write(text)


def mount_cgroups(bundle: Bundle, *options: str, namespace: bool = True) -> None:
    """Give the container the hierarchy at the usual place."""
    if namespace:
        bundle.namespace("cgroup")
    bundle.mount("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro", kind="sysfs")
    bundle.mount("/sys/fs/cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", *options, kind="cgroup")
