"""One execution of a plan: host operations, the helper, barriers, and the way back when something fails."""

from __future__ import annotations

import os
import time

from ..errors import HookError, HostError, OcirunError
from ..host import facts as host
from ..plan import encode
from ..plan.ops import HOST
from ..state import record as records
from . import hostops, spawn
from .interrupts import Held
from .reserve import Reserve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..cgroup.driver import Driver
    from ..plan.ops import Plan
    from ..state.record import Record
    from .trace import Trace


class Session:
    """The state of a running plan.

    plan, record, cgroup   what to do, for whom, with which cgroup driver
    directory              descriptor of the container's state directory
    fds                    descriptors for the helper's inherited slots, by name
    undo                   what takes back the effects so far, last first
    console                the terminal's master, kept for a foreground run, or -1
    notify                 the listening NOTIFY_SOCKET of the container, or None
    made                   bytes that host operations have made for the helper, by name
    unknown_calls          names of system calls in the seccomp rules that this host does not know
    """

    def __init__(self, plan: Plan, record: Record, cgroup: Driver, directory: int) -> None:
        self.plan = plan
        self.record = record
        self.cgroup = cgroup
        self.directory = directory
        self.fds: dict[str, int] = {}
        self.made: dict[str, bytes] = {}
        self.unknown_calls: list[str] = []
        self.undo: list[Callable[[], None]] = []
        self.console = -1
        self.notify: Any = None
        self.answer_fd = -1
        self.message_fd = -1
        self.cgroup_made = False
        # The record of init is a file that other commands read; that of another process is memory.
        self.progress_name = "progress"
        self.sub_groups: dict[str, str] = {}
        self.stdio = (-1, -1, -1)
        self.trace: Trace | None = None
        # The plan's bytes for the helper, where somebody has made them already.
        self.encoder: encode.Encoder = encode.encode
        # Asked while the helper is silent, see spawn.Helper.hear.
        self.idle: Callable[[spawn.Helper], bool] | None = None
        # The program is the child of an init of ours, which says how it ends.
        self.has_init = any(op.name == "fork_program" for op in plan.ops)
        self.stays = not any(op.name == "ready" and op.args["detach"] for op in plan.ops)
        self.first, self.batches = encode.host_batches(plan)
        self._helper: spawn.Helper | None = None
        # How many operations the helper has; 0 while nobody else can see how far it is.
        self._stamps = 0
        # What `restore` has beside the plan; and the process of hooks, where it is not the helper yet.
        self.restoration: Any = None
        self.reserve = Reserve()
        self.hook_pid = 0

    @property
    def helper(self) -> spawn.Helper:
        """The helper; only after `spawn`."""
        if self._helper is None:
            raise HostError("internal: the helper is not started")
        return self._helper

    def create(self) -> None:
        """Run the plan up to and including `ready`; on any failure everything is taken back.

        Raises StepError, HookError, HostError.
        """
        try:
            for index in self.first:
                self._run_host(index)
            self._serve("ready")
            if not self.stays:
                # The helper closes the socket once our death is no longer its own.
                self.helper.hear()
            self.helper.settle()
        except BaseException as error:
            self._let_go()
            try:
                failure = self._failure(error)
            finally:
                self.take_back()
            if failure is error:
                raise
            raise failure from None
        finally:
            self._close_fds()

    def _let_go(self) -> None:
        """Give back what the way back does not need: what is left to do may need descriptors."""
        self.reserve.free()
        self.cgroup.close()
        # Network devices come back from there; with the helper dead, the last descriptor takes them along.
        self._close_fds(but="netns")

    def _close_fds(self, but: str = "") -> None:
        for name in [name for name in self.fds if name != but]:
            os.close(self.fds.pop(name))

    def start(self, timeout: float | None = None) -> None:
        """Let a helper of this session go on from `wait_start`, and wait until the program runs.

        timeout   seconds after which an init kills all processes of the container, by its own clock
        Raises StepError, HookError.
        """
        try:
            spawn.check(self._send_start(timeout), "start of the init process", "sendmsg")
            if self.has_init:
                self._serve_init()
            else:
                self._serve("execute")
        except BaseException as error:
            failure = self._failure(error)
            if failure is error:
                raise
            raise failure from None

    def finish(self) -> None:
        """Run the host operations behind `execute` but hooks; on any failure everything is taken back.

        Raises StepError, HookError, HostError.
        """
        number = next(index for index, op in enumerate(self.plan.ops) if op.name == "execute")
        try:
            for index in self.batches[number]:
                if self.plan.ops[index].name != "host_hook":
                    self._run_host(index)
        except BaseException:
            self.take_back()
            raise

    def _send_start(self, timeout: float | None) -> int:
        word = b"s"
        # More milliseconds than a signed word has nanoseconds for are no limit.
        if timeout is not None and timeout <= 1e9:
            word += max(1, int(timeout * 1000)).to_bytes(8, "little")
        try:
            os.write(self.helper.sync, word)
        except OSError as error:
            return -(error.errno or 5)
        return 0

    def _serve(self, last: str) -> None:
        """Answer the helper's messages until operation `last`; for "execute" until the socket closes."""
        while True:
            heard = self.helper.hear(self.idle)
            if heard is None:
                if last == "execute" and self.helper.progress().phase == 4:
                    return
                raise _HelperEnded
            index, value, self.message_fd = heard
            op = self.plan.ops[index] if index < len(self.plan.ops) else None
            if op is None or index not in self.batches:
                raise HostError("the init helper sent a message that the plan does not have")
            if op.name == "fork_init":
                self.helper.adopt(value)
            for number in self.batches[index]:
                self._run_host(number)
            answer, self.answer_fd = self.answer_fd, -1
            try:
                self.helper.answer(index, fd=answer)
            finally:
                for fd in (answer, self.message_fd):
                    if fd >= 0:
                        os.close(fd)
                self.message_fd = -1
            if op.name == last:
                return

    def _serve_init(self) -> None:
        """Wait until init says that the program has been executed."""
        report = self.helper.hear_init()
        if report is None or report.kind != spawn.INIT_STARTED:
            raise _HelperEnded

    def _run_host(self, index: int) -> None:
        op = self.plan.ops[index]
        begin = time.monotonic_ns()
        try:
            if op.name == "spawn":
                self._spawn(op.args["flags"])
            elif op.name == "host_hook":
                self.run_hook(index)
            else:
                hostops.run(self, op.name, op.args)
        except OSError as error:
            self._let_go()
            from . import report

            raise report.host_error(op, index, error) from None
        except OcirunError as error:
            self._let_go()
            from . import report

            failure = report.host_error(op, index, error)
            if failure.pointer and not failure.message.startswith(failure.pointer):
                failure.message = f"{failure.pointer}: {failure.message}"
            raise failure from None
        finally:
            if self.trace is not None:
                self.trace.host(index, begin)

    def _spawn(self, flags: int) -> None:
        progress = -1
        if self.progress_name:
            how = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            progress = os.open(self.progress_name, how, 0o600, dir_fd=self.directory)
        try:
            with Held():
                self._helper = spawn.start(
                    self.plan,
                    self.fds,
                    flags=flags,
                    made=self.made,
                    encoder=self.encoder,
                    cgroup_fd=self.fds.get(hostops.START_IN, -1),
                    progress_fd=progress,
                    stdio=self.stdio,
                )
                self.undo.append(self._kill_helper)
        except BaseException:
            if progress >= 0 and self._helper is None:
                os.close(progress)
            raise
        if progress >= 0:
            self._stamps = encode.init_count(self.plan)
            records.write_names(progress, self._stamps, self.plan.ops)

    def below(self, controller: str) -> str:
        """The group below the container's that is to be joined in a hierarchy, "" for the container's own."""
        return self.sub_groups.get(controller, "")

    def run_hook(self, index: int) -> None:
        """One hook of the runtime's namespaces."""
        from . import hooks

        op = self.plan.ops[index]
        if self._stamps and self._helper is not None and self._helper.progress_fd >= 0:
            records.write_own(self._helper.progress_fd, self._stamps, index)
        state = hooks.state_json(
            self.record.container_id,
            op.args["status"],
            self.hook_pid or (self._helper.pid if self._helper else 0),
            self.record.bundle,
            self.record.annotations,
        )
        hooks.run(
            op.args,
            pointer=op.pointer,
            index=index,
            state=state,
            cwd=self.record.bundle,
            environ=list(host.environment()),
        )

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

    def _failure(self, error: BaseException) -> BaseException:
        """What to tell the user: the helper's own account, if it is the one that stopped."""
        helper = self._helper
        if helper is None or not isinstance(error, (_HelperEnded, HostError)):
            return error
        if isinstance(error, HostError) and error.call not in ("sendmsg", "recvmsg"):
            return error
        from . import report

        self._adopt_late(helper)
        helper.close_sync()
        ended = spawn.end(helper.pidfd, grace=1.0)
        os.close(helper.pidfd)
        helper.pidfd = -1
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
        if trace is None:
            return
        helper = self._helper
        try:
            progress = helper.progress() if helper is not None and helper.progress_fd >= 0 else None
        except OSError:
            progress = None
        trace.write(self.plan, progress)

    def remove_cgroup(self) -> None:
        """Kill what is left in the cgroup and remove what we made of it."""
        if self.cgroup.prepared:
            self.cgroup.kill(9, wait=5.0)
        self.cgroup.discard()

    def take_back(self) -> None:
        """Run the undo list.  Each step is tried, whatever the others do; a second Ctrl-C waits for the end."""
        self._let_go()
        with Held():
            self._take_back()

    def _take_back(self) -> None:
        self._end_trace()
        while self.undo:
            step = self.undo.pop()
            try:
                step()
            except (OSError, OcirunError):
                continue
        if self.console >= 0:
            os.close(self.console)
            self.console = -1
        if self.notify is not None:
            self.notify.close()
            self.notify = None
        for fd in (self.answer_fd, self.message_fd):
            if fd >= 0:
                os.close(fd)
        self.answer_fd = self.message_fd = -1
        self.cgroup.close()

    def close(self) -> None:
        """Give up all descriptors; the container goes on."""
        self._end_trace()
        self.cgroup.close()
        if self._helper is not None:
            self._helper.close()
        if self.notify is not None:
            self.notify.close()
            self.notify = None
        if self.console >= 0:
            os.close(self.console)
            self.console = -1


class _HelperEnded(Exception):
    """The helper closed its socket before its time."""


__all__ = ["HookError", "Session"]
