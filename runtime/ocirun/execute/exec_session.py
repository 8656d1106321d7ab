"""The course of one more process in a container: what is made and taken back is its own group, not the container's."""

from __future__ import annotations

from _signal import SIGKILL

from .session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..cgroup.driver import Driver
    from ..plan import encode
    from ..plan.ops import Plan
    from ..state.record import Record


class ExecSession(Session):
    """A session with the container's cgroup, and in it perhaps a group of its own.

    own   the driver of that, None where there is none
    """

    def __init__(self, plan: Plan, record: Record, cgroup: Driver, directory: int, own: Driver | None) -> None:
        """Take what is to be carried out; see `Context`."""
        super().__init__(plan, record, cgroup, directory)
        self.own = own
        # A process has its record in memory, and no file that others read.
        self.progress_name = ""

    def driver_at(self, path: str) -> Driver:
        """See `Context.driver_at`."""
        if self.own is not None and any(group.path == path for group in self.own.groups):
            return self.own
        return self.cgroup

    def make_groups(self) -> None:
        """Make the groups of its own; the container's record does not tell of them."""
        if self.own is None:
            return
        self.undo.append(self.remove_cgroup)
        self.own.check()
        self.own.prepare()

    def adopt_groups(self) -> None:
        """Tell the driver what the host's side has made."""
        if self.own is None or self._side is None or self._side.native.asked:
            return
        inodes = self._side.inodes(len(self.own.groups))
        if any(inodes):
            self.own.made(inodes)

    def remove_cgroup(self) -> None:
        """Kill what is left in the groups of its own, and remove them."""
        if self.own is not None:
            if self.own.prepared:
                self.own.kill(SIGKILL, wait=5.0)
            self.own.discard()

    def plan_after_start(self) -> encode.AfterStart:
        """See `Context.plan_after_start`: the group goes, the container stays."""
        from ..plan import encode

        if self.own is None:
            return encode.AfterStart()
        return encode.AfterStart(self.own.usage_files(), processor=self.own.processor_file(), removes=True)

    def usage_from(self, texts: Sequence[str]) -> dict[str, int]:
        """See `Context.usage_from`."""
        return {} if self.own is None else self.own.usage_from(texts)

    def _remove_left(self) -> None:
        self.remove_cgroup()

    def _close_rest(self) -> None:
        if self.own is not None:
            self.own.close()
        super()._close_rest()

    def groups(self) -> Driver:
        """See `Session.groups`."""
        return self.own or self.cgroup
