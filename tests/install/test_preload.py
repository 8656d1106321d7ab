"""The preloaded interpreter: when it is used, and that it is a whole one."""

from __future__ import annotations

import ast
import os
import resource
import signal
import stat
import struct
import subprocess
import time

import pytest
from waiting import eventually

from . import pythons
from .test_launcher import Probe, _build

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Installed

TABLE = 0x8000  # csrc/start/preload.h
MAIN = """
import os, sys
import used_by_all

def main(start):
    scope = {}
    exec(sys.argv[1] if len(sys.argv) > 1 else "word = ''", scope)
    text = os.readlink("/proc/self/exe").rpartition("/")[2].partition(".")[0] + " " + str(scope["word"])
    os.write(1, text.encode())
    return 0
"""


class Preloaded(Probe):
    """A small package with all that makes it start quickly; its command runs the code it is given."""

    def __init__(self, where: Path) -> None:
        super().__init__(where, starts=True)
        self.package = where / "package" / "ocirun"
        (self.package / "cli" / "main.py").write_text(MAIN)
        (where / "package" / "used_by_all.py").write_text("")  # as jeepney is, and much of the standard library
        build = _build()
        builder = build.Builder(where / "build", strict=True)
        builder.pack(self.pack, self.package, installed=False)
        builder.stage(where / build.STAGE_NAME)
        self.make_preloaded()

    def says(self, code: str = "word = ''") -> tuple[str, str]:
        """The name of the program that was executed, and the word that the code made."""
        result = self.run(code)
        assert (result.returncode, result.stderr) == (0, ""), (result.returncode, result.stderr)
        program, _, word = result.stdout.partition(" ")
        return program, word


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Preloaded:
    if not _build()._library():
        pytest.skip("this interpreter has no shared library")
    return Preloaded(tmp_path_factory.mktemp("preloaded"))


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("word = sum(len(bytearray(1 << 20)) for _ in range(64)) >> 20", "64"),
        ("a = [bytes(n) for n in range(0, 200000, 20)]; word = len(a)", "10000"),
        ("import ctypes; word = ctypes.sizeof(ctypes.c_int)", "4"),
        ("import decimal; word = decimal.Decimal(1) / 4", "0.25"),
        (
            "import threading as t; a = []; b = t.Thread(target=a.append, args=(7,)); b.start(); b.join(); word = a",
            "[7]",
        ),
        ("import time; a = time.monotonic(); time.sleep(0.01); word = 0.005 < time.monotonic() - a < 5", "True"),
        ("import subprocess as s; word = s.run(['echo', 'x'], capture_output=True).stdout", "b'x\\n'"),
        ("import os; p = os.fork(); p or os._exit(3); word = os.waitpid(p, 0)[1] >> 8", "3"),
        ("import os; word = len(os.urandom(8)), os.environ['REPORT'] != ''", "(8, True)"),
        ("import os, threading; word = threading.get_native_id() == os.getpid()", "True"),
        ("import json, re; word = json.loads('[1]') + re.findall('.', 'a')", "[1, 'a']"),
        ("import gc; word = gc.isenabled()", "True"),
    ],
    ids=[
        *("memory", "small-memory", "libffi", "late-module", "thread", "clock", "subprocess", "fork", "random"),
        *("thread-id", "modules", "collector"),
    ],
)
def test_it_is_a_whole_interpreter(whole: Preloaded, code: str, word: str) -> None:
    assert whole.says(code) == ("_preload", word)


def test_large_memory_after_the_break(whole: Preloaded) -> None:
    """libc takes more memory at the end of the heap, which is elsewhere now."""
    code = (
        "import ctypes; c = ctypes.CDLL(None); c.malloc.restype = ctypes.c_void_p; c.malloc.argtypes = [ctypes.c_size_t]\n"
        "a = [c.malloc(100000) for _ in range(500)]\n"
        "[ctypes.memset(p, 1, 100000) for p in a]; word = len(set(a)), min(a) > 0"
    )
    assert whole.says(code) == ("_preload", "(500, True)")


