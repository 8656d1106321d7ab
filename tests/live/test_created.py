"""A container that waits for `start`: signals to it, a pause, its pid file."""

from __future__ import annotations

import os
import re

import pytest

from . import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .case import Case

SLEEP = ["/bin/sleep", "600"]


def test_paused_before_its_start(live: Case) -> None:
    # The words of runc.
    bundle = live.bundle(SLEEP)
    live.create(bundle)
    live.command("pause", bundle.id).ok()
    live.command("start", bundle.id).failed("cannot start a container in the paused state")
    live.command("resume", bundle.id).ok()
    live.start(bundle)
    live.command("pause", bundle.id).ok()
    live.command("start", bundle.id).failed("cannot start a container in the paused state")
    live.command("resume", bundle.id).ok()
    live.delete(bundle, "--force")


ENDS = ("HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "SEGV", "TERM", "STKFLT", "SYS")


@pytest.mark.parametrize("shared", [False, True], ids=["own", "host"])
@pytest.mark.parametrize("name", ["TERM", "INT"])
def test_signal_ends_what_is_not_started(live: Case, shared: bool, name: str) -> None:
    """Also where it is the first process of a pid namespace, which has no handler; as with runc."""
    bundle = live.shell("echo x > /ran")
    if shared:
        bundle.share_host("pid")
    live.create(bundle)
    live.kill(bundle, name)
    live.until(bundle, "stopped")
    live.command("start", bundle.id).failed("cannot start a container that has stopped")
    assert not os.path.exists(f"{bundle.rootfs}/ran")
    live.delete(bundle)
    live.assert_clean()


def test_signals_before_the_start(live: Case) -> None:
    """All of them, with the meaning that they have for runc's init."""
    for name in ("USR1", "USR2", "PIPE", "ALRM", "CHLD", "CONT", "WINCH", "PWR", "IO", *ENDS):
        bundle = live.bundle(SLEEP)
        live.create(bundle)
        live.kill(bundle, name)
        if name in ENDS:
            live.until(bundle, "stopped")
        assert live.status(bundle) == ("stopped" if name in ENDS else "created"), name
        live.delete(bundle, "--force")
    live.assert_clean()


def test_signal_with_all_before_the_start(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    live.create(bundle)
    live.kill(bundle, "--all", "TERM")
    live.until(bundle, "stopped")
    live.delete(bundle)


def test_signal_after_the_start_is_the_programs(live: Case) -> None:
    bundle = live.shell("trap 'echo got TERM' TERM; echo ready; while :; do sleep 0.01; done")
    result = live.launch(bundle)
    process.eventually(lambda: "ready" in result.out, "the trap is set")
    live.kill(bundle, "TERM")
    process.eventually(lambda: "got TERM" in result.out, "the trap is run")
    assert live.status(bundle) == "running"
    live.delete(bundle, "--force")


@pytest.mark.parametrize("verb", ["create", "run", "exec"])
def test_pid_file_in_a_directory_of_all(live: Case, verb: str) -> None:
    """Nobody can have made the name under which it is written at first: it is not known."""
    bundle = live.bundle(SLEEP)
    shared = f"{live.dir}/shared"
    os.mkdir(shared)
    names = []
    for turn in range(2):
        trace = f"{live.dir}/calls{turn}"
        words: tuple[str, ...] = ("--pid-file", f"{shared}/pid")
        if verb == "exec":
            live.launch(bundle)
            words = ("exec", "-d", *words, bundle.id, "/bin/true")
        else:
            bundle.save()
            words = (verb, *(["-d"] if verb == "run" else []), "--bundle", bundle.path, *words, bundle.id)
        argv = ["strace", "-D", "-f", "-qq", "-e", "trace=openat", "-o", trace, *live.argv(*words)]
        process.run(argv, scratch=live.scratch).ok()
        live.delete(bundle, "--force")
        with open(trace, encoding="utf-8", errors="replace") as file:
            names += re.findall(r'"(\.pid\.[^"]*)"', file.read())
    assert len(set(names)) == 2
    assert all(len(name) >= len(".pid.") + 16 for name in names), names
    assert os.listdir(shared) in ([], ["pid"])
