"""The container's cgroup: its directories and settings, and what the container sees of it."""

from __future__ import annotations

from ..cgroup.settings import translate, translation
from ..cgroup.settings.translation import UNIFIED, V2

# The name of the bytes that the rules become.
DEVICE_PROGRAM = "devices"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .builder import Builder


def make_cgroup(b: Builder) -> None:
    """Make the directories, write the limits, open the files by which the helper joins.

    systemd makes the cgroup when there is a process to put into it: then all but the limits is left to
    `enter_unit`.
    """
    for controller, path, device, kind in () if b.cgroup.unit else b.cgroup.plain():
        b.host("look_at_cgroup", "/linux/cgroupsPath", controller=controller, path=path, device=device, kind=kind)
    for controller, path in () if b.cgroup.unit else b.cgroup.directories():
        b.host("make_cgroup", "/linux/cgroupsPath", controller=controller, path=path)
    settings, warnings = translate.translate(
        b.cgroup.kind,
        _resources(b.data, 1 if b.request.init else 0),
        available=b.cgroup.available,
        devices=b.cgroup.devices,
    )
    b.warnings += warnings
    b.late_settings = [setting for setting in settings if _is_late(setting)]
    b.settings = [setting for setting in settings if not _is_late(setting)]
    if b.cgroup.unit:
        return
    _furnish(b)
    for controller, path in b.cgroup.joined_by_child():
        slot = b.inherit(f"cgroup_{controller}")
        b.host("open_cgroup", "/linux/cgroupsPath", controller=controller, path=path, slot=slot)
    if b.cgroup.clones:
        b.host("start_in_cgroup", "/linux/cgroupsPath", path=b.cgroup.path(UNIFIED))


def _resources(data: dict[str, Any], own: int) -> dict[str, Any]:
    """``linux.resources``, in which a ``pids.limit`` of 0 is a limit only from version 1.3 of the specification.

    Before, the key had to be there, and 0 stood for none: so podman writes it for --pids-limit=-1.
    own   how many processes of ours are in the container besides those of the config
    """
    resources: dict[str, Any] = (data.get("linux") or {}).get("resources") or {}
    pids = resources.get("pids")
    if pids and pids.get("limit") == 0 and data["ociVersion"].split(".")[1] in ("0", "1", "2"):
        return {key: value for key, value in resources.items() if key != "pids"}
    if pids and own and pids.get("limit", -1) >= 0:
        return {**resources, "pids": {**pids, "limit": pids["limit"] + own}}
    return resources


def _furnish(b: Builder) -> None:
    """All that is done with a group that exists: controllers, limits, ownership."""
    _enable(b)
    for setting in b.settings:
        _write(b, setting)
    if b.cgroup.kind == V2:
        _give(b)


def _enable(b: Builder) -> None:
    """On v2 a group has the controllers that are switched on in the one above."""
    needed = {setting.controller for setting in (*b.settings, *b.late_settings)}
    for path, controllers in b.cgroup.enabling:
        b.host(
            "enable_controllers",
            "/linux/resources",
            why="the kernel may refuse the others, which are for statistics",
            path=path,
            controllers=[name for name in controllers if name in needed],
            others=[name for name in controllers if name not in needed],
        )


def _give(b: Builder) -> None:
    """The group belongs to the container's user where the container may write to it.

    That is (config-linux.md, "Cgroup ownership"): on v2, in a cgroup namespace of its own, with the hierarchy
    mounted at its usual place and not read-only.
    """
    uid: int = (b.process.get("user") or {}).get("uid", 0)
    if "cgroup" not in b.new or not any(_shows_groups(b, mount) for mount in b.data.get("mounts") or ()):
        return
    if b.user_namespace:
        outside = mapped(b.linux.get("uidMappings") or (), uid)
        if outside is None:
            return
        uid = outside
    if uid:
        path = b.cgroup.path(UNIFIED)
        b.host("give_cgroup", "/process/user/uid", path=path, uid=uid, files=list(b.cgroup.delegated()))


def _shows_groups(b: Builder, mount: dict[str, Any]) -> bool:
    return (
        mount.get("type") in ("cgroup", "cgroup2")
        and b.destination(mount) == "/sys/fs/cgroup"
        and "ro" not in (mount.get("options") or ())
    )


def mapped(mappings: Iterable[dict[str, int]], inside: int) -> int | None:
    """The id outside for one in the container; None where it has none."""
    for entry in mappings:
        first, size = entry["containerID"], entry["size"]
        if first <= inside < first + size:
            return entry["hostID"] + inside - first
    return None


def enter_unit(b: Builder) -> None:
    """Have systemd start the unit with the helper in it, and write the limits, before the helper goes on."""
    unit = b.cgroup.unit
    if unit is None:
        return
    b.init("sync")
    properties = b.cgroup.unit_properties(b.settings)
    b.host(
        "start_unit",
        "/linux/cgroupsPath",
        unit=unit.name,
        slice=unit.slice,
        instance=unit.instance,
        properties=[list(one) for one in properties],
    )
    for controller, path in b.cgroup.directories():
        b.host("make_cgroup", "/linux/cgroupsPath", controller=controller, path=path)
    if b.cgroup.joins or unit.is_slice:
        b.host(
            "place_process",
            "/linux/cgroupsPath",
            why="systemd puts a process into the hierarchies that it uses itself",
        )
    _furnish(b)


def _is_late(setting: translation.Setting) -> bool:
    """A quota would slow the set-up down, and a small pids.max would forbid its hooks and forks."""
    return setting.late or setting.file == "pids.max"


def write_late(b: Builder) -> None:
    """Settings that would hinder the set-up, once it is done."""
    if b.cgroup.unit and b.late_settings:
        properties = b.cgroup.properties_of(b.late_settings)
        b.host("set_unit", "/linux/resources", unit=b.cgroup.unit.name, properties=[list(one) for one in properties])
    for setting in b.late_settings:
        _write(b, setting)


def _write(b: Builder, setting: translation.Setting) -> None:
    if setting.file == translation.DEVICE_FILTER:
        path = b.cgroup.path(UNIFIED)
        rules = setting.value.split("\n")
        b.host("filter_devices", setting.pointer, path=path, rules=rules, program=DEVICE_PROGRAM)
        return
    b.host(
        "write_cgroup",
        setting.pointer,
        controller=setting.controller,
        path=b.cgroup.path(setting.controller),
        file=setting.file,
        value=setting.value,
    )
