"""The cgroup hierarchies of this host, from /proc/self/mountinfo and /proc/self/cgroup.

`parse` is pure; `read` only fetches the two files.  Sources: cgroups(7),
proc_pid_mountinfo(5), cgroup_namespaces(7).
"""

from __future__ import annotations

import os

from .._base import procfile
from ..errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .unified import Reach

V1 = "v1"
V2 = "v2"
HYBRID = "hybrid"
NONE = "none"

# Where every distribution mounts them; preferred when a hierarchy is mounted more than once.
_USUAL_PLACE = "/sys/fs/cgroup/"


class Mount:
    """One mounted hierarchy.

    path         where it is mounted
    root         which cgroup is visible there, seen from our cgroup namespace; "/" for all of it,
                 starting with "/.." when it lies above the root of the namespace
    options      options of the file system, among them the controllers
    device       "MAJOR:MINOR" of the file system, the same at every mount of the hierarchy
    controllers  names of its v1 controllers, or ("name=NAME",); empty for v2
    readonly     the mount or its file system refuses writes
    """

    __slots__ = ("controllers", "device", "options", "path", "readonly", "root")

    def __init__(
        self,
        path: str,
        root: str = "/",
        options: Iterable[str] = (),
        *,
        device: str = "",
        controllers: Iterable[str] = (),
        readonly: bool = False,
    ) -> None:
        self.path = path
        self.root = root
        self.options = tuple(options)
        self.device = device
        self.controllers = tuple(controllers)
        self.readonly = readonly

    def __repr__(self) -> str:
        return f"Mount({self.path!r}, {self.root!r}, {self.options!r})"


