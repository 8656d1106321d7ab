"""No side doors: every call that changes something belongs to an operation that `explain` shows, in that order."""

from __future__ import annotations

import collections
import json
import re
import shutil
import subprocess
import time

import pytest

from . import traced
from .command import LAUNCHER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any


_PRCTL = r"prctl\(PR_SET_(PDEATHSIG|DUMPABLE)"
_MAKE = r"(mkdirat|mknodat)\(\d+<[^>]*>, \"[^/]*\", (S_IFREG\|0644|07[0-9]{2}|0755)"
_CHDIR = r"fchdir\(|chdir\(\"/\"\)"
_ATTACH = r"move_mount\(\d+<[^>]*>, \"\", \d+<[^>]*>, \"\", MOVE_MOUNT_F_EMPTY_PATH\|MOVE_MOUNT_T_EMPTY_PATH"
_CLONE = r"open_tree\(\d+<[^>]*>, \"\", .*OPEN_TREE_CLONE"
_OPTIONS = r"fsconfig\("

# What each operation of the helper may call; {name} is its argument of that name, {base} the last part of its path.
HELPER = {
    "guard": rf"{_PRCTL}|prctl\(PR_SET_NAME|umask\(000\)",
    "join_cgroup": r"write\(\d+</sys/fs/cgroup/[^>]*/(tasks|cgroup.procs)>, \"0\", 1\)",
    "join_namespace": r"setns\(",
    "unshare": r"unshare\(",
    "fork_init": rf"clone\(.*CLONE_PARENT|{_PRCTL}",
    "become_root": rf"setresgid\(0, 0, 0\)|setresuid\(0, 0, 0\)|setgroups\(0, |{_PRCTL}",
    "set_hostname": r"sethostname\(\"{name}\"",
    "set_domainname": r"setdomainname\(\"{name}\"",
    "new_session": r"setsid\(",
    "join_keyring": r"keyctl\(KEYCTL_JOIN_SESSION_KEYRING, (NULL|\"{name}\")|keyctl\(KEYCTL_SETPERM",
    "propagate": r"mount\(NULL, \"{path}\", NULL, MS_",
    "open_root": r"fchdir\(",
    "open_path": _MAKE,
    "clone_tree": r"open_tree\(AT_FDCWD[^,]*, \"{path}\"|open_tree\(\d+<[^>]*>, \"\"",
    "clone_mount": _CLONE,
    "set_mount_attr": r"mount_setattr\(\d+<[^>]*>, \"\"",
    "new_filesystem": rf"fsopen\(\"{{type}}\"|{_OPTIONS}|fsmount\(",
    "prepare_upper": r"mkdirat\(\d+<[^>]*>, \"(upper|work)\"|fsetxattr\(\d+<[^>]*>, \"{mark}\"|fch(own|mod)\(",
    "add_layer": rf"fsopen\(\"overlay\"|{_OPTIONS}|{_CHDIR}",
    "new_overlay": rf"fsopen\(\"overlay\"|{_OPTIONS}|fsmount\(|{_CHDIR}",
    "mount_classic": rf"mount\(.*, \"\.\", \"{{type}}\"|{_CHDIR}",
    "reconfigure": rf"fspick\(|{_OPTIONS}",
    "attach": _ATTACH,
    "make_node": rf"mknodat\(\d+<[^>]*>, \"{{base}}\"|fchownat\(|unlinkat\(\d+<[^>]*>, \"{{base}}\"|{_MAKE}",
    "make_link": rf"symlinkat\(\"{{text}}\", \d+<[^>]*>, \"{{base}}\"|unlinkat\(\d+<[^>]*>, \"{{base}}\"|{_MAKE}",
    "copy_up": r"(mkdirat|mknodat|symlinkat|fchown|fchmod|fchownat|utimensat|sendfile|openat)\(",
    "write_proc": r"write\(\d+<[^>]*>, \"{value}\"|openat2\(\d+<[^>]*>, \"{path}\"",
    "pivot": rf"pivot_root\(\"\.\", \"\.\"\)|mount\(NULL, \"\.\", NULL, MS_REC\|MS_SLAVE|umount2\(\"\.\", MNT_DETACH|{_CHDIR}",
    "hide_mount": rf"mount\(NULL, \"{{path}}\", NULL, MS_REC\|MS_PRIVATE|umount2\(\"{{path}}\", MNT_DETACH|{_CHDIR}",
    "unmount": rf"mount\(NULL, \"self/fd/\d+\", NULL, MS_REC\|MS_PRIVATE|umount2\(\"self/fd/\d+\", MNT_DETACH|{_CHDIR}",
    "fix_stdio": r"fchown\([012]<|openat2\(\d+<[^>]*>, \"/dev/null\"",
    "set_umask": r"umask\(",
    "no_new_privs": r"prctl\(PR_SET_NO_NEW_PRIVS, 1",
    "reset_affinity": r"sched_setaffinity\(0, 1024",
    "set_scheduler": r"sched_setattr\(",
    "set_io_priority": r"ioprio_set\(",
    "set_personality": r"personality\(",
    "set_rlimit": r"prlimit64\(0, ",
    "drop_bounding": r"prctl\(PR_CAPBSET_DROP",
    "set_groups": r"setgroups\(",
    "set_ids": rf"prctl\(PR_SET_KEEPCAPS, 1|setresgid\({{gid}}, {{gid}}|setresuid\({{uid}}, {{uid}}|{_PRCTL}",
    "set_capabilities": r"prctl\(PR_CAP_AMBIENT|capset\(|prctl\(PR_SET_KEEPCAPS, 0",
    "change_dir": _CHDIR,
    "hold_seccomp": "",
    "execute": r"seccomp\(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG",
    "ready": _PRCTL,
    "loopback_up": r"ioctl\(\d+<[^>]*>, SIOC[GS]IFFLAGS",
    "mask": rf"{_CLONE}|{_ATTACH}|fsopen\(\"tmpfs\"|{_OPTIONS}|fsmount\(",
    "make_readonly": rf"{_CLONE}|{_ATTACH}|mount_setattr\(",
}
# Operations that change something whatever they find: each must be seen.
SEEN = {
    *("guard", "join_cgroup", "join_namespace", "unshare", "set_hostname", "new_session", "propagate", "clone_mount"),
    *("clone_tree", "new_filesystem", "attach", "set_mount_attr", "pivot", "set_umask", "no_new_privs", "set_ids"),
    *("drop_bounding", "set_groups", "set_capabilities", "change_dir", "ready", "loopback_up", "write_proc"),
}


