"""exec when something dies, stops, or runs out: a clean end in time, and nothing stays (R13, R25, C07)."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from . import execs, process
from .test_kill_points import DULL, killed_at, record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .bundles import Bundle
    from .case import Case

BUDGET = 12.0  # seconds for each sampled test


def inhabitants(live: Case, bundle: Bundle) -> list[int]:
    found: list[int] = live.command("ps", "-f", "json", bundle.id).ok().json()
    return found


@pytest.mark.parametrize("words", [["-d"], ["-t"], []], ids=["detached", "tty", "plain"])
def test_r13_runtime_is_killed(live: Case, words: list[str]) -> None:
    bundle = execs.idle(live)
    init = live.pid(bundle)
    # A program that does not end by itself is told apart from what set-up leaves.
    program = ["/bin/sleep", "71301"] if words == ["-d"] else ["/bin/sleep", "0.01"]
    command = ["exec", *words, bundle.id, *program]
    points = [one for one in record(live, bundle, *command) if one[0] not in DULL]
    assert len(points) > 20, "the record must be of a real exec"
    end_programs(live, bundle, init)
    limit = time.monotonic() + BUDGET
    outcomes = []
    # Near the end of the record is where the helper works.
    for point in points[::-3] + points[::7]:
        if time.monotonic() > limit:
            break
        outcomes.append(killed_at(live, point, *command))
        process.eventually(lambda: not strangers(live, bundle, init), f"only programs after {point}", 3)
        assert sorted(os.listdir(f"/proc/{init}/fd")) == ["0", "1", "2"]
        end_programs(live, bundle, init)
    assert outcomes.count(True) >= 5, f"of {len(outcomes)} execs only {outcomes.count(True)} were interrupted"
    assert execs.run(live, bundle, "/bin/echo", "usable").ok().out == "usable\n"


def strangers(live: Case, bundle: Bundle, init: int) -> list[str]:
    """What is in the container and is not the user's program."""
    lines = [process.describe(pid) for pid in inhabitants(live, bundle) if pid != init and not process.is_zombie(pid)]
    return [line for line in lines if not line.startswith("/bin/sleep ") and line != "(gone)"]


def end_programs(live: Case, bundle: Bundle, init: int) -> None:
    for pid in inhabitants(live, bundle):
        if pid != init:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    process.eventually(lambda: inhabitants(live, bundle) == [init], "only the first process is left")


@pytest.mark.parametrize("delay", [0.0, 0.004, 0.01, 0.02, 0.03, 0.05])
def test_first_process_dies_meanwhile(live: Case, delay: float) -> None:
    bundle = execs.idle(live)
    init = live.pid(bundle)
    started = time.monotonic()
    running = [
        process.spawn(live.argv("exec", *words, bundle.id, "/bin/sleep", "71302"), scratch=live.scratch)
        for words in ([], ["-t"], ["-d"])
    ]
    time.sleep(delay)
    os.kill(init, signal.SIGKILL)
    for proc, _, err in running:
        assert process.wait_end(proc, 10), "an error, in time"
        text = execs.read(err)
        assert proc.returncode in (0, 137, 255) and "Traceback" not in text, (proc.returncode, text)
        assert (proc.returncode == 255) == ("exec failed: " in text), (proc.returncode, text)
    assert time.monotonic() - started < 15
    live.until(bundle, "stopped")
    execs.no_helper(live)


def test_fifty_at_once(live: Case) -> None:
    bundle = execs.idle(live)
    argv = live.argv("exec", bundle.id, "/bin/sh", "-c", "echo $0; exit 7")
    running = [process.spawn([*argv, str(number)], scratch=live.scratch) for number in range(50)]
    for number, (proc, out, err) in enumerate(running):
        assert process.wait_end(proc, 30)
        assert (proc.returncode, execs.read(out)) == (7, f"{number}\n"), execs.read(err)
    init = live.pid(bundle)
    process.eventually(lambda: inhabitants(live, bundle) == [init], "nothing stays")


def test_r25_killed_with_many(live: Case) -> None:
    bundle = execs.idle(live)
    argv = live.argv("exec", "-t", bundle.id, "/bin/sleep", "71303")
    running = [process.spawn(argv, scratch=live.scratch) for _ in range(20)]
    process.eventually(lambda: len(inhabitants(live, bundle)) > 5, "some run", 10)
    live.kill(bundle, "KILL")
    for proc, _, err in running:
        assert process.wait_end(proc, 5)
        text = execs.read(err)
        assert proc.returncode in (137, 255) and "Traceback" not in text, (proc.returncode, text)
    execs.no_helper(live)


class Stopper(threading.Thread):
    """Sends SIGSTOP to every new process of a container, as an inhabitant of the same user would."""

    def __init__(self, init: int) -> None:
        super().__init__()
        self.init = init
        self.space = os.readlink(f"/proc/{init}/ns/pid")
        self.stopped: set[int] = set()
        self.done = False

    def run(self) -> None:
        while not self.done:
            for name in os.listdir("/proc"):
                pid = int(name) if name.isdigit() else 0
                if pid <= self.init or pid in self.stopped:
                    continue
                try:
                    if os.readlink(f"/proc/{pid}/ns/pid") == self.space:
                        self.stopped.add(pid)
                        os.kill(pid, signal.SIGSTOP)
                except OSError:
                    continue


@pytest.fixture
def stopped(live: Case) -> Iterator[tuple[Bundle, Stopper]]:
    """A container in which every new process is stopped."""
    bundle = execs.idle(live)
    thread = Stopper(live.pid(bundle))
    thread.start()
    try:
        yield bundle, thread
    finally:
        thread.done = True
        thread.join()


def slowed(live: Case, *words: str) -> list[str]:
    """exec whose helper is slow behind its fork, so that the stop meets it there."""
    slow = ["-e", "trace=setsid", "-e", "inject=setsid:delay_enter=300000"]
    return ["strace", "-f", "-qq", "-o", "/dev/null", *slow, *live.argv("exec", *words)]


def test_c07_stopped_on_the_way(live: Case, stopped: tuple[Bundle, Stopper]) -> None:
    bundle, thread = stopped
    for words in ([], ["-d"]):
        begin = time.monotonic()
        result = process.run(slowed(live, *words, bundle.id, "/bin/touch", "/ran"), scratch=live.scratch, limit=12)
        assert thread.stopped
        assert result.code == 255 and "stopped by another process" in result.err, result.report()
        assert time.monotonic() - begin < 10
    thread.done = True
    thread.join()
    assert not os.path.exists(f"{bundle.rootfs}/ran")
    assert inhabitants(live, bundle) == [live.pid(bundle)], "the stopped ones are killed"


def test_c07_given_up_by_the_caller(live: Case, stopped: tuple[Bundle, Stopper]) -> None:
    bundle, thread = stopped
    proc, _, err = process.spawn(live.argv("exec", bundle.id, "/bin/sleep", "71304"), scratch=live.scratch)
    process.eventually(lambda: thread.stopped, "it is stopped")
    time.sleep(0.3)
    proc.send_signal(signal.SIGINT)
    # Stopped in set-up, it is given up; stopped later, it is the user's program, which gets the signal when it goes on.
    if not execs.ends_within(proc, 3):
        for pid in thread.stopped:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
    assert process.wait_end(proc, 5)
    assert proc.returncode in (130, 255), execs.read(err)
    execs.no_helper(live)
