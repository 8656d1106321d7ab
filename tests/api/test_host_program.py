"""What a large host program brings along, and what a container must not do to it.

The ids in the names are those of docs/attacks.md.
"""

from __future__ import annotations

import errno
import gc
import importlib
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import ocirun

from .conftest import children, shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

PACKAGE = Path(ocirun.__file__).parents[1]


class Neighbour(threading.Thread):
    """A thread of the same program: opens inheritable files of its own, and looks whether each stays its own."""

    def __init__(self, where: Path) -> None:
        super().__init__()
        self.file = where / "neighbour"
        self.file.touch()
        self.done = threading.Event()
        self.stolen = 0
        self.turns = 0

    def run(self) -> None:
        mine = os.stat(self.file)
        while not self.done.is_set():
            fds = [os.open(self.file, os.O_RDONLY) for _ in range(8)]
            for fd in fds:
                os.set_inheritable(fd, True)
            for fd in fds:
                try:
                    self.stolen += not os.path.samestat(os.fstat(fd), mine)
                    os.close(fd)
                except OSError:
                    self.stolen += 1
            self.turns += 1


@pytest.fixture
def neighbour(tmp_path: Path) -> Iterator[Neighbour]:
    thread = Neighbour(tmp_path)
    thread.start()
    yield thread
    thread.done.set()
    thread.join()


@pytest.mark.parametrize("collections", ["at every turn", "none"])
def test_p07_p13_descriptors_stay_with_their_owner(
    bundle: str, root: str, neighbour: Neighbour, collections: str
) -> None:
    """Hundreds of open files, half of them inheritable: none gets in, and none of another thread is closed."""
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(300)]
    for fd in held[::2]:
        os.set_inheritable(fd, True)
    thresholds = gc.get_threshold()
    gc.set_threshold(1) if collections == "at every turn" else gc.disable()
    try:
        prepared = ocirun.Prepared(bundle, root=root)
        prepared.run(args=["/bin/true"])
        outcomes = [prepared.run(args=shell("ls /proc/self/fd | wc -l")).stdout for _ in range(15)]
        with pytest.raises(ocirun.ProgramError):
            prepared.run(args=["/no/such"])
    finally:
        gc.enable()
        gc.set_threshold(*thresholds)
        for fd in held:
            os.close(fd)
    assert set(outcomes) == {b"4\n"}  # 0, 1, 2 and the one that ls reads the directory by
    assert neighbour.turns and not neighbour.stolen


def test_p10_p11_signals_while_the_helper_borrows_our_memory(bundle: str, root: str) -> None:
    """Handlers in Python run a thousand times a second, and threads hold the locks of imports and logs."""
    seen: set[int] = set()
    prepared = ocirun.Prepared(bundle, root=root)
    log = logging.getLogger("of the host program")
    log.addHandler(logging.NullHandler())
    done = threading.Event()

    def churn() -> None:
        while not done.is_set():
            importlib.reload(importlib.import_module("colorsys"))
            log.warning("%s", bytes(1 << 20)[:1])

    threads = [threading.Thread(target=churn) for _ in range(2)]
    before = children()
    old = signal.signal(signal.SIGALRM, lambda *_: seen.add(os.getpid()))
    for thread in threads:
        thread.start()
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        outcomes = [prepared.run(args=shell(f"echo {number}")).stdout for number in range(40)]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
        done.set()
        for thread in threads:
            thread.join()
    assert outcomes == [f"{number}\n".encode() for number in range(40)]
    assert seen == {os.getpid()}
    assert children() == before


_NO_HELPER = """\
import os, sys
sys.path.insert(0, sys.argv[1])
import ocirun
before = os.listdir("/proc/self/fd")
try:
    ocirun.run(sys.argv[2], root=sys.argv[3], args=["/bin/true"])
except ocirun.OcirunError as error:
    print(error.call, error.errno)
print(len(os.listdir("/proc/self/fd")) - len(before), os.listdir(sys.argv[3]))
with open("/proc/thread-self/children") as file:
    print(file.read().split())
"""


