"""Terminals: over a console socket for engines, on the caller's own terminal for people (D03, D06, D07)."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import stat
import struct
import termios

import pytest

from . import peers, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .bundles import Bundle
    from .case import Case


def with_terminal(live: Case, script: str) -> Bundle:
    bundle = live.shell(script)
    bundle.process["terminal"] = True
    return bundle


@pytest.fixture
def console(live: Case) -> Iterator[peers.ConsoleSocket]:
    """A listening console socket."""
    made = peers.ConsoleSocket(f"{live.dir}/c.sock")
    yield made
    made.close()


def size_of(fd: int) -> tuple[int, int]:
    rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, b"\0" * 8))
    return rows, columns


def test_console_socket(live: Case, console: peers.ConsoleSocket) -> None:
    # containerd accepts only after create has returned.
    bundle = with_terminal(
        live, "tty; stty size; for i in 0 1 2; do readlink /proc/self/fd/$i; done; read x; echo got $x"
    )
    live.create(bundle, "--console-socket", console.path)
    master = console.master()
    live.start(bundle)
    first = peers.read_until(master, "pts/0\r\n/dev/pts/0\r\n/dev/pts/0\r\n")
    assert first.splitlines()[0] == "/dev/pts/0"
    os.write(master, b"typed\n")
    peers.read_until(master, "got typed")
    live.ended(bundle)
    os.close(master)


def test_console_size(live: Case, console: peers.ConsoleSocket) -> None:
    bundle = with_terminal(live, "stty size; sleep 600")
    bundle.process["consoleSize"] = {"height": 12, "width": 34}
    live.run(bundle, "--detach", "--console-socket", console.path).ok()
    master = console.master()
    assert size_of(master) == (12, 34)
    peers.read_until(master, "12 34")
    os.close(master)


def test_size_change_reaches_the_program(live: Case, console: peers.ConsoleSocket) -> None:
    bundle = with_terminal(live, "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done")
    live.run(bundle, "--detach", "--console-socket", console.path).ok()
    master = console.master()
    peers.read_until(master, "ready")
    peers.set_size(master, 40, 120)
    peers.read_until(master, "40 120")
    os.close(master)


def test_dev_console_is_the_terminal(live: Case, console: peers.ConsoleSocket) -> None:
    bundle = with_terminal(
        live, "echo through > /dev/console; grep -c ' /dev/console ' /proc/self/mountinfo; stat -c %t:%T /dev/console"
    )
    live.run(bundle, "--detach", "--console-socket", console.path).ok()
    master = console.master()
    got = peers.read_until(master, "88:0")
    assert got.split() == ["through", "1", "88:0"]
    os.close(master)


@pytest.mark.parametrize("uid", [0, 1000])
def test_owner_of_the_terminal(live: Case, console: peers.ConsoleSocket, uid: int) -> None:
    bundle = with_terminal(live, "stat -L -c '%u:%g' /proc/self/fd/0")
    bundle.process["user"] = {"uid": uid, "gid": uid}
    live.run(bundle, "--detach", "--console-socket", console.path).ok()
    master = console.master()
    peers.read_until(master, f"{uid}:5")
    os.close(master)


def test_terminal_with_a_user_namespace(live: Case, console: peers.ConsoleSocket) -> None:
    bundle = with_terminal(live, "tty; echo fine")
    bundle.user_namespace()
    live.run(bundle, "--detach", "--console-socket", console.path).ok()
    master = console.master()
    peers.read_until(master, "/dev/pts/0\r\nfine")
    os.close(master)


def test_controlling_terminal_and_session(live: Case, console: peers.ConsoleSocket) -> None:
    bundle = with_terminal(live, "trap 'echo interrupted; exit' INT; echo ready; while :; do sleep 0.05; done")
    live.run(bundle, "--detach", "--console-socket", console.path).ok()
    master = console.master()
    peers.read_until(master, "ready")
    os.write(master, b"\x03")
    peers.read_until(master, "interrupted")
    os.close(master)


def test_probe_sees_three_descriptors(live: Case, console: peers.ConsoleSocket) -> None:
    bundle = with_terminal(live, "ls /proc/self/fd | wc -l; ls -1 /proc/1/fd")
    live.run(bundle, "--detach", "--console-socket", console.path).ok()
    master = console.master()
    # ls itself has one more for the directory it reads.
    assert peers.read_until(master, "2\r\n").split()[0] == "4"
    os.close(master)


def test_detached_terminal_needs_a_socket(live: Case) -> None:
    bundle = with_terminal(live, "true")
    live.make("create", bundle).failed("console socket")
    live.make("run", bundle, "--detach").failed("console socket")
    live.assert_clean()


def test_socket_without_a_terminal(live: Case, console: peers.ConsoleSocket) -> None:
    bundle = live.shell("true")
    live.make("create", bundle, "--console-socket", console.path).failed("console socket")
    live.assert_clean()


@pytest.mark.parametrize("kind", ["missing", "file", "nobody listens", "long"])
def test_bad_socket(live: Case, kind: str) -> None:
    path = f"{live.dir}/bad.sock"
    if kind == "file":
        with open(path, "w", encoding="ascii"):
            pass
    elif kind == "nobody listens":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path)
    elif kind == "long":
        path = f"{live.dir}/{'x' * 200}.sock"
    bundle = with_terminal(live, "true")
    live.make("create", bundle, "--console-socket", path, limit=12).failed("sock")
    live.assert_clean()


def test_longest_path_of_a_socket(live: Case) -> None:
    # sun_path holds 107 bytes and the final NUL.
    path = f"{live.dir}/".ljust(107, "x")
    console = peers.ConsoleSocket(path)
    bundle = with_terminal(live, "echo fine")
    live.run(bundle, "--detach", "--console-socket", path).ok()
    master = console.master()
    peers.read_until(master, "fine")
    os.close(master)
    console.close()


def test_on_the_callers_terminal(live: Case) -> None:
    bundle = with_terminal(live, "tty; stty size; read x; echo got $x; exit 5")
    bundle.save()
    terminal = peers.Terminal(live.argv("run", "--bundle", bundle.path, bundle.id), live.scratch)
    try:
        terminal.expect("/dev/pts/0")
        terminal.expect("33 99")
        terminal.write("typed\r")
        terminal.expect("got typed")
        assert terminal.finish() == 5
    finally:
        terminal.close()


def test_captured_output_has_plain_ends_of_lines(live: Case) -> None:
    # As with runc: the container's terminal leaves newlines to the caller's, and a pipe has none.
    bundle = with_terminal(live, "echo one; tty; stty -a 2>/dev/null | grep -o '.onlcr'")
    assert live.output(bundle) == "one\n/dev/pts/0\n-onlcr\n"


def test_ends_of_lines_on_the_callers_terminal(live: Case) -> None:
    bundle = with_terminal(live, "echo one; echo two")
    bundle.save()
    terminal = peers.Terminal(live.argv("run", "--bundle", bundle.path, bundle.id), live.scratch)
    try:
        assert terminal.expect("two\r\n") == "one\r\ntwo\r\n"
        assert terminal.finish() == 0
    finally:
        terminal.close()


def test_ends_of_lines_on_a_raw_terminal(live: Case) -> None:
    # Its owner wants bytes as they are, and would see stairs; for the time of the run it processes output.
    bundle = with_terminal(live, "echo one; echo two")
    bundle.save()
    terminal = peers.Terminal(live.argv("run", "--bundle", bundle.path, bundle.id), live.scratch, raw=True)
    try:
        assert terminal.expect("two\r\n") == "one\r\ntwo\r\n"
        assert terminal.finish() == 0
    finally:
        terminal.close()


def test_ends_of_lines_for_an_engine(live: Case, console: peers.ConsoleSocket) -> None:
    # Who takes the master decides itself; runc and crun leave the terminal as the kernel makes it.
    bundle = with_terminal(live, "echo one; stty -a 2>/dev/null | grep -o '.onlcr'")
    live.create(bundle, "--console-socket", console.path)
    master = console.master()
    live.start(bundle)
    assert peers.read_until(master, "onlcr\r\n") == "one\r\n onlcr\r\n"
    os.close(master)


def test_resize_of_the_callers_terminal(live: Case) -> None:
    bundle = with_terminal(live, "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done")
    bundle.save()
    terminal = peers.Terminal(live.argv("run", "--bundle", bundle.path, bundle.id), live.scratch)
    try:
        terminal.expect("ready")
        peers.set_size(terminal.master, 41, 121)
        terminal.process.send_signal(signal.SIGWINCH)
        terminal.expect("41 121")
        live.kill(bundle, "KILL")
        assert terminal.finish() == 137
    finally:
        terminal.close()


def test_interrupt_key_reaches_the_program_only(live: Case) -> None:
    bundle = with_terminal(live, "trap 'echo interrupted; exit 6' INT; echo ready; while :; do sleep 0.05; done")
    bundle.save()
    terminal = peers.Terminal(live.argv("run", "--bundle", bundle.path, bundle.id), live.scratch)
    try:
        terminal.expect("ready")
        terminal.write("\x03")
        terminal.expect("interrupted")
        assert terminal.finish() == 6
    finally:
        terminal.close()


def test_last_output_is_not_lost(live: Case) -> None:
    bundle = with_terminal(live, "seq 1 20000; echo the end")
    bundle.save()
    terminal = peers.Terminal(live.argv("run", "--bundle", bundle.path, bundle.id), live.scratch)
    try:
        got = terminal.expect("the end", 10)
        assert "\r\n20000\r\n" in got
        assert got.count("\n") >= 20000
        assert terminal.finish() == 0
    finally:
        terminal.close()


def test_hang_up(live: Case) -> None:
    # R90: the caller's terminal goes away; the runtime must end, not spin.
    bundle = with_terminal(live, "trap 'exit 0' HUP; echo ready; while :; do sleep 0.05; done")
    bundle.save()
    terminal = peers.Terminal(live.argv("run", "--bundle", bundle.path, bundle.id), live.scratch)
    terminal.expect("ready")
    os.close(terminal.slave)
    os.close(terminal.master)
    assert process.wait_end(terminal.process, 5), "run goes on after the hang-up"


@pytest.mark.parametrize(
    "program",
    [["/bin/sh", "-i"], ["/bin/sh", "-c", "echo ready; cat; echo never"], ["/bin/sh", "-ic", "echo ready; sleep 600"]],
    ids=["shell", "reader", "job"],
)
@pytest.mark.parametrize("command", ["run", "exec"])
def test_a_closed_terminal_ends_the_shell_in_it(live: Case, program: list[str], command: str) -> None:
    """Also one that is the first process, which SIGHUP does not reach: it meets the end of its input."""
    bundle = with_terminal(live, "")
    bundle.process["args"] = program if command == "run" else ["/bin/sleep", "600"]
    bundle.process["env"].append("PS1=ready")
    bundle.process["terminal"] = command == "run"
    bundle.save()
    words = ["run", "--bundle", bundle.path, bundle.id]
    if command == "exec":
        live.launch(bundle)
        words = ["exec", "--tty", "--env", "PS1=ready", bundle.id, *program]
    terminal = peers.Terminal(live.argv(*words), live.scratch)
    terminal.expect("ready")
    os.close(terminal.slave)
    os.close(terminal.master)
    assert process.wait_end(terminal.process, 10), "it goes on after the hang-up"
    if command == "exec":
        live.delete(bundle, "--force")
    live.assert_clean()


WITHOUT = ["/bin/sleep", "600"]
"""A program without a handler for SIGINT."""


@pytest.mark.parametrize("terminal", [False, True], ids=["plain", "terminal"])
@pytest.mark.parametrize("init", [False, True], ids=["own", "init"])
def test_third_interrupt_ends_what_takes_none(live: Case, terminal: bool, init: bool) -> None:
    bundle = live.bundle(["/bin/sh", "-c", "trap '' INT; echo ready; exec sleep 600"] if init else WITHOUT)
    bundle.process["terminal"] = terminal
    bundle.save()
    words = ["run", *(["--init"] if init else []), "--bundle", bundle.path, bundle.id]
    person = peers.Terminal(live.argv(*words), live.scratch)
    try:
        process.eventually(lambda: bool(_running(live, bundle)), "it runs")
        if init:
            person.expect("ready")
        said = _interrupt(person) + _interrupt(person)
        if "kill it" not in said:  # with a terminal of its own the key is shown after the message
            said += person.expect("kill it\r\n")
        assert "\nocirun: the program has no handler for SIGINT; press Ctrl-C once more to kill it\r\n" in said
        person.write("\x03")
        person.expect("ocirun: killing the program")
        assert person.finish() == 137
    finally:
        person.close()
    live.assert_clean()


def _interrupt(person: peers.Terminal) -> str:
    """Press Ctrl-C, and wait until it was taken: two that come at once are one signal.  Give what was shown.

    The kernel sends the signal before it shows the key, and throws away what was written and not yet read.
    """
    person.write("\x03")
    shown = person.expect("^C")
    process.eventually(lambda: not _pending(person.process.pid, signal.SIGINT), "the signal is taken")
    return shown


def _pending(pid: int, number: int) -> bool:
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        sets = [int(line.split()[1], 16) for line in file if line.startswith(("SigPnd:", "ShdPnd:"))]
    return any(mask >> (number - 1) & 1 for mask in sets)


def _running(live: Case, bundle: Bundle) -> bool:
    state = live.command("state", bundle.id)
    return state.code == 0 and state.json()["status"] == "running"


@pytest.mark.parametrize("terminal", [False, True], ids=["plain", "terminal"])
def test_interrupts_that_a_program_takes_are_not_counted(live: Case, terminal: bool) -> None:
    bundle = live.shell(
        "trap 'n=$((n+1)); echo $n taken' INT; echo ready; while [ ! $n = 5 ]; do sleep 0.05; done; exit 4"
    )
    bundle.process["terminal"] = terminal
    bundle.process["env"].append("n=0")
    bundle.save()
    person = peers.Terminal(live.argv("run", "--bundle", bundle.path, bundle.id), live.scratch)
    try:
        person.expect("ready")
        for number in range(1, 6):
            person.write("\x03")
            person.expect(f"{number} taken")
        assert person.finish() == 4
        assert "handler" not in person.seen
    finally:
        person.close()


def test_interrupts_of_a_program_are_not_counted(live: Case) -> None:
    """Who has no terminal means what it sends: a supervisor, an engine."""
    bundle = live.bundle(WITHOUT)
    bundle.save()
    run, _, err = process.spawn(live.argv("run", "--bundle", bundle.path, bundle.id), scratch=live.scratch)
    process.eventually(lambda: _running(live, bundle), "it runs")
    for _ in range(5):
        run.send_signal(signal.SIGINT)
    live.command("exec", bundle.id, "/bin/true").ok()
    assert _running(live, bundle)
    live.kill(bundle, "KILL")
    assert process.wait_end(run, 5)
    with open(err, encoding="utf-8") as file:
        assert file.read() == ""


@pytest.mark.parametrize("link", ["/target", "outside", "/proc/sys/kernel/hostname"])
def test_console_link_is_not_followed(live: Case, console: peers.ConsoleSocket, link: str) -> None:
    # D03.  runc 1.1 binds the pty over the target.
    bundle = with_terminal(live, "grep -e target -e newfile -e hostname /proc/self/mountinfo; echo end")
    bundle.config["mounts"] = [one for one in bundle.mounts if one["destination"] not in ("/dev", "/dev/shm")]
    bundle.file("/target", "target\n")
    os.symlink(f"{live.canary}/newfile" if link == "outside" else link, f"{bundle.rootfs}/dev/console")
    result = live.make("run", bundle, "--detach", "--console-socket", console.path)
    if result.code:
        result.failed("/dev/console")
        live.assert_clean()
    else:
        master = console.master()
        assert peers.read_until(master, "end").split() == ["end"]
        os.close(master)
    assert bundle.read("/target") == "target\n"


def test_readonly_root_without_dev(live: Case, console: peers.ConsoleSocket) -> None:
    bundle = with_terminal(live, "tty")
    bundle.config["mounts"] = [one for one in bundle.mounts if one["destination"] not in ("/dev", "/dev/shm")]
    bundle.config["root"]["readonly"] = True
    live.run(bundle, "--detach", "--console-socket", console.path).ok()
    master = console.master()
    peers.read_until(master, "/dev/pts/0")
    os.close(master)


def test_caller_terminal_without_one_asked(live: Case) -> None:
    # D06: terminal false and stdio a tty: a session of its own, so no job control and no typing for the caller.
    bundle = live.shell(
        "readlink /proc/self/fd/0 > /seen; tty < /dev/tty > /dev/null 2>&1 && echo has one || echo none"
    )
    bundle.save()
    terminal = peers.Terminal(live.argv("run", "--bundle", bundle.path, bundle.id), live.scratch)
    try:
        terminal.expect("none")
        assert terminal.finish() == 0
    finally:
        terminal.close()


def test_master_is_not_kept(live: Case, console: peers.ConsoleSocket) -> None:
    # D07: when the engine closes its copy the program sees the hang-up.
    bundle = with_terminal(live, "trap 'exit 0' HUP; echo ready; while :; do sleep 0.05; done")
    live.run(bundle, "--detach", "--console-socket", console.path).ok()
    master = console.master()
    peers.read_until(master, "ready")
    assert stat.S_ISCHR(os.fstat(master).st_mode)
    os.close(master)
    live.until(bundle, "stopped")
