"""The facts of a host as a document: those of another one, to plan for it from here.

`FactsFile` answers as the module `facts` does, from a document instead of /proc
and /sys.  The names of the document are those of its parameters below.
"""

from __future__ import annotations

from .._base.jsonio import pointer_token
from ..errors import UsageError
from . import cgroups, unified

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .cgroups import Layout
    from .users import Caller

FORMAT = 1
_GROUP = {"controllers": list, "enabled": list, "mayEnable": bool, "mayMake": bool, "mayMove": bool}
_UINT64 = (1 << 64) - 1


class FactsFile:
    """A host by its document; every value is checked when it is asked for, so that older ones serve too.

    format          1
    kernel          its version, for people
    privileged      the caller has CAP_SYS_ADMIN in the initial user namespace
    permitted, bounding   capability masks of the caller, as numbers
    lastCapability  number of the kernel's last capability
    treeNamespace   the kernel makes a mount namespace of one tree alone; in documents of older versions it is missing
    keyrings        the kernel has keyrings
    seccompFlags    mask of the flags of seccomp(2) that the kernel knows
    hardLimits      number of a resource limit -> the caller's hard limit
    apparmor        file below /proc/PID for an AppArmor profile, or ""
    selinux         SELinux is on
    resctrl         where resctrl is mounted, or ""
    caller          null, or the facts of a caller that is not root, by the names of users.Caller
    systemd         ``system`` and ``user``: null, or ``version`` and ``controlGroup``
    cgroups         ``mountinfo`` and ``own``: lines of /proc/self/mountinfo and /proc/self/cgroup;
                    ``files``: controller -> names of the files that its groups have;
                    ``writable``: paths of the groups in which the caller may make others;
                    ``unified``: of v2, path of a group -> ``controllers``, ``enabled`` (for those below),
                    ``mayEnable``, ``mayMake`` groups and ``mayMove`` processes there
    """

    def __init__(self, document: Any, path: str) -> None:
        """Check the document.  Raises UsageError for what is none.

        path   where it is from, for messages
        """
        self._path = path
        self._document = document
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise UsageError(
                f"{path}: is no document of host facts of the format {FORMAT}",
                remedy="`ocirun explain --print-host-facts` on that host makes one",
            )

    def privileged(self) -> bool:
        """See the class."""
        return bool(self._value("/privileged", bool))

    def own_capabilities(self) -> tuple[int, int]:
        """Return (permitted, bounding)."""
        return self._number("/permitted"), self._number("/bounding")

    def last_capability(self) -> int:
        """See the class."""
        return self._number("/lastCapability", most=63)

    def has_keyrings(self) -> bool:
        """See the class."""
        return bool(self._value("/keyrings", bool))

    def tree_namespace(self) -> bool:
        """See the class."""
        return "treeNamespace" in self._document and bool(self._value("/treeNamespace", bool))

    def seccomp_flags(self) -> int:
        """See the class; -1 where there are no filters."""
        return self._number("/seccompFlags", least=-1)

    def hard_limits(self) -> dict[int, int]:
        """See the class."""
        limits = self._value("/hardLimits", dict)
        names = [name for name in limits if name.isascii() and name.isdigit() and len(name) < 4]
        return {int(name): self._number(f"/hardLimits/{name}") for name in names}

    def apparmor_file(self) -> str:
        """See the class."""
        return str(self._value("/apparmor", str))

    def selinux(self) -> bool:
        """See the class."""
        return bool(self._value("/selinux", bool))

    def resctrl_mount(self) -> str:
        """See the class."""
        return str(self._value("/resctrl", str))

    def environment(self) -> tuple[str, ...]:
        """Return nothing, as nobody knows what the caller there has."""
        return ()

    def caller(self) -> Caller:
        """Return the facts about a caller that is not root."""
        from .users import Caller

        values = dict(self._value("/caller", dict))
        for key in ("uid_map", "gid_map", "subuids", "subgids"):
            if values.get(key) is not None:
                spans = self._value(f"/caller/{key}", list)
                values[key] = [self._span(f"/caller/{key}/{index}") for index in range(len(spans))]
        unknown = sorted(set(values) - set(Caller.__slots__))
        if unknown:
            raise self._wrong(f"/caller/{unknown[0]}", f"one of {', '.join(Caller.__slots__)}")
        for key in ("uid", "gid"):
            self._number(f"/caller/{key}", most=2**32 - 1)
        return Caller(**values)

    def _span(self, pointer: str) -> tuple[int, int]:
        pair = self._value(pointer, list)
        if len(pair) != 2 or not all(type(number) is int for number in pair):
            raise self._wrong(pointer, "two numbers, the first id and how many")
        return pair[0], pair[1]

    def systemd(self, *, user: bool) -> tuple[int, str] | None:
        """Return (version, cgroup) of an instance of systemd, None where none runs."""
        place = f"/systemd/{'user' if user else 'system'}"
        if self._find(place) is None:
            return None
        return self._number(f"{place}/version"), str(self._value(f"{place}/controlGroup", str))

    def cgroup_layout(self) -> Layout:
        """Return the hierarchies, which never look at this host."""
        mountinfo = "\n".join(self._texts("/cgroups/mountinfo"))
        own = "\n".join(self._texts("/cgroups/own"))
        names = self._value("/cgroups/files", dict)
        files = {name: self._texts(f"/cgroups/files/{name}") for name in names}
        found = cgroups.parse(mountinfo, own)
        return _Layout(found, files, self._texts("/cgroups/writable"), self._groups())

    def _groups(self) -> unified.Groups:
        known = self._value("/cgroups/unified", dict)
        for path, group in known.items():
            place = f"/cgroups/unified/{pointer_token(path)}"
            if type(group) is not dict:
                raise self._wrong(place, "an object")
            for key, kind in _GROUP.items():
                if type(group.get(key)) is not kind:
                    raise self._wrong(f"{place}/{key}", "an array" if kind is list else "true or false")
        return _Groups(known)

    def _texts(self, pointer: str) -> list[str]:
        values = self._value(pointer, list)
        for index, text in enumerate(values):
            if type(text) is not str:
                raise self._wrong(f"{pointer}/{index}", "a string")
        return list(values)

    def _number(self, pointer: str, *, least: int = 0, most: int = _UINT64) -> int:
        value = self._value(pointer, int)
        if not least <= value <= most:
            raise self._wrong(pointer, f"a number from {least} to {most}")
        return int(value)

    def _value(self, pointer: str, kind: type) -> Any:
        value = self._find(pointer)
        if type(value) is not kind:
            words = {bool: "true or false", int: "a number", str: "a string", list: "an array", dict: "an object"}
            raise self._wrong(pointer, words[kind])
        return value

    def _find(self, pointer: str) -> Any:
        value = self._document
        for key in pointer.split("/")[1:]:
            if isinstance(value, dict):
                value = value.get(key)
            else:
                # Within an array the pointer is of our own making.
                value = value[int(key)] if isinstance(value, list) and key.isdigit() else None
        return value

    def _wrong(self, pointer: str, expected: str) -> UsageError:
        return UsageError(f"{self._path}: {pointer}: must be {expected}", pointer=pointer)


