"""Processes that go on beside their starter: their time, their verdict, and the streams of those of an event loop."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import ocirun
from ocirun import PIPE, aio
from ocirun.runs import deadline

from .conftest import shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

BUSY = "while :; do :; done"
DEVNULL = ocirun.DEVNULL
SILENT = {"stdin": DEVNULL, "stdout": DEVNULL, "stderr": DEVNULL}
# A child that has left its parent and its session.
RUNAWAY = "(setsid sleep 600 &) ; "


def made(bundle: str, root: str, **options: Any) -> ocirun.Container:
    config = json.loads(Path(bundle, "config.json").read_bytes())
    config["process"]["args"] = ["/bin/sleep", "600"]
    config["mounts"].append({"destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": ["size=32m"]})
    if "cgroup_manager" in options:
        config["linux"].pop("resources", None)
    null = os.open("/dev/null", os.O_RDWR)
    try:
        given = ocirun.CreateOptions(bundle=bundle, stdio=(null, null, null), **options)
        one = ocirun.Container.create(f"popen-{os.getpid()}", root=root, options=given, config=config)
    finally:
        os.close(null)
    one.start()
    return one


@pytest.fixture
def container(bundle: str, root: str) -> Iterator[ocirun.Container]:
    with made(bundle, root) as one:
        yield one


@pytest.fixture
def bare(bundle: str, root: str) -> Iterator[ocirun.Container]:
    with made(bundle, root, cgroup_manager="disabled") as one:
        yield one


def others(container: ocirun.Container) -> list[int]:
    return [pid for pid in container.pids() if pid != container.pid]


def test_verdicts(container: ocirun.Container) -> None:
    with container.popen(shell("exit 3"), **SILENT) as process:
        outcome = process.outcome(60)
    assert (outcome.exit_code, outcome.signal, outcome.limit, outcome.ok) == (3, None, "", False)
    assert (outcome.stdout, outcome.stderr, outcome.seconds > 0) == (b"", b"", True)
    assert outcome.cpu_seconds is not None
    assert outcome.memory_peak is not None
    killed = container.popen(shell("kill -TERM $$"), **SILENT)
    assert (killed.outcome().signal, killed.wait(), killed.outcome().exit_code) == (15, 143, None)
    assert container.popen(shell("exit 143"), **SILENT).outcome().exit_code == 143
    talker = container.popen(shell("read x; echo $x; echo e >&2"), stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True)
    talker.communicate("said\n")
    assert (talker.outcome().stdout, talker.outcome().stderr, talker.outcome().ok) == ("said\n", "e\n", True)


def test_limits_are_named(container: ocirun.Container) -> None:
    late = container.popen(shell(f"{RUNAWAY} sleep 600"), **SILENT, timeout=0.3)
    outcome = late.outcome(60)
    assert (outcome.limit, outcome.timed_out, outcome.signal, late.wait()) == ("time", True, 9, 137)
    assert others(container) == []
    busy = container.popen(shell(f"({BUSY}) & {BUSY}"), **SILENT, cpu_time=0.2, timeout=60).outcome(60)
    assert (busy.limit, busy.signal) == ("cpu", 9)
    assert busy.cpu_seconds is not None
    assert busy.cpu_seconds >= 0.2
    over = container.popen(shell("exec tail /dev/zero"), **SILENT, memory=20 << 20).outcome(60)
    assert (over.limit, over.oom_killed) == ("memory", True)
    large = container.popen(shell("exec head -c 20000 /dev/zero > /run/x"), **SILENT, file_size=9000).outcome(60)
    assert large.limit == "file_size"
    assert container.popen(["/bin/true"], **SILENT, timeout=60, cpu_time=60).outcome().ok
    assert container.popen(["/bin/true"], **SILENT, timeout=float("inf")).outcome().ok
    assert others(container) == []


def test_time_is_kept_while_nobody_asks(container: ocirun.Container) -> None:
    """The thread that has started it does something else all the time; its end can be waited for by its descriptor."""
    process = container.popen(shell("sleep 600"), **SILENT, timeout=0.2)
    import select

    poll = select.poll()
    poll.register(process.fileno(), select.POLLIN)
    assert poll.poll(60_000)
    assert process.outcome().limit == "time"


def test_without_a_cgroup(bare: ocirun.Container) -> None:
    late = bare.popen(shell("sleep 600 & sleep 600"), **SILENT, timeout=0.3)
    outcome = late.outcome(60)
    assert (outcome.limit, outcome.signal, outcome.memory_peak) == ("time", 9, None)
    # Of the killed child of a killed parent the container's first process waits, or does not.
    assert {Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] for pid in others(bare)} <= {"Z"}
    with pytest.raises(ocirun.UnsupportedError, match=r"^cpu_time: "):
        bare.popen(["/bin/true"], **SILENT, cpu_time=1)


def test_what_is_left_of_a_deadline(container: ocirun.Container) -> None:
    """No thread and no descriptor, whichever end comes first."""
    before, threads = set(os.listdir("/proc/self/fd")), set(os.listdir("/proc/self/task"))
    for timeout in (600, 0.1):
        process = container.popen(shell("sleep 0.3"), **SILENT, timeout=timeout, cpu_time=60)
        process.wait()
    for _ in range(3000):
        if set(os.listdir("/proc/self/task")) == threads:
            break
        threading.Event().wait(0.01)
    assert set(os.listdir("/proc/self/task")) == threads
    assert set(os.listdir("/proc/self/fd")) == before


def test_no_thread(container: ocirun.Container, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    before = set(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(deadline, "start_new_thread", none)
    with pytest.raises(ocirun.HostError, match="no thread can keep them"):
        container.popen(["/bin/sleep", "600"], stdin=PIPE, stdout=PIPE, stderr=DEVNULL, timeout=5)
    assert others(container) == []
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(("name", "value"), [("timeout", -1), ("timeout", "1"), ("cpu_time", -1), ("cpu_time", True)])
def test_wrong_parameters(container: ocirun.Container, name: str, value: object) -> None:
    with pytest.raises(ocirun.UsageError, match=f"^{name}: "):
        container.popen(["/bin/true"], **SILENT, **{name: value})  # type: ignore[arg-type]

    async def start() -> None:
        await aio.popen(container, ["/bin/true"], **SILENT, **{name: value})  # type: ignore[arg-type]

    with pytest.raises(ocirun.UsageError, match=f"^{name}: "):
        asyncio.run(start())


IGNORES = """
import os, signal, sys
import ocirun
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
container = ocirun.Container.load(sys.argv[1], root=sys.argv[2])
process = container.popen(["/bin/true"])
print(process.wait())
try:
    process.outcome()
