"""`ocirun.aio`: the same outcomes, no thread that only waits, and nothing left after a cancellation."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from contextlib import nullcontext

import pytest
from waiting import eventually

import ocirun
from ocirun import aio

from .conftest import children, shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from .conftest import Make

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def play(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run it to its end; no descriptor, thread or child may be left."""
    fds, threads = set(os.listdir("/proc/self/fd")), threading.active_count()
    result = asyncio.run(coroutine)
    # No more than before: what earlier tests have left to the garbage collector may go meanwhile.
    assert set(os.listdir("/proc/self/fd")) <= fds
    assert threading.active_count() <= threads
    return result


def test_outcome(bundle: str, root: str) -> None:
    outcome = play(aio.run(bundle, root=root, args=shell("cat; echo err >&2; exit 3"), stdin=b"hi"))
    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (3, b"hi", b"err\n")
    assert outcome.memory_peak
    assert os.listdir(root) == []


def test_large_output_is_cut(bundle: str, root: str) -> None:
    args = shell("head -c 3000000 /dev/zero; echo end >&2")
    outcome = play(aio.run(bundle, root=root, args=args, output_limit=1000))
    assert (len(outcome.stdout), outcome.stdout_cut, outcome.stderr, outcome.ok) == (1000, True, b"end\n", True)


def test_time_limit(bundle: str, root: str) -> None:
    outcome = play(aio.run(bundle, root=root, args=shell("sleep 60 & sleep 60"), timeout=0.3))
    assert (outcome.timed_out, outcome.limit, outcome.signal) == (True, "time", 9)
    assert os.listdir(root) == []


def test_errors(bundle: str, root: str) -> None:
    with pytest.raises(ocirun.ProgramError):
        play(aio.run(bundle, root=root, args=["/no/such"]))
    with pytest.raises(ocirun.ConfigError) as wrong:
        play(aio.run(bundle, root=root, cwd="relative"))
    assert wrong.value.pointer == "/process/cwd"
    prepared = ocirun.Prepared(bundle, root=root)
    with pytest.raises(ocirun.UsageError, match="root: a Prepared has its own"):
        play(aio.run(prepared, root=root))
    assert not os.path.exists(root) or os.listdir(root) == []


def test_many_at_once_by_one_preparation(bundle: str, root: str) -> None:
    prepared = ocirun.Prepared(bundle, root=root)

    async def all_of_them() -> list[ocirun.Outcome]:
        runs = [aio.run(prepared, args=shell("cat; sleep 0.3"), stdin=str(number).encode()) for number in range(20)]
        return await asyncio.gather(*runs)

    assert [outcome.stdout for outcome in play(all_of_them())] == [str(number).encode() for number in range(20)]
    assert os.listdir(root) == []


def test_waiting_needs_no_thread(bundle: str, root: str) -> None:
    """While fifty programs sleep, the executor of two threads has nothing to do, and the loop goes on."""
    from concurrent.futures import ThreadPoolExecutor

    prepared = ocirun.Prepared(bundle, root=root)

    async def scenario() -> float:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
        tasks = [asyncio.create_task(aio.run(prepared, args=shell("sleep 600"))) for _ in range(50)]
        async with asyncio.timeout(60):
            while len([name for name in os.listdir(root) if os.path.exists(f"{root}/{name}/state.json")]) < 50:
                await asyncio.sleep(0.01)
                assert not [task.result() for task in tasks if task.done()]
        begin = time.monotonic()
        await asyncio.to_thread(time.sleep, 0.01)
        took = time.monotonic() - begin
        for task in tasks:
            task.cancel()
        assert all(
            isinstance(one, asyncio.CancelledError) for one in await asyncio.gather(*tasks, return_exceptions=True)
        )
        return took

    os.makedirs(root, mode=0o700)
    assert play(scenario()) < 20
    assert os.listdir(root) == []


@pytest.mark.parametrize("moment", [0.0, 0.002, 0.005, 0.01, 0.02, 0.2])
def test_cancelled_at_any_moment(bundle: str, root: str, moment: float) -> None:
    async def scenario() -> None:
        task = asyncio.create_task(aio.run(bundle, root=root, args=shell("sleep 600")))
        await asyncio.sleep(moment)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()  # impatience changes nothing
        with pytest.raises(asyncio.CancelledError):
            await task

    before = children()
    play(scenario())
    assert not os.path.exists(root) or os.listdir(root) == []
    assert children() <= before


def test_wait_for_cancels(bundle: str, root: str) -> None:
    with pytest.raises(TimeoutError):
        play(asyncio.wait_for(aio.run(bundle, root=root, args=shell("sleep 600")), 0.3))
    assert os.listdir(root) == []


def test_wait(make: Make) -> None:
    container = make("/bin/sh", "-c", "exit 7")

    async def scenario() -> tuple[int | None, int | None]:
        with pytest.raises(TimeoutError):
            await aio.wait(container, 0.01)
        both = asyncio.gather(aio.wait(container), aio.wait(container, 20))
        await asyncio.to_thread(container.start)
        first, second = await both
        return first, second

    assert play(scenario()) == (7, 7)
    container.delete()
    assert play(aio.wait(container)) is None


@pytest.mark.parametrize("waits", [True, False])
def test_end_of_a_container_in_whose_loop_a_program_still_runs(make: Make, waits: bool) -> None:
    """Nobody else could take the end of that program, so the container would not end."""
    container = make("/bin/sleep", "600")
    container.start()
    tasks: list[asyncio.Task[ocirun.Outcome]] = []

    async def fail() -> None:
        await asyncio.to_thread(eventually, lambda: len(container.pids()) == 2, "the program runs")
        raise ValueError("the caller's own")

    async def scenario() -> None:
        with container:
            tasks.append(asyncio.create_task(aio.run_in(container, ["/bin/sleep", "600"])))
            if waits:
                await asyncio.gather(*tasks, fail())
            else:
                await asyncio.gather(fail(), return_exceptions=True)

    with pytest.raises(ValueError, match="own") if waits else nullcontext():
        asyncio.run(scenario())
    assert tasks[0].done()
    with pytest.raises(ocirun.ContainerNotFoundError):
        ocirun.Container.load(container.id, root=container.root)


def test_run_in(make: Make) -> None:
    container = make("/bin/sleep", "600")
    container.start()

    async def scenario() -> list[ocirun.Outcome]:
        return await asyncio.gather(
            aio.run_in(container, ["/bin/cat"], stdin=b"x"),
            aio.run_in(container, ["/bin/sleep", "60"], timeout=0.2),
            aio.run_in(container, ["/bin/sh", "-c", "echo $A"], env={"A": "b"}),
        )

    first, second, third = play(scenario())
    assert (first.stdout, second.timed_out, third.stdout) == (b"x", True, b"b\n")
    assert container.status() == "running"
    assert container.pids() == [container.pid]
