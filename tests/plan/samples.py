"""Plans of the sample bundles on a host that does not exist: fixed facts, fixed cgroups, no privilege."""

from __future__ import annotations

from pathlib import Path

from ocirun.cgroup import choose
from ocirun.config import load
from ocirun.host.cgroups import Layout, Mount
from ocirun.plan.build import build
from ocirun.plan.builder import Facts, Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.plan.ops import Plan

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
NAMES = sorted(path.parent.name for path in BUNDLES.glob("*/config.json"))
BUNDLE = "/bundle"
ROOT = "/run/ocirun"
ID = "sample"
MADE = {"filter": bytes(range(64))}
"""What host operations would have made."""

_FILES = {
    "memory": ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes"),
    "pids": ("pids.max",),
    "cpu": ("cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.cfs_burst_us", "cpu.idle"),
    "cpuset": ("cpuset.cpus", "cpuset.mems"),
    "devices": ("devices.allow", "devices.deny"),
    "freezer": ("freezer.state",),
}


def layout() -> Layout:
    """Six hierarchies of cgroup v1 and systemd's, the runtime in /user of each."""
    mounts: dict[str, Mount] = {}
    for number, names in enumerate((("cpu", "cpuacct"), *((name,) for name in _FILES if name != "cpu"))):
        mount = Mount(f"/sys/fs/cgroup/{','.join(names)}", "/", names, device=f"0:{30 + number}", controllers=names)
        mounts.update(dict.fromkeys(names, mount))
    named = ("name=systemd",)
    mounts["name=systemd"] = Mount("/sys/fs/cgroup/systemd", "/", named, device="0:29", controllers=named)
    return Layout(mounts, dict.fromkeys(mounts, "/user"), files=_FILES)


def plan(data: dict[str, Any], *, facts: dict[str, Any] | None = None, **request: Any) -> Plan:
    """The plan of a config on that host; `facts` and `request` change single ones."""
    where = layout()
    group = choose.new_driver(
        where, cgroups_path=(data.get("linux") or {}).get("cgroupsPath") or "", container_id=ID, rootless=False
    )
    wanted = {"container_id": ID, "bundle": BUNDLE, "directory": f"{ROOT}/{ID}", **request}
    return build(data, Facts(layout=where, environ=("HOOK=yes",), **(facts or {})), Request(**wanted), group)


def config(name: str) -> dict[str, Any]:
    """The checked config of a sample bundle."""
    raw = (BUNDLES / name / "config.json").read_bytes()
    data: Any = load.from_bytes(raw, bundle=BUNDLE, path=f"{BUNDLE}/config.json").data
    return dict(data)


def sample(name: str, **request: Any) -> Plan:
    """The plan of a sample bundle.  `shell` gets a console socket, as `create` would ask for one."""
    if name == "shell":
        request = {"console_socket": "/run/console.sock", **request}
    return plan(config(name), **request)
