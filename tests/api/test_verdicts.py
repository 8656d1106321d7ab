"""What a run says of its program is true, whatever the calling process is doing; and what ends with it does end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from waiting import eventually

import ocirun

from .conftest import shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .conftest import Runner

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

RUNTIME = str(Path(__file__).resolve().parents[2] / "runtime")


def program(text: str, bundle: str, root: str, **more: str) -> subprocess.Popen[str]:
    """Another process that calls the API."""
    head = f"import ocirun, os, signal, sys, threading, time\nBUNDLE, ROOT = {bundle!r}, {root!r}\n"
    env = {**os.environ, "PYTHONPATH": RUNTIME, **more}
    return subprocess.Popen([sys.executable, "-c", head + text], stdout=subprocess.PIPE, text=True, env=env)


def output(text: str, bundle: str, root: str) -> str:
    out, _ = program(text, bundle, root).communicate(timeout=120)
    return out.strip()


def containers(mark: str) -> list[str]:
    """Processes whose command line holds a mark that only a container's program has."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if words[:2] == [b"sleep", mark.encode()]:
            found.append(entry)
    return found


LONG = "ocirun.run(BUNDLE, root=ROOT, args=['sleep', '{mark}'], container_id='{name}')"


@pytest.mark.parametrize("milliseconds", [600, 2000], ids=["until init answers", "longer than it may take"])
def test_init_that_the_program_keeps_from_running(rootfs: str, root: str, milliseconds: int) -> None:
    """Its scheduling is any process's of the same user; whose time is over has met the limit all the same."""
    source = Path(__file__).with_name("starve.c")
    made = [os.environ.get("CC", "cc"), "-static", "-O1", "-o", f"{rootfs}/bin/starve", str(source)]
    subprocess.run(made, check=True)
    config = ocirun.sandbox(rootfs, ["/bin/starve", str(milliseconds)])
    outcome = ocirun.run(config=config, root=root, timeout=0.3)
    assert (outcome.limit, outcome.ok, outcome.timed_out) == ("time", False, True), outcome


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_caller(bundle: str, root: str, number: int) -> None:
    mark = f"9{os.getpid()}{number}"
    caller = program(LONG.format(mark=mark, name=f"killed-{mark}"), bundle, root)
    eventually(lambda: containers(mark), "the program runs")
    caller.send_signal(number)
    caller.communicate()
    eventually(lambda: not containers(mark), "the program ends with its caller")
    assert ocirun.cleanup(root) == [f"killed-{mark}"]
    assert os.listdir(root) == []
    assert not [top for top, folders, _ in os.walk("/sys/fs/cgroup") if f"killed-{mark}" in folders]


def test_caller_that_ends_with_the_run_in_a_daemon_thread(bundle: str, root: str) -> None:
    mark = f"8{os.getpid()}"
    text = (
        f"threading.Thread(target=lambda: {LONG.format(mark=mark, name='daemon-' + mark)}, daemon=True).start()\n"
        "sys.stdin.readline(); os._exit(0)"
    )
    reader, writer = os.pipe()
    with os.fdopen(reader) as stdin:
        env = {**os.environ, "PYTHONPATH": RUNTIME}
        head = f"import ocirun, os, sys, threading\nBUNDLE, ROOT = {bundle!r}, {root!r}\n"
        caller = subprocess.Popen([sys.executable, "-c", head + text], stdin=stdin, env=env)
    eventually(lambda: containers(mark), "the program runs")
    os.close(writer)
    caller.wait()
    eventually(lambda: not containers(mark), "the program ends with its caller")
    assert ocirun.cleanup(root) == [f"daemon-{mark}"]