except ocirun.HostError as error:
    print(error.message)
"""


def test_who_has_not_waited_knows_nothing(container: ocirun.Container) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", IGNORES, container.id, container.root], capture_output=True, text=True, check=False
    )
    said = "how the process has ended is not known: somebody else has waited for it"
    assert ran.stdout.splitlines() == ["None", said], ran.stderr


async def conversation(container: ocirun.Container) -> None:
    talk = "while read x; do echo got $x; done; echo err >&2; exit 3"
    async with aio.popen(container, shell(talk), stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
        assert process.stdin and process.stdout and process.stderr
        for word in (b"one", b"two"):
            process.stdin.write(word + b"\n")
            await process.stdin.drain()
            assert await process.stdout.readline() == b"got " + word + b"\n"
        process.stdin.close()
        assert await process.wait() == 3
        assert await process.stderr.read() == b"err\n"
        outcome = await process.outcome()
        assert (outcome.exit_code, outcome.limit) == (3, "")
        assert (outcome.memory_peak or 0) > 0
    lines = []
    async with aio.popen(container, shell("for i in 1 2 3; do echo $i; done"), stdout=PIPE, stdin=DEVNULL) as process:
        assert process.stdin is None
        assert process.stdout is not None
        async for line in process.stdout:
            lines.append(line)
    assert lines == [b"1\n", b"2\n", b"3\n"]
    process = await aio.popen(container, ["/bin/sleep", "600"], **SILENT, timeout=0.2)
    first, second = await asyncio.gather(process.wait(), process.outcome())
    assert (first, second.limit) == (137, "time")


def test_a_conversation_of_an_event_loop(container: ocirun.Container) -> None:
    before = set(os.listdir("/proc/self/fd"))
    asyncio.run(conversation(container))
    assert set(os.listdir("/proc/self/fd")) == before
    assert others(container) == []


def test_more_than_fits_into_a_pipe(container: ocirun.Container) -> None:
    """A writer waits for who reads; a program waits for a reader that reads nothing."""
    content = os.urandom(1 << 20) * 3

    async def echo() -> bytes:
        async with aio.popen(container, ["/bin/cat"], stdin=PIPE, stdout=PIPE) as process:
            assert process.stdin and process.stdout

            async def feed() -> None:
                assert process.stdin
                process.stdin.write(content)
                await process.stdin.drain()
                process.stdin.close()

            feeding = asyncio.create_task(feed())
            await asyncio.sleep(0.2)
            assert not feeding.done()
            said = await process.stdout.read()
            await feeding
            assert await process.wait() == 0
            return said

    assert asyncio.run(echo()) == content


@pytest.mark.parametrize("after", [0.0, 0.005, 0.02, 0.3])
def test_cancelled(container: ocirun.Container, after: float) -> None:
    """While it starts, or when it runs: nothing of it stays."""
    before = set(os.listdir("/proc/self/fd"))

    async def work() -> None:
        async with aio.popen(container, shell(f"{RUNAWAY} sleep 600"), stdin=PIPE, stdout=PIPE) as process:
            await process.wait()

    async def main() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(after)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert others(container) == []
    assert set(os.listdir("/proc/self/fd")) == before


def test_an_error_of_the_block_ends_it(container: ocirun.Container) -> None:
    async def work() -> None:
        async with aio.popen(container, ["/bin/sleep", "600"], stdout=PIPE) as process:
            process.kill(signal.SIGCONT)
            raise KeyError("x")

    with pytest.raises(KeyError):
        asyncio.run(work())
    assert others(container) == []


def test_what_does_not_start(container: ocirun.Container) -> None:
    before = set(os.listdir("/proc/self/fd"))

    async def work() -> None:
        await aio.popen(container, ["/no/such"], stdin=PIPE, stdout=PIPE, stderr=PIPE)

    with pytest.raises(ocirun.ProgramError):
        asyncio.run(work())
    assert set(os.listdir("/proc/self/fd")) == before
