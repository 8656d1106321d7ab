"""Hooks in the runtime's namespaces: each in a helper of its own, which feeds, watches and limits it."""

from __future__ import annotations

import os

from ..._base import jsonio
from ..._base.version import SPEC_VERSION
from ...errors import HostError
from ...host import facts as host
from ...plan import crun_annotations
from ...plan.ops import HOST, INIT, Op, Plan
from ...state.record import PHASE_DONE, PHASE_FAILED
from .. import host_side, report, spawn

_STREAMS = ("stdout", "stderr")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ...errors import HookError
    from ...state.record import Record
    from ..seccomp.learning import Learning


def state_json(container_id: str, status: str, pid: int, bundle: str, annotations: dict[str, str]) -> str:
    """Return the state that a hook reads (runtime-spec runtime.md "State")."""
    state: dict[str, Any] = {"ociVersion": SPEC_VERSION, "id": container_id, "status": status}
    if pid:
        state["pid"] = pid
    state["bundle"] = bundle
    state["annotations"] = annotations
    return jsonio.dumps(state)


def open_logs(paths: Sequence[str]) -> dict[str, int]:
    """Open the files to which a hook's output goes too, as host_open_hook_log in C: the descriptor of each stream.

    paths   for standard output and standard error, "" for none
    Raises HostError.
    """
    found: dict[str, int] = {}
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOCTTY | os.O_NONBLOCK
    for stream, path in zip(_STREAMS, paths, strict=True):
        if not path:
            continue
        try:
            found[stream] = os.open(path, flags, 0o600)
            os.set_blocking(found[stream], True)
        except OSError as error:
            for fd in found.values():
                os.close(fd)
            pointer = crun_annotations.hook_log_pointer(stream)
            raise HostError.from_os(f"{pointer}: open {path}", error, call="openat") from None
    return found


def run_hook(
    args: dict[str, Any],
    *,
    pointer: str,
    index: int,
    state: str,
    cwd: str,
    environ: list[str],
    learning: Learning | None = None,
) -> None:
    """Run one hook and wait for it.

    args     of the operation host_hook
    index    number of the operation in the plan, -1 outside of one
    state    the JSON for its standard input
    cwd      its working directory
    environ  for a hook without an environment of its own
    learning  of a learning run: what the program asks is answered meanwhile, as the hook may wait for the program
    Raises HookError, HostError.
    """
    env = args["env"] if args["env"] is not None else environ
    hook = Op(
        "run_hook",
        INIT,
        pointer,
        {
            "path": args["path"],
            "args": args["args"],
            "env": env,
            "state_head": state,
            "state_tail": None,
            "cwd_timeout": (cwd, args["timeout"]),
        },
    )
    logs = open_logs(args["logs"])
    try:
        kept = Op("log_hooks", INIT, "", {stream: stream if stream in logs else None for stream in _STREAMS})
        ops = [Op("guard", INIT, "", {}), *([kept] if logs else []), hook]
        plan = Plan(ops, ["plan", "progress", "sync", *logs], 3 + len(logs), [], [])
        helper = host_side.start(plan, logs, flags=0)
    finally:
        for fd in logs.values():
            os.close(fd)
    try:
        if learning is not None:
            learning.serve_until(helper.sync)
        helper.hear()  # it sends nothing: this is its end
        spawn.forget(helper.pidfd)
        # The helper's own account, as a process that ignores SIGCHLD learns no exit code.
        progress = helper.progress()
        if progress.phase == PHASE_DONE:
            return
        shown = Op("host_hook", HOST, pointer, args)
        raise _error(args, shown, index, progress, plan)
    except BaseException:
        _end(helper)
        raise
    finally:
        helper.close()


def run_of(record: Record, op: Op, index: int, pid: int, learning: Learning | None = None) -> None:
    """Run the hook that an operation of a container is.  Raises HookError, HostError.

    pid       of the container's first process, 0 for none
    learning  as of `run_hook`
    """
    state = state_json(record.container_id, op.args["status"], pid, record.bundle, record.annotations)
    environ = list(host.environment())
    run_hook(
        op.args,
        pointer=op.pointer,
        index=index,
        state=state,
        cwd=record.bundle,
        environ=environ,
        learning=learning,
    )


def _error(args: dict[str, Any], op: Op, index: int, progress: Any, plan: Plan) -> HookError:
    if progress.phase != PHASE_FAILED:
        progress.fault, progress.errno, progress.call = report.CALL, 4, 0
    logged = dict(zip(_STREAMS, args["logs"], strict=True))
    name = plan.slots[progress.object_slot] if 0 <= progress.object_slot < len(plan.slots) else ""
    return report.hook_error(args["kind"], args["index"], op, index, progress, logged.get(name, ""))


def _end(helper: spawn.Helper) -> None:
    """End the helper; the hook dies with it, by the death signal."""
    import _signal

    try:
        _signal.pidfd_send_signal(helper.pidfd, _signal.SIGKILL)
        spawn.forget(helper.pidfd)
    except (OSError, AttributeError):
        pass
