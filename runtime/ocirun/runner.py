"""One call for one program: create, start, feed, watch, limit, read, delete.

    import ocirun
    outcome = ocirun.run("bundle", args=["python3", "-c", "print(6 * 7)"], timeout=2.0, memory=64 << 20)
    assert outcome.ok and outcome.stdout == b"42\\n"

Safe from any thread, with any number of calls at once: nothing of this process
changes, and no other program is started.  asyncio: ``await asyncio.to_thread(ocirun.run, ...)``.
"""

from __future__ import annotations

import os
import time

from . import jsonio
from .config import load
from .errors import ConfigError, HostError, Problem
from .launch import create as creation
from .launch import foreground, spawn
from .launch.options import CreateOptions
from .outcome import Outcome
from .roots import default_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from .cgroup.driver import Driver
    from .launch.session import Session

OUTPUT_LIMIT = 1 << 20
_CHUNK = 65536
# How long a killed container may take to end, in seconds.
_KILL_LIMIT = 10.0


def run(
    bundle: str = "",
    *,
    config: Mapping[str, Any] | None = None,
    args: Sequence[str] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    mounts: Sequence[Mapping[str, Any]] = (),
    stdin: bytes = b"",
    timeout: float | None = None,
    memory: int | None = None,
    pids: int | None = None,
    cpus: float | None = None,
    output_limit: int = OUTPUT_LIMIT,
    container_id: str = "",
    root: str = "",
) -> Outcome:
    """Run one program in a container of its own, and remove the container.

    bundle        directory with config.json and the root filesystem; "" is the working directory
    config        in place of config.json; a relative ``root.path`` starts at `bundle`
    args, cwd     replace those of ``process``
    env           added to ``process.env``, replacing variables of the same name
    mounts        added behind those of the config, in its form
    stdin         what the program reads
    timeout       seconds from its start until everything in the container is killed
    memory        limit in bytes, swap included where the kernel counts it
    pids          limit of processes and threads
    cpus          limit of processor time as a number of processors, such as 0.5
    output_limit  bytes kept of each of the output streams; more is read and dropped
    container_id  "" makes one
    root          the state root; "" is the default one
    Raises ConfigError, UnsupportedError, StepError, HookError, ProgramError, HostError.
    """
    path = os.path.abspath(bundle or ".")
    data: dict[str, Any] = dict(load.load(path).data if config is None else config)
    _replace(data, args, env, cwd, mounts)
    _limit(data, memory, pids, cpus)
    try:
        raw = jsonio.dumps(data).encode("ascii")
    except (TypeError, ValueError) as error:
        raise ConfigError([Problem("", f"cannot be written as JSON: {error}")]) from None
    checked = load.from_bytes(raw, bundle=path, path="config")
    name = container_id or f"run-{os.urandom(8).hex()}"
    return _Run(name, root or default_root(os.environ), output_limit).go(checked, stdin, timeout)


def _replace(
    data: dict[str, Any],
    args: Sequence[str] | None,
    env: Mapping[str, str] | None,
    cwd: str | None,
    mounts: Sequence[Mapping[str, Any]],
) -> None:
    process = dict(data.get("process") or {})
    process["terminal"] = False
    if args is not None:
        process["args"] = list(args)
    if cwd is not None:
        process["cwd"] = cwd
    if env:
        process["env"] = [*(process.get("env") or ()), *(f"{key}={value}" for key, value in env.items())]
    data["process"] = process
    if mounts:
        data["mounts"] = [*(data.get("mounts") or ()), *(dict(mount) for mount in mounts)]


def _limit(data: dict[str, Any], memory: int | None, pids: int | None, cpus: float | None) -> None:
    """Limits as ``linux.resources``; each replaces what the config says of it."""
    if memory is None and pids is None and cpus is None:
        return
    linux = dict(data.get("linux") or {})
    resources = dict(linux.get("resources") or {})
    if memory is not None:
        resources["memory"] = {**(resources.get("memory") or {}), "limit": memory, "swap": memory}
    if pids is not None:
        resources["pids"] = {"limit": pids}
    if cpus is not None:
        resources["cpu"] = {**(resources.get("cpu") or {}), "period": 100000, "quota": int(cpus * 100000)}
    linux["resources"] = resources
    data["linux"] = linux


