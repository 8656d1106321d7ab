"""Devices and the links of /dev.

The helper makes a node where it may.  In a user namespace nobody may; there the runtime makes the nodes outside of
it, in a tmpfs that is mounted nowhere, and the helper binds them one by one.  A runtime that may not either binds the
nodes of the host.
"""

from __future__ import annotations

from .. import constants as c
from ..builder import clean
from ..ops import OPEN_CREATE
from . import words
from .rootfs import copy_source, target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..builder import Builder

_CHAR = 0o020000
_BLOCK = 0o060000
_FIFO = 0o010000
_TYPES = {"c": _CHAR, "u": _CHAR, "b": _BLOCK, "p": _FIFO}
_CAP_MKNOD = 27
# Of a bind; as mounts of a container's /dev have it.  nodev is what a device cannot have.
_ATTRIBUTES = c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NOEXEC

# runtime-spec config-linux.md "Default Devices"
DEFAULT_DEVICES = (
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
)
# runtime-spec runtime-linux.md "Dev symbolic links"; the last is what other runtimes make too
_LINKS = (
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/core", "/proc/kcore"),
)


class _Device:
    """A device of the config, or one that every container has; `pointer` is "" for these."""

    __slots__ = ("major", "minor", "mode", "owner", "path", "pointer")

    def __init__(
        self, pointer: str, path: str, mode: int, major: int, minor: int, owner: tuple[int, int] = (0, 0)
    ) -> None:
        self.pointer = pointer
        self.path = path
        self.mode = mode
        self.major = major
        self.minor = minor
        self.owner = owner

    @property
    def fifo(self) -> bool:
        """Anybody may make one."""
        return self.mode & 0o170000 == _FIFO


def make_devices(builder: Builder) -> None:
    """Plan default and configured devices, and the links of /dev; none of them if /dev is the host's."""
    foreign = any(
        builder.destination(mount) == "/dev" and _is_bind(mount) for mount in builder.data.get("mounts") or ()
    )
    devices = _wanted(builder, foreign)
    bound = [device for device in devices if builder.confined and not device.fifo]
    made = (
        bool(bound)
        and builder.user_namespace
        and builder.facts.privileged
        and bool(builder.facts.capabilities >> _CAP_MKNOD & 1)
    )
    if made:
        _receive_nodes(builder, bound)
    for device in devices:
        if device not in bound:
            _make(builder, device)
        elif made:
            _bind(builder, device, bound.index(device))
        else:
            _bind_the_hosts(builder, device)
    if made:
        builder.init("hide_mount", slot="nodes", path=".", cover=0)
        builder.init("close", slot="nodes")
    if foreign:
        return
    builder.init("make_link", "", root="root", path="/dev/ptmx", text="pts/ptmx", needs=None, replace=1)
    for path, text in _LINKS:
        builder.init("make_link", "", root="root", path=path, text=text, needs=text, replace=0)


def _wanted(builder: Builder, foreign: bool) -> list[_Device]:
    """Return those that are not there already, as the host's /dev is or as the runtime itself makes them."""
    listed = {clean(device["path"]) for device in builder.linux.get("devices") or ()}
    found = []
    if not foreign:
        for path, major, minor in DEFAULT_DEVICES:
            if path not in listed:
                found.append(_Device("", path, _CHAR | 0o666, major, minor))
    for index, device in enumerate(builder.linux.get("devices") or ()):
        path = clean(device["path"])
        if path in ("/dev/ptmx", "/dev/console") or (foreign and path.startswith("/dev/")):
            continue  # a link and a bind of the runtime, or the host's own entry
        mode = _TYPES[device["type"]] | (device.get("fileMode", 0o666) & 0o7777)
        owner = (device.get("uid", 0), device.get("gid", 0))
        numbers = (device.get("major", 0), device.get("minor", 0))
        found.append(_Device(f"/linux/devices/{index}", path, mode, *numbers, owner))
    return found


def _is_bind(mount: dict[str, Any]) -> bool:
    return not words.given(mount).isdisjoint(("bind", "rbind"))


def _make(builder: Builder, device: _Device) -> None:
    numbers = (device.major, device.minor)
    builder.init(
        "make_node",
        device.pointer,
        root="root",
        path=device.path,
        mode=device.mode,
        device=numbers,
        owner=device.owner,
    )


def _receive_nodes(builder: Builder, devices: list[_Device]) -> None:
    """Plan one mount with all nodes, attached while they are bound from it: before Linux 6.15 nothing else is copied.

    It stands on the root, where it is in nobody's way: what is below the root is looked up from the slot.
    """
    context = None
    if builder.linux.get("mountLabel"):
        from .labels import mount_context

        context = mount_context(builder, "tmpfs")
    why = "mknod is not allowed in a user namespace; the runtime makes the devices outside of it, and they are bound"
    builder.init("receive_fd", "/linux/devices", why=why, slot=builder.slot("nodes"))
    nodes = [[one.pointer, one.path, one.mode, one.major, one.minor, *one.owner] for one in devices]
    builder.host("make_nodes", "/linux/devices", nodes=nodes, context=context)
    builder.init("attach", "/linux/devices", slot="nodes", target="root")


def _bind(builder: Builder, device: _Device, number: int) -> None:
    builder.init("clone_tree", device.pointer, slot=builder.slot("mount"), path=str(number), recursive=0, root="nodes")
    _attach(builder, device)


def _bind_the_hosts(builder: Builder, device: _Device) -> None:
    why = "mknod is not allowed in a user namespace; the host's node is bound"
    copy_source(builder, device.pointer, device.path, recursive=0, why=why)
    builder.init("set_mount_attr", device.pointer, slot="mount", set=_ATTRIBUTES)
    _attach(builder, device)


def _attach(builder: Builder, device: _Device) -> None:
    target(builder, device.pointer, device.path, OPEN_CREATE, like="mount")
    builder.init("attach", device.pointer, slot="mount", target="target")
