"""The container's cgroup: its directories and settings, and what the container sees of it."""

from __future__ import annotations

from ..cgroup.settings import translate, translation
from ..cgroup.settings.translation import UNIFIED, V2
from .mounts import words

# The name of the bytes that the rules become.
DEVICE_PROGRAM = "devices"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ..cgroup.driver import Driver
    from .builder import Builder


def make_cgroup(builder: Builder) -> None:
    """Make the directories, write the limits, open the files by which the helper joins.

    systemd makes the cgroup when there is a process to put into it: then all but the limits is left to
    `enter_unit`.
    """
    for controller, path, device, kind in () if builder.cgroup.unit else builder.cgroup.plain():
        builder.host("look_at_cgroup", "/linux/cgroupsPath", controller=controller, path=path, device=device, kind=kind)
    for controller, path in () if builder.cgroup.unit else builder.cgroup.directories():
        builder.host("make_cgroup", "/linux/cgroupsPath", controller=controller, path=path)
    settings, warnings = translate.translate(
        builder.cgroup.kind,
        _resources(builder.data, 1 if builder.request.init else 0),
        available=builder.cgroup.available,
        devices=builder.cgroup.devices,
    )
    builder.warnings += warnings
    builder.late_settings = [setting for setting in settings if _is_late(setting)]
    builder.settings = [setting for setting in settings if not _is_late(setting)]
    if builder.cgroup.unit:
        return
    home = _home(builder)
    if home:
        builder.host("make_subgroup", "/linux/cgroupsPath", why=_WHY_HOME, path=home)
    _furnish(builder)
    if home:
        _count_below(builder)
    for controller, path in builder.cgroup.joined_by_child():
        slot = builder.inherit(f"cgroup_{controller}")
        builder.host("open_cgroup", "/linux/cgroupsPath", controller=controller, path=path, slot=slot)
    if builder.cgroup.clones:
        builder.host("start_in_cgroup", "/linux/cgroupsPath", path=home or builder.cgroup.path(UNIFIED))


_WHY_HOME = "programs that are run in the container get groups beside it, and a group with those holds no process"
# By which the groups of programs count and limit.
_COUNTING = ("cpu", "memory", "pids")


def _home(builder: Builder) -> str:
    """Return the group below the container's in which its first process is, "" where that is the container's own."""
    if not builder.request.sessions or builder.cgroup.kind != V2:
        return ""
    return f"{builder.cgroup.path(UNIFIED)}/init"


def _count_below(builder: Builder) -> None:
    """Switch controllers on for the groups below the container's, in which there is no process by now."""
    others = [name for name in _COUNTING if name in builder.cgroup.group(UNIFIED).controllers]
    if not others:
        return
    builder.host(
        "enable_controllers",
        "/linux/cgroupsPath",
        why="where the kernel refuses one, nobody counts that for a program alone",
        path=builder.cgroup.path(UNIFIED),
        controllers=[],
        others=others,
    )


def make_below(builder: Builder, own: Driver, resources: dict[str, Any]) -> None:
    """Make the groups of one program more, below those of the container, and write its limits."""
    why = "what this program has started is counted, limited and ended by itself"
    for controller, path, device, kind in own.plain():
        builder.host("look_at_cgroup", "/linux/cgroupsPath", controller=controller, path=path, device=device, kind=kind)
    for controller, path in own.directories():
        builder.host("make_cgroup", "/linux/cgroupsPath", why=why, controller=controller, path=path)
    settings, warnings = translate.translate(own.kind, resources, available=own.available, devices=False)
    builder.warnings += warnings
    builder.late_settings = [setting for setting in settings if _is_late(setting)]
    for setting in settings:
        if not _is_late(setting):
            _write(builder, setting, own)