class Layout:
    """What is mounted, and where we are in it.

    mode     "v1", "v2", "hybrid" (v1 controllers, and a v2 hierarchy besides) or "none"
    mounts   v1 controller or "name=NAME" -> its Mount; controllers mounted together share one
    unified  the v2 mount, or None
    own      controller -> path of our own cgroup, seen from our cgroup namespace; "" is v2
    """

    __slots__ = ("_files", "mode", "mounts", "own", "unified")

    def __init__(
        self,
        mounts: Mapping[str, Mount],
        own: Mapping[str, str],
        unified: Mount | None = None,
        *,
        files: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        self.mounts = dict(mounts)
        self.own = dict(own)
        self.unified = unified
        self._files: dict[str, frozenset[str]] = {name: frozenset(known) for name, known in (files or {}).items()}
        if any(not name.startswith("name=") for name in mounts):
            self.mode = HYBRID if unified is not None else V1
        else:
            # A named hierarchy has no controllers: systemd's, next to v2, makes no v1 host.
            self.mode = V2 if unified is not None else V1 if mounts else NONE

    def values(self) -> list[object]:
        """Return all that was read at once, to be compared."""
        mounts = [(name, *map(mount.__getattribute__, Mount.__slots__)) for name, mount in self.mounts.items()]
        unified = self.unified and [*map(self.unified.__getattribute__, Mount.__slots__)]
        return [self.mode, mounts, unified, self.own]

    def hierarchies(self) -> list[Mount]:
        """Return the v1 hierarchies, each once, in the order of ``mounts``."""
        result: list[Mount] = []
        for mount in self.mounts.values():
            if mount not in result:
                result.append(mount)
        return result

    def mount(self, controller: str) -> Mount:
        """Return where a controller is; "" is v2.  Raises KeyError."""
        if not controller and self.unified is not None:
            return self.unified
        return self.mounts[controller]

    def own_below(self, controller: str) -> str | None:
        """Return our own cgroup relative to the mount point, such as "" or "a/b"; None where it is not visible there.

        controller   as in `mount`
        """
        mount, own = self.mount(controller), self.own.get(controller, "")
        if (
            not own.startswith("/")
            or own.endswith(" (deleted)")
            or own.startswith("/..")
            or mount.root.startswith("/..")
        ):
            return None
        root = mount.root.rstrip("/")
        if own != root and not own.startswith(root + "/"):
            return None
        return own[len(root) :].strip("/")

    def has_file(self, controller: str, file: str) -> bool:
        """Return whether a cgroup of this controller has `file`: a fact of the kernel and of its options.

        Looked up in a cgroup that is not the root, since the root lacks most
        limits; where there is no other cgroup yet, the answer is True.
        """
        if controller not in self.mounts and self.mode != V2:
            return False
        known = self.file_names(controller)
        return not known or file in known

    def file_names(self, controller: str) -> frozenset[str]:
        """Return the files of a group of this controller; empty where there is no group to look at."""
        known = self._files.get(controller)
        if known is None:
            mount = self.mounts.get(controller)
            if mount is not None:
                known = _file_names(mount)
            else:
                from . import unified

                known = unified.file_names(self.mount("").path, controller)
            self._files[controller] = known
        return known

    def reach(self, below: str) -> Reach:
        """Return what a v2 group `below` the mount point can have; KeyError without v2."""
        from . import unified

        return unified.reach(self.mount("").path, below)

    def may_join(self, below: str) -> bool:
        """Return whether we may make this v2 group and put processes there."""
        from . import unified

        return unified.may_join(self, below)

    def writable(self, controller: str, below: str) -> bool:
        """Return whether we may make the cgroup `below` (relative to the mount point):
        asked of its nearest existing ancestor.
        """
        mount = self.mounts[controller]
        if mount.readonly:
            return False
        path = f"{mount.path}/{below}"
        while len(path) > len(mount.path) and not procfile.exists(path):
            path = os.path.dirname(path)
        return may_make(path)


def may_make(path: str) -> bool:
    """Return whether we may make groups in the group at `path`."""
    return os.access(path, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def read_layout() -> Layout:
    """Return the layout of this process's mount and cgroup namespaces.  Raises HostError without /proc."""
    return parse(text("/proc/self/mountinfo"), text("/proc/self/cgroup"))


def parse(mountinfo: str, cgroup: str) -> Layout:
    """Return the layout from the texts of the two files."""
    own = parse_own(cgroup)
    v1: dict[str, Mount] = {}
    unified: Mount | None = None
    for kind, mount in parse_mounts(mountinfo):
        if kind == "cgroup2":
            if unified is None or _rank(mount, own.get("", "/")) < _rank(unified, own.get("", "/")):
                unified = mount
            continue
        # The controllers are what our own membership lists; the other options are flags of the file system.
        mount.controllers = tuple(name for name in mount.options if name in own)
        for name in mount.controllers:
            if name not in v1 or _rank(mount, own[name]) < _rank(v1[name], own[name]):
                v1[name] = mount
    return Layout(v1, own, unified)


def parse_own(text: str) -> dict[str, str]:
    """Return /proc/PID/cgroup: controller -> path; the key "" is the v2 hierarchy."""
    own: dict[str, str] = {}
    for line in text.split("\n"):
        number, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if not colon or not number.isdigit():
            continue
        if controllers.startswith("name="):
            own[controllers] = path
            continue
        for name in controllers.split(","):
            own[name] = path
    return own


def parse_mounts(text: str) -> list[tuple[str, Mount]]:
    """Return the cgroup mounts of a mountinfo text as (file system type, Mount),
    without those that a later one covers.
    """
    found: dict[str, tuple[str, Mount]] = {}
    for line in text.split("\n"):
        # Spaces in paths are escaped, so the separator is never part of one.
        head, dash, tail = line.partition(" - ")
        if not tail.startswith("cgroup") or not dash:
            continue
        fields, fs = head.split(" "), tail.split(" ")
        if len(fields) < 6 or len(fs) < 3 or fs[0] not in ("cgroup", "cgroup2"):
            continue
        options = fs[2].split(",")
        path = unescape(fields[4])
        found.pop(path, None)
        readonly = "ro" in fields[5].split(",") or "ro" in options
        found[path] = (
            fs[0],
            Mount(path, unescape(fields[3]), map(unescape, options), device=fields[2], readonly=readonly),
        )
    return list(found.values())


def unescape(text: str) -> str:
    """Undo the octal escapes of mountinfo (space, tab, newline, backslash)."""
    if "\\" not in text:
        return text
    first, *rest = text.split("\\")
    for part in rest:
        digits = part[:3]
        if len(digits) == 3 and all("0" <= digit <= "7" for digit in digits) and digits < "400":
            first += chr(int(digits, 8)) + part[3:]
        else:
            first += "\\" + part
    return first


def _rank(mount: Mount, own: str) -> tuple[bool, bool, int, bool]:
    """Return how well a mount serves, lowest first:
    writable, shows our own cgroup, shows most, is at the usual place.
    """
    root = mount.root.rstrip("/")
    visible = own == root or own.startswith(root + "/")
    return mount.readonly, not visible, len(root), not mount.path.startswith(_USUAL_PLACE)


def text(path: str) -> str:
    """Return a file of /proc, with its bytes as surrogates where they are no UTF-8.  Raises HostError."""
    held: list[int] = []
    try:
        procfile.open_into(held, path)
        parts = []
        while part := os.read(held[0], 1 << 16):
            parts.append(part)
    except OSError as error:
        remedy = "is /proc mounted?" if error.errno in procfile.GONE else ""
        raise HostError.from_os(f"read {path}", error, call="read", remedy=remedy) from error
    finally:
        for fd in held:
            os.close(fd)
    return os.fsdecode(b"".join(parts))


def _file_names(mount: Mount) -> frozenset[str]:
    """Return names of the files in some cgroup below the mount's root; empty where there is none."""
    child = next(iter(procfile.directories(mount.path)), "" if mount.root == "/" else mount.path)
    return frozenset(procfile.names(child)) if child else frozenset()