@pytest.mark.parametrize("number", [errno.ENOEXEC, errno.EACCES], ids=errno.errorcode.get)
def test_p11_helper_that_cannot_be_executed(bundle: str, root: str, number: int) -> None:
    """The child fails in our memory: we go on, it is gone, the error names the call."""
    strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=execveat", "-e"]
    strace.append(f"inject=execveat:error={errno.errorcode[number]}:when=1")
    words = [*strace, sys.executable, "-c", _NO_HELPER, str(PACKAGE), bundle, root]
    result = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert result.stdout.splitlines() == [f"execveat {number}", "0 []", "[]"], result.stderr


def test_p12_memory_of_the_caller_is_not_the_containers(bundle: str, root: str) -> None:
    """Half a megabyte is enough, however much the interpreter holds."""
    heap = bytearray(256 << 20)
    heap[::4096] = b"x" * len(heap[::4096])
    prepared = ocirun.Prepared(bundle, root=root)
    outcomes = [prepared.run(args=["/bin/true"], memory=512 << 10) for _ in range(10)]
    assert all(outcome.ok for outcome in outcomes), outcomes
    del heap


_BUFFERED = """\
import atexit, os, sys, tempfile
sys.path.insert(0, sys.argv[1])
import ocirun
atexit.register(lambda: os.write(1, b"exit\\n"))
with tempfile.TemporaryDirectory() as folder:
    sys.stdout.write("buffered\\n")
    for args in (["/bin/true"], ["/no/such"], ["/etc"]):
        try:
            ocirun.run(sys.argv[2], root=sys.argv[3], args=args)
        except ocirun.ProgramError:
            pass
        assert os.path.isdir(folder)
"""


def test_p16_what_the_host_program_does_at_its_end_is_done_once(bundle: str, root: str) -> None:
    """Buffers, exit handlers and context managers are not the new process's."""
    words = [sys.executable, "-c", _BUFFERED, str(PACKAGE), bundle, root]
    result = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    assert sorted(result.stdout.split()) == ["buffered", "exit"]


_NO_NEW_CODE = """\
import ctypes, os, sys
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0):
    sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
"""
_API = """\
import sys
sys.path.insert(0, sys.argv[1])
import ocirun
print(ocirun.run(sys.argv[2], root=sys.argv[3], args=["/bin/echo", "ran"]).stdout.decode(), end="")
"""


@pytest.mark.parametrize("way", ["api", "program"])
@pytest.mark.parametrize("sample", ["hello", "seccomp"])
def test_p22_no_memory_is_writable_and_executable(sample: str, way: str, root: str) -> None:
    """As under systemd's MemoryDenyWriteExecute: no code is made at run time, for libseccomp neither."""
    folder = PACKAGE.parent / "bundles" / sample
    if way == "api":
        words = [sys.executable, "-c", _API, str(PACKAGE), str(folder), root]
    else:
        words = [str(PACKAGE.parent / "build" / "bin" / "ocirun"), "--root", root]
        words += ["run", "--bundle", str(folder), f"no-new-code-{os.getpid()}"]
    result = subprocess.run(
        [sys.executable, "-c", _NO_NEW_CODE, *words], capture_output=True, text=True, check=False, timeout=60
    )
    if result.returncode == 77:
        pytest.skip("PR_SET_MDWE needs Linux 6.3")
    assert result.returncode == 0, result.stderr
    assert result.stdout


def test_p26_handles_that_are_dropped(bundle: str, root: str) -> None:
    """Nobody waits for the programs; what is deleted is gone, and nothing grows."""

    def life(number: int) -> None:
        name = f"dropped-{os.getpid()}-{number}"
        options = ocirun.CreateOptions(bundle=bundle, stdio=(null, null, null))
        ocirun.Container.create(name, root=root, options=options).start()
        ocirun.delete(name, root=root, force=True)

    null = os.open("/dev/null", os.O_RDWR)
    try:
        life(0)
        gc.collect()
        before = (children(), set(os.listdir("/proc/self/fd")), threading.active_count())
        for number in range(1, 8):
            life(number)
        gc.collect()
        assert (children(), set(os.listdir("/proc/self/fd")), threading.active_count()) == before
    finally:
        os.close(null)
    assert os.listdir(root) == []