class _Groups(unified.Groups):
    """The groups that the document has; there are no others."""

    def __init__(self, known: dict[str, dict[str, Any]]) -> None:
        self._known = known

    def exists(self, path: str) -> bool:
        return path in self._known

    def controllers(self, path: str) -> list[str]:
        return list(self._known[path]["controllers"]) if path in self._known else []

    def enabled(self, path: str) -> list[str]:
        return list(self._known[path]["enabled"]) if path in self._known else []

    def may_enable(self, path: str) -> bool:
        return path in self._known and self._known[path]["mayEnable"] is True

    def may_make(self, path: str) -> bool:
        return path in self._known and self._known[path]["mayMake"] is True

    def may_move(self, path: str) -> bool:
        return path in self._known and self._known[path]["mayMove"] is True


class _Layout(cgroups.Layout):
    """A layout whose answers are all in the document."""

    __slots__ = ("_groups", "_stated", "_writable")

    def __init__(
        self, parsed: Layout, files: dict[str, list[str]], writable: list[str], groups: unified.Groups
    ) -> None:
        super().__init__(parsed.mounts, parsed.own, parsed.unified)
        self._stated = {name: frozenset(known) for name, known in files.items()}
        self._groups = groups
        self._writable = frozenset(path.rstrip("/") for path in writable)

    def file_names(self, controller: str) -> frozenset[str]:
        return self._stated.get(controller, frozenset())

    def reach(self, below: str) -> unified.Reach:
        return unified.reach(self.mount("").path, below, self._groups)

    def may_join(self, below: str) -> bool:
        return unified.may_join(self, below, self._groups)

    def writable(self, controller: str, below: str) -> bool:
        mount = self.mounts[controller]
        path = f"{mount.path}/{below}".rstrip("/")
        while not mount.readonly and len(path) >= len(mount.path):
            if path in self._writable:
                return True
            path = path.rpartition("/")[0]
        return False
