"""Who owns the container's cgroup on cgroup v2."""

from __future__ import annotations

import os

from .. import host
from ..registry import covers, need
from .cgroups import IDLE, NO_V2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..bench import Bench

DELEGATE = "/sys/kernel/cgroup/delegate"
FALLBACK = ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"]


def _owners(
    bench: Bench, *, namespace: bool = True, mount: bool = True, options: tuple[str, ...] = ("nosuid",)
) -> dict[str, int]:
    """Owner of the cgroup ("") and of each file in it, of a container with a user namespace at 100000."""
    need(host.v2(), NO_V2)
    bundle = bench.bundle(IDLE)
    bundle.user_namespace()
    if namespace:
        bundle.namespace("cgroup")
    if mount:
        bundle.mounts.append({"destination": "/sys", "type": "tmpfs", "source": "sys"})
        bundle.mounts.append(
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": list(options)}
        )
    if not namespace:
        made = bench.make("create", bundle)
        need(made.code == 0, f"the runtime refuses to mount cgroups without a cgroup namespace: {made.err.strip()}")
    else:
        bench.create(bundle)
    bench.start(bundle)
    place = host.cgroup(bundle.linux["cgroupsPath"], "pids") or host.v2() + bundle.linux["cgroupsPath"]
    return {
        name: os.stat(f"{place}/{name}").st_uid
        for name in ("", *os.listdir(place))
        if not os.path.isdir(f"{place}/{name}") or not name
    }


def _delegated() -> list[str]:
    return host.text(DELEGATE).split() or FALLBACK


@covers("config-linux.cgroupOwnership.namespace")
def without_namespace(bench: Bench) -> None:
    assert set(_owners(bench, namespace=False).values()) == {0}


@covers("config-linux.cgroupOwnership.read-write")
def read_write(bench: Bench) -> None:
    """And not if it is mounted read-only."""
    assert _owners(bench)[""] == 100000
    assert set(_owners(bench, options=("nosuid", "ro")).values()) == {0}


@covers("config-linux.cgroupOwnership.no-mount")
def without_mount(bench: Bench) -> None:
    assert set(_owners(bench, mount=False).values()) == {0}


@covers("config-linux.cgroupOwnership.only-delegated", "config-linux.cgroupOwnership.others")
def only_delegated(bench: Bench) -> None:
    changed = {name for name, owner in _owners(bench).items() if owner}
    assert changed and changed <= {"", *_delegated()}, changed


@covers("config-linux.cgroupOwnership.missing-files", "config-linux.cgroupOwnership.existing-files")
def existing_files(bench: Bench) -> None:
    """The kernel names files, such as memory.oom.group, that not every cgroup has."""
    owners = _owners(bench)
    for name in _delegated():
        assert owners.get(name, 100000) == 100000, f"{name} belongs to {owners[name]}"


@covers("config-linux.cgroupOwnership.no-delegate-list")
def no_list(bench: Bench) -> None:
    need(host.v2(), NO_V2)
    need(not os.path.exists(DELEGATE), f"the kernel has {DELEGATE}")
    changed = {name for name, owner in _owners(bench).items() if owner}
    assert changed == {"", *FALLBACK}, changed
