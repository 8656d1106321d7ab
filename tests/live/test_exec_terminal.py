"""exec with a terminal: the caller's own, and a console socket for engines."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import struct
import termios

import pytest

from . import execs, peers, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .case import Case


@pytest.fixture
def console(live: Case) -> Iterator[peers.ConsoleSocket]:
    """A listening console socket."""
    made = peers.ConsoleSocket(f"{live.dir}/c.sock")
    yield made
    made.close()


def test_in_the_foreground(live: Case) -> None:
    bundle = execs.idle(live)
    script = "tty; stty size; for i in 0 1 2; do readlink /proc/self/fd/$i; done; read x; echo got $x; exit 7"
    terminal = peers.Terminal(live.argv("exec", "--tty", bundle.id, "/bin/sh", "-c", script), live.scratch)
    try:
        shown = terminal.expect("pts/0\r\n/dev/pts/0\r\n/dev/pts/0\r\n")
        assert shown.splitlines()[:2] == ["/dev/pts/0", "33 99"]
        terminal.write("typed\r")
        terminal.expect("got typed")
        assert terminal.finish() == 7
    finally:
        terminal.close()


def test_keys_are_signals_inside(live: Case) -> None:
    bundle = execs.idle(live)
    script = "trap 'echo caught; exit 3' INT; echo ready; while :; do sleep 0.05; done"
    terminal = peers.Terminal(live.argv("exec", "-t", bundle.id, "/bin/sh", "-c", script), live.scratch)
    try:
        terminal.expect("ready")
        terminal.write("\x03")
        terminal.expect("caught")
        assert terminal.finish() == 3
    finally:
        terminal.close()


def test_size_follows_the_callers(live: Case) -> None:
    bundle = execs.idle(live)
    script = "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done"
    terminal = peers.Terminal(live.argv("exec", "-t", bundle.id, "/bin/sh", "-c", script), live.scratch)
    try:
        terminal.expect("ready")
        peers.set_size(terminal.master, 44, 111)
        terminal.expect("44 111")
        assert terminal.finish() == 0
    finally:
        terminal.close()


def test_error_restores_the_terminal(live: Case) -> None:
    bundle = execs.idle(live)
    terminal = peers.Terminal(live.argv("exec", "-t", bundle.id, "nosuch"), live.scratch)
    try:
        terminal.expect("executable file not found in $PATH")
        assert terminal.finish() == 255
    finally:
        terminal.close()


def test_input_that_is_no_terminal(live: Case) -> None:
    bundle = execs.idle(live)
    reader, writer = os.pipe()
    os.write(writer, b"a line\n")
    os.close(writer)
    script = "test -t 0 && test -t 1 && test -t 2 && read x && echo got $x"
    result = execs.with_options(live, bundle, ["-t"], "/bin/sh", "-c", script, stdin=reader)
    os.close(reader)
    assert "got a line" in result.ok().out


def test_console_socket(live: Case, console: peers.ConsoleSocket) -> None:
    bundle = execs.idle(live)
    pid_file = f"{live.dir}/pid"
    words = ["--tty", "--detach", "--console-socket", console.path, "--pid-file", pid_file]
    script = "tty; read x; stty size; echo got $x; sleep 70005"
    assert execs.with_options(live, bundle, words, "/bin/sh", "-c", script).ok().out == ""
    execs.no_helper(live)
    master = console.master()
    peers.set_size(master, 50, 150)
    os.write(master, b"typed\n")
    assert "50 150" in peers.read_until(master, "got typed")
    slave = os.stat(f"/proc/{execs.read(pid_file)}/fd/0")
    assert stat.S_ISCHR(slave.st_mode) and slave.st_uid == 0
    os.kill(int(execs.read(pid_file)), signal.SIGKILL)
    os.close(master)


def test_owner_of_the_terminal(live: Case, console: peers.ConsoleSocket) -> None:
    bundle = execs.idle(live)
    words = ["-t", "-d", "--user", "1000:1000", "--console-socket", console.path]
    execs.with_options(live, bundle, words, "/bin/sh", "-c", "stat -c %u:%g:%a $(tty); : > $(tty); sleep 70006").ok()
    master = console.master()
    peers.read_until(master, "1000:5:620")
    os.close(master)


@pytest.mark.parametrize("where", ["process", "config"])
def test_console_size(live: Case, console: peers.ConsoleSocket, where: str) -> None:
    bundle = live.bundle(execs.IDLE)
    size = {"height": 20, "width": 60}
    if where == "config":
        bundle.process["consoleSize"] = size
    live.launch(bundle)
    script = ["/bin/sh", "-c", "stty size; sleep 70007"]
    words = ["-d", "--console-socket", console.path]
    if where == "config":
        execs.with_options(live, bundle, [*words, "-t"], *script).ok()
    else:
        user = {"uid": 0, "gid": 0}
        described = {
            "args": script,
            "cwd": "/",
            "user": user,
            "env": ["PATH=/bin"],
            "terminal": True,
            "consoleSize": size,
        }
        execs.described(live, bundle, described, *words).ok()
    master = console.master()
    peers.read_until(master, "20 60")
    rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(master, termios.TIOCGWINSZ, b"\0" * 8))
    assert (rows, columns) == (20, 60)
    os.close(master)


def test_refused(live: Case, console: peers.ConsoleSocket) -> None:
    bundle = execs.idle(live)
    for words, text in (
        (["-t", "-d"], "cannot allocate tty if ocirun will detach without setting console socket"),
        (
            ["-d", "--console-socket", console.path],
            "cannot use console socket if ocirun will not detach or allocate tty",
        ),
        (
            ["-t", "--console-socket", console.path],
            "cannot use console socket if ocirun will not detach or allocate tty",
        ),
        (["-t", "-d", "--console-socket", "/nosuch/socket"], "/nosuch/socket: no such file or directory"),
        (["-t", "-d", "--console-socket", live.dir], "connection refused"),
    ):
        result = execs.with_options(live, bundle, words, "/bin/touch", "/ran")
        result.failed(text)
        assert result.code == 255
    assert not os.path.exists(f"{bundle.rootfs}/ran")
    execs.no_helper(live)


def test_program_not_found_with_socket(live: Case, console: peers.ConsoleSocket) -> None:
    bundle = execs.idle(live)
    execs.with_options(live, bundle, ["-t", "-d", "--console-socket", console.path], "nosuch").failed(
        "not found in $PATH"
    )
    # The master has been sent, and tells that nobody is at the other end.
    master = console.master()
    with pytest.raises(OSError, match="Input/output"):
        os.read(master, 1)
    os.close(master)


def test_no_devpts(live: Case) -> None:
    bundle = live.bundle(execs.IDLE)
    bundle.config["mounts"] = [one for one in bundle.mounts if one["destination"] != "/dev/pts"]
    live.launch(bundle)
    execs.with_options(live, bundle, ["-t"], "/bin/true").failed("/process/terminal", "/dev/pts")


def test_forged_multiplexer(live: Case) -> None:
    # /dev/pts of the inhabitants' making: never another device, never a link.
    for make in ("ln -s /dev/null /dev/pts/ptmx", "mkfifo /dev/pts/ptmx", "ln -s /nosuch /dev/pts/ptmx"):
        bundle = live.shell(f"rm -f /dev/pts/ptmx; {make}; exec sleep 70008")
        bundle.config["mounts"] = [one for one in bundle.mounts if one["destination"] != "/dev/pts"]
        bundle.mount("/dev/pts", "tmpfs", kind="tmpfs")
        live.launch(bundle)
        process.eventually(lambda b=bundle: "70008" in process.describe(live.pid(b)), "it is made")  # type: ignore[misc]
        result = execs.with_options(live, bundle, ["-t"], "/bin/true", limit=5)
        result.failed("/process/terminal")
        assert result.code == 255


def test_r25_many_with_terminals(live: Case) -> None:
    bundle = execs.idle(live)
    argv = live.argv("exec", "-t", bundle.id, "/bin/sh", "-c", "echo here; exit 9")
    running = [process.spawn(argv, scratch=live.scratch) for _ in range(20)]
    for proc, out, err in running:
        assert process.wait_end(proc, 20)
        assert (proc.returncode, execs.read(out)) == (9, "here\n"), execs.read(err)
    execs.no_helper(live)
