"""Network devices that move into the container, and back if the container fails.

A device is known by its index: what it is called changes on the way, and a
template such as ``eth%d`` leaves its name to the kernel.
"""

from __future__ import annotations

import os
from errno import EBUSY, EEXIST, ENODEV, EPERM

from ...errors import HostError, errno_words
from . import netlink as nl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..context import Context

_UP = 1
# linux/if_link.h
_IFNAME, _NET_NS_FD, _NEW_IFINDEX = 3, 28, 49
# linux/if_addr.h
_LABEL, _FLAGS = 3, 8
_KEPT_ATTRIBUTES = (1, 2, 4, 5, 6, 9, 11)  # address, local, broadcast, anycast, lifetimes, metric, protocol
_PERMANENT = 0x80
# nodad, homeaddress, managetempaddr, noprefixroute, mcautojoin: the others say what has become of an address
_KEPT_FLAGS = 0x02 | 0x10 | 0x100 | 0x200 | 0x400


class Device:
    """A device as it was.

    addresses   all of its addresses, as the kernel told them
    """

    __slots__ = ("addresses", "index", "name", "up")

    def __init__(self, socket: nl.Netlink, name: str) -> None:
        """Ask for a device by name.  Raises NetlinkError, ENODEV if there is none."""
        answer = socket.ask(nl.GETLINK, nl.LINK.pack(0, 0, 0, 0), {_IFNAME: nl.attribute_text(name)})
        _, self.index, flags, _ = nl.LINK.unpack_from(answer)
        self.name = name
        self.up = bool(flags & _UP)
        every = socket.all(nl.GETADDR, nl.ADDRESS.pack(0, 0, 0, 0, 0))
        self.addresses = [one for one in every if nl.ADDRESS.unpack_from(one)[4] == self.index]

    def give(self, socket: nl.Netlink, raw: bytes, index: int, name: str) -> None:
        """Give the device, now number `index` and called `name`, one of its addresses again."""
        family, prefix, _, scope, _ = nl.ADDRESS.unpack_from(raw)
        found = nl.attributes(raw[nl.ADDRESS.size :])
        wanted = {number: found[number] for number in _KEPT_ATTRIBUTES if number in found}
        wanted[_FLAGS] = nl.U32.pack(_flags(raw) & _KEPT_FLAGS)
        label = found.get(_LABEL, b"").rstrip(b"\0").decode("utf-8", "replace")
        if label.startswith(self.name):
            # ip-address(8): a label is the name of the device, or begins with it.
            label = name + label[len(self.name) :]
            if len(label.encode()) < 16:
                wanted[_LABEL] = nl.attribute_text(label)
        socket.change(nl.NEWADDR, nl.ADDRESS.pack(family, prefix, 0, scope, index), wanted, new=True)


def _flags(address: bytes) -> int:
    """Return IFA_F_* of an address: eight of them in its head, all in an attribute."""
    found = nl.attributes(address[nl.ADDRESS.size :])
    flags: int = nl.U32.unpack(found[_FLAGS])[0] if _FLAGS in found else nl.ADDRESS.unpack_from(address)[2]
    return flags


def _moves(address: bytes) -> bool:
    """Return whether an address is permanent and global (config-linux.md);
    the kernel or their owner make all others anew.
    """
    return nl.ADDRESS.unpack_from(address)[3] == 0 and bool(_flags(address) & _PERMANENT)