@pytest.mark.parametrize("ignored", [False, True])
def test_interrupt(whole: Preloaded, tmp_path: Path, ignored: bool) -> None:
    """SIGINT is KeyboardInterrupt, unless the caller ignores it; a closed pipe is an error, no death."""
    ready = tmp_path / "ready"
    code = f"import os, time; os.mkdir({str(ready)!r})\ntry: time.sleep(1.5)\nexcept KeyboardInterrupt: word = 'interrupt'\nelse: word = 'slept'"
    before = (lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if ignored else None
    process = subprocess.Popen([whole.program, code], stdout=subprocess.PIPE, preexec_fn=before)  # type: ignore[arg-type]
    eventually(ready.exists, "it sleeps")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert out == (b"_preload slept" if ignored else b"_preload interrupt")


def test_broken_pipe(whole: Preloaded) -> None:
    code = "import os; r, w = os.pipe(); os.close(r)\ntry: os.write(w, b'x')\nexcept BrokenPipeError: word = 'error'"
    assert whole.says(code) == ("_preload", "error")


def test_stack_protector_differs(whole: Preloaded) -> None:
    """Its value is not that of the file, nor that of another process."""
    if os.uname().machine == "x86_64":
        code = (
            "import ctypes, _thread; head = _thread.get_ident()\n"  # the thread pointer is the thread's id
            "word = ctypes.c_uint64.from_address(head + 0x28).value"
        )
    else:
        code = "import ctypes; word = ctypes.c_uint64.in_dll(ctypes.CDLL(None), '__stack_chk_guard').value"
    values = {int(whole.says(code)[1]) for _ in range(3)}
    assert len(values) == 3
    assert all(value & 255 == 0 for value in values)


def _change_source(one: Preloaded) -> None:
    (one.package / "cli" / "main.py").write_text(MAIN + "\n")


def _change_pack(one: Preloaded) -> None:
    os.utime(one.pack)


def _change_starter(one: Preloaded) -> None:
    program = one.where / _build().START_NAME
    content = program.read_bytes()
    program.unlink()
    program.write_bytes(content)
    program.chmod(0o755)


def _patch(offset: int, form: str, value: int) -> Callable[[Preloaded], None]:
    def change(one: Preloaded) -> None:
        with one.preloaded.open("r+b") as file:
            file.seek(TABLE + offset)
            file.write(struct.pack(form, value))

    return change


def _cut(one: Preloaded) -> None:
    os.truncate(one.preloaded, TABLE + 100)


def _empty(one: Preloaded) -> None:
    os.truncate(one.preloaded, 0)


def _change_library(one: Preloaded) -> None:
    os.utime(one.where / "package" / "used_by_all.py")


def _not_executable(one: Preloaded) -> None:
    one.preloaded.chmod(0o644)


CHANGES = {
    "source": _change_source,
    "library": _change_library,
    "pack": _change_pack,
    "starter": _change_starter,
    "magic": _patch(0, "<Q", 0),
    "size": _patch(8, "<Q", 1 << 62),
    "no-size": _patch(8, "<Q", 64),
    "page": _patch(32, "<Q", 1 << 30),
    "processor": _patch(56, "<I", 0x12345678),
    "processor-features": _patch(56 + 16, "<I", 0),
    "registers": _patch(56 + 24, "<I", 0),
    "file-length": _patch(128 + 32, "<Q", 1 << 63),
    "cut": _cut,
    "empty": _empty,
    "mode": _not_executable,
}


@pytest.mark.parametrize("change", CHANGES)
def test_it_is_passed_over_when_it_does_not_fit(whole: Preloaded, change: str) -> None:
    if change in ("processor-features", "registers") and os.uname().machine != "x86_64":
        pytest.skip("only on x86-64 in these words; else the hardware capabilities say it")
    assert whole.says("word = 1") == ("_preload", "1")
    CHANGES[change](whole)
    assert whole.says("word = 2") == ("_start", "2")
    _build().Builder(whole.where / "build", strict=True).pack(whole.pack, whole.package, installed=False)
    whole.make_preloaded()
    assert whole.says("word = 3") == ("_preload", "3")


LIMITS = {
    "data": (resource.RLIMIT_DATA, 30),
    "addresses": (resource.RLIMIT_AS, 60),
    "stack": (resource.RLIMIT_STACK, 8),
}


@pytest.mark.parametrize("kind", LIMITS)
def test_it_works_where_the_starter_does(whole: Preloaded, kind: str) -> None:
    """execve(2) of a program for which there is no room ends in a SIGSEGV, without a word."""
    which, most = LIMITS[kind]
    used = set()
    for size in range(0, most << 20, most << 15):

        def limit(size: int = size) -> None:
            resource.setrlimit(which, (size, size))

        os.rename(whole.preloaded, f"{whole.preloaded}.away")
        plain = whole.run("word = 1", preexec_fn=limit)
        os.rename(f"{whole.preloaded}.away", whole.preloaded)
        result = whole.run("word = 1", preexec_fn=limit)
        if plain.returncode == 0:
            assert (result.returncode, result.stderr) == (0, ""), f"limit {size}"
            used.add(result.stdout)
    assert used == ({"_preload 1"} if kind == "stack" else {"_preload 1", "_start 1"})


@pytest.mark.parametrize(
    "words", [["setarch", "-R"], ["setarch", "-L"], ["setarch", "-X"], ["setarch", "-Z"], []], ids=str
)
@pytest.mark.parametrize("stack", [1 << 20, resource.RLIM_INFINITY])
def test_other_layouts_of_addresses(whole: Preloaded, words: list[str], stack: int) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_STACK, (stack, resource.RLIM_INFINITY))

    done = subprocess.run([*words, whole.program, "word = 1"], capture_output=True, check=False, preexec_fn=limit)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"_preload 1", b"")


