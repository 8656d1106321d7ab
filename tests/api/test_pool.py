"""Containers that are made ahead: each runs one program, and nothing of them is left."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from waiting import eventually, in_threads

import ocirun
from ocirun import aio

from .conftest import children, shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

RUNTIME = str(Path(__file__).resolve().parents[2] / "runtime")


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def groups(ids: list[str]) -> list[str]:
    return [f"{top}/{name}" for top, folders, _ in os.walk("/sys/fs/cgroup") for name in folders if name in ids]


@pytest.fixture
def document(bundle: str) -> Any:
    return json.loads(Path(bundle, "config.json").read_text(encoding="utf-8"))


@pytest.fixture
def prepared(bundle: str, root: str) -> ocirun.Prepared:
    return ocirun.Prepared(bundle, root=root)


@pytest.fixture
def pool(prepared: ocirun.Prepared) -> Iterator[ocirun.Pool]:
    before, processes = descriptors(), children()
    with ocirun.Pool(prepared, size=3) as made:
        eventually(lambda: made.ready == 3, "all containers are ready")
        yield made
    assert descriptors() == before
    assert children() == processes
    assert os.listdir(prepared.root) == []


def test_program_that_comes_later(pool: ocirun.Pool) -> None:
    assert pool.run(["/bin/echo", "a", "b c"]).stdout == b"a b c\n"
    text = "echo $A $HOME; cat; echo wrong >&2; exit 3"
    outcome = pool.run(shell(text), env={"A": "b"}, stdin=b"input")
    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (3, b"b /root\ninput", b"wrong\n")
    assert pool.run(shell("echo $HOME"), env={"HOME": "/mine"}).stdout == b"/mine\n"
    assert pool.run(shell("kill -TERM $$")).signal == signal.SIGTERM
    assert pool.run(shell("readlink /proc/self/fd/0")).stdout == b"/dev/null\n"
    cut = pool.run(shell("head -c 100000 /dev/zero"), output_limit=5000)
    assert (len(cut.stdout), cut.stdout_cut) == (5000, True)
    assert pool.problem is None


def test_no_container_is_used_twice(pool: ocirun.Pool) -> None:
    seen = [pool.run(shell("cat /proc/self/cgroup; touch /tmp/mine 2>/dev/null; ls /tmp")).stdout for _ in range(12)]
    assert len({line for text in seen for line in text.split(b"\n") if b"pids" in line}) == 12
    ids = [line.rpartition(b"/")[2].decode() for text in seen for line in text.split(b"\n") if b"pids" in line]
    eventually(lambda: not groups(ids), f"no groups of {ids}")


def test_no_descriptor_of_the_pool_is_in_the_program(pool: ocirun.Pool) -> None:
    assert pool.run(shell("ls /proc/self/fd")).stdout.split() == [b"0", b"1", b"2", b"3"]  # 3 is that of ls


def test_program_that_is_not_there(pool: ocirun.Pool) -> None:
    for args, words in ((["/bin/none"], "stat /bin/none"), (["none"], "not found in $PATH"), (["/bin"], "is a dir")):
        with pytest.raises(ocirun.ProgramError, match=re.escape(words)) as caught:
            pool.run(args)
        assert caught.value.pointer == "/process/args/0"
    with pytest.raises(ocirun.ConfigError, match="args"):
        pool.run([])
    assert pool.run(["/bin/true"]).ok


def test_limits(bundle: str, root: str) -> None:
    prepared = ocirun.Prepared(bundle, root=root, memory=32 << 20, pids=8)
    with ocirun.Pool(prepared, size=2) as pool:
        late = pool.run(["/bin/sleep", "60"], timeout=0.2)
        assert (late.limit, late.timed_out, late.signal) == ("time", True, 9)
        full = pool.run(shell("tail -c 100000000 /dev/zero | wc -c"))
        assert full.oom_killed
        assert pool.run(shell("for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1 & done; wait")).exit_code != 0
        assert (pool.run(["/bin/true"]).pids_peak or 1) <= 9


def test_streams_can_be_opened_again(bundle: str, root: str, document: dict[str, Any]) -> None:
    """By a program that is not root, as those of other runs."""
    document["process"]["user"] = {"uid": 1000, "gid": 1000}
    with ocirun.Pool(ocirun.Prepared(bundle, config=document, root=root), size=1) as pool:
        outcome = pool.run(
            shell("echo out > /dev/stdout; echo err > /dev/stderr; cat /dev/stdin; id -u"), stdin=b"in\n"
        )
    assert (outcome.stdout, outcome.stderr) == (b"out\nin\n1000\n", b"err\n")


def test_container_that_dies_while_it_waits(pool: ocirun.Pool) -> None:
    for session in list(pool._current().ready):
        os.kill(session.helper.pid, signal.SIGKILL)
    assert [pool.run(["/bin/true"]).ok for _ in range(4)] == [True] * 4


def test_more_runs_than_containers(pool: ocirun.Pool) -> None:
    wrong: list[object] = []

    def work(number: int) -> None:
        for turn in range(4):
            outcome = pool.run(shell(f"echo {number}.{turn}"), timeout=30)
            if outcome.stdout != f"{number}.{turn}\n".encode():
                wrong.append(outcome)

    in_threads(work, 8)
    assert not wrong
    eventually(lambda: pool.ready == 3, "the pool is filled again")


def test_limit_on_runs(prepared: ocirun.Prepared) -> None:
    with ocirun.Pool(prepared, size=1, limit=1) as pool:
        thread = threading.Thread(target=lambda: pool.run(["/bin/sleep", "0.5"]))
        thread.start()
        assert pool.turns is not None
        eventually(lambda: pool.turns is not None and not pool.turns._value, "it runs")  # type: ignore[attr-defined]
        assert pool.run(["/bin/true"]).ok  # in its turn
        assert not thread.is_alive()
    for wrong in ({"size": 0}, {"limit": 0}):
        with pytest.raises(ocirun.UsageError):
            ocirun.Pool(prepared, **wrong)


def test_tasks_that_wait_for_their_turn(prepared: ocirun.Prepared) -> None:
    """They hold no thread of the executor, which has fewer than they are; who is cancelled holds no turn."""

    async def scenario(pool: ocirun.Pool) -> list[ocirun.Outcome]:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(2))
        async with asyncio.timeout(60):
            first = asyncio.create_task(aio.run(pool, args=["/bin/sleep", "600"]))
            await asyncio.to_thread(eventually, lambda: pool.turns is not None and not pool.turns._value, "it runs")  # type: ignore[attr-defined]
            later = [asyncio.create_task(aio.run(pool, args=["/bin/true"])) for _ in range(12)]
            await asyncio.sleep(0)
            for one in (later[0], later[5], first, later[1]):
                one.cancel()
            found = await asyncio.gather(first, *later, return_exceptions=True)
        return [one for one in found if not isinstance(one, asyncio.CancelledError)]

    with ocirun.Pool(prepared, size=1, limit=1) as pool:
        outcomes = asyncio.run(scenario(pool))
        assert [outcome.ok for outcome in outcomes] == [True] * 9
        assert pool.run(["/bin/true"]).ok, "the turn has come back"


def test_asyncio(pool: ocirun.Pool) -> None:
    async def scenario() -> list[ocirun.Outcome]:
        runs = [aio.run(pool, args=["/bin/cat"], stdin=str(number).encode()) for number in range(6)]
        late = aio.run(pool, args=["/bin/sleep", "60"], timeout=0.2)
        with pytest.raises(ocirun.UsageError, match="cwd"):
            await aio.run(pool, args=["/bin/true"], cwd="/")
        return await asyncio.gather(*runs, late)

    *outcomes, late = asyncio.run(scenario())
    assert [outcome.stdout for outcome in outcomes] == [str(number).encode() for number in range(6)]
    assert late.timed_out


def test_cancelled_task(pool: ocirun.Pool) -> None:
    async def scenario() -> None:
        task = asyncio.create_task(aio.run(pool, args=["/bin/sleep", "60"]))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    assert pool.run(["/bin/true"]).ok


def test_closed(prepared: ocirun.Prepared) -> None:
    pool = ocirun.Pool(prepared, size=2)
    pool.close()
    pool.close()
    assert os.listdir(prepared.root) == []
    with pytest.raises(ocirun.UsageError, match="closed"):
        pool.run(["/bin/true"])


def test_forgotten(prepared: ocirun.Prepared) -> None:
    before = descriptors()
    forgotten = [ocirun.Pool(prepared, size=2)]
    eventually(lambda: forgotten[0].ready == 2, "all containers are ready")
    forgotten.clear()
    gc.collect()
    assert os.listdir(prepared.root) == []
    assert descriptors() == before


def test_config_without_an_init(bundle: str, root: str, document: dict[str, Any]) -> None:
    document["linux"]["namespaces"] = [one for one in document["linux"]["namespaces"] if one["type"] != "pid"]
    with pytest.raises(ocirun.UnsupportedError, match="pid namespace"):
        ocirun.Pool(ocirun.Prepared(bundle, config=document, root=root))


HEAD = """\
import ocirun, os, sys, time
pool = ocirun.Pool(ocirun.Prepared(sys.argv[1], root=sys.argv[2]), size=3)
while pool.ready < 3:
    time.sleep(0.01)
