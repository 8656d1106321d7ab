"""Every call of a container's creation that changes something, as strace(1) saw it."""

from __future__ import annotations

import re
import subprocess

import waiting

from .command import LAUNCHER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

# Whatever changes the system, the process or what it may do; opening for reading is left out below.
_TRACED = (
    *("mount", "umount2", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr"),
    *("pivot_root", "chroot", "chdir", "fchdir", "mknodat", "mkdirat", "symlinkat", "linkat", "unlinkat", "renameat"),
    *(
        "renameat2",
        "fchmod",
        "fchmodat",
        "fchown",
        "fchownat",
        "utimensat",
        "truncate",
        "ftruncate",
        "write",
        "pwrite64",
        "writev",
    ),
    *("sendfile", "copy_file_range", "openat", "openat2", "setns", "unshare", "clone", "clone3", "execve", "execveat"),
    *(
        "sethostname",
        "setdomainname",
        "setresuid",
        "setresgid",
        "setuid",
        "setgid",
        "setreuid",
        "setregid",
        "setgroups",
    ),
    *("setsid", "setpgid", "capset", "prctl", "keyctl", "add_key", "prlimit64", "setrlimit", "sched_setaffinity"),
    *("sched_setattr", "sched_setscheduler", "ioprio_set", "setpriority", "personality", "umask", "ioctl", "kill"),
    *("tkill", "tgkill", "pidfd_send_signal", "connect", "bind", "setxattr", "fsetxattr", "bpf", "seccomp", "ptrace"),
    *("finit_module", "init_module", "delete_module", "clock_settime", "settimeofday", "acct", "quotactl", "swapon"),
)
# Those that arm64 never had; strace refuses unknown names unless marked.
_OLD = (
    *("open", "creat", "mkdir", "mknod", "symlink", "link", "unlink", "rmdir", "rename", "chmod", "chown", "lchown"),
    *("fork", "vfork"),
)


class Trace:
    """What the processes of one command did.

    runtime   calls of the runtime, each a text such as ``mkdirat(3</run>, "x", 0711) = 0``
    spawned   calls of the new process before it is the helper
    helper    calls of the init helper and of what it forked, from its start to the execve of the program
    started   how many processes were made
    executed  the programs that were executed
    """

    def __init__(self, text: str) -> None:
        self.runtime: list[str] = []
        self.spawned: list[str] = []
        self.helper: list[str] = []
        self.executed: list[str] = []
        self.started = 0
        begun: set[str] = set()
        ended: set[str] = set()
        first = ""
        for pid, call in _whole_lines(text):
            first = first or pid
            name = call.partition("(")[0]
            failed = re.search(r" = -1 E", call) is not None
            if name in ("clone", "clone3", "fork", "vfork") and not failed:
                self.started += 1
            if name in ("execve", "execveat"):
                if failed:
                    continue
                if name == "execve":
                    ended.add(pid)
                else:
                    begun.add(pid)
                self.executed.append(call)
                continue
            if pid == first:
                self.runtime.append(call)
            elif not begun:
                self.spawned.append(call)
            elif pid not in ended:
                self.helper.append(call)


def _whole_lines(text: str) -> list[tuple[str, str]]:
    """(pid, call) with the two halves of interrupted calls put together, in the order they ended."""
    halves: dict[str, str] = {}
    lines = []
    for line in text.splitlines():
        pid, _, rest = line.partition(" ")
        rest = rest.strip()
        if rest.endswith("<unfinished ...>"):
            halves[pid] = rest.removesuffix("<unfinished ...>")
            continue
        resumed = re.match(r"<\.\.\. (\w+) resumed>", rest)
        if resumed:
            first, rest = halves.pop(pid, ""), rest[resumed.end() :]
            rest = (first.rstrip() if rest.startswith(")") else first) + rest
        if re.match(r"\w+\(", rest):
            lines.append((pid, rest))
    return lines


def create(bundle: Path, name: str, *, root: Path, where: Path, options: tuple[str, ...] = ()) -> Trace:
    """Trace `create`, and the helper until its program runs; the container is deleted afterwards."""
    output = where / "trace"
    names = ",".join((*_TRACED, *(f"?{name}" for name in _OLD)))
    runtime = [str(LAUNCHER), "--root", str(root)]
    tracer = subprocess.Popen(
        [
            *("strace", "-f", "-y", "-s", "4096", "-e", f"trace={names}", "-e", "signal=none", "-o", str(output)),
            *(*runtime, "create", "-b", str(bundle), *options, name),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _start(runtime, name)
    finally:
        subprocess.run([*runtime, "delete", "--force", name], check=True)
        tracer.wait(timeout=20)
    return Trace(output.read_text(errors="replace"))


def _start(runtime: list[str], name: str) -> None:
    """Start the container as soon as it can be: `create` itself is not done before strace is."""
    said = ""

    def started() -> bool:
        nonlocal said
        result = subprocess.run([*runtime, "start", name], capture_output=True, text=True, check=False)
        said = result.stderr
        return result.returncode == 0

    waiting.eventually(started, lambda: said, 20, pause=0.05)
