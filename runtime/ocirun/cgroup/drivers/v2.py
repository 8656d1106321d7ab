"""The driver for cgroup v2: one directory.  File access only; what to write comes from translate.

Source: Documentation/admin-guide/cgroup-v2.rst of the kernel.
"""

from __future__ import annotations

import errno
import os

from ...errors import HostError
from .. import paths
from ..driver import V2
from ..files import tree, v1_files, v2_files, v2_joining
from ..files.v1_files import guarded
from .cgroupfs import Cgroupfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ...host.cgroups import Layout
    from ..files.oom import EventsWatch
    from ..paths import Group

_SIGKILL = 9


class V2Driver(Cgroupfs):
    """A container's group in the v2 hierarchy; the verbs are described in `Driver`."""

    __slots__ = ("enabling",)

    kind = V2
    clones = True

    def __init__(
        self,
        groups: Sequence[Group] = (),
        *,
        layout: Layout | None = None,
        devices: bool = False,
        enabling: Sequence[tuple[str, list[str]]] = (),
    ) -> None:
        super().__init__(groups, layout=layout, devices=devices)
        self.enabling = list(enabling)

    def _refuse(self, fd: int, group: Group, missing: Sequence[str]) -> None:
        if not missing and not self.adopts:
            v1_files.refuse_members(fd, group)
        v2_joining.refuse_unusable(fd, group, missing)

    def enable(self, path: str, controllers: Sequence[str], others: Sequence[str]) -> None:
        """Switch controllers on for the groups below a group above ours.

        path          one of `enabling`
        controllers   needed for limits; HostError where the kernel refuses
        others        for statistics; left out where the kernel refuses
        """
        (group,) = self.groups
        above = paths.Group(group.controllers, group.mount, group.device, path[len(group.mount) :].strip("/"))
        fd = tree.open_mount(above) if not above.below else tree.open_group(above)
        if fd is None:
            raise HostError(f"cgroup {path} is gone", call="openat", errno=errno.ENOENT, pointer=paths.POINTER)
        try:
            v2_files.enable(fd, path, controllers, others)
        finally:
            os.close(fd)

    def available(self, controller: str, file: str = "") -> bool:
        """See `Driver.available`; a driver from a record asks the group itself."""
        if not super().available(controller, file):
            return False
        if self._layout is not None or controller == paths.UNIFIED:
            return True
        fd = self._existing(self.group(controller))
        return fd is None or controller in tree.read_file(fd, "cgroup.controllers").split()

    def open_directory(self, below: str = "") -> int:
        """Return the group's directory, or one below it, for CLONE_INTO_CGROUP; the caller closes it."""
        return self._open_directory(self.groups[0], below)

    def home(self, pid: int) -> tuple[str, str]:
        """See `v2_group.home`."""
        (group,) = self.groups
        return v2_joining.home(self._existing(group), group, pid)

    def filter_devices(self, rules: str) -> None:
        """Hold every process of the group to these rules, as `device_filter.text` writes them.  Raises HostError."""
        from ..files import device_filter

        (group,) = self.groups
        fd = self._directory(group)
        device_filter.attach(fd, device_filter.assemble(rules), group.path)

    def give(self, uid: int, files: Sequence[str], below: str = "") -> None:
        """Make a user of the host the owner of the group, or of one below, and of these of its files that exist."""
        (group,) = self.groups
        fd = self._open_directory(group, below)
        try:
            guarded("give away", group, lambda: v2_files.give(fd, uid, files))
        finally:
            os.close(fd)

    def make_below(self, below: str) -> None:
        """Make a group below, or take one that is there; it goes with the group."""
        (group,) = self.groups
        top = self._directory(group)
        guarded("make a group below", group, lambda: tree.make_below(top, below))

    def place(self, pid: int, below: str = "") -> None:
        """Move a process with all its threads into the group, or into one below."""
        if not below:
            super().place(pid)
            return
        (group,) = self.groups
        fd = self._open_directory(group, below)
        try:
            guarded(f"place a process in {below} of", group, lambda: tree.write_file(fd, "cgroup.procs", str(pid)))
        finally:
            os.close(fd)

    def freeze(self) -> None:
        """Stop every process of the group and below."""
        (group,) = self.groups
        v2_files.freeze(self._directory(group), group.path)

    def thaw(self) -> None:
        """Let the processes go on; HostError where a group above keeps them frozen."""
        (group,) = self.groups
        v2_files.thaw(self._directory(group), group.path)

    def frozen(self) -> bool:
        """Return whether the group is frozen or on the way there, by itself or one above."""
        (group,) = self.groups
        fd = self._existing(group)
        return fd is not None and guarded("read", group, lambda: v2_files.frozen(fd))

    def kill(self, signal: int, *, wait: float = 0.0) -> int:
        """Send SIGKILL by ``cgroup.kill``, which no fork escapes and a frozen process feels; else one by one."""
        from ..files import members

        (group,) = self.groups
        fd = self._existing(group) if self.prepared else None
        if fd is None:
            return 0
        if signal != _SIGKILL:
            return guarded("kill", group, lambda: members.kill([fd], signal, group.path))
        count = len(self.pids())
        guarded("kill", group, lambda: v2_files.kill(fd))
        if wait:
            guarded("kill", group, lambda: v2_files.wait_empty(fd, group.path, wait))
        return count

    def pids(self) -> list[int]:
        """Return the processes of the group and of those below."""
        from ..files import members

        (group,) = self.groups
        fd = self._existing(group)
        return [] if fd is None else guarded("list", group, lambda: members.pids([fd]))

    def usage(self) -> dict[str, int]:
        """See `usage.v2`."""
        from ..usage import v2

        fd = self._existing(self.groups[0])
        return {} if fd is None else v2.usage(fd)

    def processor_file(self) -> str:
        """See `Driver.processor_file`; the kernel counts for every group, with the controller or without."""
        return f"{self.groups[0].path}/cpu.stat"

    def usage_files(self) -> list[str]:
        """See `Driver.usage_files`."""
        from ..usage import v2

        return [word for file in v2.TOLD_FILES for word in (self.groups[0].path, file)]

    def usage_from(self, texts: Sequence[str]) -> dict[str, int]:
        """See `Driver.usage_from`."""
        from ..usage import v2

        return v2.usage_from(dict(zip(v2.TOLD_FILES, texts, strict=True)))

    def usage_now(self) -> dict[str, Any]:
        """See `usage.v2`."""
        from ..usage import v2

        return v2.usage_now(self._directory(self.groups[0]))

    def watch(self) -> EventsWatch | None:
        """Watch by ``memory.events``; None without the memory controller."""
        from ..files.oom import EventsWatch

        if not self.available("memory"):
            return None
        (group,) = self.groups
        return guarded("watch", group, lambda: EventsWatch(self._directory(group)))

    def _kill_in(self, groups: Sequence[Group]) -> None:
        for group in groups:
            fd = self._existing(group)
            if fd is not None:
                v2_files.kill(fd)
        self.close()
