"""One container, many programs: each has its own time, end, memory, processor time and verdict."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

import pytest
from waiting import eventually, in_threads

import ocirun
from ocirun import PIPE, aio
from ocirun.execute.options import ExecOptions

from .conftest import shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

BUSY = "while :; do :; done"
# Processes that have left their parents, sessions and process groups.
RUNAWAYS = "(setsid sleep 600 &); (setsid sh -c 'sleep 600 & setsid sleep 600' &); sleep 600 & sleep 0.1; "


@pytest.fixture
def container(bundle: str, root: str) -> Iterator[ocirun.Container]:
    """One that waits, by the API."""
    config = json.loads(Path(bundle, "config.json").read_bytes())
    config["process"]["args"] = ["/bin/sleep", "600"]
    config["mounts"].append({"destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": ["size=32m"]})
    null = os.open("/dev/null", os.O_RDWR)
    options = ocirun.CreateOptions(bundle=bundle, stdio=(null, null, null))
    limits = {"memory": 100 << 20, "pids": 200}
    with ocirun.Container.create(f"api-s-{os.getpid()}", root=root, options=options, config=config, **limits) as one:
        one.start()
        yield one
    os.close(null)


def groups(container: ocirun.Container) -> list[str]:
    """The groups of programs that there are."""
    found = []
    for group in container.cgroup.groups:
        found += [name for name in os.listdir(group.path) if name.startswith("exec-")]
    return found


def others(container: ocirun.Container) -> list[int]:
    """The processes of the container besides its first."""
    return [pid for pid in container.pids() if pid != container.pid]


def test_the_whole_tree_goes(container: ocirun.Container) -> None:
    """With its time, by kill, and at its end; and nobody else."""
    null = os.open("/dev/null", os.O_RDWR)
    with container.popen(["/bin/sleep", "600"], stdio=(null, null, null)) as other:
        late = container.run(shell(RUNAWAYS + "echo on; sleep 600"), timeout=0.5)
        assert (late.signal, late.limit, late.stdout) == (9, "time", b"on\n")
        assert others(container) == [other.pid]
        ended = container.run(shell(RUNAWAYS + "exit 3"))
        assert (ended.exit_code, ended.limit) == (3, "")
        assert others(container) == [other.pid]
        with container.popen(shell(RUNAWAYS + "echo on; sleep 600"), stdin=null, stdout=PIPE) as killed:
            assert killed.stdout is not None
            assert killed.stdout.readline() == b"on\n"
            assert len(others(container)) > 4
            killed.kill()
            assert killed.wait(30) == 137
            assert others(container) == [other.pid]
        left = container.popen(shell(RUNAWAYS + "exit 4"), stdio=(null, null, null))
        assert left.wait(30) == 4
        assert others(container) == [other.pid]
        assert asyncio.run(aio.run_in(container, shell(RUNAWAYS + "exit 5"))).exit_code == 5
        assert others(container) == [other.pid]
        with pytest.raises(TimeoutError):
            asyncio.run(asyncio.wait_for(aio.run_in(container, shell(RUNAWAYS + "sleep 600")), 1))
        assert others(container) == [other.pid]
        assert len(set(groups(container))) == 1
    os.close(null)
    assert (others(container), groups(container), container.status()) == ([], [], "running")


def test_a_program_that_forks_without_end(container: ocirun.Container) -> None:
    bomb = {"B": 'sh -c "$B" & sh -c "$B" & exec sleep 0.02'}
    outcome = container.run(shell('sh -c "$B" & exec sleep 600'), env=bomb, timeout=1, pids=50)
    assert (outcome.limit, outcome.signal) == ("time", 9)
    assert (others(container), groups(container)) == ([], [])


def test_each_has_its_own_numbers(container: ocirun.Container) -> None:
    script = f"head -c 30000000 /dev/zero | tail -n 1 > /dev/null; {BUSY}"
    with container.popen(shell(script), stdin=ocirun.DEVNULL) as busy:
        first = container.run(["/bin/true"]).cpu_seconds
        assert first
        eventually(lambda: (busy.usage().cpu_seconds or 0) >= 5 * first, "it has used as much")
        little = container.run(["/bin/true"])
        much_time = busy.usage().cpu_seconds
    assert little.cpu_seconds is not None
    assert much_time is not None
    assert little.cpu_seconds < much_time
    assert little.memory_peak is not None
    assert little.memory_peak < 8_000_000
    much = container.run(shell("head -c 20000000 /dev/zero | tail -n 1 | wc -c"))
    assert much.memory_peak is not None
    assert much.memory_peak > 15_000_000
    cache = container.run(shell("head -c 20000000 /dev/zero > /run/x; rm /run/x"))
    assert cache.memory_peak is not None
    assert cache.rss_peak is not None
    assert cache.memory_peak > 15_000_000 > cache.rss_peak
    assert (little.oom_killed, much.oom_killed) == (False, False)


def test_each_has_its_own_limits(container: ocirun.Container) -> None:
    cpu = container.run(shell(f"({BUSY}) & {BUSY}"), cpu_time=0.2, timeout=60)
    assert (cpu.limit, cpu.signal) == ("cpu", 9)
    assert container.run(["/bin/true"], cpu_time=10).ok, "what others have used is not its own"
    over = container.run(shell("exec tail /dev/zero"), memory=20 << 20)
    assert (over.limit, over.oom_killed, over.signal) == ("memory", True, 9)
    assert over.memory_peak is not None
    assert over.memory_peak <= 20 << 20
    # That of the container holds as well.
    whole = container.run(shell("exec tail /dev/zero"))
    assert (whole.limit, whole.oom_killed) == ("memory", True)
    child = container.run(shell("tail /dev/zero; echo $?"), memory=20 << 20, text=True)
    assert (child.limit, child.oom_killed, child.stdout, child.exit_code) == ("", True, "137\n", 0)
    fine = container.run(["/bin/true"])
    assert (fine.limit, fine.oom_killed) == ("", False), "what became of others is not its own"
    assert container.usage().oom_kills == 3, "the container's figure has those of programs that are gone"
    many = "for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait; exit 1"
    assert container.run(shell(many), pids=4).limit == "pids"
    assert container.run(shell(many.replace("sleep 1", "true")), pids=50).limit == ""
    files = container.run(shell("ulimit -n; exec head -c 20000 /dev/zero > /run/x"), open_files=33, file_size=9000)
    assert (files.stdout, files.limit) == (b"33\n", "file_size")
    assert container.run(["/bin/true"], pids=1).ok, "what makes it ready is none of its processes"


def test_usage_of_a_process(container: ocirun.Container) -> None:
    with container.popen(shell("exec tail /dev/zero"), stdin=ocirun.DEVNULL, memory=20 << 20) as process:
        assert process.wait(60) == 137
        used = process.usage()
    assert used.oom_kills == 1
    assert used.memory_peak is not None
    assert used.memory_peak <= 20 << 20
    assert used.cpu_seconds


def test_many_at_once(container: ocirun.Container) -> None:
    found: list[ocirun.Outcome] = []

    def work(number: int) -> None:
        for _ in range(5):
            found.append(container.run(shell(f"sleep 600 & exit {number}"), timeout=60))

    in_threads(work, 6)
    assert sorted(one.exit_code or 0 for one in found) == sorted([number for number in range(6) for _ in range(5)])
    assert (others(container), groups(container)) == ([], [])


def test_the_plan_shows_it(container: ocirun.Container) -> None:
    process = {**container.base_process(), "args": ["/bin/true"]}
    options = ExecOptions(own_group=True, resources={"memory": {"limit": 1 << 25}, "pids": {"limit": 7}})
    ops = container.explain_exec(process, options).ops
    made = [op.args["path"] for op in ops if op.name == "make_cgroup"]
    assert made
    assert all(os.path.basename(path).startswith("exec-") for path in made)
    written = {op.args["file"]: op.pointer for op in ops if op.name == "write_cgroup"}
    assert {"/linux/resources/memory/limit", "/linux/resources/pids/limit"} <= set(written.values())
    assert all(
        os.path.dirname(op.args["path"]) in made or op.args["path"] in made for op in ops if op.name == "write_cgroup"
    )
    assert groups(container) == [], "nothing is made"
    assert not [op for op in container.explain_exec(process, ExecOptions()).ops if op.name == "make_cgroup"]


def test_a_conversation(container: ocirun.Container) -> None:
    """Files of a process, as those of subprocess."""
    before = set(os.listdir("/proc/self/fd"))
    talk = "while read x; do echo got $x; done; echo err >&2; exit 3"
    with container.popen(shell(talk), stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        for word in ("one", "zwei ä"):
            process.stdin.write(f"{word}\n")
            process.stdin.flush()
            assert process.stdout.readline() == f"got {word}\n"
        assert process.poll() is None
        process.stdin.close()
        assert (process.wait(20), process.poll()) == (3, 3)
        assert list(process.stderr) == ["err\n"]
    assert set(os.listdir("/proc/self/fd")) == before
    echo = container.popen(["/bin/cat"], stdin=PIPE, stdout=PIPE, stderr=ocirun.STDOUT)
    assert echo.communicate(b"x" * 3_000_000, timeout=60) == (b"x" * 3_000_000, None)
    assert echo.wait() == 0
    # Nobody is kept waiting: by one who reads nothing, or by who holds the pipe.
    mute = container.popen(shell("exit 5"), stdin=PIPE, stdout=PIPE)
    assert mute.communicate(b"x" * 3_000_000, timeout=60) == (b"", None)
    holder = container.popen(shell("echo said; sleep 600 & exit 6"), stdin=ocirun.DEVNULL, stdout=PIPE, text=True)
    assert (holder.communicate(timeout=60), holder.wait()) == (("said\n", None), 6)
    slow = container.popen(shell("echo first; read x; echo $x"), stdin=PIPE, stdout=PIPE, text=True)
    assert slow.stdin is not None
    with pytest.raises(TimeoutError):
        slow.wait(0.1)
    assert slow.communicate("last\n", timeout=60) == ("first\nlast\n", None)
    late = container.popen(shell("echo first; exec sleep 600"), stdin=ocirun.DEVNULL, stdout=PIPE)
    with pytest.raises(TimeoutError):
        late.communicate(timeout=0.5)
    late.kill()
    assert late.communicate(timeout=60) == (b"first\n", None)
    assert set(os.listdir("/proc/self/fd")) == before


def test_wrong_streams(container: ocirun.Container) -> None:
    before = set(os.listdir("/proc/self/fd"))
    for name, value in (
        *(("stdin", "x"), ("stdin", ocirun.STDOUT), ("stdout", ocirun.STDOUT), ("stdout", 1 << 20), ("stderr", True)),
        *(("stdio", (0, 1)), ("stdio", 5), ("text", "no such"), ("memory", 0), ("cpus", "1"), ("open_files", 1)),
    ):
        with pytest.raises(ocirun.UsageError) as caught:
            container.popen(["/bin/true"], **{name: value})  # type: ignore[arg-type]
        assert caught.value.message.startswith(name)
    with pytest.raises(ocirun.UsageError, match="stdio: is there besides"):
        container.popen(["/bin/true"], stdio=(0, 1, 2), stdin=PIPE)
    with pytest.raises(ocirun.ProgramError):
        container.popen(["/no/such"], stdin=PIPE, stdout=PIPE, stderr=PIPE)
    assert set(os.listdir("/proc/self/fd")) == before
    assert groups(container) == []


@pytest.fixture
def bare(bundle: str, root: str) -> Iterator[ocirun.Container]:
    """One without a cgroup, as an ordinary user often has it."""
    config = json.loads(Path(bundle, "config.json").read_bytes())
    config["process"]["args"] = ["/bin/sleep", "600"]
    config["linux"].pop("resources", None)
    null = os.open("/dev/null", os.O_RDWR)
    options = ocirun.CreateOptions(bundle=bundle, stdio=(null, null, null), cgroup_manager="disabled")
    with ocirun.Container.create(f"api-b-{os.getpid()}", root=root, options=options, config=config) as one:
        one.start()
        yield one
    os.close(null)


def test_the_whole_tree_goes_without_a_cgroup(bare: ocirun.Container) -> None:
    """A keeper has all of it for descendants, whoever its parents were."""
    before = set(os.listdir("/proc/self/fd"))
    late = bare.run(shell(RUNAWAYS + "echo on; sleep 600"), timeout=0.5)
    assert (late.signal, late.limit, late.stdout, others(bare)) == (9, "time", b"on\n", [])
    ended = bare.run(shell(RUNAWAYS + "echo on; exit 3"))
    assert (ended.exit_code, ended.limit, ended.stdout, others(bare)) == (3, "", b"on\n", [])
    much = bare.run(
        shell("(while :; do echo x; done) & while :; do echo y; done"), output_limit=9, on_output_limit="kill"
    )
    assert (much.signal, much.limit, others(bare)) == (9, "output", [])
    assert asyncio.run(aio.run_in(bare, shell(RUNAWAYS + "exit 5"))).exit_code == 5
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(aio.run_in(bare, shell(RUNAWAYS + "sleep 600")), 1))
    assert others(bare) == []
    assert bare.run(shell("kill -ABRT $$")).signal == 6
    with bare.popen(shell("sleep 600 & sleep 600"), stdin=ocirun.DEVNULL) as process:
        time.sleep(0.2)
    assert process.wait() == 137
    # What nobody counts is not guessed, and a limit that nobody keeps is refused.
    assert (ended.oom_killed, ended.memory_peak, ended.cpu_seconds, ended.pids_peak) == (None, None, None, None)
    for name, value in (("cpu_time", 1.0), ("memory", 1 << 24), ("pids", 5), ("cpus", 0.5)):
        with pytest.raises(ocirun.UnsupportedError):
            bare.run(["/bin/true"], **{name: value})  # type: ignore[arg-type]
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_keeper_that_is_killed(bare: ocirun.Container) -> None:
    """By root of the container: then nobody knows how the program has ended, and nothing is made up."""
    with pytest.raises(ocirun.OcirunError):
        bare.run(shell("kill -9 $PPID; exit 0"))


def test_a_program_that_lies(container: ocirun.Container) -> None:
    """It says that a limit has ended it: that is not believed."""
    for signal in ("KILL", "XFSZ", "XCPU", "TERM"):
        outcome = container.run(shell(f"kill -{signal} $$"), timeout=60)
        assert (outcome.limit, outcome.oom_killed, outcome.timed_out) == ("", False, False)
    assert container.run(shell("exit 137")).limit == ""


def test_the_end_of_the_container_ends_what_was_started(bundle: str, root: str) -> None:
    """A dead child that nobody has waited for would keep the pid namespace, and so the container, for ever."""
    children = set(_children())
    config = json.loads(Path(bundle, "config.json").read_bytes())
    config["process"]["args"] = ["/bin/sleep", "600"]
    with ocirun.Container.create(
        f"api-e-{os.getpid()}", root=root, config=config, options=ocirun.CreateOptions(bundle=bundle)
    ) as one:
        one.start()
        first = one.popen(["sleep", "600"], stdout=ocirun.DEVNULL)
        one.popen(["sleep", "600"], stdout=ocirun.DEVNULL)
        ended = {**one.base_process(), "args": ["/bin/true"]}
        for process in (ended, {**ended, "args": ["/bin/sleep", "600"]}):
            assert one.exec(process, ExecOptions(detach=True)) == 0
    assert (first.wait(), first.fileno()) == (137, -1)
    assert ocirun.list_ids(root) == []
    assert set(_children()) <= children


def test_what_a_detached_exec_has_left_is_reaped_by_the_next(container: ocirun.Container) -> None:
    process = {**container.base_process(), "args": ["/bin/true"]}
    before, descriptors = len(_children()), len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        container.exec(process, ExecOptions(detach=True))
        eventually(lambda: any(_state(pid) == "Z" for pid in _children()), "it ends")
    assert len(_children()) == before + 1
    assert len(os.listdir("/proc/self/fd")) == descriptors + 1


def _children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_caller_that_is_busy(container: ocirun.Container) -> None:
    """Whose time is over ends then, whatever the caller does meanwhile, and has met the limit."""

    async def busy(script: str) -> ocirun.Outcome:
        started = asyncio.Event()
        words = shell(f"echo on; {script}")
        task = asyncio.create_task(aio.run_in(container, words, timeout=2.0, on_output=lambda *_: started.set()))
        await started.wait()
        time.sleep(3.0)
        return await task

    fds = set(os.listdir("/proc/self/fd"))
    late = asyncio.run(busy("sleep 2.5; exit 0"))
    assert (late.limit, late.timed_out, late.ok) == ("time", True, False)
    assert asyncio.run(busy("exit 3")).exit_code == 3
    late = container.run(shell("echo on; sleep 2.5; exit 0"), timeout=2.0, on_output=lambda *_: time.sleep(3.0))
    assert (late.limit, late.timed_out, late.ok) == ("time", True, False)
    assert others(container) == []
    assert groups(container) == []
    assert set(os.listdir("/proc/self/fd")) <= fds