def _opens_for_reading(call: str) -> bool:
    return call.startswith(("openat(", "openat2(", "open(")) and not re.search(r"O_(WRONLY|RDWR|CREAT|TRUNC)", call)


def _answers(call: str) -> bool:
    """A question, not a change."""
    return (
        re.match(r"prlimit64\(0, \w+, NULL|seccomp\(SECCOMP_SET_MODE_FILTER, \S+, NULL|open_tree\(-1, \"\"", call)
        is not None
        or re.search(r"TCGETS|SIOCGIFFLAGS|NS_GET_NSTYPE", call) is not None
    )


def _pattern(op: dict[str, Any]) -> str:
    args = {key: re.escape(str(value)) for key, value in op["args"].items() if isinstance(value, (str, int))}
    path = str(op["args"].get("path", ""))
    args["base"] = re.escape(path.rstrip("/").rpartition("/")[2])
    pattern = HELPER.get(op["op"], "")
    return re.sub(r"\{([a-z_]+)\}", lambda match: args[match[1]], pattern)


def _unexplained(ops: list[dict[str, Any]], calls: list[str]) -> list[str]:
    """Calls that no operation explains, walking down both lists together."""
    at, strange = 0, []
    for call in calls:
        found = next((i for i in range(at, len(ops)) if _pattern(ops[i]) and re.match(_pattern(ops[i]), call)), -1)
        if found < 0:
            strange.append(call)
        else:
            at = found
    return strange


