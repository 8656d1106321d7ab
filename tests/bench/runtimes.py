"""The runtimes, the place they work in, and one timed call of one of them."""

from __future__ import annotations

import compileall
import ctypes
import json
import os
import platform
import shutil
import signal
import subprocess
import tempfile
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Any

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEFAULT = os.path.join(CHECKOUT, "build", "bin", "ocirun")
OWN = ("ocirun", "beside", "ocirun.run", "Prepared.run", "Pool.run")
RUNTIMES = ("crun", "runc", "youki")  # that are looked for in PATH
SANDBOXES = ("bwrap", "sandlock")  # no OCI runtimes: compared with from Python
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "OCIRUN_PRELOAD": "no"}  # we wait for all that comes of a call
CACHES = ("seccomp~", ".cache")  # of compiled filters, below the state root: ocirun's, crun's
LIMIT = 20  # seconds a command may take
NOTE = 240  # characters
PR_SET_CHILD_SUBREAPER = 36
BUSYBOX = "/bin/busybox"


class Failed(Exception):
    """A command of a runtime ended with another status than 0."""


class Runtime:
    """One runtime with a state root of its own.

    name      ocirun, beside for another ocirun, or a peer's
    program   path of its program
    root      its state root
    """

    def __init__(self, name: str, program: str, top: str) -> None:
        self.name = name
        self.program = program
        self.root = f"{top}/state-{name}"
        os.mkdir(self.root, 0o700)

    def words(self, *args: str) -> list[str]:
        """Its command line."""
        return [self.program, "--root", self.root, *args]

    def call(self, *args: str, check: bool = True) -> float:
        """Run one command; seconds from its start until it has been waited for.  Raises Failed."""
        return timed(self.words(*args), check=check)

    def clear(self) -> None:
        """End what hangs of it, and delete all its containers."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
                if self.root.encode() in words and words[0] == self.program.encode():
                    os.kill(int(pid), signal.SIGKILL)
            except (FileNotFoundError, ProcessLookupError):
                pass
        for name in os.listdir(self.root):
            subprocess.run(self.words("delete", "--force", name), capture_output=True, check=False)
        reap()


def version(name: str, program: str) -> str:
    """The name and version of a program; sandlock's is an interpreter."""
    words = [program, "-c", "import sandlock; print('sandlock', sandlock.__version__)"]
    words = words if name == "sandlock" else [program, "--version"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[0]


def pair(text: str) -> tuple[str, str]:
    """NAME=PROGRAM as two."""
    name, _, program = text.partition("=")
    return name, program


def found(given: dict[str, str]) -> dict[str, str]:
    """Name -> program of the peers: those given ("" leaves one out) in that order, then those of PATH."""
    peers = {name: shutil.which(name) or "" for name in (*RUNTIMES, *SANDBOXES) if name not in given}
    if peers.get("sandlock"):
        peers["sandlock"] = os.path.join(os.path.dirname(os.path.realpath(peers["sandlock"])), "python")
    return {**given, **peers}


def timed(words: list[str], *, check: bool = True) -> float:
    """Run a command with its output thrown away; its time in seconds.

    We are the subreaper of all that comes of it: orphans are waited for at
    once, which the first process of a container host does and that of a
    virtual machine perhaps not.  A command that takes longer than LIMIT is killed.
    """
    quiet = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in range(3)]
    start = time.perf_counter()
    pid = os.posix_spawn(words[0], words, ENVIRONMENT, file_actions=quiet)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(pid, signal.SIGKILL))
    signal.alarm(LIMIT)
    while True:
        ended, status, _ = os.wait4(-1, 0)
        if ended == pid:
            break
    seconds = time.perf_counter() - start
    signal.alarm(0)
    if seconds >= LIMIT:
        raise Failed(f"{' '.join(words)}: not done in {LIMIT} s")
    if check and os.waitstatus_to_exitcode(status):
        raise Failed(f"{' '.join(words)}: status {os.waitstatus_to_exitcode(status)}\n{_again(words)}")
    return seconds


def _again(words: Sequence[str]) -> str:
    """What the command says for itself when it is run once more."""
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=LIMIT
        )
    except subprocess.TimeoutExpired:
        return f"not done in {LIMIT} s"
    return done.stderr[-1000:]


