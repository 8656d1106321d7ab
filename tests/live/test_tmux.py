"""A person at a terminal: typed into tmux, read off its screen."""

from __future__ import annotations

import time

from .screen import settings
from .test_terminal import with_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .case import Case
    from .screen import Screen


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
    screen.type("sleep 100")
    time.sleep(0.3)
    screen.key("C-c")
    screen.type("echo after $?")
    screen.expect("after 130")
    # Job control.
    screen.type("sleep 100")
    time.sleep(0.3)
    screen.key("C-z")
    screen.expect("Stopped")
    screen.type("kill -9 %1; wait; echo job is gone")
    screen.expect("\njob is gone")
    screen("resize-window", "-x", "70", "-y", "15")
    time.sleep(0.3)
    screen.type("stty size")
    screen.expect("15 70")
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
    screen.type("echo status $?")
    screen.expect("status 4")
    assert settings(screen, f"{live.dir}/two") == before
