"""What a failed call of the host's side means: the operation, its object, the reason."""

from __future__ import annotations

import os
from errno import EACCES, EBUSY, ECHILD, EEXIST, ENOSYS, EPERM, EPROTO, EROFS, ESRCH

from ..errors import ContainerExistsError, HostError, option
from ..plan.ops import INIT
from . import remedies, report, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..errors import OcirunError
    from ..plan.ops import Op
    from ..state.record import Progress
    from .context import Context


def of(session: Context, index: int, progress: Progress) -> OcirunError:
    """Return the error of the operation `index`, or of the runtime's part in a barrier of the helper."""
    ops = session.plan.ops
    op = ops[index] if index < len(ops) else None
    call = spawn.call_name(progress.call)
    error = OSError(progress.errno, os.strerror(progress.errno))
    if progress.object:
        error.filename = progress.object
    if op is None and session.created:
        return _course(call, error)
    if op is None or op.actor == INIT:
        return _turn(call, error)
    if op.name in ("reserve_state", "save_file", "save_link"):
        return _state(op, session.record.container_id, call, error)
    if op.name == "write_cgroup":
        made: OcirunError = session.driver_at(op.args["path"]).refused(
            op.args["controller"], op.args["file"], op.args["value"], error
        )
    else:
        made = HostError.from_os(_words(op), error, call=call, remedy=_remedy(op, call, progress.errno))
    return report.host_error(op, index, made)


_TURNS = {
    "recvmsg": "message of the init helper",
    "sendmsg": "answer to the init helper",
    "pread64": "progress record of the init helper",
}


def _turn(call: str, error: OSError) -> HostError:
    """Return the runtime's part in a barrier: a message, an answer, the second process of a helper;
    or what is held before.
    """
    number = error.errno or 0
    if number == EPROTO:
        return HostError("the init helper sent a message that the plan does not have")
    if call in ("pidfd_open", "waitid"):
        # ESRCH is the helper's own matter, as is a broken socket; everything else is ours.
        if number in (ESRCH, ECHILD):
            call = "recvmsg"
        return HostError.from_os("second process of the init helper", error, call=call)
    what = _TURNS.get(call)
    if what is None:
        what = "descriptors for the streams of the program, and for the case that something fails"
    return HostError.from_os(what, error, call=call)


def _course(call: str, error: OSError) -> HostError:
    """Return the error of a failure after the creation: the program's streams, its time, its end."""
    if call == "waitid":
        return HostError.from_os("exit status of the first process", error, call=call, remedy=spawn.LOST)
    if call in ("sendmsg", "recvmsg"):
        return _turn(call, error)
    return HostError.from_os("course of the program", error, call=call)


def _state(op: Op, container_id: str, call: str, error: OSError) -> OcirunError:
    if op.name == "reserve_state":
        if error.errno == EEXIST:
            root = os.path.dirname(op.args["directory"])
            return ContainerExistsError("container with given ID already exists").about(container_id, root)
        return HostError.from_os(f"state directory {op.args['directory']}", error, call=call)
    return HostError.from_os(f"state of {container_id}", error, call=call)


def _words(op: Op) -> str:
    from ..plan import render

    args = op.args
    if op.name == "spawn":
        return "start of the init helper"
    if op.name == "write_process":
        return f"write {args['value'].strip()} to {args['file']}"
    if op.name == "limit_process":
        return f"set resource limit to {args['soft']} (hard {args['hard']})"
    if op.name == "open_source":
        return f"open {args['path']}"
    return render.phrase(op)


def _remedy(op: Op, call: str, number: int) -> str:
    if op.name == "open_procfs" and not call:
        return "mount a procfs on /proc"
    if op.name == "enable_controllers" and number == EBUSY:
        return "the group has processes of its own; choose a cgroupsPath in a group without"
    if op.name == "filter_devices" and number == EPERM:
        return "eBPF programs for cgroups need CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN of the host"
    if op.name == "spawn":
        # clone3(2) that is answered with ENOSYS: filters do that, as no kernel that ocirun runs on lacks it.
        return (remedies.filtered(call) if number == ENOSYS else "") or spawn.remedy(number, op.args["flags"])
    if op.name == "make_cgroup" and number == EROFS:
        return f"mount the cgroups read-write, or do without: no limits, and {option('cgroup-manager', 'disabled')}"
    if op.name == "limit_process" and number == EPERM:
        return "raising a hard limit needs CAP_SYS_RESOURCE"
    if op.name == "write_process" and op.args["file"] == "oom_score_adj" and number == EACCES:
        return "lowering it needs CAP_SYS_RESOURCE"
    return ""
