"""The verbs of a cgroup driver.

A driver is chosen once, at ``create``, from facts of the host and options
(`choose`); its record goes into the saved state, and later commands get the
same driver from there.  The life of a container's cgroup:

    choose      pure: which driver, which directories
    check       refuse a group that is in use or frozen; nothing is changed
    record      saved by the caller before anything is made, so that a crash leaves no unknown group, and so
                that a later `remove` can tell what we made from what was there
    prepare     make the directories
    apply       write the settings that translate gave
    open_join   a descriptor by which the child moves itself; or `place` for a process that exists
    record      saved again: from here on the group is the container's
    ...         freeze, thaw, frozen, kill, pids, usage, usage_now, watch, read, apply
    remove      and `discard`, where creating failed

`Driver` itself is the driver "none": a container without a cgroup of its own.
"""

from __future__ import annotations

from ..errors import HostError, UnsupportedError
from . import paths
from .drivers.native import NativeGroups
from .settings.translation import V2 as V2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ..host.cgroups import Layout
    from .files.oom import EventsWatch, OomWatch
    from .paths import Group, Hierarchy
    from .settings.systemd import Property
    from .settings.translation import Setting
    from .systemd.unit import Unit

NONE = "none"
V1 = "v1"
SYSTEMD = "systemd"


class Driver(NativeGroups):
    """The container's cgroup; this base class is the driver "none".

    kind      names the driver, and the form of settings that translate makes for it
    groups    the directories, one for each hierarchy; empty for "none"
    joins     the child has to write itself into the files of `open_join`
    refuses   the kernel refuses a memory limit below what is in use; else it kills
    checked   `check` has been called
    found     names of the groups that existed before us, empty; known after `check`
    prepared  the directories exist and are ours
    inodes    name of a group -> the inode of its directory, once it is made or taken over: another group of that
              path is not the container's
    mark      what says in a group that was there before that it was taken over by this container, "" where none was
    devices   device rules can be enforced
    adopts    `prepare` takes over groups that were just made for us, with our process in them
    clones    a new process starts in the group, by the descriptor of `open_directory` (CLONE_INTO_CGROUP)
    """

    __slots__ = ("_layout", "adopts", "checked", "devices", "found", "groups", "inodes", "mark", "prepared")

    kind = NONE
    joins = False
    clones = False
    refuses = False
    unit: Unit | None = None
    # (path of a group above, controllers to switch on there for those below), from the top
    enabling: Sequence[tuple[str, list[str]]] = ()

    def __init__(self, groups: Sequence[Group] = (), *, layout: Layout | None = None, devices: bool = False) -> None:
        self.groups = list(groups)
        self.checked = False
        self.found: set[str] = set()
        self.prepared = False
        self.inodes: dict[str, int] = {}
        self.mark = ""
        self.adopts = False
        self.devices = devices
        self._layout = layout

    # Questions that the plan asks; they change nothing.

    def directories(self) -> list[tuple[str, str]]:
        """Return (group name, absolute path) of every directory that `prepare` makes or takes over, in order."""
        return [(group.name, group.path) for group in self.groups]

    def joined_by_child(self) -> list[tuple[str, str]]:
        """Return (group name, absolute path) of every group that the child joins by itself."""
        return self.directories() if self.joins else []

    def path(self, controller: str) -> str:
        """Return the directory that has this controller.  Raises KeyError where the container has none."""
        return self.group(controller).path

    def group(self, controller: str) -> Group:
        """Return the group that has this controller.  Raises KeyError where the container has none."""
        for group in self.groups:
            if controller in group.controllers:
                return group
        raise KeyError(controller)

    def available(self, controller: str, file: str = "") -> bool:
        """Return whether the container has this controller and, where `file` is given, that file."""
        if not any(controller in group.controllers for group in self.groups):
            return False
        return not file or self._layout is None or self._layout.has_file(controller, file)

    def hierarchies(self) -> list[Hierarchy]:
        """Return what a mount of type ``cgroup`` shows."""
        return [paths.Hierarchy(group) for group in self.groups]

    def delegated(self) -> tuple[str, ...]:
        """Return files of the group that belong to the one to whom it is given."""
        from ..host import unified

        return unified.delegated_files()

    def record(self) -> dict[str, Any]:
        """Return the driver as plain values, for the saved state; `from_record` is the way back."""
        return {
            "driver": self.kind,
            "groups": [group.record() for group in self.groups],
            "checked": self.checked,
            "found": sorted(self.found),
            "prepared": self.prepared,
            "inodes": self.inodes,
            "mark": self.mark,
        }

    def unit_properties(self, settings: Sequence[Setting]) -> list[Property]:
        """Return what systemd has to be told for the unit and these settings; only with a `unit`."""
        del settings
        return []

    def properties_of(self, settings: Sequence[Setting]) -> list[Property]:
        """Return what systemd has to be told for these settings; only with a `unit`."""
        del settings
        return []

    # Verbs of a driver with a unit; a plan for any other has no such operation.

    def start(self, pid: int, properties: Sequence[Property]) -> None:
        """Have systemd start the unit with this process in it, and take its cgroup over."""
        raise _no_unit(f"start with process {pid} and {len(properties)} properties")

    def set(self, properties: Sequence[Property]) -> None:
        """Change properties of the unit."""
        raise _no_unit(f"set {len(properties)} properties")

    def attach_point(self, pid: int, below: Mapping[str, str]) -> str | None:
        """Return where below the unit's group `attach` has to move another process; None where it joins without that.

        pid     of the container's first process
        below   group name -> the path that the caller wants
        """
        del pid, below
        return None

    def attach(self, pid: int, below: str = "") -> None:
        """Have systemd move a process into the unit."""
        raise _no_unit(f"attach process {pid} {below}")

    # Verbs.

    def check(self) -> None:
        """Look, change nothing: refuse a group that has processes or is frozen (HostError)."""

    def prepare(self) -> int | None:
        """Make the directories; those of a failed attempt are removed again.

        Returns a directory descriptor for CLONE_INTO_CGROUP where the driver has one, else None.
        """
        for group in self.groups:
            self.make(group.name)
        self.prepared = True
        return None

    def make(self, name: str) -> None:
        """Make one directory; `name` as in `directories`."""

    def write(self, controller: str, file: str, value: str, *, pointer: str = "") -> None:
        """Write one setting.  Raises HostError naming file and value."""

    def read(self, controller: str, file: str) -> str:
        """Return what a file of the group says.  Raises HostError naming it."""
        raise KeyError(f"{controller}: {file}")

    def apply(self, settings: Sequence[Setting]) -> None:
        """Write settings, in an order that the kernel accepts whatever the old values are."""

    def open_join(self, name: str, below: str = "") -> int:
        """Return a descriptor for one group, to which a process writes "0" to join; the caller closes it.

        below   an existing group below it, as a path without ``..``; HostError if there is none
        """
        raise KeyError(f"{name}/{below}")

    def open_directory(self, below: str = "") -> int:
        """Return the group's directory, or that of a group below, for CLONE_INTO_CGROUP; only where it `clones`."""
        raise KeyError(below)

    def follow(self, pid: int) -> str:
        """Go where a process is, in each hierarchy where the container's own group is gone; see `moved`.

        pid   of the container's first process
        Returns why, "" where the container's groups are there.  Only for a process that is to join.
        """
        del pid
        return ""

    def home(self, pid: int) -> tuple[str, str]:
        """Return where another process starts: path below the group, and why it is not the group itself;
        see V2Driver.
        """
        del pid
        return "", ""

    def enable(self, path: str, controllers: Sequence[str], others: Sequence[str]) -> None:
        """Switch controllers on in a group of `enabling`; see V2Driver."""
        raise KeyError(f"{path}: {controllers} {others}")

    def filter_devices(self, rules: str) -> None:
        """Hold the group to device rules by an eBPF program; see V2Driver."""
        raise KeyError(rules)

    def give(self, uid: int, files: Sequence[str], below: str = "") -> None:
        """Make a user the owner of the group; see V2Driver."""
        raise KeyError(f"{uid}: {files} {below}")

    def make_below(self, below: str) -> None:
        """Make a group below the container's; see V2Driver."""
        raise KeyError(below)

    def place(self, pid: int, below: str = "") -> None:
        """Move an existing process, the slow way; `below` as in `make_below`."""

    def freeze(self) -> None:
        """Stop every process of the group; all or none.  Raises HostError after 10 s, thawed again."""
        raise _no_group("paused")

    def thaw(self) -> None:
        """Let the processes go on."""
        raise _no_group("resumed")

    def frozen(self) -> bool:
        """Return whether the group is frozen, or on the way there."""
        return False

    def kill(self, signal: int, *, wait: float = 0.0) -> int:
        """Signal every process of the group and of groups below, also those forked meanwhile.

        wait   seconds to wait until no process is left; HostError after that
        Returns how many processes got the signal.
        """
        del signal, wait
        return 0

    def pids(self) -> list[int]:
        """Return processes of the group and of groups below, in our pid namespace."""
        return []

    def usage(self) -> dict[str, int]:
        """Return what was used, see `usage.read`; to be asked before `remove`."""
        return {}

    def usage_now(self) -> dict[str, Any]:
        """Return what is used now, in the shape of runc's stats events, see `usage.events`."""
        raise _no_group("measured")

    def watch(self) -> OomWatch | EventsWatch | None:
        """Notice of lack of memory, to be closed; None where nothing gives it."""
        return None

    def remove(self, *, kill: bool = False, limit: float = 5.0) -> None:
        """Remove the groups with everything below them; groups that are gone already are fine.

        kill    kill processes that are still there
        limit   seconds to go on while the kernel says busy; HostError after that
        Before `prepare` has succeeded only what we made is touched.
        """

    def discard(self) -> None:
        """Undo `prepare` after a failed create: remove what this object made; never raises OcirunError."""

    def close(self) -> None:
        """Close the descriptors that are held; a verb called afterwards opens what it needs again."""

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _no_group(what: str) -> UnsupportedError:
    return UnsupportedError(f"the container has no cgroup of its own, so it cannot be {what}")


def _no_unit(what: str) -> HostError:
    return HostError(f"internal: the container has no unit to {what}")
