"""How many processes a command starts, how much it asks of the kernel, and what it leaves in a host program."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time

import pytest

from .command import CHECKOUT, LAUNCHER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


# Calls of the runtime and the helper for one `run` of `true` with tmpfs, proc, sysfs, cgroups and masks: about
# 2500 when this was written, a third of them the interpreter's own start.  Twice that means something is wrong.
CALLS_OF_RUN = 5500


def traced(where: Path, *words: str, flags: tuple[str, ...]) -> str:
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    output = where / "strace"
    subprocess.run(
        ["strace", "-f", "-e", "signal=none", *flags, "-o", str(output), str(LAUNCHER), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=60,
    )
    return output.read_text(errors="replace")


def started(text: str) -> int:
    """Processes that were made; the flags and the result may stand on different lines."""
    return len(re.findall(r"(?:clone3?|v?fork)(?: resumed>|\()[^\n]*= [1-9]\d*$", text, re.MULTILINE))


def executed(text: str) -> list[str]:
    """Programs, helpers included, that took a process over."""
    names = {}
    for line in text.splitlines():
        pid = line.split()[0]
        call = re.search(r"(execve|execveat)\((?:\d+, )?\"([^\"]*)\"", line)
        if call:
            names[pid] = call[2] or "helper"
        if re.search(r"(execve|execveat)[( ].*= 0$", line):
            names[pid, len(names)] = names[pid]
    return [name for key, name in names.items() if isinstance(key, tuple)]


def test_run_starts_one_process(bundle: Callable[..., Path], tmp_path: Path) -> None:
    """The launcher becomes the interpreter, the new process the helper and then the program; nobody else."""
    folder, name = bundle("hello", "/bin/true"), f"budget-{time.monotonic_ns()}"
    trace = ("-e", "trace=execve,execveat,clone,clone3,?fork,?vfork")
    text = traced(tmp_path, "--root", str(tmp_path / "root"), "run", "-b", str(folder), name, flags=trace)
    assert started(text) == 1
    programs = executed(text)
    assert programs[0] == str(LAUNCHER)
    assert "python" in programs[1]
    assert programs[2:] == ["helper", "/bin/true"]


def test_p04_no_python_runs_inside(bundle: Callable[..., Path], tmp_path: Path) -> None:
    """Namespaces, roots and directories are the helper's: the interpreter, with all that it may import, stays out."""
    root, name = str(tmp_path / "root"), f"budget-{time.monotonic_ns()}"
    moves = ("setns", "unshare", "chroot", "pivot_root", "chdir", "fchdir")
    trace = ("-e", f"trace=execve,{','.join(moves)}")
    subprocess.run([sys.executable, CHECKOUT / "bundles" / "make", "hooks"], check=True, stdout=subprocess.DEVNULL)
    hooks = tmp_path / "hooks"
    shutil.copytree(CHECKOUT / "bundles" / "hooks", hooks, symlinks=True)
    texts = [traced(tmp_path, "--root", root, "run", "-b", str(hooks), name, flags=trace)]
    subprocess.run(
        [LAUNCHER, "--root", root, "run", "-d", "-b", bundle("hello", "/bin/sleep", "60"), name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    try:
        texts.append(traced(tmp_path, "--root", root, "exec", name, "/bin/true", flags=trace))
    finally:
        subprocess.run([LAUNCHER, "--root", root, "delete", "--force", name], check=True)
    for text in texts:
        calls = [line.split(maxsplit=1) for line in text.splitlines()]
        runtime = calls[0][0]
        moved = [pid for pid, call in calls if call.startswith(moves)]
        assert moved and runtime not in moved, text


@pytest.mark.parametrize("words", [("--version",), ("list",), ("state", "nobody")])
def test_other_commands_start_none(built: None, tmp_path: Path, words: tuple[str, ...]) -> None:
    trace = ("-e", "trace=execve,execveat,clone,clone3,?fork,?vfork")
    (tmp_path / "root").mkdir()
    top = () if words[0].startswith("-") else ("--root", str(tmp_path / "root"))
    if words[0] == "state":
        with pytest.raises(subprocess.CalledProcessError):
            traced(tmp_path, *top, *words, flags=trace)
        text = (tmp_path / "strace").read_text()
    else:
        text = traced(tmp_path, *top, *words, flags=trace)
    assert started(text) == 0
    assert len(executed(text)) == 2


def test_calls_of_run(bundle: Callable[..., Path], tmp_path: Path) -> None:
    folder, name = bundle("hello", "/bin/true"), f"budget-{time.monotonic_ns()}"
    text = traced(tmp_path, "--root", str(tmp_path / "root"), "run", "-b", str(folder), name, flags=("-c",))
    total = re.search(r"^100\.00\s+[\d.]+\s+\d+\s+(\d+).*total$", text, re.MULTILINE)
    assert total, text
    assert int(total[1]) < CALLS_OF_RUN


_HOST_PROGRAM = """\
import os, signal, sys, threading
sys.path.insert(0, sys.argv[1])
from ocirun.container import Container, CreateOptions

FIELDS = ("Cap", "SigPnd", "SigBlk", "SigIgn", "SigCgt", "NoNew", "Uid")

def snapshot():
    mask = os.umask(0)
    os.umask(mask)
    return {
        "fds": sorted(os.listdir("/proc/self/fd"))[:-1],
        "threads": threading.active_count(),
        "tasks": len(os.listdir("/proc/self/task")),
        "children": open(f"/proc/self/task/{os.getpid()}/children").read(),
        "directory": os.getcwd(),
        "umask": mask,
        "signals": [str(signal.getsignal(number)) for number in signal.valid_signals()],
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "environment": dict(os.environ),
        # Not SigQ, which counts for all processes of the user.
        "status": [line for line in open("/proc/self/status") if line.startswith(FIELDS)],
        "namespaces": [os.readlink(f"/proc/self/ns/{name}") for name in sorted(os.listdir("/proc/self/ns"))],
        "cgroup": open("/proc/self/cgroup").read(),
        "mounts": len(open("/proc/self/mountinfo").readlines()),
        "memory": [name for name in open("/proc/self/maps") if "memfd:" in name],
    }

def life(number):
    name = f"{sys.argv[4]}-{number}"
    made = Container.create(name, root=sys.argv[2], options=CreateOptions(bundle=sys.argv[3]))
    made.start()
    made.state()
    made.pause()
    made.resume()
    made.kill(9)
    made.delete(force=True)

def failure():
    try:
        Container.create("x", root=sys.argv[2], options=CreateOptions(bundle="/nonexistent"))
    except Exception as error:
        assert type(error).__module__ == "ocirun.errors", error

life(0)
before = snapshot()
for number in range(1, 4):
    life(number)
failure()
after = snapshot()
for key in before:
    assert before[key] == after[key], (key, before[key], after[key])
"""


def test_a_host_program_is_left_as_it_was(bundle: Callable[..., Path], tmp_path: Path) -> None:
    """Descriptors, threads, children, directory, umask, signals, ids, namespaces, cgroup: nothing changes."""
    folder = bundle("hello", "/bin/sleep", "60")
    words = (str(CHECKOUT / "runtime"), str(tmp_path / "root"), str(folder), f"budget-{time.monotonic_ns()}")
    result = subprocess.run(
        [sys.executable, "-c", _HOST_PROGRAM, *words], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 0, result.stderr


def test_a_failed_creation_leaves_nothing(bundle: Callable[..., Path], tmp_path: Path) -> None:
    folder, root = bundle("hello", "/no/such/program"), tmp_path / "root"
    name = f"budget-{time.monotonic_ns()}"
    program = _HOST_PROGRAM.partition("life(0)")[0] + (
        "from ocirun.errors import ProgramError\n"
        "def fail():\n"
        "    try:\n"
        "        Container.create(sys.argv[4], root=sys.argv[2], options=CreateOptions(bundle=sys.argv[3]))\n"
        "    except ProgramError:\n"
        "        return\n"
        "    raise SystemExit('created')\n"
        "fail()\nbefore = snapshot()\nfail()\nfail()\nafter = snapshot()\n"
        "for key in before:\n    assert before[key] == after[key], (key, before[key], after[key])\n"
    )
    words = (str(CHECKOUT / "runtime"), str(root), str(folder), name)
    result = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert not list(root.iterdir())