def _resources(data: dict[str, Any], own: int) -> dict[str, Any]:
    """Return ``linux.resources``, in which a ``pids.limit`` of 0 is a limit only from version 1.3 of the specification.

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


def _furnish(builder: Builder) -> None:
    """Plan all that is done with a group that exists: controllers, limits, ownership."""
    _enable(builder)
    for setting in builder.settings:
        _write(builder, setting)
    if builder.cgroup.kind == V2:
        _give(builder)


def _enable(builder: Builder) -> None:
    """Switch controllers on: on v2 a group has those that are switched on in the one above."""
    needed = {setting.controller for setting in (*builder.settings, *builder.late_settings)}
    for path, controllers in builder.cgroup.enabling:
        builder.host(
            "enable_controllers",
            "/linux/resources",
            why="the kernel may refuse the others, which are for statistics",
            path=path,
            controllers=[name for name in controllers if name in needed],
            others=[name for name in controllers if name not in needed],
        )


def _give(builder: Builder) -> None:
    """Give the group to the container's user where the container may write to it.

    That is (config-linux.md, "Cgroup ownership"): on v2, in a cgroup namespace of its own, with the hierarchy
    mounted at its usual place and not read-only.
    """
    uid: int = (builder.process.get("user") or {}).get("uid", 0)
    if "cgroup" not in builder.new or not any(
        _shows_groups(builder, mount) for mount in builder.data.get("mounts") or ()
    ):
        return
    if builder.user_namespace:
        outside = mapped(builder.linux.get("uidMappings") or (), uid)
        if outside is None:
            return
        uid = outside
    if uid:
        path = _home(builder) or builder.cgroup.path(UNIFIED)
        builder.host("give_cgroup", "/process/user/uid", path=path, uid=uid, files=list(builder.cgroup.delegated()))


def _shows_groups(builder: Builder, mount: dict[str, Any]) -> bool:
    return (
        mount.get("type") in ("cgroup", "cgroup2")
        and builder.destination(mount) == "/sys/fs/cgroup"
        and words.given(mount).isdisjoint(("ro", "rro"))
    )


def mapped(mappings: Iterable[dict[str, int]], inside: int) -> int | None:
    """Return the id outside for one in the container; None where it has none."""
    for entry in mappings:
        first, size = entry["containerID"], entry["size"]
        if first <= inside < first + size:
            return entry["hostID"] + inside - first
    return None


def enter_unit(builder: Builder) -> None:
    """Have systemd start the unit with the helper in it, and write the limits, before the helper goes on."""
    unit = builder.cgroup.unit
    if unit is None:
        return
    builder.init("sync")
    properties = builder.cgroup.unit_properties(builder.settings)
    builder.host(
        "start_unit",
        "/linux/cgroupsPath",
        unit=unit.name,
        slice=unit.slice,
        instance=unit.instance,
        properties=[list(one) for one in properties],
    )
    for controller, path in builder.cgroup.directories():
        builder.host("make_cgroup", "/linux/cgroupsPath", controller=controller, path=path)
    if builder.cgroup.joins or unit.is_slice:
        builder.host(
            "place_process",
            "/linux/cgroupsPath",
            why="systemd puts a process into the hierarchies that it uses itself",
            path="",
        )
    home = _home(builder)
    if home:
        builder.host("make_subgroup", "/linux/cgroupsPath", why=_WHY_HOME, path=home)
        builder.host("place_process", "/linux/cgroupsPath", path=home)
    _furnish(builder)
    if home:
        _count_below(builder)


def _is_late(setting: translation.Setting) -> bool:
    """Return whether a setting waits: a quota would slow the set-up down,
    a small pids.max would forbid its hooks and forks.
    """
    return setting.late or setting.file == "pids.max"


def write_late(builder: Builder, own: Driver | None = None) -> None:
    """Plan settings that would hinder the set-up, once it is done.

    own   the groups of one program more; None: the container's
    """
    if own is not None:
        for setting in builder.late_settings:
            _write(builder, setting, own)
        return
    if builder.cgroup.unit and builder.late_settings:
        properties = builder.cgroup.properties_of(builder.late_settings)
        builder.host(
            "set_unit", "/linux/resources", unit=builder.cgroup.unit.name, properties=[list(one) for one in properties]
        )
    for setting in builder.late_settings:
        _write(builder, setting)


def _write(builder: Builder, setting: translation.Setting, own: Driver | None = None) -> None:
    if setting.file == translation.DEVICE_FILTER:
        path = builder.cgroup.path(UNIFIED)
        rules = setting.value.split("\n")
        builder.host("filter_devices", setting.pointer, path=path, rules=rules, program=DEVICE_PROGRAM)
        return
    builder.host(
        "write_cgroup",
        setting.pointer,
        controller=setting.controller,
        path=(own or builder.cgroup).path(setting.controller),
        file=setting.file,
        value=setting.value,
    )
