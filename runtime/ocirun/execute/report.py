"""Turn what failed into an error: the operation, its place in the config, the call, the errno, the reason."""

from __future__ import annotations

from _signal import SIGKILL
from errno import EBUSY, EISDIR, ENOENT, ENOEXEC, EPERM

from ..errors import HookError, HostError, OcirunError, ProgramError, StepError, errno_words, os_words
from ..plan import render
from ..plan.mounts.options import suggestion
from ..plan.ops import SLOT_LIMIT, Op
from ..state.record import PHASE_FAILED
from . import remedies
from .spawn import call_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..plan.ops import Plan
    from ..state.record import Progress

# csrc/executor/ops.h, enum fault
(
    CALL,
    PLAN,
    HOOK_EXIT,
    HOOK_TIMEOUT,
    HOOK_EXEC,
    OPTION,
    LOCKED,
    NODE_DIFFERS,
    NOT_IN_PATH,
    NOT_PLAIN,
    NOT_DEVPTS,
    OUTSIDE_ROOT,
    AMBIENT,
    ON_PROC,
    NOT_PROC,
    NOEXEC,
) = range(16)

# The calls by which a program is looked for.
_LOOKS = ("statx", "faccessat2", "fstatfs", "openat")


# Where a config limits memory, in the order of what is most likely too low.
_MEMORY_LIMITS = tuple(
    f"/linux/resources/{name}" for name in ("memory/limit", "unified/memory.max", "memory/swap", "unified/memory.high")
)


def memory_limit(plan: Plan) -> str:
    """Return the pointer of the memory limit that a plan sets, "" for none."""
    pointers = {op.pointer for op in plan.ops}
    return next((pointer for pointer in _MEMORY_LIMITS if pointer in pointers), "")


def from_plan(plan: Plan, progress: Progress, ended: int, *, oom: bool = False) -> StepError:
    """Return the error of a helper that stopped; see from_progress.

    oom   the kernel has killed in the container's cgroup for lack of memory
    """
    index = progress.index if progress.index < len(plan.ops) else 0
    op = plan.ops[index]
    if oom and ended == -SIGKILL and progress.phase != PHASE_FAILED and (limit := memory_limit(plan)):
        return _out_of_memory(op, index, limit)
    if op.name == "execute":
        op = next((other for other in plan.ops if other.name in ("find_program", "receive_program")), op)
        op = Op("execute", op.actor, op.pointer, op.args)
    if op.name == "receive_program" and op.args.get("args") and progress.call and call_name(progress.call) in _LOOKS:
        op = Op("find_program", op.actor, op.pointer, op.args)
    slot = progress.object_slot
    if slot < 0 and not render.shown(op):
        # A descriptor of the operation's own, made from what one of its slots holds.
        names = [op.args[key] for key in ("source", "slot", "root") if op.args.get(key) in plan.slots]
        slot = plan.slots.index(names[0]) if names else -1
    error = from_progress(op, index, progress, ended, _holding(plan, index, slot))
    if op.name == "find_program" and isinstance(error, ProgramError) and error.errno == ENOENT and not error.remedy:
        error.remedy = remedies.of_program(plan, op, by_path=progress.fault == NOT_IN_PATH)
    return error


# Operations that put something into their slot; the runtime's `open_source` says what `receive_fd` gets.
_MAKERS = frozenset(
    (
        *("open_root", "open_path", "clone_tree", "clone_mount", "new_filesystem", "receive_fd"),
        *("open_namespace", "open_procfs", "open_init", "open_cgroup", "make_start_fifo", "open_hook_log"),
        "copy_root",
        "enter_tree",
    )
)
_STREAMS = ("standard input", "standard output", "standard error")


def _holding(plan: Plan, index: int, slot: int) -> tuple[str, str]:
    """Return the name of a slot and what it holds when operation `index` runs; "" where that is not known."""
    if SLOT_LIMIT <= slot < SLOT_LIMIT + len(_STREAMS):
        return "", _STREAMS[slot - SLOT_LIMIT]
    if not 0 <= slot < len(plan.slots):
        return "", ""
    name = plan.slots[slot]
    for at in range(index - 1, -1, -1):
        op = plan.ops[at]
        if op.args.get("slot") != name or op.name not in _MAKERS:
            continue
        if op.name == "clone_mount":
            return name, _holding(plan, at, plan.slots.index(op.args["source"]))[1]
        origin = plan.ops[at + 1] if op.name == "receive_fd" else op
        return name, origin.args.get("path") or origin.args.get("type") or name
    return name, name


