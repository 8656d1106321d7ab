"""BuildKit's calls: `run` in the foreground and in a process group of its own, `exec` into it, both with terminals."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import pytest
from waiting import eventually

from .bare import Bare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..machine import Machine
    from .bare import Bundle

LIMIT = 60.0


class Held:
    """A call of the runtime in a process group of its own, with a terminal that is not its controlling one."""

    def __init__(self, machine: Machine, argv: list[str], terminal: bool) -> None:
        self._master, slave = pty.openpty()
        self.shown = ""
        stream = slave if terminal else subprocess.DEVNULL
        self.process = subprocess.Popen(
            machine.words(argv), stdin=stream, stdout=stream, stderr=stream, env=machine.environment, process_group=0
        )
        os.close(slave)

    @property
    def pid(self) -> int:
        """The runtime, which is the only child of the command that enters the machine."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as file:
            return int(file.read())

    def resize(self, rows: int, columns: int) -> None:
        """Set the size and tell the runtime: the kernel tells nobody, as nobody has it for a controlling terminal."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.kill(self.pid, signal.SIGWINCH)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def expect(self, text: str) -> None:
        """Wait until a text is shown."""
        end = time.monotonic() + LIMIT
        while text not in self.shown:
            assert select.select([self._master], [], [], max(0, end - time.monotonic()))[0], repr(self.shown)
            self.shown += os.read(self._master, 65536).decode()
        self.shown = self.shown.partition(text)[2]

    def wait(self) -> int:
        code = self.process.wait(LIMIT)
        os.close(self._master)
        return code


@pytest.fixture
def kit(bare: Bare) -> Iterator[Bare]:
    """The runtime with its default root, which is what BuildKit leaves it with."""
    made = Bare(bare.machine, bare.path, bare.rootfs, "")
    yield made
    made.clear()


def begin(kit: Bare, bundle: Bundle, terminal: bool = False) -> Held:
    """`run --keep`, until the container runs."""
    bundle.config["process"]["terminal"] = terminal
    bundle.save()
    words = kit.words(
        "--log", f"{bundle.path}/log.json", "--log-format", "json", "run", "--bundle", bundle.path, "--keep"
    )
    held = Held(kit.machine, [*words, bundle.id], terminal)
    eventually(lambda: kit.call("state", bundle.id).code == 0, "there is a state")
    kit.until(bundle, "running")
    return held


def test_step(kit: Bare) -> None:
    """Its status and output are those of `run`; `--keep` leaves it for `delete`."""
    bundle = kit.bundle("sh", "-c", "echo out; echo err >&2; exit 9").save()
    result = kit.call("run", "--bundle", bundle.path, "--keep", bundle.id)
    assert (result.code, result.out, result.err) == (9, "out\n", "err\n")
    assert kit.state(bundle)["status"] == "stopped"
    kit("delete", bundle.id)
    assert kit.call("state", bundle.id).code != 0


def test_processes_beside(kit: Bare) -> None:
    """Other processes of a step: `state` for its pid, `exec` in the foreground with a pid file."""
    bundle = kit.bundle("sleep", "1000")
    held = begin(kit, bundle)
    assert kit.machine.processes()[kit.state(bundle)["pid"]] == "sleep 1000"
    path = f"{bundle.path}/exec.pid"
    script = "cat; readlink /proc/self; exit 6"
    spec = bundle.process("sh", "-c", script)
    result = kit.call("exec", "--process", spec, "--pid-file", path, bundle.id, stdin=b"given\n")
    assert (result.code, result.out.split()[0]) == (6, "given")
    with open(path, encoding="ascii") as file:
        assert file.read().isdigit()
    kit("kill", bundle.id, "9")
    assert held.wait() == 137
    kit("delete", bundle.id)


def test_terminal(kit: Bare) -> None:
    """SIGWINCH to the runtime copies the size of its terminal to that of the container."""
    bundle = kit.bundle("sh")
    held = begin(kit, bundle, terminal=True)
    held.expect("#")
    held.resize(33, 99)
    held.type("stty size\n")
    held.expect("33 99")
    other = Held(kit.machine, kit.words("exec", "--process", bundle.process("sh"), bundle.id), terminal=True)
    other.expect("#")
    other.resize(20, 70)
    other.type("stty size; exit 4\n")
    other.expect("20 70")
    assert other.wait() == 4
    held.type("exit 5\n")
    assert held.wait() == 5
    kit("delete", bundle.id)


@pytest.mark.parametrize("terminal", [False, True])
def test_cancelled(kit: Bare, terminal: bool) -> None:
    """The caller ends with SIGKILL, and the runtime with it: what is left is deleted by force."""
    bundle = kit.bundle("sleep", "1000")
    held = begin(kit, bundle, terminal)
    os.kill(held.pid, signal.SIGKILL)
    held.wait()
    kit("delete", "--force", bundle.id)
    assert "sleep 1000" not in kit.machine.processes().values()
