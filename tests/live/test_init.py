"""--init: a small first process, and the program as its child."""

from __future__ import annotations

import os
import signal

import pytest

from . import process
from .test_signals_run import TRAP, foreground
from .test_terminal import with_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .case import Case
    from .screen import Screen


def test_program_is_its_child(live: Case) -> None:
    shown = live.output(live.shell("echo $$ $PPID; cat /proc/1/comm"), "--init")
    assert shown.splitlines() == ["2 1", "ocirun-init"]


def test_it_holds_nothing_of_the_programs(live: Case) -> None:
    """Whoever reads the program's output must meet its end when the program has ended."""
    bundle = live.shell("sleep 100")
    live.launch(bundle, "--init")
    directory = f"/proc/{live.pid(bundle)}/fd"
    process.eventually(lambda: len(os.listdir(directory)) == 1, "the pipe that tells of execve is closed")
    assert [os.readlink(f"{directory}/{fd}") for fd in os.listdir(directory)] == ["anon_inode:[signalfd]"]
    live.kill(bundle, "KILL")
    live.ended(bundle)


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("exit 7", 7),
        ("kill -ABRT $$", 134),
        ("kill -TERM $$; sleep 5", 143),
        ("kill -ALRM $$; sleep 5", 142),
        ("sleep 100 & exit 3", 3),
    ],
)
def test_status(live: Case, script: str, status: int) -> None:
    """Signals have their default effect, which the first process of a pid namespace does not feel."""
    assert live.run(live.shell(script), "--init").code == status


def test_orphans_are_reaped(live: Case) -> None:
    script = (
        "(sleep 0 & sleep 0 & sleep 0 &); "
        "i=0; while [ $i -lt 100 ] && ps -o stat,args | grep -q '^Z'; do sleep 0.02; i=$((i+1)); done; "
        "sleep 0.1; ps -o stat,args | grep -c '^Z'; exit 0"
    )
    assert live.output(live.shell(script), "--init").strip() == "0"


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "USR1", "WINCH", "64"])
def test_signal_is_passed_on(live: Case, name: str) -> None:
    number = int(name) if name.isdigit() else signal.Signals[f"SIG{name}"]
    proc, result = foreground(live, live.shell(TRAP.format(name)), "--init")
    os.kill(live.pid(live.bundles[0]), number)
    assert process.wait_end(proc, 5), f"SIG{name} did not reach the program"
    assert (proc.returncode, f"got {name}" in result.out) == (9, True)


def test_life_cycle(live: Case) -> None:
    """create, start, exec, kill as without it; what the program leaves behind ends with it."""
    bundle = live.shell("trap 'exit 5' TERM; sleep 100 & while :; do sleep 0.05; done")
    live.launch(bundle, "--init")
    assert live.status(bundle) == "running"
    assert live.command("exec", bundle.id, "sh", "-c", "echo $PPID; cat /proc/2/comm").ok().out.splitlines()[1] == "sh"
    live.kill(bundle, "TERM")
    live.ended(bundle)


def test_kill_ends_all(live: Case) -> None:
    bundle = live.shell("sleep 100 & sleep 100")
    live.launch(bundle, "--init")
    live.kill(bundle, "KILL")
    live.ended(bundle)


def test_program_that_cannot_be_executed(live: Case) -> None:
    bundle = live.bundle(["/bad"])
    with open(f"{bundle.path}/rootfs/bad", "w", encoding="ascii") as file:
        file.write("#!/nosuch\n")
    os.chmod(f"{bundle.path}/rootfs/bad", 0o755)
    live.run(bundle, "--init").failed("exec /bad: no such file or directory")
    live.create(bundle, "--init")
    live.command("start", bundle.id).failed("exec /bad: no such file or directory")
    live.delete(bundle, "--force")


def test_processes_that_count(live: Case) -> None:
    """It is one more than the limit says, so that the program has what it was promised."""
    bundle = live.bundle(["/bin/true"])
    bundle.config["linux"]["resources"] = {"pids": {"limit": 1}}
    live.run(bundle, "--init").ok()


def test_limits_and_credentials_are_the_programs(live: Case) -> None:
    bundle = live.bundle(["/bin/sh", "-c", "id -u; ulimit -n; grep -E 'NoNewPrivs|CapEff' /proc/self/status"])
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 77}]
    bundle.process["noNewPrivileges"] = True
    plain = live.output(bundle)
    assert live.output(bundle, "--init") == plain
    assert plain.split()[:2] == ["1000", "77"]


def test_terminal(live: Case, screen: Screen) -> None:
    """The program is in front of the terminal: Ctrl-C reaches it once, and a shell has job control."""
    bundle = with_terminal(live, "PS1='inside> ' exec /bin/sh -i")
    bundle.save()
    screen.expect("host>")
    screen.type("clear; " + " ".join(live.argv("run", "--init", "--bundle", bundle.path, bundle.id)))
    screen.expect("inside>")
    screen.type("echo pid $$ on $(tty)")
    screen.expect("pid 2 on /dev/pts/0")
    screen.type("sleep 103")
    process.eventually(lambda: "sleep 103" in map(process.describe, process.descendants()), "sleep 103 runs", 20)
    screen.key("C-c")
    screen.type("echo after $?")
    screen.expect("after 130")
    screen.type("exit 6")
    screen.expect("host>")
    screen.type("echo status $?")
    screen.expect("status 6")


def test_shown(live: Case) -> None:
    bundle = live.bundle()
    bundle.save()
    shown = live.command("explain", "--init", "--bundle", bundle.path).ok().out
    assert "stay as init, and fork the process that becomes the program" in shown
    assert "stay as init" not in live.command("explain", "--bundle", bundle.path).ok().out


def test_where_it_cannot_be(live: Case) -> None:
    bundle = live.bundle()
    bundle.share_host("pid")
    live.make("run", bundle, "--init").failed("an init needs a pid namespace of the container's own")
    live.assert_clean()
    bundle = live.bundle()
    bundle.process["scheduler"] = {"policy": "SCHED_BATCH", "flags": ["SCHED_FLAG_RESET_ON_FORK"]}
    live.make("run", bundle, "--init").failed("would not have this scheduling policy")
