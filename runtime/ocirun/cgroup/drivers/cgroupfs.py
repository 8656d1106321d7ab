"""What the drivers of cgroup v1 and v2 share: groups are directories, and settings are writes to files in them."""

from __future__ import annotations

import errno
import os
import time

from ...errors import HostError
from ..driver import Driver
from ..files import tree, v1_files
from ..files.v1_files import guarded
from ..paths import UNIFIED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...host.cgroups import Layout
    from ..paths import Group
    from ..settings.translation import Setting

# csrc/host/host.h, enum group_kind
LOOK_CPUSET, LOOK_FREEZER, LOOK_UNIFIED = 1, 2, 4
# Seconds for the undo of a failed create.
_DISCARD_LIMIT = 1.0
# Refused because of the present values; may pass once the other settings are written.
_DEPENDS_ON_OTHERS = (errno.EINVAL, errno.EBUSY)


class Cgroupfs(Driver):
    """The verbs on directories and files, as `Driver` describes them.

    join_file   the file of a group in which a process writes "0" to join
    """

    __slots__ = ("_fds", "_made", "_ready", "_taken")

    join_file = "cgroup.procs"

    def __init__(self, groups: Sequence[Group] = (), *, layout: Layout | None = None, devices: bool = False) -> None:
        super().__init__(groups, layout=layout, devices=devices)
        self._fds: dict[str, int] = {}
        self._made: list[Group] = []
        self._ready: set[str] = set()
        self._taken: list[tuple[Group, str]] = []

    def plain(self) -> list[tuple[str, str, tuple[int, int], int]]:
        """See `Driver.plain`: all of them, where their file systems are known."""
        if not all(group.device for group in self.groups):
            return []
        found = []
        for group in self.groups:
            major, _, minor = group.device.partition(":")
            found.append((group.name, group.path, (int(major), int(minor)), self._look_at(group)))
        return found

    def made(self, inodes: Sequence[int]) -> None:
        """See `Driver.made`."""
        there = [(group, inode) for group, inode in zip(self.groups, inodes, strict=True) if inode]
        self.checked, self.found = True, set()
        self._made = [group for group, _ in there]
        self.inodes = {group.name: inode for group, inode in there}
        self._ready = set(self.inodes)
        self.prepared = len(there) == len(self.groups)

    def check(self) -> None:
        """Refuse a group with processes, a frozen one, and one that cannot hold processes; remember which exist."""
        # Until they are looked at: what is refused must not be killed by the undo.
        self.found = {group.name for group in self.groups}
        for group in self.groups:
            if tree.look(group, self._refuse):
                self.found.discard(group.name)
        self.checked = True

    def _refuse(self, fd: int, group: Group, missing: Sequence[str]) -> None:
        """Raise HostError for a group that the container cannot have.

        fd, missing   as of `tree.open_nearest`
        """

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
        fd, made = guarded("make", group, lambda: tree.make_directory(group))
        self._fds[group.name] = fd
        if made:
            self._made.append(group)  # before anything can fail, so that it is taken back
            self.found.discard(group.name)
        self.inodes[group.name] = os.fstat(fd).st_ino
        if not made and not self.adopts and (not self.checked or group.name not in self.found):
            # It came between `check` and now.  Found first: what is refused must not be killed by the undo.
            self.found.add(group.name)
            v1_files.refuse_members(fd, group)
        if not made:
            self._take_over(fd, group)
        self._furnish(group)
        self._ready.add(group.name)
        self.prepared = len(self._ready) == len(self.groups)

    def write(self, controller: str, file: str, value: str, *, pointer: str = "") -> None:
        """Write one setting."""
        from ..settings.translation import Setting

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
                    # Device rules of v1 are the one kind whose order has a meaning.
                    if error.errno not in _DEPENDS_ON_OTHERS or setting.controller == "devices":
                        raise self._refused(setting, error) from error
                    first = first or error
                    again.append(setting)
            if first is not None and len(again) == len(left):
                raise self._refused(again[0], first) from first
            left = again

    def read(self, controller: str, file: str) -> str:
        """Return what a file of the group says."""
        group = self.group(controller)
        return guarded(f"read {file} of", group, lambda: tree.read_file(self._directory(group), file))

    def available(self, controller: str, file: str = "") -> bool:
        """See `Driver.available`; a driver from a record asks the group itself."""
        if not super().available(controller, file):
            return False
        if not file or self._layout is not None:
            return True
        fd = self._existing(self.group(controller))
        return fd is None or tree.has(fd, file)

    def open_join(self, name: str, below: str = "") -> int:
        """Return the file of one group in which a process writes "0" to join."""
        group = self.group(name)
        file = "cgroup.procs" if name == UNIFIED else self.join_file
        flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        if not below:
            return guarded("join", group, lambda: os.open(file, flags, dir_fd=self._directory(group)))
        top = self._directory(group)
        return guarded(f"join {below} of", group, lambda: tree.open_below(top, below, file, flags))

    def _open_directory(self, group: Group, below: str) -> int:
        """Return a group's directory, or that of one below it; the caller closes it."""
        top = self._directory(group)
        if not below:
            return os.dup(top)
        return guarded(f"join {below} of", group, lambda: tree.open_below(top, below, ".", tree.DIRECTORY))

    def follow(self, pid: int) -> str:
        """Take the groups in which a process is for those that are gone."""
        gone = [group for group in self.groups if self._existing(group) is None]
        if not gone:
            return ""
        from ..files import moved

        for group, there in zip(gone, moved.places(gone, pid), strict=True):
            self.groups[self.groups.index(group)] = there
            self.inodes.pop(group.name, None)
        return moved.WHY

    def place(self, pid: int, below: str = "") -> None:
        """Move a process with all its threads into every group."""
        del below
        for group in self.groups:
            self.write(group.name, "cgroup.procs", str(pid))

    def discard(self) -> None:
        """Remove what this object made, if it is empty or will be at once; groups that were found stay."""
        try:
            self._remove(self._made, kill=False, limit=_DISCARD_LIMIT)
        except HostError:
            pass
        self._give_back()
        self._made = []
        self._ready.clear()
        self.prepared = False

    def _give_back(self) -> None:
        """Say in the groups that were taken over who had them before."""
        for group, before in self._taken:
            try:
                fd = self._directory(group)
                guarded("give back", group, lambda fd=fd, before=before: v1_files.set_mark(fd, before))  # type: ignore[misc]
            except HostError:
                continue
        self._taken = []
        self.close()

    def remove(self, *, kill: bool = False, limit: float = 5.0) -> None:
        """Remove our groups and all below them; see `Driver.remove`."""
        left = self._remove([group for group in self.groups if self._is_ours(group)], kill=kill, limit=limit)
        if left:
            raise self._busy(left[0])

    def _remove(self, groups: Sequence[Group], *, kill: bool, limit: float) -> list[Group]:
        """Remove groups until `limit` seconds are over; returns those that are left."""
        self.close()
        deadline, pause = time.monotonic() + limit, 0.001
        left = list(groups)
        while left := [group for group in left if not v1_files.remove(group)]:
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
        if self.prepared:
            there = self._existing(group) is not None
            self.close()  # one after the other, as there may be few descriptors
            return there
        # Saved before `prepare`, and the process died in it: a group that was there before may have got a
        # new owner since.
        return group.name not in self.found

    def _existing(self, group: Group) -> int | None:
        """Return the group's directory, held open; None where it is gone, or another one has its path."""
        fd = self._fds.get(group.name)
        if fd is None:
            fd = tree.open_group(group)
            if fd is not None:
                same = False
                try:
                    same = self._is_same(fd, group)
                finally:
                    if not same:
                        os.close(fd)
                fd = fd if same else None
            if fd is not None:
                self._fds[group.name] = fd
        return fd

    def _is_same(self, fd: int, group: Group) -> bool:
        """Return whether the group was made or taken over for this container, and nobody has taken it over since."""
        inode = self.inodes.get(group.name, 0)
        if not inode:
            return tree.has(fd, "cgroup.procs")
        if os.fstat(fd).st_ino != inode:
            return False
        return guarded("look at", group, lambda: v1_files.mark(fd)) in ("", self.mark)

    def _take_over(self, fd: int, group: Group) -> None:
        """Say in a group that was there before that it is ours now: whoever had it before must leave it alone."""
        self.mark = self.mark or os.urandom(8).hex()
        before = guarded("take over", group, lambda: v1_files.mark(fd))
        if guarded("take over", group, lambda: v1_files.set_mark(fd, self.mark)):
            self._taken.append((group, before))

    def _directory(self, group: Group) -> int:
        fd = self._existing(group)
        if fd is None:
            raise HostError(
                f"the container's cgroup {group.path} is gone",
                call="openat",
                errno=errno.ENOENT,
                remedy="its processes may have moved to another one, which is not the container's alone: see "
                "/proc/PID/cgroup",
            )
        return fd

    def _write(self, controller: str, file: str, value: str) -> None:
        tree.write_file(self._directory(self.group(controller)), file, value)

    def refused(self, controller: str, file: str, value: str, error: OSError) -> HostError:
        """See `Driver.refused`."""
        from ..settings.translation import Setting

        return self._refused(Setting(controller, file, value, ""), error)

    def _refused(self, setting: Setting, error: OSError) -> HostError:
        group, number = self.group(setting.controller), error.errno or 0
        remedy = self._remedy(setting, number)
        what = f"cannot write {setting.value!a} to {group.path}/{setting.file}"
        return HostError(
            f"cgroup {group.name}: {what}: {v1_files.words(number)}",
            pointer=setting.pointer,
            call="write",
            errno=number,
            remedy=remedy,
        )

    def _busy(self, group: Group) -> HostError:
        fd = self._existing(group)
        count = 0
        if fd is not None:
            from ..files import members

            count = len(members.pids([fd]))
        self.close()
        what = f"{count} processes are still in it" if count else "the kernel keeps it busy"
        return HostError(f"cgroup {group.path} cannot be removed: {what}", call="rmdir", errno=errno.EBUSY)

    # What differs.

    def _look_at(self, group: Group) -> int:
        """Return what is to be looked at besides, before the group is made: bits of LOOK_."""
        return LOOK_UNIFIED if group.name == UNIFIED else 0

    def _furnish(self, group: Group) -> None:
        """Do what a new group needs before a process can join."""

    def _kill_in(self, groups: Sequence[Group]) -> None:
        """Kill what keeps these groups busy."""
        raise NotImplementedError

    def _remedy(self, setting: Setting, number: int) -> str:
        """Return what may help where the kernel refused a setting with this errno, or ""."""
        del setting, number
        return ""
