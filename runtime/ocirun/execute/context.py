"""What the operations of a plan work with: its record and cgroup, the host's side, the helper, what takes back."""

from __future__ import annotations

from _signal import SIGKILL

from ..errors import HostError
from ..plan import encode
from ..plan.ops import HOST
from ..state import record as records
from . import encoded, spawn
from .encoded import Encoded
from .host_side import HostSide, SideHelper, Slots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from ..cgroup.driver import Driver
    from ..plan.ops import Plan
    from ..state.record import Record
    from .options import Witness
    from .seccomp.learning import Learning


class Context:
    """A plan that is carried out.

    plan, record, cgroup   what to do, for whom, with which cgroup driver
    undo                   what takes back what the interpreter has done, last first
    console                the terminal's master, kept for a foreground run, or -1
    taken                  a copy in memory of a file of the container, or -1
    notify                 the listening NOTIFY_SOCKET of the container, or None
    made                   bytes for arguments of operations, by name; some are made by host operations
    unknown_calls          names of system calls in the seccomp rules that this host does not know
    witnesses              are told of its end, with the time of each operation
    side                   the host's side
    """

    def __init__(self, plan: Plan, record: Record, cgroup: Driver, directory: int = -1) -> None:
        """Take what is to be carried out; nothing is done yet.

        directory   of the container's state, where it is there already
        """
        self.plan = plan
        self.record = record
        self.cgroup = cgroup
        self._begin(directory)

    def _begin(self, directory: int = -1) -> None:
        self._directory = directory
        self.made: dict[str, bytes] = {}
        self.unknown_calls: list[str] = []
        self.undo: list[Callable[[], None]] = []
        self.console = self.taken = -1
        self.notify: Any = None
        self.cgroup_made = False
        # A file that other commands read; "": the record of the helper is memory.
        self.progress_name = "progress"
        self.sub_groups: dict[str, str] = {}
        self.stdio = (-1, -1, -1)
        self.witnesses: list[Witness] = []
        self.encoder: encode.Encoder = encode.encode
        # Of a run that is one call.
        self.after_start: encode.AfterStart | None = None
        # Asked while the helper is silent, see spawn.Helper.hear.
        self.idle: Callable[[spawn.Helper], bool] | None = None
        self._side: HostSide | None = None
        self._fds: Slots | None = None
        self._helper: SideHelper | None = None
        # What `restore` has beside the plan; and the process of hooks, where it is not the helper yet.
        self.restoration: Any = None
        # Of a learning run: what is found out, and the profile that it begins with.
        self.learning: Learning | None = None
        self.profile: Mapping[str, Any] | None = None
        self.hook_pid = 0

    @property
    def side(self) -> HostSide:
        """The host's side; made when it is asked for."""
        if self._side is None:
            made = self.encoded()
            self._side = side = HostSide(made.host, stamps=2 * len(self.plan.ops) if self.witnesses else 0)
            native = side.native
            if made.init:
                native.init_plan, native.init_size = side.lend(made.init), len(made.init)
            native.stamps = made.stamps if self.witnesses else 0
            if self.progress_name:
                native.names, native.names_size = side.lend(made.names), len(made.names)
            side.keep_descriptors(made.keep)
            native.inherited, native.fd_base, native.has_init = made.inherited, made.fd_base, made.has_init
            native.stdio = self.stdio
            native.idle = -1 if self.idle is None else spawn.IDLE
        return self._side

    def encoded(self) -> Encoded:
        """Return what the two sides are given."""
        return Encoded(self.plan, self.made, encoder=self.encoder, after_start=self.after_start)

    def plan_after_start(self) -> encode.AfterStart:
        """Return what follows the start of a run that is one call."""
        return encoded.plan_after_start(self.plan, self.record, self.cgroup)

    def usage_from(self, texts: Sequence[str]) -> dict[str, int]:
        """Return what was used, from the texts of the files of `whole_course`."""
        return self.cgroup.usage_from(texts)

    def give_plan(self) -> None:
        """Encode the helper's side, once all that it refers to is made."""
        content = self.encoder(self.plan, self.made)
        self.side.native.init_plan, self.side.native.init_size = self.side.lend(content), len(content)

    @property
    def fds(self) -> Slots:
        """Descriptors for the helper's inherited slots, by name, and some of the runtime's own."""
        self._fds = self._fds or Slots(self.plan.slots, self.side)
        return self._fds

    @property
    def state_directory(self) -> str:
        """The path of the container's state directory."""
        return str(self.plan.ops[0].args["directory"])

    @property
    def directory(self) -> int:
        """Descriptor of the container's state directory."""
        return self._directory if self._directory >= 0 else self.side.native.directory

    @property
    def helper(self) -> spawn.Helper:
        """The helper; only after `spawn`."""
        if self._helper is None:
            if self._side is None or self._side.native.pid <= 0:
                raise HostError("internal: the helper is not started")
            self._helper = SideHelper(self._side)
        return self._helper

    @property
    def _has_helper(self) -> bool:
        return self._side is not None and self._side.native.pid > 0

    @property
    def created(self) -> bool:
        """It was carried out up to `ready`."""
        return self._side is not None and bool(self._side.native.created)

    def driver_at(self, path: str) -> Driver:
        """Return the driver of the group with this path."""
        del path
        return self.cgroup

    def make_groups(self) -> None:
        """Make all groups of the driver, once what is there of them is recorded."""
        self.undo.append(self.remove_cgroup)
        self.cgroup.check()
        self.record.cgroup = self.cgroup.record()
        self.record.save(self.directory)
        self.cgroup.prepare()

    def below(self, controller: str) -> str:
        """Return the group below the container's that is to be joined in a hierarchy, "" for the container's own."""
        return self.sub_groups.get(controller, "")

    def run_hook(self, index: int) -> None:
        """Run one hook of the runtime's namespaces."""
        from .hooks import hooks

        if self.progress_name and self._has_helper and self.helper.progress_fd >= 0:
            records.write_own(self.helper.progress_fd, self.side.native.stamps, index)
        pid = self.hook_pid or (self.helper.pid if self._has_helper else 0)
        hooks.run_of(self.record, self.plan.ops[index], index, pid, self.learning)

    def hook_numbers(self, kind: str) -> list[int]:
        """Return the operations that are hooks of a kind."""
        return [
            index
            for index, op in enumerate(self.plan.ops)
            if op.actor == HOST and op.name == "host_hook" and op.args["kind"] == kind
        ]

    def save_process(self) -> None:
        """Write the init process into the record."""
        self.record.pid = self.helper.pid
        self.record.cgroup = self.cgroup.record()
        _, self.record.start_time = records.process_stat(self.helper.pid)
        self.record.save(self.directory)

    def remove_cgroup(self) -> None:
        """Kill what is left in the cgroup and remove what we made of it."""
        if self.cgroup.prepared:
            self.cgroup.kill(SIGKILL, wait=5.0)
        self.cgroup.discard()