class _Stream:
    """One output of the program: kept up to a limit, read to its end."""

    __slots__ = ("cut", "fd", "kept", "left")

    def __init__(self, fd: int, limit: int) -> None:
        self.fd = fd
        self.kept: list[bytes] = []
        self.left = limit
        self.cut = False

    def take(self) -> bool:
        """Read what is there; False at the end."""
        try:
            data = os.read(self.fd, _CHUNK)
        except BlockingIOError:
            return True
        if not data:
            return False
        if len(data) > self.left:
            self.cut = True
            data = data[: self.left]
        if data:
            self.kept.append(data)
            self.left -= len(data)
        return True


class _Run:
    """The descriptors and the course of one run."""

    def __init__(self, container_id: str, root: str, output_limit: int) -> None:
        self.container_id = container_id
        self.root = root
        self.fds: list[int] = []
        self.output_limit = output_limit

    def go(self, config: load.Config, stdin: bytes, timeout: float | None) -> Outcome:
        try:
            reader = self._input(stdin)
            out, out_write = self._pipe()
            err, err_write = self._pipe()
            options = CreateOptions(stdio=(reader, out_write, err_write))
            record, session = creation.create(self.container_id, self.root, options, stay=True, config=config)
            try:
                for fd in (reader, out_write, err_write):
                    self._close(fd)
                session.start()
                foreground.poststart(session, record)
                streams = [_Stream(out, self.output_limit), _Stream(err, self.output_limit)]
                return self._watch(session, streams, timeout)
            finally:
                session.close()
                foreground.delete(self.root, self.container_id)
        finally:
            for fd in self.fds:
                os.close(fd)
            self.fds.clear()

    def _input(self, content: bytes) -> int:
        """Standard input is a file in memory: nobody has to feed it, and it has an end."""
        if not content:
            fd = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
            self.fds.append(fd)
            return fd
        fd = os.memfd_create("stdin", os.MFD_CLOEXEC)
        self.fds.append(fd)
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        os.lseek(fd, 0, os.SEEK_SET)
        return fd

    def _pipe(self) -> tuple[int, int]:
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        self.fds += [ours, theirs]
        os.set_blocking(ours, False)
        return ours, theirs

    def _close(self, fd: int) -> None:
        self.fds.remove(fd)
        os.close(fd)

    def _watch(self, session: Session, streams: list[_Stream], timeout: float | None) -> Outcome:
        begin = time.monotonic()
        cgroup = session.cgroup
        timed_out = self._serve(session, streams, None if timeout is None else begin + timeout, cgroup)
        seconds = time.monotonic() - begin
        ended = spawn.reap(session.helper.pidfd)
        for stream in streams:
            while stream.fd >= 0 and self._ready(stream.fd) and stream.take():
                pass
        usage = cgroup.usage()
        out, err = streams
        return Outcome(
            ended=ended,
            timed_out=timed_out,
            seconds=seconds,
            stdout=b"".join(out.kept),
            stderr=b"".join(err.kept),
            stdout_cut=out.cut,
            stderr_cut=err.cut,
            usage=usage,
        )

    @staticmethod
    def _ready(fd: int) -> bool:
        import select

        waiter = select.poll()
        waiter.register(fd, select.POLLIN)
        return any(events & select.POLLIN for _, events in waiter.poll(0))

    def _serve(self, session: Session, streams: list[_Stream], end: float | None, cgroup: Driver) -> bool:
        """Read the output until the program has ended; True if its time was over first."""
        import select

        pidfd = session.helper.pidfd
        waiter = select.poll()
        waiter.register(pidfd, select.POLLIN)
        open_streams = {stream.fd: stream for stream in streams}
        for fd in open_streams:
            waiter.register(fd, select.POLLIN)
        timed_out = False
        while True:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                if timed_out:
                    raise HostError(f"{self.container_id}: does not end within {_KILL_LIMIT:.0f} s of SIGKILL")
                timed_out = True
                end = time.monotonic() + _KILL_LIMIT
                self._kill(pidfd, cgroup)
                continue
            ready = dict(waiter.poll(None if left is None else int(left * 1000) + 1))
            for fd in list(open_streams):
                if fd in ready and not open_streams[fd].take():
                    waiter.unregister(fd)
                    open_streams.pop(fd).fd = -1
            if pidfd in ready:
                return timed_out

    @staticmethod
    def _kill(pidfd: int, cgroup: Driver) -> None:
        import _signal

        cgroup.kill(9)
        try:
            _signal.pidfd_send_signal(pidfd, 9)
        except OSError:
            pass
