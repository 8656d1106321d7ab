"""One execution of a plan: the host's side and the helper, what the interpreter does for them, and the way back."""

from __future__ import annotations

import os

from ..errors import HostError, OcirunError
from ..plan import encode
from ..plan.ops import HOST
from ..state import record as records
from ..state import store
from . import encoded, host_side, spawn
from .block_sigint import Held
from .encoded import Encoded
from .host_side import HostSide, SideHelper, Slots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ..cgroup.driver import Driver
    from ..plan.ops import Plan
    from ..state.record import Record
    from .trace import Trace


_HELPERS = (3, 10, 32, 104)  # ESRCH, ECHILD, EPIPE, ECONNRESET: on the socket they tell of the helper, and not of us


class Session:
    """The state of a running plan.

    plan, record, cgroup   what to do, for whom, with which cgroup driver
    undo                   what takes back what the interpreter has done, last first
    console                the terminal's master, kept for a foreground run, or -1
    notify                 the listening NOTIFY_SOCKET of the container, or None
    made                   bytes for arguments of operations, by name; some are made by host operations
    unknown_calls          names of system calls in the seccomp rules that this host does not know
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
        self.console = -1
        self.notify: Any = None
        self.cgroup_made = False
        # A file that other commands read; "": the record of the helper is memory.
        self.progress_name = "progress"
        self.sub_groups: dict[str, str] = {}
        self.stdio = (-1, -1, -1)
        self.trace: Trace | None = None
        self.encoder: encode.Encoder = encode.encode
        # Of a run that is one call.
        self.course: encode.Course | None = None
        # Asked while the helper is silent, see spawn.Helper.hear.
        self.idle: Callable[[spawn.Helper], bool] | None = None
        self._side: HostSide | None = None
        self._fds: Slots | None = None
        self._helper: SideHelper | None = None
        # What `restore` has beside the plan; and the process of hooks, where it is not the helper yet.
        self.restoration: Any = None
        self.hook_pid = 0

    @property
    def side(self) -> HostSide:
        """The host's side; made when it is asked for."""
        if self._side is None:
            made = self.encoded()
            self._side = side = HostSide(made.host, stamps=2 * len(self.plan.ops) if self.trace is not None else 0)
            native = side.native
            if made.init:
                native.init_plan, native.init_size = side.lend(made.init), len(made.init)
            native.stamps = made.stamps if self.trace is not None else 0
            if self.progress_name:
                native.names, native.names_size = side.lend(made.names), len(made.names)
            side.keep_descriptors(made.keep)
            native.inherited, native.fd_base, native.has_init = made.inherited, made.fd_base, made.has_init
            native.stdio = self.stdio
            native.idle = -1 if self.idle is None else spawn.IDLE
        return self._side

    def encoded(self) -> Encoded:
        """What the two sides are given."""
        return Encoded(self.plan, self.made, encoder=self.encoder, course=self.course)

    def whole_course(self) -> encode.Course:
        """What follows the start of a run that is one call."""
        return encoded.whole_course(self.plan, self.record, self.cgroup)

    def usage_from(self, texts: Sequence[str]) -> dict[str, int]:
        """What was used, from the texts of the files of `whole_course`."""
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

    def create(self) -> None:
        """Run the plan up to and including `ready`; on any failure everything is taken back.

        Raises StepError, HookError, HostError.
        """
        try:
            self.go_on()
            self.helper.settle()
            if self.restoration is None:
                self.side.commit()
        except BaseException as error:
            failure = self.fail(error)
            if failure is error:
                raise
            raise failure from None
        self.adopt_groups()
        self._close_fds()

    def fail(self, error: BaseException) -> BaseException:
        """Take everything back after a failed creation; what to tell the user."""
        self._let_go()
        try:
            return self.why(error)
        finally:
            self.take_back()

    @property
    def created(self) -> bool:
        """It was carried out up to `ready`."""
        return self._side is not None and bool(self._side.native.created)

    def start(self) -> None:
        """Let a helper of this session go on from `wait_start`, and wait until the program runs.

        Then come the host operations behind `execute` but hooks.  Raises StepError, HookError.
        """
        self.side.native.go = 1
        try:
            self.go_on()
        except BaseException as error:
            failure = self.why(error)
            if failure is error:
                raise
            raise failure from None

    def go_on(self) -> int:
        """Let the host's side run; do what it asks for.  Returns where it waits: DONE, READY, LATE, WAIT."""
        side = self.side
        while True:
            turn = side.run()
            if turn == host_side.ASK:
                self._ask(side.native.index)
            elif turn == host_side.ROOT:
                os.close(store.open_root(os.path.dirname(self.state_directory), create=True))
            elif turn == host_side.SILENT and self.idle is not None:
                if not self.idle(self.helper):
                    raise HelperEnded
            elif turn == host_side.ENDED:
                raise HelperEnded
            elif turn < 0:
                self._let_go()
                from . import host_failure

                raise host_failure.of(self, side.native.index, side.progress())
            elif turn != host_side.INTERRUPTED:  # the handler has run by now
                return turn

    def _let_go(self) -> None:
        """Give back what the way back does not need: what is left to do may need descriptors."""
        self.cgroup.close()
        # Network devices come back from there; with the helper dead, the last descriptor takes them along.
        self._close_fds(but="netns")

    def _close_fds(self, but: str = "") -> None:
        if self._side is not None:
            self._side.let_go()
        if self._fds is not None:
            self._fds.close_own(but)

    def adopt_groups(self) -> None:
        """Tell the driver and the record what the host's side has made."""
        if self._side is None or self._side.native.asked:
            return
        inodes = self._side.inodes(len(self.cgroup.groups))
        if any(inodes):
            self.cgroup.made(inodes)
            self.record.cgroup = self.cgroup.record()
        if self._side.native.start_time:
            self.record.pid, self.record.start_time = self._side.native.pid, self._side.native.start_time

    def _ask(self, index: int) -> None:
        """One operation that the interpreter does."""
        from . import host_operations

        op = self.plan.ops[index]
        try:
            if op.name == "host_hook":
                self.run_hook(index)
            else:
                host_operations.run(self, op.name, op.args)
        except (OSError, OcirunError) as error:
            self._let_go()
            from . import report

            raise report.host_error(op, index, error) from None

    def below(self, controller: str) -> str:
        """The group below the container's that is to be joined in a hierarchy, "" for the container's own."""
        return self.sub_groups.get(controller, "")

    def run_hook(self, index: int) -> None:
        """One hook of the runtime's namespaces."""
        from .hooks import hooks

        if self.progress_name and self._has_helper and self.helper.progress_fd >= 0:
            records.write_own(self.helper.progress_fd, self.side.native.stamps, index)
        pid = self.hook_pid or (self.helper.pid if self._has_helper else 0)
        hooks.run_of(self.record, self.plan.ops[index], index, pid)

    def hook_numbers(self, kind: str) -> list[int]:
        """The operations that are hooks of a kind."""
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

    def why(self, error: BaseException) -> BaseException:
        """What to tell the user: the helper's own account, if it is the one that stopped."""
        if not self._has_helper or not isinstance(error, (HelperEnded, HostError)):
            return error
        if isinstance(error, HostError) and (error.call not in ("sendmsg", "recvmsg") or error.errno not in _HELPERS):
            return error
        from . import report

        helper = self.helper
        self._adopt_late(helper)
        helper.close_sync()
        ended = spawn.end(helper.pidfd, grace=1.0)
        os.close(helper.pidfd)
        helper.pidfd = -1
        self.adopt_groups()
        oom = ended == -9 and self._out_of_memory()
        return report.from_plan(self.plan, helper.progress(), ended, oom=oom)

    def _out_of_memory(self) -> bool:
        """The kernel has killed in the container's cgroup for lack of memory."""
        try:
            return self.cgroup.usage().get("oom_kills", 0) > 0
        except HostError:
            return False

    def _adopt_late(self, helper: spawn.Helper) -> None:
        for index, op in enumerate(self.plan.ops):
            if op.name == "fork_init":
                helper.adopt_late(index)

    def _kill_helper(self) -> None:
        helper = self.helper
        self._adopt_late(helper)
        helper.close_sync()
        try:
            # In a frozen group of cgroup v1 a killed process lives until that is thawed.
            limit = 0.1 if self.cgroup.frozen() else spawn.DEATH
        except HostError:
            limit = spawn.DEATH
        try:
            if helper.pidfd >= 0:
                spawn.end(helper.pidfd, limit=limit)
            helper.settle(limit)
        finally:
            helper.close()

    def _end_trace(self) -> None:
        """Write the trace while the helper's stamps can still be read."""
        trace, self.trace = self.trace, None
        if trace is not None:
            trace.end(self.plan, self.helper if self._has_helper else None, self.side.progress())

    def remove_cgroup(self) -> None:
        """Kill what is left in the cgroup and remove what we made of it."""
        if self.cgroup.prepared:
            self.cgroup.kill(9, wait=5.0)
        self.cgroup.discard()

    def take_back(self) -> None:
        """Undo everything.  Each step is tried, whatever the others do; a second Ctrl-C waits for the end."""
        with Held():
            self._take_back()

    def _take_back(self) -> None:
        self.adopt_groups()
        self._let_go()
        self._end_trace()
        steps = self.undo
        if self._has_helper:
            steps.append(self._kill_helper)
        while steps:
            _try(steps.pop())
        if self._side is not None and self._side.take_back():
            # Groups that are busy for a moment longer, or with what a hook has left.
            _try(self.remove_cgroup)
            _try(lambda: store.remove_directory(self.state_directory))
        self._close_rest()
        self._free()

    def _free(self) -> None:
        side, self._side, self._helper = self._side, None, None
        if side is not None:
            side.free()

    def close(self) -> None:
        """Give up all descriptors; the container goes on."""
        if self._side is None:
            return
        self._end_trace()
        if self._has_helper:
            self.helper.settle()
        self._close_rest()
        self._free()

    def _close_rest(self) -> None:
        self.cgroup.close()
        if self._fds is not None:
            self._fds.close_own()
        if self.notify is not None:
            self.notify.close()
            self.notify = None
        if self.console >= 0:
            os.close(self.console)
            self.console = -1


def _try(step: Callable[[], None]) -> None:
    try:
        step()
    except (OSError, OcirunError):
        pass


class HelperEnded(Exception):
    """The helper closed its socket before its time."""
