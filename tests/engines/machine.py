"""A machine for engines: namespaces of its own on this host, in which daemons run as on a server.

It has a network, /run, cgroups, and the directories that engines write to, all
of its own; the rest is the host's, or a tree with another system's programs.
Its first process reaps orphans; when that ends, all ends.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time

import waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import IO, Self

    from .runtime import Runtime

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT = 120.0  # seconds a command may take unless told otherwise
COVERED = (
    "/etc/cni",
    "/etc/containerd",
    "/etc/containers",
    "/etc/docker",
    "/etc/group",
    "/etc/passwd",
    "/etc/subgid",
    "/etc/subuid",
    "/home",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/docker",
)
FILES = ("/etc/group", "/etc/passwd", "/etc/subgid", "/etc/subuid")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Result:
    """A finished command.

    code    exit status, negative for a signal
    out     its standard output
    err     its standard error
    seconds how long it took
    """

    def __init__(self, argv: Sequence[str], code: int, out: str, err: str, seconds: float) -> None:
        self.argv = list(argv)
        self.code = code
        self.out = out
        self.err = err
        self.seconds = seconds

    def ok(self) -> Result:
        """Fail unless the exit status is 0."""
        return self.ends(0)

    def ends(self, code: int, *words: str) -> Result:
        """Fail unless the exit status is `code` and the output has all words."""
        assert self.code == code, f"should have ended with {code}: {self}"
        for word in words:
            assert word in self.out + self.err, f"does not say {word!r}: {self}"
        return self

    def says(self, text: str) -> Result:
        """Fail unless it succeeded and its standard output is this text, without blanks at the ends."""
        self.ok()
        assert self.out.strip() == text, f"should have said {text!r}: {self}"
        return self

    @property
    def words(self) -> list[str]:
        """Standard output of a success, cut at blanks."""
        return self.ok().out.split()

    def __str__(self) -> str:
        return (
            f"{' '.join(self.argv)}\n  exit {self.code} after {self.seconds:.2f} s\n"
            f"  out: {self.out[-2000:]!r}\n  err: {self.err[-3000:]!r}"
        )


class Machine:
    """Namespaces that live from `with` to its end.

    With a runtime it has its system, and its program in /usr/local/bin. `covered` are more directories that engines
    write to.

    root    directory of the system that it runs, in which nothing is changed; "" is the host's own
    store   directory on the disk, the same path outside and inside
    pid     its first process
    group   name of its cgroup in every hierarchy of the host
    """

    def __init__(
        self,
        *,
        name: str = "engines",
        cgroups: str = "",
        root: str = "",
        runtime: Runtime | None = None,
        covered: Sequence[str] = (),
    ) -> None:
        self.root = root = runtime.root if runtime else root
        self.store = tempfile.mkdtemp(prefix="ocirun-engines-", dir="/var/tmp")
        os.chmod(self.store, 0o755)
        self.group = os.path.basename(self.store)
        self.environment = {"PATH": PATH, "HOME": f"{self.store}/root", "LANG": "C.UTF-8"}
        self.pid = 0
        self._settings = {"OCIRUN_MACHINE_NAME": name, "OCIRUN_MACHINE_CGROUPS": cgroups, "OCIRUN_MACHINE_ROOT": root}
        self._started: list[subprocess.Popen[bytes]] = []
        os.mkdir(f"{self.store}/root")
        # Inside a tree there is no checkout.
        self._enter = shutil.copy(f"{HERE}/enter.sh", self.store)
        self._covered = (*COVERED, *covered)
        for path in self._covered:
            copy = self.store + path
            if path in FILES:
                os.makedirs(os.path.dirname(copy), exist_ok=True)
                shutil.copy(root + path, copy)
            else:
                os.makedirs(copy)
                if not root:
                    os.makedirs(path, exist_ok=True)
        if runtime:
            os.symlink(runtime.path, f"{self.store}/usr/local/bin/{runtime.name}")

    def __enter__(self) -> Self:
        groups = [f"{root}/{self.group}" for root in hierarchies()]

        def join() -> None:
            for group in groups:
                with open(f"{group}/cgroup.procs", "w", encoding="ascii") as file:
                    file.write("0")

        for group in groups:
            os.mkdir(group)
            _inherit_cpuset(group)
        namespaces = ("--mount", "--net", "--pid", "--ipc", "--uts", "--cgroup")
        self._first = subprocess.Popen(
            ["unshare", *namespaces, "--fork", "--kill-child", "sh", f"{HERE}/machine.sh", self.store, *self._covered],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**self.environment, **self._settings},
            preexec_fn=join,
        )
        assert self._first.stdout is not None
        if self._first.stdout.readline() != b"ready\n":
            self.__exit__()
            raise AssertionError("the machine did not start")
        with open(f"/proc/{self._first.pid}/task/{self._first.pid}/children", encoding="ascii") as file:
            self.pid = int(file.read())
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        shutil.rmtree(self.store)

    def end(self) -> None:
        """End all that runs inside, as if the power were cut."""
        assert self._first.stdin is not None and self._first.stdout is not None
        self._first.stdin.close()
        self._first.stdout.close()
        self._first.wait()
        for started in self._started:
            started.wait()
        for root in hierarchies():
            remove_group(f"{root}/{self.group}")

    def network(self, *argv: str) -> None:
        """Run `ip` in the network of this machine, with the process numbers of the host."""
        subprocess.run(["nsenter", "--target", str(self.pid), "--net", "ip", *argv], check=True)

    def words(self, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` inside."""
        return ["nsenter", "--target", str(self.pid), "--all", "--", "sh", self._enter, *argv]

    def run(
        self,
        *argv: str,
        stdin: bytes = b"",
        limit: float = LIMIT,
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
    ) -> Result:
        """Run a command inside to its end; output goes to files, which daemons that stay may keep open."""
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(stdin)
            given.seek(0)
            start = time.monotonic()
            proc = self.spawn(*argv, stdin=given, stdout=out, stderr=err, env=env, cwd=cwd)
            try:
                code = proc.wait(limit)
            except subprocess.TimeoutExpired:
                proc.kill()
                proc.wait()
                code = -signal.SIGALRM
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode("utf-8", "replace"))
            result = Result(argv, code, texts[0], texts[1], time.monotonic() - start)
        assert code != -signal.SIGALRM, f"still running after {limit} s: {result}"
        return result

    def spawn(
        self,
        *argv: str,
        stdin: IO[bytes] | int | None = subprocess.DEVNULL,
        stdout: IO[bytes] | int | None = subprocess.DEVNULL,
        stderr: IO[bytes] | int | None = subprocess.DEVNULL,
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
        pass_fds: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a command inside."""
        proc = subprocess.Popen(
            self.words(argv),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env={**self.environment, **(env or {}), "OCIRUN_CWD": cwd},
            pass_fds=pass_fds,
        )
        self._started = [one for one in self._started if one.poll() is None]
        self._started.append(proc)
        return proc

    def write(self, path: str, text: str, mode: int = 0o644) -> str:
        """Write a file into a covered directory or the store; its path inside."""
        at = path if path.startswith(self.store) else self.store + path
        os.makedirs(os.path.dirname(at), exist_ok=True)
        with open(at, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(at, mode)
        return path

    def fetch(self, url: str) -> str:
        """What a web server inside answers, or "" when it does not."""
        script = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=2).read().decode(), end='')"
        return self.run("python3", "-I", "-c", script, url).out

    def processes(self) -> dict[int, str]:
        """Processes inside by their pid there, with their command lines; not the first one."""
        listed = self.run("ps", "-eo", "pid=,ppid=,args=").ok().out.splitlines()
        rows = [line.split(None, 2) for line in listed]
        return {
            int(pid): args for pid, _, args in rows if pid != "1" and "ps -eo" not in args and "enter.sh" not in args
        }

    def mounts(self) -> set[str]:
        """Mount points inside."""
        with open(f"/proc/{self.pid}/mountinfo", encoding="utf-8") as file:
            return {line.split()[4] for line in file}

    def groups(self) -> set[str]:
        """Cgroups below the machine's own, without the name of the hierarchy."""
        found = set()
        for root in hierarchies():
            top = f"{root}/{self.group}"
            for where, _, _ in os.walk(top):
                found.add(where.removeprefix(top))
        return found - {""}


def hierarchies() -> list[str]:
    """The mount points of the host's cgroup hierarchies."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        rows = [line.split() for line in file]
    return [row[4] for row in rows if row[row.index("-") + 1] in ("cgroup", "cgroup2") and row[3] == "/"]


def _inherit_cpuset(group: str) -> None:
    # A new group of the v1 controller has no processor, and refuses processes until it has.
    for name in ("cpuset.cpus", "cpuset.mems"):
        above = f"{os.path.dirname(group)}/{name}"
        if os.path.exists(above):
            with open(above, encoding="ascii") as source, open(f"{group}/{name}", "w", encoding="ascii") as target:
                target.write(source.read())


def remove_group(top: str) -> None:
    """Remove a cgroup and all below it; the processes in it are ending."""

    def remove() -> None:
        for where, _, _ in os.walk(top, topdown=False):
            try:
                os.rmdir(where)
            except OSError:
                pass

    waiting.eventually(lambda: not os.path.isdir(top), f"cgroup {top} is removed", 10, pause=0.02, meanwhile=remove)
