"""Whatever fails, the executor stops there, closes what it opened, and leaves an exact record."""

from __future__ import annotations

import errno

import pytest
from plan.samples import NAMES, sample

from ocirun.state import record

from . import prctl_numbers as pr
from .recorder import EXECUTED, RETURNED, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.plan.ops import Plan

    from .recorder import Call, Run

ANY = None
# Failures that do not stop the container: (operation, call) -> errnos, or ANY.  Each with its reason in C.
TOLERATED: dict[tuple[str, str], set[int] | None] = {
    ("set_umask", "umask"): ANY,  # cannot fail
    ("guard", "umask"): ANY,
    ("join_keyring", "keyctl"): {errno.EPERM},  # the anonymous ring serves
    ("set_capabilities", "prctl"): ANY,  # ambient ones: a warning; the others are checked below
    ("change_dir", "openat2"): {errno.EPERM},  # the first try, as root
    ("change_dir", "fchdir"): {errno.EPERM},
    ("find_home", "openat2"): ANY,  # HOME=/ then
    ("find_home", "statx"): ANY,
    ("find_home", "read"): ANY,
    ("fix_stdio", "openat2"): ANY,  # the host's /dev/null stays
    ("fix_stdio", "dup3"): ANY,
    ("fix_stdio", "statx"): ANY,  # who owns it; what it is must be known, see below
    ("fix_stdio", "fchown"): ANY,  # a stream on a foreign file system
    ("make_link", "readlinkat"): ANY,
    ("mask", "openat2"): {errno.ENOENT},
    ("make_readonly", "openat2"): {errno.ENOENT},
    ("make_link", "openat2"): {errno.ENOENT},
    ("execute", "rt_sigaction"): ANY,  # cannot fail
    ("run_hook", "read"): ANY,  # the hook's output
    ("run_hook", "getpid"): ANY,  # cannot fail
    ("open_path", "openat2"): {errno.ENOENT},  # then what is missing is made
    ("make_node", "openat2"): {errno.ENOENT},
    ("find_program", "statx"): {errno.ENOENT},  # the next directory of PATH
    ("find_program", "faccessat2"): {errno.ENOENT},
}
AFTER = {"close", "munmap", "read"}


def tolerated(plan: Plan, call: Call, error: int) -> bool:
    name = plan.ops[call.index].name
    if (name, call.name) not in TOLERATED:
        return False
    errors = TOLERATED[name, call.name]
    return errors is ANY or error in errors


def wrong_stop(plan: Plan, result: Run, number: int, error: int) -> str:
    """Nothing but closing may come after the failed call, and the record must name it."""
    failed = result.all[number]
    later = [call for call in result.all[number + 1 :] if call.name not in AFTER]
    if later:
        return f"goes on with {later[:3]}"
    # Reading on is only for the kernel's log of a mount.
    if failed.name not in ("fsconfig", "fsmount") and any(call.name == "read" for call in result.all[number + 1 :]):
        return "reads on"
    progress = result.progress
    if result.outcome != RETURNED or progress.phase != record.PHASE_FAILED:
        return f"ends with {result.outcome}, phase {progress.phase}"
    if (progress.index, progress.errno) != (failed.index, error):
        return f"is recorded as {progress.index}, errno {progress.errno}"
    return "" if plan.ops[progress.index].actor == "init" else "is recorded for the runtime"


def numbers_of(plan: Plan, baseline: Run) -> list[int]:
    """The calls worth failing: of long runs of the same call in one operation, the first two and the last."""
    chosen = []
    for call in baseline.calls:
        if call.name in ("close", "munmap"):
            continue  # close(2) frees the number whatever it says
        same = [other.number for other in baseline.calls if (other.index, other.name) == (call.index, call.name)]
        if call.number in (*same[:2], same[-1]):
            chosen.append(call.number)
    return chosen


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOENT, errno.EIO, errno.ENOMEM], ids=errno.errorcode.get)
def test_every_call(name: str, error: int) -> None:
    plan = sample(name)
    baseline = run(plan)
    assert baseline.outcome == EXECUTED
    found = []
    for number in numbers_of(plan, baseline):
        result = run(plan, fail=(number, error))
        failed = result.all[number]
        assert (failed.name, failed.index, failed.result) == (
            *(baseline.all[number].name, baseline.all[number].index),
            -error,
        )
        wrong = ""
        if result.outcome == EXECUTED:
            wrong = "" if tolerated(plan, failed, error) else "makes no difference"
        elif not retried(failed, error):
            wrong = wrong_stop(plan, result, number, error)
        if result.wrong:
            wrong += " uses a descriptor that is not open"
        if result.open - result.slots:
            wrong += f" leaves {result.open - result.slots} open"
        if wrong:
            found.append(f"{plan.ops[failed.index].name}: {failed} {wrong}")
    assert not found, "\n".join(found)


def retried(call: Call, error: int) -> bool:
    """ENOENT in a look-up is where the making of directories begins."""
    return error == errno.ENOENT and call.name == "openat2"


def test_sensitive_operations_tolerate_nothing() -> None:
    """What confines is never among the tolerated, but for the ambient set."""
    kept = {"pivot", "set_ids", "set_groups", "no_new_privs", "drop_bounding", "attach", "set_mount_attr", "write_proc"}
    assert not {name for name, _ in TOLERATED} & kept


@pytest.mark.parametrize("prctl", [pr.PR_CAP_AMBIENT, pr.PR_SET_KEEPCAPS])
def test_capability_calls_that_must_work(prctl: int) -> None:
    """Clearing the ambient set and taking keepcaps back are not tolerated."""
    plan = sample("hello")
    baseline = run(plan)
    index = next(i for i, op in enumerate(plan.ops) if op.name == "set_capabilities")
    number = next(c.number for c in baseline.calls if c.index == index and c.name == "prctl" and c.args[0] == prctl)
    result = run(plan, fail=(number, errno.EIO))
    assert result.outcome == RETURNED
    assert not wrong_stop(plan, result, number, errno.EIO)


@pytest.mark.parametrize("name", NAMES)
def test_call_of_the_record(name: str) -> None:
    """The number of the failed system call is in the record, not that of a later close."""
    from ocirun.execute.spawn import call_name

    plan = sample(name)
    baseline = run(plan)
    for number in numbers_of(plan, baseline)[::3]:
        result = run(plan, fail=(number, errno.ENOSPC))
        if result.outcome == RETURNED and result.progress.phase == record.PHASE_FAILED:
            assert call_name(result.progress.call) == result.all[number].name


def test_names_of_calls() -> None:
    """Every call that the executor can make has a name for errors, but for those that cannot fail."""
    from ocirun.execute.spawn import call_name

    from .recorder import library

    ffi, lib = library()
    mute = {"", "clock_gettime", "close", "exit_group", "geteuid", "getpid", "munmap", "nanosleep", "umask"}
    mute |= {"fgetxattr", "wait4"}  # on the way back, which tells of no call
    mute |= {"recvfrom", "sendto"}  # told as recvmsg and sendmsg
    mute |= {"getrusage"}  # without it a figure is not told
    for number in range(600):
        name = ffi.string(lib.record_name(number)).decode()
        assert name in mute or call_name(number) == name
