"""Rules that hold over every call of every sample plan: order, descriptors, paths."""

from __future__ import annotations

import functools
import struct

import pytest
from plan.samples import NAMES, sample

from . import prctl_numbers as pr
from .recorder import AT_FDCWD, EXECUTED, O_CLOEXEC, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.plan.ops import Plan

    from .recorder import Call, Run

# Calls that take a path without a directory, and why each may: (operation, call, path or None for any).
# Before the change of root: paths of the host, named by the caller or by us.
HOST_PATHS = {
    ("propagate", "mount", None),
    ("open_root", "openat", None),
    ("clone_tree", "open_tree", None),
}
# The change of root itself, by "." after fchdir; afterwards "/" is the container's.
ROOT_PATHS = {
    ("pivot", "openat", "/"),
    ("pivot", "pivot_root", "."),
    ("pivot", "mount", "."),
    ("pivot", "umount2", "."),
    ("pivot", "chdir", "/"),
    ("propagate", "mount", "/"),
    ("hide_mount", "mount", "."),
    ("hide_mount", "umount2", "."),
    ("hide_mount", "chdir", "/"),
    ("unmount", "chdir", "/"),
}
# In the container, with its credentials, as the program itself would.
OWN_PATHS = {
    ("change_dir", "openat2", None),
    ("find_home", "openat2", "/etc/passwd"),
    ("find_program", "statx", None),
    ("find_program", "faccessat2", None),
    ("execute", "execve", None),
}
ALLOWED = HOST_PATHS | ROOT_PATHS | OWN_PATHS

PATH_ARGUMENTS = {
    **dict.fromkeys(("chdir", "chroot", "umount2", "pivot_root", "execve"), (None, 0)),
    "mount": (None, 1),
    "symlinkat": (1, 2),
    **dict.fromkeys(
        (
            "openat",
            "openat2",
            "statx",
            "mkdirat",
            "mknodat",
            "unlinkat",
            "fchownat",
            "readlinkat",
            "faccessat2",
            "utimensat",
        ),
        (0, 1),
    ),
    **dict.fromkeys(("open_tree", "mount_setattr", "move_mount", "fspick"), (0, 1)),
}

# call -> (argument with the flags, bits that must be there)
CLOSE_ON_EXEC = {
    "openat": (2, O_CLOEXEC),
    "open_tree": (2, O_CLOEXEC),
    "fsopen": (1, 1),
    "fsmount": (1, 1),
    "fspick": (2, 1),
    "memfd_create": (1, 1),
    "socket": (1, O_CLOEXEC),
    "pipe2": (1, O_CLOEXEC),
    "recvmsg": (2, 0x40000000),
}

# prctl(2) calls with one argument, as the test on credentials names them.
SIMPLE = {
    pr.PR_SET_NO_NEW_PRIVS: "no_new_privs",
    pr.PR_CAPBSET_DROP: "bounding",
    pr.PR_SET_KEEPCAPS: "keepcaps={}",
}


@functools.cache
def recorded(name: str) -> tuple[Plan, Run]:
    plan = sample(name)
    return plan, run(plan)


def pathless(plan: Plan, call: Call) -> tuple[str, str, str] | None:
    """(operation, call, path) when the path of a call is looked up from the root or the working directory."""
    if call.name not in PATH_ARGUMENTS:
        return None
    directory, place = PATH_ARGUMENTS[call.name]
    path = call.texts.get(place, "")
    if directory is not None and not (path and call.args[directory] == AT_FDCWD):
        return None
    return plan.ops[call.index].name, call.name, path


@pytest.mark.parametrize("name", NAMES)
def test_runs_to_the_end(name: str) -> None:
    plan, result = recorded(name)
    assert result.outcome == EXECUTED
    assert not result.wrong
    assert result.open <= result.slots
    assert plan.ops[result.progress.index].name == "execute"


@pytest.mark.parametrize("name", NAMES)
def test_paths_have_a_directory(name: str) -> None:
    plan, result = recorded(name)
    found = {entry for call in result.calls if (entry := pathless(plan, call))}
    assert not {entry for entry in found if not {entry, (*entry[:2], None)} & ALLOWED}


@pytest.mark.parametrize("name", NAMES)
def test_host_paths_end_with_the_change_of_root(name: str) -> None:
    plan, result = recorded(name)
    change = next(index for index, op in enumerate(plan.ops) if op.name in ("pivot", "change_root"))
    late = {entry for call in result.calls if call.index > change and (entry := pathless(plan, call))}
    assert not {entry for entry in late if not {entry, (*entry[:2], None)} & (OWN_PATHS | ROOT_PATHS)}


def test_no_path_is_in_the_hosts_proc() -> None:
    """The host's procfs is reached by descriptor only; /proc/... paths are looked up below the root."""
    for name in NAMES:
        plan, result = recorded(name)
        for call in result.calls:
            entry = pathless(plan, call)
            source = plan.ops[call.index].args.get("path", "")
            if entry and entry[0] != "change_dir":
                assert not entry[2].startswith("/proc/") or entry[2] == source, call