def test_modules_are_all_looked_at(whole: Preloaded) -> None:
    """Whatever is in its memory and comes from a file is in the table; struct comes from the pack in any start.

    What is frozen is the starter's own, whatever file Python 3.13 names for it.
    """
    code = (
        "import sys; "
        "read = [m for m in sys.modules.values() if getattr(getattr(m, '__spec__', None), 'origin', '') != 'frozen']; "
        "word = [m.__file__ for m in read if getattr(m, '__file__', '') and m.__name__ != 'struct']"
    )
    with whole.preloaded.open("rb") as file:
        file.seek(TABLE)
        table = file.read(0x20000)
    files = [name for name in ast.literal_eval(whole.says(code)[1]) if os.path.exists(name)]
    assert len(files) > 5
    assert [name for name in files if os.fsencode(name) + b"\0" not in table] == []


def test_it_is_for_its_owner_alone(whole: Preloaded) -> None:
    """Who knows the hash secret can make a dict slow; others start without."""
    assert stat.S_IMODE(whole.preloaded.stat().st_mode) == 0o700


def test_the_command(own: Installed, tmp_path: Path) -> None:
    """Made, used, made anew, passed over after a change of the installation, removed."""
    program = str(own.program)

    def executed() -> str:
        log = tmp_path / "trace"
        pythons.run(["strace", "-e", "trace=execve", "-o", str(log), program, "--version"])
        return log.read_text().splitlines()[-2].rpartition("/ocirun/")[2].partition(".")[0]

    if not _build()._library():
        result = pythons.run([program, "preload"], fails=True)
        assert result.returncode == 1
        assert "shared library" in result.stderr
        return
    plain = pythons.run([program, "--version"]).stdout.splitlines()
    assert executed() == "_start"
    made = pythons.run([program, "preload"]).stdout
    assert made.startswith(f"made {own.site}/ocirun/_preload.")
    assert executed() == "_preload"
    assert pythons.run([program, "--version"]).stdout.splitlines() == [*plain[:-1], "preloaded: yes"]
    assert pythons.run([program, "preload"]).stdout.endswith(" is there and fits\n")
    assert pythons.run([program, "preload", "--force"]).stdout.startswith("made ")
    (pack,) = own.site.glob("ocirun/_pack.*")
    os.utime(pack)
    assert executed() == "_start"
    assert pythons.run([program, "preload", "--remove"]).stdout.startswith("removed ")
    assert pythons.run([program, "preload", "--remove"]).stdout.startswith("there is no ")
    (note,) = own.site.glob("ocirun/_preload*")
    assert note.read_text() == "removed\n"


def begun(own: Installed, process: subprocess.Popen[bytes]) -> None:
    """Wait until it writes the file."""

    def look() -> list[Path]:
        ended = process.poll() is not None
        found = list(own.site.glob("ocirun/_preload*.new*"))
        assert found or not ended
        return found

    eventually(look, "it writes the file", pause=0.001)


@pytest.mark.parametrize("then", ["--force", "--remove"])
def test_what_a_killed_one_leaves_goes_with_the_next(own: Installed, then: str) -> None:
    if not _build()._library():
        pytest.skip("this interpreter has no shared library")
    before = set(own.site.glob("ocirun/*"))
    for turn in range(8):
        process = subprocess.Popen([own.program, "preload", "--force"], stdout=subprocess.DEVNULL)
        begun(own, process)
        time.sleep(0.02 * turn)
        process.kill()
        process.wait()
    pythons.run([str(own.program), "preload", then])
    assert set(own.site.glob("ocirun/*")) == before
    assert (own.site / "ocirun" / _build().PRELOAD_NAME).stat().st_size > 4096 or then == "--remove"
    pythons.run([str(own.program), "preload", "--remove"])


def test_a_place_that_cannot_be_written(own: Installed) -> None:
    if not _build()._library():
        pytest.skip("this interpreter has no shared library")
    mounts = 'mount --bind -o ro "$1" "$1" && mount -o remount,bind,ro "$1" && exec "$2" preload --force'
    command = ["unshare", "-m", "--propagation", "private", "sh", "-c", mounts, "sh", str(own.home), str(own.program)]
    result = pythons.run(command, fails=True)
    assert result.returncode == 1
    assert "Read-only file system" in result.stderr or "read-only file system" in result.stderr
    assert result.stderr.count("\n") == 1