def from_progress(op: Op, index: int, progress: Progress, ended: int, holding: tuple[str, str] = ("", "")) -> StepError:
    """Return the error of a helper that stopped at operation `op`, number `index`.

    ended    its exit code, or minus the signal that ended it
    holding  name of the slot that the failed call used, and what that slot held
    """
    if progress.phase != PHASE_FAILED:  # it did not stop by itself
        return _killed(op, index, ended)
    if op.name in ("find_program", "execute"):
        return _program(op, index, progress)
    if op.name == "run_hook":
        kind, place = op.pointer.split("/")[2:4]
        return hook_error(kind, int(place), op, index, progress, holding[1])
    if op.name == "change_dir":
        return _directory(op, index, progress)
    call = call_name(progress.call)
    reason, remedy = _reason(op, progress, holding)
    pointer = _pointer(op, progress)
    text = f"{pointer}: {render.phrase(op)}: {reason}" if pointer else f"{render.phrase(op)}: {reason}"
    remedy = remedy or remedies.usual(op, call, progress.errno)
    return StepError(
        text,
        index=index,
        actor="init",
        pointer=pointer,
        operation=op.name,
        call=call,
        errno=progress.errno,
        remedy=remedy,
    )


def _directory(op: Op, index: int, progress: Progress) -> StepError:
    """Return the error of a missing directory in runc's words, which engines show to their users."""
    words = "it is outside of the container" if progress.fault == OUTSIDE_ROOT else errno_words(progress.errno)
    return StepError(
        f'{op.pointer}: chdir to cwd ("{op.args["path"]}") failed: {words}',
        index=index,
        actor="init",
        pointer=op.pointer,
        operation=op.name,
        call=call_name(progress.call),
        errno=progress.errno,
    )


def _pointer(op: Op, progress: Progress) -> str:
    """Return the config value that is to blame: for a refused file system option that very string."""
    places = op.args.get("places") or ()
    if progress.fault == OPTION and progress.detail < len(places) and places[progress.detail] is not None:
        place = places[progress.detail]
        return place if isinstance(place, str) else f"{op.pointer}/options/{place}"
    return op.pointer


def _place(op: Op) -> str:
    return f"{op.pointer}: " if op.pointer else ""


def _out_of_memory(op: Op, index: int, limit: str) -> StepError:
    return StepError(
        f"{limit}: too little memory for the container to start: "
        f"container init was OOM-killed in the step '{render.phrase(op)}'",
        index=index,
        actor="init",
        pointer=limit,
        operation=op.name,
        remedy="raise the memory limit; a start takes about 256 KiB",
    )


def _killed(op: Op, index: int, ended: int) -> StepError:
    how = f"was killed by signal {-ended}" if ended < 0 else f"ended with status {ended}"
    return StepError(
        f"{_place(op)}{render.phrase(op)}: the init helper {how}",
        index=index,
        actor="init",
        pointer=op.pointer,
        operation=op.name,
    )


def silent(op: Op, index: int, seconds: float) -> StepError:
    """Return the error of a helper that does not end operation `op`, number `index`."""
    return StepError(
        f"{_place(op)}{render.phrase(op)}: the helper has not done it within {seconds:.0f} s",
        index=index,
        actor="init",
        pointer=op.pointer,
        operation=op.name,
        remedy="the container may have no memory or processor time left",
    )


def _object(op: Op, progress: Progress, holding: tuple[str, str]) -> str:
    """Return what the failed call acted on; "" where the phrase of the operation says it already."""
    slot, held = holding
    text = progress.object if progress.object != "." else ""
    if slot == "root" and text:
        text = "/" + text.lstrip("/")
    text = text or held
    name = text.strip("/")
    said = any(
        value.strip("/") == name or (text[:1] != "/" and value.endswith("/" + name)) for value in render.shown(op)
    )
    return "" if said else text


def _reason(op: Op, progress: Progress, holding: tuple[str, str]) -> tuple[str, str]:
    words = errno_words(progress.errno)
    call = call_name(progress.call)
    acted_on = _object(op, progress, holding)
    plain = f"{call} {acted_on}: {words}" if call and acted_on else f"{call}: {words}" if call else words
    log = _kernel_log(progress.output)
    if progress.fault == OPTION:
        options = op.args.get("options") or []
        key, value = options[progress.detail] if progress.detail < len(options) else ("?", None)
        shown = key if value is None else f"{key}={value}"
        # Of what it calls a bad value the kernel knows the word.
        return f"option {shown!a}: {log or words}", "" if "Bad value" in log else suggestion(key)
    if progress.fault == LOCKED:
        flags = ", ".join(word for bit, word, _ in remedies.LOCKED if progress.detail & bit)
        text = f"what the source has cannot be changed in a user namespace ({flags}): {words}"
        return text, remedies.locked(progress.detail)
    if progress.fault == NODE_DIFFERS:
        return "there is a file at this path that is not that device", "remove it from the image or from the config"
    if progress.fault == NOT_PLAIN:
        return f"must be mounted on ordinary directory or file, not through a link: {words}", ""
    if progress.fault == NOT_DEVPTS:
        return "/dev/pts/ptmx is no pseudo-terminal multiplexer", "mount a devpts with newinstance on /dev/pts"
    if progress.fault == OUTSIDE_ROOT:
        return "the directory is outside of the container", ""
    if progress.fault == ON_PROC:
        return "the mount point is inside a procfs", "only some files of /proc may be covered"
    if progress.fault == NOT_PROC:
        return "only a procfs can be mounted on /proc", ""
    if log:
        return f"{plain} ({log})", ""
    return plain, ""