def move(context: Context, device: str, name: str) -> None:
    """Move a device of the runtime's network namespace into that of the helper and set it up.

    name   what it is called there; with ``%d`` the kernel chooses the number
    Raises HostError; the device is then where it was.
    """
    there = context.fds.get("netns", -1)
    if there < 0:
        # Held until the end: while it is, a helper that dies does not take the device with it.
        there = context.fds["netns"] = os.open(f"/proc/{context.helper.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    with _Move(there, name) as moving:
        try:
            moving.find(device)
            if "%" not in name and _index(moving.inside, name):
                raise HostError(
                    f"network device {device}: the container's network namespace has a {name} already",
                    errno=EEXIST,
                    remedy="choose another name, or a template such as eth%d",
                )
            moving.there()
        except nl.NetlinkError as error:
            lost = moving.try_back()
            raise _error(device, name, error, lost) from None
        found, index = moving.device, moving.index

    def undo() -> None:
        with _Move(there, name) as again:
            again.device, again.index = found, index
            again.back()

    context.undo.append(undo)


class _Move:
    """The move of one device, and its way back.

    there    descriptor of the container's network namespace
    device   None before `find`
    index    of the device in the container, 0 as long as it is not there
    """

    __slots__ = ("_home", "_name", "_there", "_tried", "device", "index", "inside", "outside")

    def __init__(self, there: int, name: str) -> None:
        self._there = there
        self._name = name
        self._tried = 0
        self.device: Device | None = None
        self.index = 0
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.outside = nl.Netlink()
            try:
                self.inside = nl.Netlink(there)
            except BaseException:
                self.outside.close()
                raise
        except BaseException:
            os.close(self._home)
            raise

    def __enter__(self) -> _Move:
        return self

    def __exit__(self, *_: object) -> None:
        self.outside.close()
        self.inside.close()
        os.close(self._home)

    def find(self, name: str) -> None:
        """Look the device up.  Raises NetlinkError."""
        self.device = Device(self.outside, name)

    def there(self) -> None:
        """Move it into the container.  Raises NetlinkError."""
        device = self._known()
        self.index = self._change(self.outside, self.inside, device.index, self._there, self._name)
        final = _name(self.inside, self.index)
        for address in filter(_moves, device.addresses):
            device.give(self.inside, address, self.index, final)
        self.inside.change(nl.NEWLINK, nl.LINK.pack(0, self.index, _UP, _UP), {})

    def back(self) -> None:
        """Move it back where it was, as it was; do nothing if it never left.  Raises NetlinkError."""
        device = self._known()
        # Move and new name are one request but two steps of the kernel: the second may have failed alone.
        left = not self.index and self._tried and not _has_index(self.outside, device.index)
        index = self._tried if left else self.index
        if not index:
            return
        index = self._change(self.inside, self.outside, index, self._home, device.name, prefer=device.index)
        for address in device.addresses:
            try:
                device.give(self.outside, address, index, device.name)
            except nl.NetlinkError as error:
                # The kernel has given it one of those that it makes itself.
                if error.errno != EEXIST:
                    raise
        if device.up:
            self.outside.change(nl.NEWLINK, nl.LINK.pack(0, index, _UP, _UP), {})

    def try_back(self) -> str:
        """Return `back` after a failure; what to add to its message, if the device cannot be brought back."""
        if self.device is None:
            return ""
        try:
            self.back()
        except nl.NetlinkError as error:
            return f"; it could not be brought back: {error.strerror}"
        return ""

    def _known(self) -> Device:
        if self.device is None:
            raise HostError("internal: the network device is not known")
        return self.device

    def _change(
        self, socket: nl.Netlink, other: nl.Netlink, index: int, namespace: int, name: str, *, prefer: int = 0
    ) -> int:
        """Change namespace and name in one request; the index there, which is ours to choose since Linux 5.13."""
        while True:
            self._tried = prefer or index
            if _has_index(other, self._tried):
                links = other.all(nl.GETLINK, nl.LINK.pack(0, 0, 0, 0))
                self._tried = 1 + max(nl.LINK.unpack_from(one)[1] for one in links)
            wanted = {
                _NET_NS_FD: nl.U32.pack(namespace),
                _IFNAME: nl.attribute_text(name),
                _NEW_IFINDEX: nl.U32.pack(self._tried),
            }
            try:
                socket.change(nl.NEWLINK, nl.LINK.pack(0, index, 0, 0), wanted)
                return self._tried
            except nl.NetlinkError as error:
                if error.errno != EBUSY or not _has_index(other, self._tried):
                    raise


def _has_index(socket: nl.Netlink, index: int) -> bool:
    try:
        socket.ask(nl.GETLINK, nl.LINK.pack(0, index, 0, 0))
    except nl.NetlinkError as error:
        if error.errno != ENODEV:
            raise
        return False
    return True


def _index(socket: nl.Netlink, name: str) -> int:
    """Return the index of a device, 0 if there is none of that name."""
    try:
        answer = socket.ask(nl.GETLINK, nl.LINK.pack(0, 0, 0, 0), {_IFNAME: nl.attribute_text(name)})
    except nl.NetlinkError as error:
        if error.errno != ENODEV:
            raise
        return 0
    index: int = nl.LINK.unpack_from(answer)[1]
    return index


def _name(socket: nl.Netlink, index: int) -> str:
    answer = socket.ask(nl.GETLINK, nl.LINK.pack(0, index, 0, 0))
    return nl.attributes(answer[nl.LINK.size :])[_IFNAME].rstrip(b"\0").decode()


def _error(device: str, name: str, error: nl.NetlinkError, lost: str) -> HostError:
    number = error.errno or 0
    words = f"{errno_words(number)} ({error.said})" if error.said else errno_words(number)
    remedy = ""
    if number == ENODEV:
        words, remedy = "there is no such device in the runtime's network namespace", "see `ip link`"
    elif number == EEXIST:
        remedy = f"the name {name} or an address of the device is taken in the container's network namespace"
    elif number == EPERM:
        remedy = "moving a device needs CAP_NET_ADMIN in the network namespaces of the runtime and the container"
    return HostError(f"network device {device}: {words}{lost}", call="sendto", errno=number, remedy=remedy)