"""


def program(text: str, bundle: str, root: str) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": RUNTIME}
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + text, bundle, root], stdout=subprocess.PIPE, text=True, env=env
    )


def test_end_of_the_process(bundle: str, root: str) -> None:
    out, _ = program("print(pool.run(['/bin/true']).ok)", bundle, root).communicate(timeout=60)
    assert out == "True\n"
    assert os.listdir(root) == []


def lives(pid: int) -> bool:
    """Whether a process is there, and no zombie: those may be this process's to reap, where it is a subreaper."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_killed_process(bundle: str, root: str) -> None:
    process = program("print('ready', flush=True); time.sleep(600)", bundle, root)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    pids = [state["pid"] for state in ocirun.list_states(root, warn=print)]
    assert len(pids) == 3
    process.kill()
    process.communicate()
    eventually(lambda: not any(map(lives, pids)), "they end")
    ids = ocirun.cleanup(root)
    assert len(ids) == 3
    assert not groups(ids)


def test_forked_process(bundle: str, root: str) -> None:
    """In the child the pool is another one, and its end takes nothing of the parent's away."""
    text = (
        "child = os.fork()\n"
        "if not child:\n"
        "    print(pool.run(['/bin/echo', 'child']).stdout, flush=True)\n"
        "    sys.exit(0)\n"
        "os.waitpid(child, 0)\n"
        "print(pool.ready, [pool.run(['/bin/echo', 'parent']).ok for _ in range(3)])\n"
    )
    out, _ = program(text, bundle, root).communicate(timeout=60)
    assert out == "b'child\\n'\n3 [True, True, True]\n"
    assert os.listdir(root) == []
