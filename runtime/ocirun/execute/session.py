"""One execution of a plan: the host's side and the helper, what the interpreter does for them, and the way back."""

from __future__ import annotations

import os
from _signal import SIGKILL
from errno import ECHILD, ECONNRESET, EPIPE, ESRCH

from ..errors import HostError, OcirunError
from ..state import store
from . import host_side, spawn
from .block_sigint import BlockSigint
from .context import Context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..cgroup.driver import Driver

# On the socket they tell of the helper, and not of us.
_HELPERS = (ESRCH, ECHILD, EPIPE, ECONNRESET)


class Session(Context):
    """The course of a plan: carried out, taken back, given up."""

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
        """Carry out one operation that the interpreter does."""
        from . import host_operations

        op = self.plan.ops[index]
        try:
            if op.name == "host_hook":
                self.run_hook(index)
            else:
                host_operations.run_operation(self, op.name, op.args)
        except (OSError, OcirunError) as error:
            self._let_go()
            from . import report

            raise report.host_error(op, index, error) from None

    def why(self, error: BaseException) -> BaseException:
        """Return what to tell the user: the helper's own account, if it is the one that stopped."""
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
        oom = ended == -SIGKILL and self._out_of_memory()
        return report.from_plan(self.plan, helper.progress(), ended, oom=oom)

    def _out_of_memory(self) -> bool:
        """Return whether the kernel has killed in the cgroup for lack of memory."""
        try:
            return self.groups().usage().get("oom_kills", 0) > 0
        except HostError:
            return False

    def groups(self) -> Driver:
        """Return the driver of the groups that are this session's."""
        return self.cgroup

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

    def _tell_witnesses(self) -> None:
        """Tell the witnesses of the end while the helper's stamps can still be read."""
        witnesses, self.witnesses = self.witnesses, []
        for witness in witnesses:
            helper = self.helper if self._has_helper else None
            witness.end(self.plan, helper, self.side.progress(), self.record.container_id)

    def take_back(self) -> None:
        """Undo everything.  Each step is tried, whatever the others do; a second Ctrl-C waits for the end."""
        with BlockSigint():
            self._take_back()

    def _take_back(self) -> None:
        self.adopt_groups()
        self._let_go()
        self._tell_witnesses()
        steps = self.undo
        if self._has_helper:
            steps.append(self._kill_helper)
        while steps:
            _try(steps.pop())
        if self._side is not None and self._side.take_back():
            # Groups that are busy for a moment longer, or with what a hook has left.
            _try(self._remove_left)
        self._close_rest()
        self._free()

    def _remove_left(self) -> None:
        """Remove what the host's side could not."""
        _try(self.remove_cgroup)
        store.remove_directory(self.state_directory)

    def _free(self) -> None:
        side, self._side, self._helper = self._side, None, None
        if side is not None:
            side.free()

    def close(self) -> None:
        """Give up all descriptors; the container goes on."""
        if self._side is None:
            return
        self._tell_witnesses()
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
        if self.taken >= 0:
            os.close(self.taken)
            self.taken = -1
        self.hang_up()

    def hang_up(self) -> None:
        """Close the terminal's master, if it was kept here."""
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
