"""The driver for cgroup v1: one directory in each hierarchy.  File access only; what to write comes from translate.

Sources: cgroups(7), Documentation/admin-guide/cgroup-v1/ of the kernel.
"""

from __future__ import annotations

import errno
import os
import time

from ..errors import HostError, UnsupportedError
from . import group_steps, tree
from .driver import V1, Driver
from .group_steps import guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..host.cgroups import Layout
    from .oom import OomWatch
    from .place import Group
    from .translate import Setting

# The hierarchy whose lists of processes are believed, best first: a process cannot hide from its freezer.
_MEMBERS_IN = ("freezer", "pids", "devices", "memory", "cpuacct")
# Seconds for the undo of a failed create.
_DISCARD_LIMIT = 1.0
# Refused because of the present values; may pass once the other settings are written.
_DEPENDS_ON_OTHERS = (errno.EINVAL, errno.EBUSY)


class V1Driver(Driver):
    """A container's groups in the v1 hierarchies; the verbs are described in `Driver`."""

    __slots__ = ("_fds", "_made", "_ready")

    kind = V1
    joins = True
    refuses = True

    def __init__(self, groups: Sequence[Group] = (), *, layout: Layout | None = None, devices: bool = False) -> None:
        super().__init__(groups, layout=layout, devices=devices)
        self._fds: dict[str, int] = {}
        self._made: list[Group] = []
        self._ready: set[str] = set()

    def check(self) -> None:
        """Refuse a group with processes or one that would be frozen; remember which exist already."""
        self.found = {group.name for group in self.groups}
        for group in self.groups:
            fd, missing = tree.open_nearest(group)
            try:
                if not missing:
                    group_steps.refuse_members(fd, group)
                else:
                    self.found.discard(group.name)
                if "freezer" in group.controllers:
                    group_steps.refuse_frozen(fd, group, missing)
            finally:
                os.close(fd)
        self.checked = True

    def prepare(self) -> int | None:
        """Make all directories, or none."""
        try:
            return super().prepare()
        except BaseException:
            self.discard()
            raise

    def make(self, name: str) -> None:
        """Make one directory, or take over an empty one."""
        group = self.group(name)
        fd, made = guarded("make", group, lambda: tree.make(group))
        self._fds[group.name] = fd
        if made:
            self._made.append(group)
            self.found.discard(group.name)
        elif not self.adopts and (not self.checked or group.name not in self.found):
            # It came between `check` and now.  Found first: what is refused must not be killed by the undo.
            self.found.add(group.name)
            group_steps.refuse_members(fd, group)
        if "cpuset" in group.controllers:
            guarded("fill", group, lambda: tree.visit(group, group_steps.fill_cpuset))
        self._ready.add(group.name)
        self.prepared = len(self._ready) == len(self.groups)

    def write(self, controller: str, file: str, value: str, *, pointer: str = "") -> None:
        """Write one setting."""
        from .translate import Setting

        self.apply((Setting(controller, file, value, pointer),))

    def apply(self, settings: Sequence[Setting]) -> None:
        """Write settings; one that the kernel refuses is written again after the others.

        Limits hold each other: memory below memory+swap, quota against period
        and against the quota above.  Which has to go first depends on the old
        values, so the order is found by trying.
        """
        left = list(settings)
        while left:
            again: list[Setting] = []
            first: OSError | None = None
            for setting in left:
                try:
                    self._write(setting.controller, setting.file, setting.value)
                except OSError as error:
                    # Device rules are the one kind whose order has a meaning.
                    if error.errno not in _DEPENDS_ON_OTHERS or setting.controller == "devices":
                        raise self._refused(setting, error) from error
                    first = first or error
                    again.append(setting)
            if first is not None and len(again) == len(left):
                raise self._refused(again[0], first) from first
            left = again

    def read(self, controller: str, file: str) -> str:
        """What a file of the group says."""
        group = self.group(controller)
        return guarded(f"read {file} of", group, lambda: tree.read(self._directory(group), file))

    def available(self, controller: str, file: str = "") -> bool:
        """As `Driver.available`; a driver from a record asks the group itself."""
        if not super().available(controller, file):
            return False
        if not file or self._layout is not None:
            return True
        fd = self._existing(self.group(controller))
        return fd is None or tree.has(fd, file)

    def open_join(self, name: str, below: str = "") -> int:
        """The ``tasks`` file of one group: a thread that writes "0" moves itself.

        Unlike a write to ``cgroup.procs`` this takes no lock on all thread
        groups and waits for no RCU grace period.
        """
        group = self.group(name)
        flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        if not below:
            return guarded("join", group, lambda: os.open("tasks", flags, dir_fd=self._directory(group)))
        top = self._directory(group)
        return guarded(f"join {below} of", group, lambda: tree.open_below(top, below, "tasks", flags))

    def place(self, pid: int) -> None:
        """Move a process with all its threads into every group."""
        for group in self.groups:
            self.write(group.name, "cgroup.procs", str(pid))

    def freeze(self) -> None:
        """Stop every process, by the freezer."""
        from . import freezer

        group = self._freezer("paused")
        freezer.freeze(self._directory(group), group.path)

    def thaw(self) -> None:
        """Let the processes go on; HostError where a group above keeps them frozen."""
        from . import freezer

        group = self._freezer("resumed")
        fd = self._directory(group)
        if not guarded("thaw", group, lambda: freezer.thaw(fd)):
            above = freezer.frozen_ancestor(fd, group.path) or "a group above"
            raise HostError(f"cgroup {group.path} stays frozen, since {above} is", call="write", errno=errno.EBUSY)

    def frozen(self) -> bool:
        """The freezer's state is anything but THAWED; False where the group is gone."""
        from . import freezer

        if not self.available("freezer"):
            return False
        group = self.group("freezer")
        fd = self._existing(group)
        return fd is not None and guarded("read", group, lambda: freezer.state(fd)) in ("FROZEN", "FREEZING")

    def kill(self, signal: int, *, wait: float = 0.0) -> int:
        """Signal every process, also those of groups that the container made below ours."""
        group = self._members_group()
        fd = self._existing(group) if self._is_ours(group) else None
        if fd is None:
            return 0
        return self._kill([fd], signal, group, wait)

    def pids(self) -> list[int]:
        """The processes, as the freezer hierarchy lists them."""
        from . import members

        group = self._members_group()
        fd = self._existing(group)
        return [] if fd is None else guarded("list", group, lambda: members.pids([fd]))

    def usage(self) -> dict[str, int]:
        """See `usage.read`."""
        from . import usage

        return usage.read(self._tops())

    def statistics(self) -> dict[str, Any]:
        """See `statistics.read`."""
        from . import statistics

        return statistics.read(self._tops())

    def watch(self) -> OomWatch | None:
        """By an eventfd; None without a memory hierarchy."""
        from .oom import OomWatch

        if not self.available("memory"):
            return None
        group = self.group("memory")
        return guarded("watch", group, lambda: OomWatch(self._directory(group)))

    def remove(self, *, kill: bool = False, limit: float = 5.0) -> None:
        """Remove our groups and all below them; see `Driver.remove`."""
        left = self._remove([group for group in self.groups if self._is_ours(group)], kill=kill, limit=limit)
        if left:
            raise self._busy(left[0])

    def discard(self) -> None:
        """Remove what this object made, if it is empty or will be at once; groups that were found stay."""
        try:
            self._remove(self._made, kill=False, limit=_DISCARD_LIMIT)
        except HostError:
            pass
        self._made = []
        self._ready.clear()
        self.prepared = False

    def _remove(self, groups: Sequence[Group], *, kill: bool, limit: float) -> list[Group]:
        """Remove groups until `limit` seconds are over; returns those that are left."""
        self.close()
        deadline, pause = time.monotonic() + limit, 0.001
        left = list(groups)
        while left := [group for group in left if not group_steps.remove(group)]:
            if kill:
                self._kill_in(left)
            if time.monotonic() > deadline:
                break
            time.sleep(pause)
            pause = min(pause * 2, 0.1)
        return left

    def close(self) -> None:
        """Close the directories that are held open."""
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()

    def _is_ours(self, group: Group) -> bool:
        # Saved before `prepare`, and the process died in it: a group that was there before may have got a
        # new owner since.
        return self.prepared or group.name not in self.found

    def _members_group(self) -> Group:
        for name in _MEMBERS_IN:
            if self.available(name):
                return self.group(name)
        return self.groups[0]

    def _freezer(self, what: str) -> Group:
        if not self.available("freezer"):
            raise UnsupportedError(f"the container has no group in a freezer hierarchy, so it cannot be {what}")
        return self.group("freezer")

    def _existing(self, group: Group) -> int | None:
        """The group's directory, held open; None where it is gone."""
        fd = self._fds.get(group.name)
        if fd is None:
            fd = tree.open_group(group)
            if fd is not None:
                self._fds[group.name] = fd
        return fd

    def _tops(self) -> dict[str, int]:
        """Controller -> the group's directory, for those that are there."""
        tops: dict[str, int] = {}
        for group in self.groups:
            fd = self._existing(group)
            if fd is not None:
                tops.update(dict.fromkeys(group.controllers, fd))
        return tops

    def _directory(self, group: Group) -> int:
        fd = self._existing(group)
        if fd is None:
            raise HostError(f"the container's cgroup {group.path} is gone", call="openat", errno=errno.ENOENT)
        return fd

    def _write(self, controller: str, file: str, value: str) -> None:
        tree.write(self._directory(self.group(controller)), file, value)

    def _refused(self, setting: Setting, error: OSError) -> HostError:
        group, number, remedy = self.group(setting.controller), error.errno or 0, ""
        if setting.file == "memory.limit_in_bytes" and number == errno.EBUSY:
            try:
                used = tree.read(self._directory(group), "memory.usage_in_bytes")
                remedy = f"the container uses {used} bytes that cannot be reclaimed"
            except OSError:
                pass
        what = f"cannot write {setting.value!a} to {group.path}/{setting.file}"
        return HostError(
            f"cgroup {group.name}: {what}: {group_steps.words(number)}",
            pointer=setting.pointer,
            call="write",
            errno=number,
            remedy=remedy,
        )

    def _kill(self, tops: list[int], signal: int, group: Group, wait: float) -> int:
        from . import members

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

    def _busy(self, group: Group) -> HostError:
        fd = self._existing(group)
        count = 0
        if fd is not None:
            from . import members

            count = len(members.pids([fd]))
        self.close()
        what = f"{count} processes are still in it" if count else "the kernel keeps it busy"
        return HostError(f"cgroup {group.path} cannot be removed: {what}", call="rmdir", errno=errno.EBUSY)