def reap() -> None:
    """Wait for every child that has ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def reap_all() -> None:
    """Wait until there is no child; they have been killed."""
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        pass


class Place:
    """A directory with the image, the bundles and the state roots; removed at the end.

    runtimes   those that take part, ocirun first
    others     further ones of a measure
    peers      name -> program of all peers that are there
    pythons    interpreters, that of the checkout first
    notes      what was left out and why, and what there is to say of how it was measured
    """

    def __init__(self, ocirun: str, beside: str, peers: dict[str, str], pythons: Sequence[str]) -> None:
        self._own = {"ocirun": ocirun, **({"beside": beside} if beside else {})}
        self.peers = {name: program for name, program in peers.items() if program}
        self.notes = [f"{name} is missing" for name, program in peers.items() if not program]
        self.pythons = list(pythons)
        self.runtimes: list[Runtime] = []
        self.others: list[Runtime] = []

    def note(self, text: str) -> None:
        """Keep something for the reader, once, as one line."""
        line = " ".join(text.split())[:NOTE]
        if line not in self.notes:
            self.notes.append(line)

    def failed(self, name: str, text: str) -> None:
        """Keep that a peer failed, and end and delete what that has left."""
        self.note(text)
        for runtime in self.runtimes:
            if runtime.name == name:
                runtime.clear()

    def __enter__(self) -> Place:
        become_subreaper()
        # The launcher's interpreter writes no bytecode, and an installed package has it.
        compileall.compile_dir(os.path.join(CHECKOUT, "runtime", "ocirun"), quiet=2)
        self.top = tempfile.mkdtemp(prefix="ocirun-bench-")
        # The state of containers lives on a tmpfs (/run); a disk would be measured along with the runtimes.
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=711", "bench", self.top], check=True)
        self.group = os.path.basename(self.top)
        self._image(f"{self.top}/rootfs")
        there = {**self._own, **self.peers}
        self.runtimes = [Runtime(name, there[name], self.top) for name in there if name not in SANDBOXES]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for runtime in self.runtimes + self.others:
            runtime.clear()
        remove_cgroups(self.group)
        subprocess.run(["umount", "--lazy", self.top], check=True)
        os.rmdir(self.top)

    def _image(self, rootfs: str) -> None:
        for name in ("bin", "proc", "sys", "dev", "tmp", "etc", "m"):
            os.makedirs(f"{rootfs}/{name}")
        shutil.copy(BUSYBOX, f"{rootfs}/bin/busybox")
        for name in ("true", "sleep", "sh"):
            os.symlink("busybox", f"{rootfs}/bin/{name}")

    def bundle(
        self, name: str, *args: str, mounts: Sequence[dict[str, Any]] = (), cgroup: str | None = None, **linux: Any
    ) -> str:
        """A bundle for a program: what an engine's config has, and these mounts and parts of ``linux``; its path.

        cgroup   its cgroupsPath, "" for the runtime's choice, None for one that is named like the bundle
        """
        path = f"{self.top}/{name}"
        os.makedirs(path, exist_ok=True)
        config = {
            "ociVersion": "1.0.2",
            "root": {"path": f"{self.top}/rootfs"},
            "hostname": "bench",
            "process": {
                "cwd": "/",
                "args": list(args),
                "env": ["PATH=/bin", "HOME=/"],
                "user": {"uid": 0, "gid": 0},
                "capabilities": {kind: ["CAP_KILL"] for kind in ("bounding", "effective", "permitted")},
                "noNewPrivileges": True,
            },
            "mounts": [*MOUNTS, *mounts],
            "linux": {
                **({} if cgroup == "" else {"cgroupsPath": cgroup or f"/{self.group}/{name}"}),
                "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")],
                "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list"],
                "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger"],
                **linux,
            },
        }
        with open(f"{path}/config.json", "w", encoding="ascii") as file:
            json.dump(config, file)
        return path

    def host(self) -> dict[str, Any]:
        """What the numbers were measured on."""
        return {
            "kernel": platform.release(),
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
            "versions": {name: version(name, program) for name, program in {**self._own, **self.peers}.items()},
            "notes": self.notes,
        }


def remove_cgroups(group: str) -> None:
    """Remove the cgroups of a place, as far as they are empty."""
    for where, _, _ in os.walk("/sys/fs/cgroup", topdown=False):
        if f"/{group}" in where:
            try:
                os.rmdir(where)
            except OSError:
                pass


def libc() -> Any:
    """The C library, for what Python has no function for; errno by ctypes.get_errno."""
    return ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> None:
    """Have the orphans of what we start become our children."""
    libc().prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _mount(destination: str, kind: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": kind, "options": list(options)}


#: Those of the config that `runc spec` writes, without the cgroup mount.
MOUNTS = (
    {"destination": "/proc", "type": "proc", "source": "proc"},
    _mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
    _mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
    _mount("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
    _mount("/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev"),
    _mount("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro"),
)
