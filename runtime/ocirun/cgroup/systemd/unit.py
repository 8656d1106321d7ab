"""systemd units: names from ``linux.cgroupsPath``, and where the unit's cgroup is.  Pure.

``cgroupsPath`` is ``SLICE:PREFIX:NAME`` here, as runc has it.  Sources:
systemd.slice(5) and systemd.unit(5) for names, cg_escape of systemd for the
directories.
"""

from __future__ import annotations

from ...errors import ConfigError, Problem, StateDamagedError, option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

POINTER = "/linux/cgroupsPath"
ROOT_SLICE = "-.slice"
_PREFIX = "ocirun"
# UNIT_NAME_MAX of systemd, without the NUL.
_NAME_MAX = 255
_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:_.\\-")
# A cgroup of such a name could be mistaken for a file of the cgroup file system.
_FILES = ("notify_on_release", "release_agent", "tasks")
_CONTROLLERS = frozenset(
    ("cgroup", "cpu", "cpuacct", "cpuset", "io", "blkio", "memory", "devices", "pids", "freezer", "hugetlb", "rdma",
     "misc", "perf_event", "net_cls", "net_prio", "bpf-firewall", "bpf-devices", "debug")
)  # fmt: skip


class Manager:
    """An instance of systemd; facts, so that a plan can be made for any.

    user           a user's instance, not the system's
    version        such as 252
    control_group  the cgroup below which it makes its units, "" for the root
    """

    __slots__ = ("control_group", "user", "version")

    def __init__(self, *, user: bool = False, version: int = 252, control_group: str = "") -> None:
        self.user = user
        self.version = version
        self.control_group = control_group.rstrip("/")

    @property
    def instance(self) -> str:
        """The word for it: "system" or "user"."""
        return "user" if self.user else "system"


class Unit:
    """The unit of a container; a value.

    name    such as ``ocirun-web.scope``
    slice   the slice it is in, such as ``system.slice``
    user    of a user's instance of systemd
    group   the absolute path of its cgroup in each hierarchy
    """

    __slots__ = ("group", "name", "slice", "user")

    def __init__(self, name: str, slice: str, *, user: bool, group: str) -> None:
        self.name = name
        self.slice = slice
        self.user = user
        self.group = group

    @property
    def is_slice(self) -> bool:
        """The container's processes are put into a slice itself, not into a scope."""
        return self.name.endswith(".slice")

    @property
    def instance(self) -> str:
        """The instance of systemd that has it: "system" or "user"."""
        return "user" if self.user else "system"

    def record(self) -> dict[str, Any]:
        """Return the unit as plain values; `unit_from_record` is the way back."""
        return {"name": self.name, "slice": self.slice, "user": self.user, "group": self.group}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unit) and self.record() == other.record()

    def __hash__(self) -> int:
        return hash((self.name, self.user))

    def __repr__(self) -> str:
        return f"Unit({self.name!r}, {self.slice!r})"


def unit(cgroups_path: str, container_id: str, manager: Manager) -> Unit:
    """Return the unit that ``cgroupsPath`` names; without one ``ocirun-ID.scope`` in the default slice.

    The default slice is ``system.slice``, and ``user.slice`` in a user's instance; ``-`` is the root
    slice.  A name that ends in ``.slice`` stands for itself, without prefix.
    Raises ConfigError for what is no such path, or no name of a unit.
    """
    if cgroups_path:
        parts = cgroups_path.split(":")
        if len(parts) != 3:
            raise _refuse(
                f"{_shown(cgroups_path)} does not have the form slice:prefix:name",
                expected=f"slice:prefix:name, such as system.slice:web:1; or no {option('systemd-cgroup')}",
                found=cgroups_path,
            )
        parent, prefix, name = parts
    else:
        # An id may have a letter that the name of a unit may not.
        parent, prefix, name = "", _PREFIX, container_id.replace("+", "\\x2b")
    if not name:
        raise _refuse(f"{_shown(cgroups_path)} names no unit", found=cgroups_path)
    parent = parent or ("user.slice" if manager.user else "system.slice")
    if parent == "-":
        parent = ROOT_SLICE
    full = name if name.endswith(".slice") else f"{prefix}-{name}.scope"
    _check_name(full)
    if full.endswith(".slice"):
        directories = slice_path(full)
        dash = full.rfind("-")
        parent = full[:dash] + ".slice" if dash > 0 else ROOT_SLICE
    else:
        directories = [*slice_path(parent), escape(full)]
    return Unit(full, parent, user=manager.user, group="/".join([manager.control_group, *directories]))


def unit_from_record(record: Any) -> Unit:
    """Return a Unit from what `Unit.record` gave.  Raises StateDamagedError for what cannot be one."""
    try:
        name, parent, user, group = (record[key] for key in ("name", "slice", "user", "group"))
        if type(user) is not bool or not all(isinstance(text, str) for text in (name, parent, group)):
            raise TypeError
        if ".." in group.split("/") or not group.startswith("/"):
            raise ValueError
        _check_name(name)
        slice_path(parent)
    except (TypeError, KeyError, ValueError, ConfigError):
        raise StateDamagedError(f"the saved state names no usable unit: {str(record)[:200]!a}") from None
    return Unit(name, parent, user=user, group=group)


def slice_path(slice: str) -> list[str]:
    """Return the directories of a slice: ``a-b.slice`` is in ``a.slice``; none for the root slice.
    Raises ConfigError.
    """
    if slice == ROOT_SLICE:
        return []
    stem, dot, suffix = slice.rpartition(".")
    parts = stem.split("-")
    if not dot or suffix != "slice" or "/" in slice or not all(parts):
        raise _refuse(
            f"{_shown(slice)} is not the name of a slice",
            expected="such as a.slice, or a-b.slice for one within it",
            found=slice,
        )
    _check_name(slice)
    return [escape("-".join(parts[: count + 1]) + ".slice") for count in range(len(parts))]


def escape(name: str) -> str:
    """Return the directory of a unit: its name, with ``_`` before it where it could be taken for a file."""
    first = name.partition(".")[0]
    if name[:1] in ("_", ".") or name in _FILES or ("." in name and first in _CONTROLLERS):
        return "_" + name
    return name


def _check_name(name: str) -> None:
    if len(name) > _NAME_MAX:
        raise _refuse(
            f"the unit {_shown(name)} has a name of {len(name)} letters, and systemd takes {_NAME_MAX}",
            expected=f"at most {_NAME_MAX} letters",
            found=name,
        )
    strange = next((letter for letter in name if letter not in _LETTERS), "")
    if strange:
        raise _refuse(
            f"{_shown(name)} is not the name of a unit: {strange!a} is not allowed in it",
            expected="letters of A-Za-z0-9:_.\\-",
            found=name,
        )


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 80 else text[:77] + "...")


def _refuse(message: str, *, expected: str = "", found: str = "") -> ConfigError:
    return ConfigError([Problem(POINTER, message, expected=expected, found=found)])
