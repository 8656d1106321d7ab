"""What a config needs of this host, by group and name of the answers."""

from __future__ import annotations

from ..config import load
from ..plan.constants import NAMESPACE_FLAGS
from . import cgroups, ids, mounts, program, rest
from .check import CGROUPS, IDS, MOUNTS, NAMESPACES, PROGRAM, REST, USER, USER_MOUNTS, USER_PROGRAM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .host import Report

_BINDS = ("bind", "rbind")
_MAPS = ("idmap", "ridmap")


def needs(raw: bytes, report: Report, *, bundle: str, path: str) -> list[tuple[str, str]]:
    """Tell what a container of this config needs of what was found.

    raw            the bytes of config.json
    report         the answers; who asks decides whether cgroups are needed without limits
    bundle, path   as of config.load
    Raises ConfigError.
    """
    data: Any = load.from_bytes(raw, bundle=bundle, path=path).data
    linux = data.get("linux") or {}
    new = [entry["type"] for entry in linux.get("namespaces") or () if not entry.get("path")]
    user = "user" in new
    wanted = [(USER if user else NAMESPACES, kind) for kind in new if kind in NAMESPACE_FLAGS]
    wanted.append((REST, rest.STATE))
    if user:
        wanted.append((IDS, ids.RANGE if _is_range(linux) else ids.OWN))
    wanted += [(USER_MOUNTS if user else MOUNTS, name) for name in _mounted(data, new)]
    wanted += [(USER_PROGRAM if user else PROGRAM, name) for name in _done(data, new)]
    if any(_is_mapped(mount) for mount in data.get("mounts") or ()):
        wanted.append((MOUNTS, mounts.IDMAP))
    if linux.get("seccomp"):
        wanted.append((REST, rest.SECCOMP))
    limits = {key for key, value in (linux.get("resources") or {}).items() if value and key != "devices"}
    if limits or linux.get("cgroupsPath") or report.privileged:
        wanted += [(CGROUPS, cgroups.HIERARCHY), (CGROUPS, cgroups.GROUPS)]
    return wanted


def _mounted(data: dict[str, Any], new: list[str]) -> list[str]:
    found = [mounts.WATCH]
    for mount in data.get("mounts") or ():
        bind = not set(_BINDS).isdisjoint(mount.get("options") or ())
        found.append("bind" if bind else mount.get("type") or "")
    if "mount" in new:
        found.append(mounts.PIVOT)
    if (data.get("process") or {}).get("terminal"):
        found.append(mounts.TERMINAL)
    return found


def _done(data: dict[str, Any], new: list[str]) -> list[str]:
    found = [program.KEYRING]
    if "mount" in new:
        found.append(program.DEVICES)
    if "network" in new:
        found.append(program.LOOPBACK)
    if "uts" in new and data.get("hostname"):
        found.append(program.HOSTNAME)
    if (data.get("linux") or {}).get("maskedPaths"):
        found.append(program.HIDING)
    if process := data.get("process"):
        found += [program.GROUPS, *((program.CAPABILITIES,) if process.get("capabilities") else ())]
    return found


def _is_mapped(mount: dict[str, Any]) -> bool:
    words = [word.partition("=")[0] for word in mount.get("options") or ()]
    return bool(mount.get("uidMappings")) or not set(_MAPS).isdisjoint(words)


def _is_range(linux: dict[str, Any]) -> bool:
    maps: list[Any] = [linux.get(key) or () for key in ("uidMappings", "gidMappings")]
    return any(len(lines) != 1 or lines[0]["size"] != 1 for lines in maps)