def test_thread_that_ends_takes_nothing_with_it(bundle: str, root: str) -> None:
    """A container belongs to the process, not to the thread that made it."""
    text = (
        "made = []\n"
        "def make():\n"
        "    from ocirun.runs import in_new_container\n"
        "    from ocirun.runs.program_run import ProgramRun\n"
        "    from ocirun.runs.terms import Terms\n"
        "    course = ProgramRun(ROOT, Terms())\n"
        "    make = in_new_container.container_factory(BUNDLE, None, '', ROOT, init=None, args=['sleep', '0.3'])\n"
        "    course.begin(make, polled=True)\n"
        "    while [state['status'] for state in ocirun.list_states(ROOT, warn=print)] != ['running']:\n"
        "        select.select([course], [], [], 0.01)\n"
        "        course.go_on()\n"
        "    made.append(course)\n"
        "import select\n"
        "thread = threading.Thread(target=make); thread.start(); thread.join()\n"
        "from ocirun.execute import host_side\n"
        "while (turn := made[0].go_on()) == host_side.WAIT:\n"
        "    select.select([made[0]], [], [])\n"
        "made[0].go_on()\n"
        "print(made[0].outcome().exit_code); made[0].close()"
    )
    assert output(text, bundle, root) == "0"


@pytest.mark.parametrize(
    "before",
    [
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
        "signal.signal(signal.SIGCHLD, lambda *_: [None for _ in iter(lambda: reap(), 0)])",
        "threading.Thread(target=lambda: [reap() or time.sleep(0.0005) for _ in iter(int, 1)], daemon=True).start()",
    ],
    ids=["ignored", "handler", "thread"],
)
def test_somebody_else_reaps(bundle: str, root: str, before: str) -> None:
    text = (
        "def reap():\n"
        "    try: return os.waitpid(-1, os.WNOHANG)[0]\n"
        "    except ChildProcessError: return 0\n"
        f"{before}\n"
        "for script, code in (('exit 3', 3), ('exit 0', 0), ('kill -9 $$', None)) * 3:\n"
        "    outcome = ocirun.run(BUNDLE, root=ROOT, args=['sh', '-c', script])\n"
        "    print(outcome.exit_code == code and outcome.ok == (code == 0))\n"
        "os._exit(0 if sys.stdout.flush() is None else 1)"
    )
    assert output(text, bundle, root).split() == ["True"] * 9


@pytest.mark.parametrize("code", [0, 3])
def test_status_that_is_lost_is_an_error(bundle: str, root: str, code: int) -> None:
    """Without an init the kernel tells the status to whoever waits first."""
    text = (
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        f"try: print(ocirun.run(BUNDLE, root=ROOT, args=['sh', '-c', 'exit {code}'], init=False))\n"
        "except ocirun.HostError as error: print(error.call, error.errno, os.listdir(ROOT))"
    )
    assert output(text, bundle, root) == "waitid 10 []"


def test_fork_in_another_thread(bundle: str, root: str) -> None:
    """A child that is forked while a run starts, and lives on, holds copies of all descriptors."""
    text = (
        "stop = threading.Event()\n"
        "def fork():\n"
        "    for _ in range(200):\n"
        "        if stop.is_set(): break\n"
        "        if not os.fork(): time.sleep(60); os._exit(0)\n"
        "        time.sleep(0.005)\n"
        "thread = threading.Thread(target=fork); thread.start()\n"
        "begin = time.monotonic()\n"
        "done = [ocirun.run(BUNDLE, root=ROOT, args=['sh', '-c', 'exit 4'], timeout=40).exit_code for _ in range(10)]\n"
        "late = ocirun.run(BUNDLE, root=ROOT, args=['sleep', '60'], timeout=0.3)\n"
        "print(done == [4] * 10, late.limit == 'time', time.monotonic() - begin < 50)\n"
        "stop.set(); thread.join(); signal.signal(signal.SIGTERM, signal.SIG_IGN); os.killpg(0, signal.SIGTERM)"
    )
    env = {**os.environ, "PYTHONPATH": RUNTIME, "PYTHONWARNINGS": "ignore"}
    head = f"import ocirun, os, signal, sys, threading, time\nBUNDLE, ROOT = {bundle!r}, {root!r}\n"
    result = subprocess.run(
        [sys.executable, "-c", head + text],
        stdout=subprocess.PIPE,
        text=True,
        env=env,
        start_new_session=True,
        check=False,
    )
    assert result.stdout.split() == ["True", "True", "True"]


