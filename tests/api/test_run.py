"""`ocirun.run` inside a large, threaded process: outcomes, limits, and nothing of the process changed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import ocirun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Runner = Callable[..., ocirun.Outcome]

SAMPLES = Path(__file__).resolve().parents[2] / "bundles"

pytestmark = [pytest.mark.live, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A copy of a sample: mount points are made in its root file system."""
    subprocess.run([sys.executable, str(SAMPLES / "make"), "hello"], check=True, capture_output=True)
    copy = tmp_path_factory.mktemp("api") / "bundle"
    shutil.copytree(SAMPLES / "hello", copy, symlinks=True)
    return str(copy)


@pytest.fixture
def run(bundle: str, tmp_path: Path) -> Runner:
    root = tmp_path / "root"

    def call(*args: str, **options: object) -> ocirun.Outcome:
        return ocirun.run(bundle, args=list(args), root=str(root), **options)  # type: ignore[arg-type]

    return call


def shell(script: str) -> tuple[str, str, str]:
    return "/bin/sh", "-c", script


def test_output_status_and_usage(run: Runner) -> None:
    outcome = run(*shell("cat; echo err >&2; exit 3"), stdin=b"hi\n")
    assert (outcome.exit_code, outcome.signal, outcome.ok) == (3, None, False)
    assert (outcome.stdout, outcome.stderr) == (b"hi\n", b"err\n")
    assert outcome.memory_peak and 0 < outcome.memory_peak < 64 << 20
    assert outcome.cpu_seconds is not None and 0 < outcome.cpu_seconds < 5


def test_the_first_process_is_not_ended_from_inside(run: Runner) -> None:
    outcome = run(*shell("kill -9 -1; echo still here"))
    assert (outcome.exit_code, outcome.stdout) == (0, b"still here\n")


def test_time_limit(run: Runner) -> None:
    begin = time.monotonic()
    outcome = run(*shell("sleep 60 & sleep 60"), timeout=0.3)
    assert (outcome.timed_out, outcome.limit, outcome.signal) == (True, "time", 9)
    assert time.monotonic() - begin < 5


def test_memory_limit(run: Runner) -> None:
    outcome = run(*shell("x=a; while :; do x=$x$x; done"), memory=16 << 20)
    assert (outcome.oom_killed, outcome.limit, outcome.signal) == (True, "memory", 9)
    assert outcome.memory_peak is not None and outcome.memory_peak <= 16 << 20


def test_pids_limit(run: Runner) -> None:
    outcome = run(*shell("i=0; while [ $i -lt 8 ]; do sleep 1 & i=$((i+1)); done; echo all"), pids=4)
    assert b"all" not in outcome.stdout
    assert not outcome.ok


def test_output_is_cut_and_says_so(run: Runner) -> None:
    outcome = run(*shell("head -c 5000000 /dev/zero; echo end >&2"), output_limit=1000)
    assert (len(outcome.stdout), outcome.stdout_cut) == (1000, True)
    assert (outcome.stderr, outcome.stderr_cut) == (b"end\n", False)
    assert outcome.ok


def test_environment_directory_and_mounts(run: Runner, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("from outside")
    mount = {"destination": "/mnt", "source": str(tmp_path / "data"), "options": ["rbind", "ro"]}
    outcome = run(*shell("echo $WORD; pwd; cat file"), env={"WORD": "x"}, cwd="/mnt", mounts=[mount])
    assert outcome.stdout == b"x\n/mnt\nfrom outside"


def test_missing_program(run: Runner) -> None:
    with pytest.raises(ocirun.ProgramError) as caught:
        run("/no/such")
    assert (caught.value.pointer, caught.value.errno) == ("/process/args/0", 2)


def test_wrong_type_is_refused_with_its_address(run: Runner) -> None:
    with pytest.raises(ocirun.ConfigError) as caught:
        run("/bin/true", mounts=[{"destination": 5}])
    assert caught.value.pointer.endswith("/destination")


def process_state() -> tuple[object, ...]:
    handlers = tuple(signal.getsignal(number) for number in (1, 2, 10, 13, 15, 17))
    umask = os.umask(0o22)
    os.umask(umask)
    return handlers, umask, os.getcwd(), signal.pthread_sigmask(signal.SIG_BLOCK, ()), threading.active_count()


def test_two_hundred_in_sixteen_threads_with_a_large_heap(run: Runner, tmp_path: Path) -> None:
    heap = bytearray(1 << 30)
    heap[::4096] = b"x" * len(heap[::4096])
    before = (process_state(), set(os.listdir("/proc/self/fd")))
    churning = threading.Event()

    def churn() -> None:
        while not churning.is_set():
            _ = [str(number) for number in range(2000)]
            os.close(os.open("/dev/null", os.O_RDONLY))

    others = [threading.Thread(target=churn) for _ in range(2)]
    problems: list[str] = []

    def work(number: int) -> None:
        for turn in range(13):
            try:
                outcome = run(*shell(f"echo {number}.{turn} $$"))
                if outcome.stdout != f"{number}.{turn} 1\n".encode() or not outcome.ok:
                    problems.append(f"{outcome} {outcome.stdout!r} {outcome.stderr!r}")
            except ocirun.OcirunError as error:
                problems.append(repr(error))

    for thread in others:
        thread.start()
    workers = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    churning.set()
    for thread in others:
        thread.join()
    assert problems == []
    assert (process_state(), set(os.listdir("/proc/self/fd"))) == before
    assert os.listdir(tmp_path / "root") == []
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    del heap


def test_fork_of_the_caller_does_not_touch_its_containers(bundle: str, tmp_path: Path) -> None:
    """P26: a pre-fork server; the child's garbage collection must not end the parent's container."""
    root = str(tmp_path / "root")
    container = ocirun.Container.create(
        "kept", root=root, options=ocirun.CreateOptions(bundle=bundle, stdio=(-1, -1, -1))
    )
    child = os.fork()
    if child == 0:
        del container
        os._exit(0)
    os.waitpid(child, 0)
    assert container.status() == "created"
    container.delete()
