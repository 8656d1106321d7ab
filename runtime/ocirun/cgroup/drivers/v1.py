"""The driver for cgroup v1: one directory in each hierarchy.  File access only; what to write comes from translate.

Sources: cgroups(7), Documentation/admin-guide/cgroup-v1/ of the kernel.
"""

from __future__ import annotations

import errno

from ...errors import HostError, UnsupportedError
from .. import paths
from ..driver import V1
from ..files import tree, v1_files
from ..files.v1_files import guarded
from ..paths import UNIFIED
from .cgroupfs import LOOK_CPUSET, LOOK_FREEZER, Cgroupfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ...host.cgroups import Layout
    from ..files.oom import OomWatch
    from ..paths import Group, Hierarchy
    from ..settings.translation import Setting

# The hierarchy whose lists of processes are believed, best first: a process cannot hide from its freezer.
_MEMBERS_IN = ("freezer", "pids", "devices", "memory", "cpuacct")


class V1Driver(Cgroupfs):
    """A container's groups in the v1 hierarchies, and in that of v2 where it is there besides; see `Driver`.

    The one of v2 limits nothing. A process starts in it, which costs less than to join it later.
    """

    __slots__ = ("clones",)

    kind = V1
    joins = True
    refuses = True
    # Unlike a write to cgroup.procs this takes no lock on all thread groups and waits for no RCU grace period.
    join_file = "tasks"

    def __init__(self, groups: Sequence[Group] = (), *, layout: Layout | None = None, devices: bool = False) -> None:
        super().__init__(groups, layout=layout, devices=devices)
        self.clones = any(group.name == UNIFIED for group in groups)

    def joined_by_child(self) -> list[tuple[str, str]]:
        """Return the groups of v1."""
        return [(name, path) for name, path in super().joined_by_child() if name != UNIFIED]

    def hierarchies(self) -> list[Hierarchy]:
        """Return those of v1."""
        return [paths.Hierarchy(group) for group in self.groups if group.name != UNIFIED]

    def open_directory(self, below: str = "") -> int:
        """Return the group of v2, or one below it, for CLONE_INTO_CGROUP."""
        return self._open_directory(self.group(UNIFIED), below)

    def home(self, pid: int) -> tuple[str, str]:
        """See `v2_group.home`; only where there is a group of v2."""
        from ..files import v2_joining

        group = self.group(UNIFIED)
        return v2_joining.home(self._existing(group), group, pid)

    def _refuse(self, fd: int, group: Group, missing: Sequence[str]) -> None:
        if not missing:
            v1_files.refuse_members(fd, group)
        if group.name == UNIFIED:
            from ..files import v2_joining

            v2_joining.refuse_unusable(fd, group, missing)
        if "freezer" in group.controllers:
            v1_files.refuse_frozen(fd, group, missing)

    def freeze(self) -> None:
        """Stop every process, by the freezer."""
        from ..files import freezer

        group = self._freezer("paused")
        freezer.freeze(self._directory(group), group.path)

    def thaw(self) -> None:
        """Let the processes go on; HostError where a group above keeps them frozen."""
        from ..files import freezer

        group = self._freezer("resumed")
        fd = self._directory(group)
        if not guarded("thaw", group, lambda: freezer.thaw(fd)):
            above = freezer.frozen_ancestor(fd, group.path) or "a group above"
            raise HostError(f"cgroup {group.path} stays frozen, since {above} is", call="write", errno=errno.EBUSY)

    def frozen(self) -> bool:
        """Return whether the freezer's state is anything but THAWED; False where the group is gone."""
        from ..files import freezer

        if not self.available("freezer"):
            return False
        group = self.group("freezer")
        fd = self._existing(group)
        return fd is not None and guarded("read", group, lambda: freezer.state(fd)) in ("FROZEN", "FREEZING")

    def kill(self, signal: int, *, wait: float = 0.0) -> int:
        """Signal every process, also those of groups that the container made below ours."""
        group = self._members_group()
        fd = self._existing(group) if self.prepared else None
        if fd is None:
            return 0
        return self._kill([fd], signal, group, wait)

    def pids(self) -> list[int]:
        """Return the processes, as the freezer hierarchy lists them."""
        from ..files import members

        group = self._members_group()
        fd = self._existing(group)
        return [] if fd is None else guarded("list", group, lambda: members.pids([fd]))

    def usage(self) -> dict[str, int]:
        """See `usage.read`."""
        from ..usage import v1

        return v1.read_usage(self._tops())

    def processor_file(self) -> str:
        """See `Driver.processor_file`; the kernel counts for every group of v2, with a controller or without."""
        if self.available("cpuacct"):
            return f"{self.path('cpuacct')}/cpuacct.usage"
        return f"{self.path(UNIFIED)}/cpu.stat" if self.available(UNIFIED) else ""

    def usage_files(self) -> list[str]:
        """See `Driver.usage_files`."""
        return [word for controller, file in self._usage_places() for word in (self.path(controller), file)]

    def usage_from(self, texts: Sequence[str]) -> dict[str, int]:
        """See `Driver.usage_from`."""
        from ..usage import v1

        return v1.from_texts(dict(zip(self._usage_places(), texts, strict=True)))

    def _usage_places(self) -> list[tuple[str, str]]:
        from ..usage import v1

        return v1.files({name for group in self.groups for name in group.controllers}, v1.TOLD)

    def usage_now(self) -> dict[str, Any]:
        """See `events.read_event`."""
        from ..usage import events

        tops = self._tops()
        if not tops:
            self._directory(self._members_group())  # raises
        return events.read_event(tops)

    def _look_at(self, group: Group) -> int:
        bits = LOOK_CPUSET if "cpuset" in group.controllers else 0
        return super()._look_at(group) | bits | (LOOK_FREEZER if "freezer" in group.controllers else 0)

    def _furnish(self, group: Group) -> None:
        if "cpuset" in group.controllers:
            guarded("fill", group, lambda: tree.visit(group, v1_files.fill_cpuset))

    def _remedy(self, setting: Setting, number: int) -> str:
        if setting.file == "memory.limit_in_bytes" and number == errno.EBUSY:
            used = tree.figure(self._directory(self.group("memory")), "memory.usage_in_bytes")
            return f"the container uses {used} bytes that cannot be reclaimed" if used else ""
        return ""

    def _members_group(self) -> Group:
        for name in _MEMBERS_IN:
            if self.available(name):
                return self.group(name)
        return self.groups[0]

    def _freezer(self, what: str) -> Group:
        if not self.available("freezer"):
            raise UnsupportedError(f"the container has no group in a freezer hierarchy, so it cannot be {what}")
        return self.group("freezer")

    def _tops(self) -> dict[str, int]:
        """Return controller -> the group's directory, for those that are there."""
        tops: dict[str, int] = {}
        for group in self.groups:
            fd = self._existing(group)
            if fd is not None:
                tops.update(dict.fromkeys(group.controllers, fd))
        return tops

    def watch(self) -> OomWatch | None:
        """Watch by an eventfd; None without a memory hierarchy."""
        from ..files.oom import OomWatch

        if not self.available("memory"):
            return None
        group = self.group("memory")
        return guarded("watch", group, lambda: OomWatch(self._directory(group)))

    def _kill(self, tops: list[int], signal: int, group: Group, wait: float) -> int:
        from ..files import members

        freezer_fd = self._existing(self.group("freezer")) if self.available("freezer") else None
        freezer_top = -1 if freezer_fd is None else freezer_fd
        return guarded(
            "kill", group, lambda: members.kill(tops, signal, group.path, freezer_top=freezer_top, wait=wait)
        )

    def _kill_in(self, groups: Sequence[Group]) -> None:
        """Kill what keeps these groups busy, which the usual list need not show: a process that left its freezer."""
        for group in groups:
            fd = self._existing(group)
            if fd is not None:
                self._kill([fd], 9, group, 0.0)
        self.close()