@pytest.mark.parametrize("name", NAMES)
def test_lookups_stay_below_the_root(name: str) -> None:
    """openat2 is the only way to more than one component, and it cannot leave or use a magic link."""
    plan, result = recorded(name)
    for call in result.of("openat2"):
        flags, _, resolve = struct.unpack("<3Q", call.blobs[2])
        assert flags & O_CLOEXEC
        assert resolve & 0x02, "RESOLVE_NO_MAGICLINKS"
        operation = plan.ops[call.index].name
        if operation == "write_proc":
            assert resolve & 0x09 == 0x09, "RESOLVE_NO_XDEV, RESOLVE_BENEATH"
        elif operation not in ("change_dir", "find_home"):
            assert resolve & 0x10, "RESOLVE_IN_ROOT"
    for call in result.calls:
        directory, place = PATH_ARGUMENTS.get(call.name, (None, None))
        if directory is None or call.name == "openat2" or call.args[directory] == AT_FDCWD:
            continue
        assert "/" not in call.texts.get(place, ""), f"{call}: more than one component"


@pytest.mark.parametrize("name", NAMES)
def test_descriptors_close_at_execve(name: str) -> None:
    _, result = recorded(name)
    for call in result.calls:
        if call.name in CLOSE_ON_EXEC:
            place, bits = CLOSE_ON_EXEC[call.name]
            assert call.args[place] & bits == bits, call


@pytest.mark.parametrize("name", NAMES)
def test_the_last_calls(name: str) -> None:
    """Close first, then signals, then the program: nothing of ours is open or blocked in it."""
    plan, result = recorded(name)
    last = [call for call in result.calls if call.index == len(plan.ops) - 1 or plan.ops[call.index].name == "execute"]
    names = [call.name for call in last]
    filters = ["seccomp"] * (name == "seccomp")
    assert names == ["close_range", *["rt_sigaction"] * 62, "rt_sigprocmask", *filters, "execve"]
    assert last[0].args[:3] == [3, 0xFFFFFFFF, 4]
    assert {call.args[0] for call in last if call.name == "rt_sigaction"} == set(range(1, 65)) - {9, 19}
    assert last[64 - 1].blobs[1] == bytes(8)


@pytest.mark.parametrize("name", NAMES)
def test_order_of_credentials(name: str) -> None:
    """no_new_privs, bounding set, groups, gid, uid, capabilities, ambient; then only the look-up of the program."""
    plan, result = recorded(name)
    words = []
    for call in result.calls:
        if call.name == "prctl" and call.args[0] in SIMPLE:
            words.append(SIMPLE[call.args[0]].format(call.args[1]))
        elif call.name == "prctl" and call.args[0] == pr.PR_CAP_AMBIENT:
            words.append("ambient clear" if call.args[1] == pr.PR_CAP_AMBIENT_CLEAR_ALL else "ambient raise")
        elif call.name in ("setgroups", "setresgid", "setresuid", "capset"):
            words.append(call.name)
    if any(op.name == "become_root" for op in plan.ops):
        assert words[:3] == ["setresgid", "setresuid", "setgroups"]
        del words[:3]
    order = [
        *("no_new_privs", "bounding", "setgroups", "keepcaps=1", "setresgid", "setresuid"),
        *("ambient clear", "capset", "keepcaps=0", "ambient raise"),
    ]
    kept = [word for at, word in enumerate(words) if word not in words[:at]]
    assert kept == [word for word in order if word in kept]
    assert set(order) - set(kept) <= {"no_new_privs", "bounding", "ambient raise"}


@pytest.mark.parametrize("name", NAMES)
def test_dumpable_stays_off(name: str) -> None:
    """A change of ids makes a process dumpable again; each is followed by taking that back."""
    _, result = recorded(name)
    for at, call in enumerate(result.calls):
        if call.name == "setresuid":
            following = result.calls[at + 1 : at + 3]
            assert any(later.name == "prctl" and later.args[:2] == [pr.PR_SET_DUMPABLE, 0] for later in following), call
    first = result.calls[:2]
    assert [call.args[:2] for call in first] == [[pr.PR_SET_PDEATHSIG, 9], [pr.PR_SET_DUMPABLE, 0]]


@pytest.mark.parametrize("name", NAMES)
def test_mounts_are_made_detached(name: str) -> None:
    """mount(2) is for propagation only; everything else is attached by descriptor on both sides."""
    plan, result = recorded(name)
    for call in result.of("mount"):
        assert plan.ops[call.index].name in ("propagate", "pivot", "mount_classic", "hide_mount")
        assert call.args[3] & ~(1 << 14) in (1 << 17, 1 << 18, 1 << 19, 1 << 20) or call.texts.get(2)
    for call in result.of("move_mount"):
        assert call.texts == {1: "", 3: ""}
        assert call.args[4] == 0x44, "MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH"
