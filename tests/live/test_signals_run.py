"""run in the foreground: signals are passed on, the exit status is the program's, nobody is left."""

from __future__ import annotations

import os
import signal
import time

import pytest

from . import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from .bundles import Bundle
    from .case import Case

TRAP = "trap 'echo got {0}; exit 9' {0}; echo ready; while :; do sleep 0.02; done"


def foreground(
    live: Case, bundle: Bundle, *options: str, before: Callable[[], object] | None = None
) -> tuple[subprocess.Popen[bytes], process.Result]:
    """A run under way, whose program has said "ready"."""
    bundle.save()
    argv = live.argv("run", "--bundle", bundle.path, *options, bundle.id)
    proc, out, err = process.spawn(argv, scratch=live.scratch, before=before)
    result = process.Result(argv, 0, out, err, 0.0)
    process.eventually(lambda: "ready" in result.out, "the program runs: " + result.report())
    return proc, result


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "CONT", "ALRM", "34", "64"])
def test_signal_is_passed_on(live: Case, name: str) -> None:
    number = int(name) if name.isdigit() else signal.Signals[f"SIG{name}"]
    proc, result = foreground(live, live.shell(TRAP.format(name)))
    os.kill(proc.pid, number)
    assert process.wait_end(proc, 5), f"SIG{name} did not reach the program"
    assert (proc.returncode, f"got {name}" in result.out) == (9, True)


@pytest.mark.parametrize("name", ["INT", "HUP", "TERM", "PIPE"])
def test_signal_that_the_caller_ignores_is_passed_on(live: Case, name: str) -> None:
    # As `nohup` and a shell's `&` start us; runc passes it on, too.
    number = signal.Signals[f"SIG{name}"]
    proc, result = foreground(live, live.shell(TRAP.format(name)), before=lambda: signal.signal(number, signal.SIG_IGN))
    os.kill(proc.pid, number)
    assert process.wait_end(proc, 5), f"SIG{name} did not reach the program"
    assert (proc.returncode, f"got {name}" in result.out) == (9, True)


@pytest.mark.parametrize("name", ["URG", "WINCH"])
def test_signal_that_stays(live: Case, name: str) -> None:
    proc, result = foreground(live, live.shell(TRAP.format(name)))
    os.kill(proc.pid, signal.Signals[f"SIG{name}"])
    time.sleep(0.15)
    assert proc.poll() is None
    assert f"got {name}" not in result.out
    proc.terminate()
    live.kill(live.bundles[0], "KILL")
    assert process.wait_end(proc, 5)


@pytest.mark.parametrize("name", ["TERM", "KILL", "HUP", "SEGV", "ABRT"])
def test_status_of_a_program_ended_by_a_signal(live: Case, name: str) -> None:
    # With the host's pid namespace, so that every signal ends the program.
    bundle = live.shell("echo ready; exec sleep 600")
    bundle.share_host("pid")
    proc, _ = foreground(live, bundle)
    live.kill(bundle, name)
    assert process.wait_end(proc, 5)
    assert proc.returncode == 128 + signal.Signals[f"SIG{name}"]


def test_every_exit_status(live: Case) -> None:
    for code in (0, 1, 2, 63, 64, 126, 128, 137, 200, 254, 255):
        assert live.run(live.bundle(["/bin/sh", "-c", f"exit {code}"])).code == code


def test_burst_of_signals(live: Case) -> None:
    # R63: none may end the runtime; the last one arrives.
    bundle = live.shell("trap 'n=1' USR1; trap 'echo last; exit 9' TERM; echo ready; while :; do sleep 0.02; done")
    proc, result = foreground(live, bundle)
    for _ in range(5000):
        os.kill(proc.pid, signal.SIGUSR1)
    os.kill(proc.pid, signal.SIGTERM)
    assert process.wait_end(proc, 5)
    assert proc.returncode == 9, result.report()


def test_signal_before_the_program_runs(live: Case) -> None:
    # It ends the set-up or reaches the program; either way the command ends and nothing is left.
    bundle = live.shell("sleep 600")
    marker = f"{live.dir}/marker"
    bundle.hook("createRuntime", f"touch {marker}; sleep 0.3")
    bundle.save()
    proc, _, _ = process.spawn(live.argv("run", "--bundle", bundle.path, bundle.id), scratch=live.scratch)
    process.eventually(lambda: os.path.exists(marker), "the hook runs")
    proc.terminate()
    time.sleep(0.5)
    if proc.poll() is None:
        live.command("kill", bundle.id, "KILL")
    assert process.wait_end(proc, 5)
    assert proc.returncode != 0
    live.command("delete", "--force", bundle.id).ok()
    live.assert_clean()


@pytest.mark.parametrize("blocked", [signal.SIGUSR1, signal.SIGTERM, signal.SIGCHLD])
def test_mask_and_dispositions_are_reset(live: Case, blocked: signal.Signals) -> None:
    # P14: engines run us with signals blocked or ignored; the program must not inherit that.
    def before() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {blocked, signal.SIGHUP})
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)

    seen = live.probe(live.bundle(), before=before)
    assert (seen["blocked"], seen["ignored"]) == (0, 0)


def test_caller_that_ignores_its_children(live: Case) -> None:
    # With SIGCHLD ignored the kernel reaps by itself, and a wait finds nobody.
    def before() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    assert live.run(live.bundle(["/bin/sh", "-c", "exit 7"]), before=before).code == 7


def test_killed_runtime_leaves_a_container_that_can_be_deleted(live: Case) -> None:
    # R12
    bundle = live.shell("echo ready; exec sleep 600")
    proc, _ = foreground(live, bundle)
    proc.kill()
    process.wait_end(proc, 5)
    live.command("delete", "--force", bundle.id).ok()
    live.assert_clean()


def test_orphans_of_the_program_end_with_it(live: Case) -> None:
    bundle = live.shell("sleep 631 & sleep 632 & echo ready; sleep 0.1; exit 3")
    proc, _ = foreground(live, bundle)
    assert process.wait_end(proc, 5)
    assert proc.returncode == 3
    live.assert_clean()


def test_detached_container_does_not_die_with_its_creator(live: Case) -> None:
    # Engines mark themselves to die with their parent; the mark must not be handed on.
    bundle = live.bundle(["/bin/sleep", "600"])
    live.run(bundle, "--detach").ok()
    with open(f"/proc/{live.pid(bundle)}/stat", encoding="ascii") as file:
        parent = int(file.read().rpartition(")")[2].split()[1])
    assert parent == os.getpid(), "init must be the child of the nearest subreaper"
    assert live.status(bundle) == "running"


def test_a_hundred_short_programs(live: Case) -> None:
    # R52: the code is right and no "no such process" comes up, however early the end is.
    for number in range(100):
        bundle = live.bundles[0] if live.bundles else live.bundle()
        bundle.process["args"] = ["/bin/sh", "-c", f"echo {number}; exit {number % 5}"]
        result = live.run(bundle)
        assert (result.code, result.out) == (number % 5, f"{number}\n"), result.report()