def test_busy_threads(run: Runner) -> None:
    """Eight threads that never wait: time is kept by the clock of init, not by when Python gets its turn."""
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            sum(range(2000))

    threads = [threading.Thread(target=spin) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        quick = run("/bin/true", timeout=1.0)
        slow = run("/bin/sleep", "0.6", timeout=0.3)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert (quick.ok, quick.limit) == (True, "")
    assert (slow.limit, slow.signal) == ("time", 9)
    assert 0.3 <= slow.seconds < 0.6


def test_caller_that_is_stopped(bundle: str, root: str) -> None:
    """The deadline holds although nobody watches, and what ended in time is not late."""
    text = (
        "print('ready', flush=True)\n"
        "outcome = ocirun.run(BUNDLE, root=ROOT, args=['sleep', sys.argv[1]], timeout=float(sys.argv[2]))\n"
        "print(outcome.ok, outcome.limit)"
    )
    for length, timeout, wanted in (("2.125", "5", ["True"]), ("60.125", "1.5", ["False", "time"])):
        head = f"import ocirun, sys\nBUNDLE, ROOT = {bundle!r}, {root!r}\n"
        env = {**os.environ, "PYTHONPATH": RUNTIME}
        caller = subprocess.Popen(
            [sys.executable, "-c", head + text, length, timeout], stdout=subprocess.PIPE, text=True, env=env
        )
        eventually(lambda word=length: containers(word), "the program runs")  # type: ignore[misc]
        caller.send_signal(signal.SIGSTOP)
        eventually(lambda word=length: not containers(word), "it ends although its caller is stopped")  # type: ignore[misc]
        time.sleep(3.5)
        caller.send_signal(signal.SIGCONT)
        out, _ = caller.communicate(timeout=60)
        assert out.split()[1:] == wanted


@pytest.mark.parametrize(
    ("script", "signal_number"),
    [
        ("kill -ABRT $$", 6),
        ("kill -TERM $$; sleep 9", 15),
        ("kill -ALRM $$; sleep 9", 14),
        ("kill -SEGV $$; sleep 9", 11),
    ],
)
def test_signals_of_its_own(run: Runner, script: str, signal_number: int) -> None:
    outcome = run(*shell(script))
    assert (outcome.exit_code, outcome.signal) == (None, signal_number)


def test_program_that_must_be_the_first_process(bundle: str, root: str, run: Runner) -> None:
    assert run(*shell("echo $$"), init=False).stdout == b"1\n"
    assert run(*shell("echo $$")).stdout == b"2\n"
    assert ocirun.Prepared(bundle, root=root, init=False, args=shell("echo $$")).run().stdout == b"1\n"


def test_processes_that_count(run: Runner) -> None:
    assert run("/bin/true", pids=1).ok


def test_what_is_no_orphan_stays(bundle: str, root: str) -> None:
    """A run of a process that is there, and a container that the command line has made."""
    mark = f"7{os.getpid()}"
    caller = program(LONG.format(mark=mark, name=f"there-{mark}"), bundle, root)
    eventually(lambda: containers(mark), "the program runs")
    null = os.open("/dev/null", os.O_RDWR)
    options = ocirun.CreateOptions(bundle=bundle, stdio=(null, null, null))
    made = ocirun.Container.create(f"made-{mark}", root=root, options=options)
    os.close(null)
    assert ocirun.cleanup(root) == []
    assert sorted(os.listdir(root)) == [f"made-{mark}", f"there-{mark}"]
    made.delete(force=True)
    caller.kill()
    caller.communicate()
    eventually(lambda: not containers(mark), "the program ends with its caller")
    script = "from ocirun.cli.main import main; import sys; sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", script, "--root", root, "delete", "--orphans"]
    env = {**os.environ, "PYTHONPATH": RUNTIME}
    result = subprocess.run(words, capture_output=True, text=True, env=env, check=False)
    assert (result.returncode, result.stdout) == (0, f"there-{mark}\n"), result.stderr


@pytest.mark.parametrize("timeout", [float("inf"), 1e15, 3e6])
def test_no_limit_of_time(run: Runner, timeout: float) -> None:
    assert run("/bin/true", timeout=timeout).ok
