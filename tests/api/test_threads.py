"""Many containers from many threads of a large process: all right, and nothing of the process changed."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

import pytest
from waiting import in_threads

import ocirun
from ocirun import aio

from .conftest import children, shell

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def process_state() -> tuple[object, ...]:
    handlers = tuple(signal.getsignal(number) for number in (1, 2, 10, 13, 15, 17))
    umask = os.umask(0o22)
    os.umask(umask)
    return handlers, umask, os.getcwd(), signal.pthread_sigmask(signal.SIG_BLOCK, ()), threading.active_count()


# The tests of another checkout may run at the same time, and the cgroup of such a container has only its id for a name.
NAME = f"threads-{os.getpid()}-"


def left_on_the_host(bundle: str) -> list[str]:
    """The cgroups and the mounts that a run may leave."""
    left = []
    for top, folders, _ in os.walk("/sys/fs/cgroup"):
        left += [f"{top}/{name}" for name in folders if name.startswith(NAME)]
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return left + [line for line in file if bundle in line]


def memory() -> int:
    """Resident memory in KiB."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def test_two_hundred_in_sixteen_threads_with_a_large_heap(bundle: str, root: str) -> None:
    heap = bytearray(1 << 30)
    heap[::4096] = b"x" * len(heap[::4096])
    prepared = ocirun.Prepared(bundle, root=root)
    assert prepared.run(args=["/bin/true"]).ok
    before = (process_state(), set(os.listdir("/proc/self/fd")), left_on_the_host(bundle), children())
    used = memory()
    churning = threading.Event()

    def churn() -> None:
        while not churning.is_set():
            _ = [str(number) for number in range(2000)]
            os.close(os.open("/dev/null", os.O_RDONLY))

    others = [threading.Thread(target=churn) for _ in range(2)]
    problems: list[str] = []

    def one(number: int, turn: int) -> ocirun.Outcome:
        args = shell(f"echo {number}.{turn} $$")
        name = f"{NAME}{number}-{turn}"
        if turn % 3 == 0:
            return ocirun.run(bundle, args=args, root=root, container_id=name)
        if turn % 3 == 1:
            return prepared.run(args=args, container_id=name)
        return asyncio.run(aio.run(prepared, args=args, container_id=name))

    def work(number: int) -> None:
        for turn in range(13):
            try:
                outcome = one(number, turn)
                if outcome.stdout != f"{number}.{turn} 2\n".encode() or not outcome.ok:
                    problems.append(f"{outcome} {outcome.stdout!r} {outcome.stderr!r}")
            except ocirun.OcirunError as error:
                problems.append(repr(error))

    for thread in others:
        thread.start()
    in_threads(work, 16)
    churning.set()
    for thread in others:
        thread.join()
    assert problems == []
    assert (process_state(), set(os.listdir("/proc/self/fd")), left_on_the_host(bundle), children()) == before
    assert os.listdir(root) == []
    assert memory() - used < 32 << 10
    del heap