def _unseen(ops: list[dict[str, Any]], calls: list[str]) -> list[str]:
    """Operations for which there are too few calls that could be theirs."""
    wanted = collections.Counter(_pattern(op) for op in ops if op["op"] in SEEN)
    return [
        pattern for pattern, count in wanted.items() if sum(bool(re.match(pattern, call)) for call in calls) < count
    ]


@pytest.fixture
def shown(bundle: Callable[..., Path], tmp_path: Path) -> Callable[[str], tuple[dict[str, Any], traced.Trace, str]]:
    """explain --json of a sample, and the trace of creating that very container."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")

    def both(sample: str) -> tuple[dict[str, Any], traced.Trace, str]:
        folder = bundle(sample, "/bin/sleep", "60")
        root, name = tmp_path / "root", f"doors-{time.monotonic_ns()}"
        plan = subprocess.run(
            [LAUNCHER, "--root", root, "explain", "--json", "-b", folder, name], capture_output=True, check=True
        )
        assert not root.exists(), "explain changes nothing"
        trace = traced.create(folder, name, root=root, where=tmp_path)
        return json.loads(plan.stdout), trace, f"{root}/{name}"

    return both


SAMPLES = [
    "hello",
    "mounts",
    "readonly",
    "devices",
    "userns",
    "unprivileged",
    "clock",
    "join",
    "limits",
    "seccomp",
    "thrown-away",
]


@pytest.mark.parametrize("sample", SAMPLES)
def test_no_side_doors(sample: str, shown: Callable[[str], tuple[dict[str, Any], traced.Trace, str]]) -> None:
    plan, trace, directory = shown(sample)
    ops = [op for op in plan["ops"] if op["actor"] == "init"]
    calls = [call for call in trace.helper if not _opens_for_reading(call) and not _answers(call)]
    assert not _unexplained(ops, calls)
    assert not _unseen(ops, calls)
    # Capabilities for the new user namespace, as the ids are not mapped yet.
    assert all(re.match(r"capset\(|prctl\(PR_CAP_AMBIENT", call) for call in trace.spawned)
    host = _strange_on_host(plan, trace.runtime, directory)
    assert not host
    check_processes(plan, trace)
    check_paths(plan, trace)


def check_processes(plan: dict[str, Any], trace: traced.Trace) -> None:
    """One process more than the runtime, two where the plan says why; each runs the helper and then the program."""
    staged = sum(op["op"] == "fork_init" for op in plan["ops"])
    assert trace.started == 1 + staged
    helpers = [call for call in trace.executed if call.startswith("execveat(")]
    assert len(helpers) == 1
    assert "memfd:ocirun-init" in helpers[0]
    assert '"/bin/sleep"' in trace.executed[-1]


def check_paths(plan: dict[str, Any], trace: traced.Trace) -> None:
    """The helper never looks a path of /proc up by itself, only where the config names one as a source."""
    named = {op["args"]["path"] for op in plan["ops"] if op["op"] == "clone_tree"}
    for call in trace.helper:
        found = re.search(r"AT_FDCWD[^,]*, \"(/proc[^\"]*)", call)
        assert not found or found[1] in named, call
        assert not re.match(r"(mount|umount2|chdir|chroot)\([^)]*\"/proc", call), call


def _strange_on_host(plan: dict[str, Any], calls: list[str], directory: str) -> list[str]:
    """Calls of the runtime that no host operation explains."""
    allowed = [
        # reserve_state, record_state, make_start_fifo, spawn: files in the container's directory, below the root
        rf"(openat|write|pwrite64|fchmod|ftruncate|mknodat|symlinkat|renameat2?|unlinkat)\(.*{re.escape(directory)}[/>]",
        rf"mkdirat\(.*{re.escape(directory.rpartition('/')[0])}>, \"{re.escape(directory.rpartition('/')[2])}\"",
        rf"(mkdir|mkdirat|chmod|fchmodat)\(.*\"{re.escape(directory.rpartition('/')[0])}\"",
        # spawn: the plan, the helper's image, the process
        r"write\(\d+</?memfd:(plan|ocirun-init)",
        r"clone3\(.*CLONE_VM.*CLONE_VFORK",
        # the interpreter opens what it reads with O_RDONLY; it writes nothing
        r"write\(2<",
        r"prctl\(PR_SET_NAME, \"ocirun\"",
    ]
    groups = [op["args"]["path"] for op in plan["ops"] if op["op"] == "make_cgroup"]
    for op in plan["ops"]:
        args = op["args"]
        if op["op"] == "write_cgroup":
            path = re.escape(f"{args['path']}/{args['file']}")
            allowed.append(rf"write\(\d+<{path}>, \"{re.escape(args['value'])}\"")
            allowed.append(rf"openat\(\d+<{re.escape(args['path'])}>, \"{re.escape(args['file'])}\"")
        elif op["op"] == "open_cgroup":
            allowed.append(rf"openat\(\d+<{re.escape(args['path'])}>, \"(tasks|cgroup\.procs)\"")
        elif op["op"] == "make_cgroup":
            parent, _, name = args["path"].rpartition("/")
            allowed.append(rf"mkdirat\(\d+<{re.escape(parent)}>, \"{re.escape(name)}\"")
            if args["controller"] == "cpuset":
                # A new cpuset is empty, and no process can be in it: making one means filling it.
                allowed.append(rf"(openat|write)\(\d+<{re.escape(args['path'])}[/>].*cpuset\.(cpus|mems)")
        elif op["op"] in ("write_id_maps", "write_time_offsets", "write_process"):
            allowed.append(
                r"(openat\([^,]*, \"/proc/\d+/|write\(\d+</proc/\d+/)(uid_map|gid_map|timens_offsets|oom_score)"
            )
        elif op["op"] == "compile_seccomp":
            # The library asks what the kernel has and writes to a file in memory; the filter is kept at the root.
            allowed.append(r"seccomp\(SECCOMP_SET_MODE_STRICT, 0x1, NULL\) = -1|seccomp\(SECCOMP_GET_")
            allowed.append(r"write\(\d+</?memfd:filter")
            allowed.append(rf"\w+\(\d+<{re.escape(directory.rpartition('/')[0])}(/seccomp~[^>]*>|>, \"seccomp~\")")
        elif op["op"] == "make_nodes":
            # In a tmpfs that is mounted nowhere: the nodes are named by their number.
            allowed.append(r"fsopen\(\"tmpfs\"|fsconfig\(\d+<anon_inode:\[fscontext\]>|fsmount\(")
            allowed.append(r"(mknodat|fchownat|fchmodat|fchmodat2)\(\d+</>, \"\d+\"")
        elif op["op"] == "limit_process":
            allowed.append(r"prlimit64\([1-9]\d*, ")
        elif op["op"] == "fork_init":
            # The first of two processes has nothing more to do.
            allowed.append(r"pidfd_send_signal\(.*SIGKILL")
        elif op["op"] == "open_source":
            allowed.append(rf"open_tree\(AT_FDCWD[^,]*, \"{re.escape(args['path'])}\"")
            allowed.append(r"mount_setattr\(\d+<[^>]*>, \"\", .*propagation=MS_SLAVE")
    # The way to a nested group: directories that are there already, or are made on the way.
    above = {path.rpartition("/")[0] for path in groups}
    return [
        call
        for call in calls
        if not _opens_for_reading(call)
        and not _answers(call)
        and not any(re.match(pattern, call) for pattern in allowed)
        and not (call.startswith("mkdirat(") and any(_on_the_way(call, path) for path in above))
    ]


def _on_the_way(call: str, path: str) -> bool:
    found = re.match(r"mkdirat\(\d+<([^>]*)>, \"([^\"]*)\"", call)
    return found is not None and f"{path}/".startswith(f"{found[1]}/{found[2]}/")
