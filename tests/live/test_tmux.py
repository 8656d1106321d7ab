"""A person at a terminal: typed into tmux, read off its screen."""

from __future__ import annotations

from . import process
from .screen import settings
from .test_terminal import with_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .case import Case
    from .screen import Screen


def runs(command: str) -> None:
    """Wait until a program runs with exactly this command line."""
    process.eventually(lambda: command in map(process.describe, process.descendants()), f"{command} runs", 20)


def test_shell_on_a_terminal(live: Case, screen: Screen) -> None:
    bundle = with_terminal(live, "PS1='inside> ' exec /bin/sh -i")
    bundle.save()
    screen.expect("host>")
    before = settings(screen, f"{live.dir}/one")
    screen.type("clear; " + " ".join(live.argv("run", "--bundle", bundle.path, bundle.id)))
    screen.expect("inside>")
    screen.type("echo $((6*7)) in $(tty)")
    screen.expect("42 in /dev/pts/0")
    screen.type("stty size")
    screen.expect("20 90")
    # An interrupt reaches the foreground job inside, and neither the shell nor us.
    screen.type("sleep 101")
    runs("sleep 101")
    screen.key("C-c")
    screen.type("echo after $?")
    screen.expect("after 130")
    # Job control.
    screen.type("sleep 102")
    runs("sleep 102")
    screen.key("C-z")
    screen.expect("Stopped")
    screen.type("kill -9 %1; wait; echo job is gone")
    screen.expect("\njob is gone")
    screen("resize-window", "-x", "70", "-y", "15")
    screen.type('until [ "$(stty size)" = "15 70" ]; do sleep 0.1; done; echo $((15*70)) fields')
    screen.expect("1050 fields")
    screen.type("exit 5")
    screen.expect("host>")
    screen.type("echo status $?")
    screen.expect("status 5")
    assert settings(screen, f"{live.dir}/two") == before


def test_terminal_is_restored_after_our_own_death(live: Case, screen: Screen) -> None:
    """With kill -9 the mode cannot be restored by us; any other end of ours restores it."""
    bundle = with_terminal(live, "echo ready; sleep 600")
    bundle.save()
    before = settings(screen, f"{live.dir}/one")
    screen.type("clear; " + " ".join(live.argv("run", "--bundle", bundle.path, bundle.id)) + "; echo ended $?")
    screen.expect("ready")
    live.kill(bundle, "KILL")
    screen.expect("ended 137")
    assert settings(screen, f"{live.dir}/two") == before


def test_exec_on_a_terminal(live: Case, screen: Screen) -> None:
    bundle = with_terminal(live, "sleep 600")
    bundle.process["terminal"] = False
    live.launch(bundle)
    before = settings(screen, f"{live.dir}/one")
    screen.type("clear; " + " ".join(live.argv("exec", "-t", bundle.id, "/bin/sh")))
    screen.expect("#")
    screen.type("tty; stty size")
    screen.expect("/dev/pts/")
    screen.expect("20 90")
    screen.type("exit 4")
    # What is typed before the end may still be read by the shell inside.
    screen.expect("host>")
    screen.type("echo status $?")
    screen.expect("status 4")
    assert settings(screen, f"{live.dir}/two") == before