def _kernel_log(output: str) -> str:
    """Return the kernel's own words about a mount: lines of ``e tmpfs: Bad value for 'size'``."""
    lines = [line[2:].strip() for line in output.splitlines() if line[:2] in ("e ", "w ", "i ")]
    return "; ".join(line for line in lines if line)


def hook_error(kind: str, place: int, op: Op, index: int, progress: Progress, held: str = "") -> HookError:
    """Return the error of a hook, whichever side ran it.

    held   what the descriptor of the failed call was
    """
    output = progress.output.strip()
    path, call = op.args["path"], call_name(progress.call)
    code = -1
    if progress.fault == HOOK_TIMEOUT:
        what = f"timed out after {progress.detail} s and was killed"
    elif progress.fault == HOOK_EXIT:
        status = progress.detail
        if status & 0x7F:
            what, code = f"killed by signal {status & 0x7F}", 128 + (status & 0x7F)
        else:
            code = status >> 8 & 0xFF
            what = f"exit status {code}"
    elif progress.fault == HOOK_EXEC and call in ("execve", ""):
        what = f"cannot execute {path}: {errno_words(progress.errno)}"
    else:
        acted_on = f" {progress.object or held}" if progress.object or held else ""
        what = f"{call}{acted_on}: {errno_words(progress.errno)}"
    text = f"{op.pointer}: error running {kind} hook #{place}: {what}, path: {path}"
    if output:
        text += f", output: {_one_line(output)}"
    error = HookError(
        text,
        index=index,
        actor=op.actor,
        pointer=op.pointer,
        operation=op.name,
        call=call if progress.fault in (CALL, HOOK_EXEC) else "",
        errno=progress.errno if progress.fault in (CALL, HOOK_EXEC) else 0,
        remedy=remedies.of_hook(kind) if progress.fault == HOOK_EXEC and progress.errno == ENOENT else "",
    )
    error.kind, error.hook_index, error.exit_code, error.output = kind, place, code, output
    return error


def _one_line(text: str, limit: int = 1000) -> str:
    kept = " | ".join(line for line in text.splitlines() if line.strip())
    return kept if len(kept) <= limit else "..." + kept[-limit:]


def _program(op: Op, index: int, progress: Progress) -> ProgramError:
    # Engines match these words: see "executable file not found in $PATH" and "permission denied".
    name, call = op.args["args"][0], call_name(progress.call)
    pointer = "/process/args/0"
    if progress.fault == NOT_IN_PATH:
        text = f'exec: "{name}": executable file not found in $PATH'
    elif op.name == "find_program" and progress.errno == ENOENT:
        text = f'exec: "{name}": stat {name}: no such file or directory'
    elif op.name == "find_program" and progress.errno == EISDIR:
        # Docker's command maps only the second half to 126.
        text = f'exec: "{name}": is a directory: permission denied'
    elif op.name == "find_program":
        text = f'exec: "{name}": {errno_words(progress.errno)}'
    elif call == "seccomp":
        text = f"load the seccomp filter: {errno_words(progress.errno)}"
        pointer = "/linux/seccomp"
    elif call in ("execve", ""):
        text = f"exec {progress.object or name}: {errno_words(progress.errno)}"
    else:
        text = f"exec {name}: {call}: {errno_words(progress.errno)}"
    remedy = ""
    if progress.fault == NOEXEC:
        remedy = "it is on a mount with noexec: on one of `mounts`, or where the root file system lies on the host"
    elif call == "seccomp" and progress.errno == EBUSY:
        remedy = "a filter around ocirun has a listener already, and the kernel allows one: do without a learning run"
    elif call == "execve" and progress.errno == ENOENT:
        remedy = "the file is there, but its interpreter or loader is not"
    elif call == "execve" and progress.errno == EPERM:
        remedy = "a seccomp filter must allow execve, by which the program is started"
    elif call == "execve" and progress.errno == ENOEXEC:
        remedy = "a program for another architecture, or a script without #!"
    return ProgramError(
        text,
        index=index,
        actor="init",
        pointer=pointer,
        operation=op.name,
        call=call,
        errno=progress.errno,
        remedy=remedy,
    )


def host_error(op: Op, index: int, error: OcirunError | OSError) -> OcirunError:
    """Return an error of a host operation, with the operation's address, and the pointer in front."""
    failure = _addressed(op, index, error)
    if failure.pointer and not failure.message.startswith(failure.pointer):
        failure.message = f"{failure.pointer}: {failure.message}"
    return failure


def _addressed(op: Op, index: int, error: OcirunError | OSError) -> OcirunError:
    if isinstance(error, StepError):
        return error
    if type(error) is HostError and error.call not in ("sendmsg", "recvmsg"):
        return StepError(
            error.message,
            index=index,
            pointer=error.pointer or op.pointer,
            operation=op.name,
            call=error.call,
            errno=error.errno,
            remedy=error.remedy,
        )
    if isinstance(error, OcirunError):
        error.operation = error.operation or op.name
        error.pointer = error.pointer or op.pointer
        return error
    return StepError(
        os_words(_place(op) + render.phrase(op), error),
        index=index,
        pointer=op.pointer,
        operation=op.name,
        errno=error.errno or 0,
    )
