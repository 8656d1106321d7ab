"""A call that fails in a run from Python, at any point: an error that says what failed, no hang, nothing left.

A child process runs once to be warm, and once more, each between two marks.  The latter is recorded with strace; then such processes
are started again and again, each with an error injected at another call between the marks.  See `test_fault_points`
for the commands.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ocirun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .case import Case

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")

# Points for each way to run; a larger number in the environment makes it a search.
POINTS = int(os.environ.get("OCIRUN_RUN_FAULTS", "40"))
REASONS = ("EMFILE", "ENOMEM", "EIO", "EPERM")
# Memory and locks of the interpreter; what cannot fail; what is not done then, so that a descriptor stays for sure.
NOT = {"mmap", "munmap", "mremap", "madvise", "brk", "mprotect", "futex", "rt_sigprocmask", "rt_sigaction", "close"}
# Without getrandom the interpreter itself opens /dev/urandom, and keeps it.
NOT |= {"getrandom"}
NOT |= {"getpid", "gettid", "geteuid", "getuid", "getegid", "sched_yield", "access", "restart_syscall"}
RUNTIME = str(Path(__file__).resolve().parents[2] / "runtime")
LINE = re.compile(r"^([a-z0-9_]+)\(")

SCRIPT = """
import json, os, sys
import ocirun
how, bundle, root, name = sys.argv[1:]
prepared = ocirun.Prepared(bundle, root=root)

def run(name):
    if how == "prepared":
        return prepared.run(container_id=name, timeout=60, stdin=b"in")
    return ocirun.run(bundle, root=root, container_id=name, timeout=60, stdin=b"in")

def children():
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return file.read().split()
    except OSError:  # this is where the fault has come, behind a run that has made fewer calls
        return children()

def tried():
    before = os.listdir("/proc/self/fd")
    said = {}
    os.access("/the-run-begins", 0)
    try:
        outcome = run(name)
        said["ok"] = outcome.ok and outcome.stdout == b"in"
    except ocirun.OcirunError as error:
        said.update(error=str(error), errno=error.errno, call=error.call, kind=type(error).__name__)
    except BaseException as error:
        said["wrong"] = repr(error)
    os.access("/the-run-ends", 0)
    return {**said, "same": os.listdir("/proc/self/fd") == before, "children": children()}

try:  # what words an error is loaded by now
    prepared.run(args=["/no/such"])
except ocirun.OcirunError:
    pass
# How often some calls are made is a matter of time, so the fault may come in the first of them.
first = tried()
print(json.dumps(tried() if first.get("ok") else first))
"""


def child(live: Case, options: list[str], how: str, bundle: str, name: str) -> dict[str, Any]:
    """One such process, traced; what it says."""
    words = [sys.executable, "-c", SCRIPT, how, bundle, f"{live.dir}/root", name]
    env = {**os.environ, "PYTHONPATH": RUNTIME, "PYTHONHASHSEED": "0"}
    command = ["strace", *options, *words]
    result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    said: dict[str, Any] = json.loads(result.stdout)
    return said


def points(log: str) -> list[tuple[str, int]]:
    """(call, its number among those of its name) of what a recorded run has called between the marks."""
    counts: dict[str, int] = {}
    found, inside = [], False
    with open(log, encoding="utf-8", errors="replace") as file:
        for line in file:
            match = LINE.match(line)
            if match is None:
                continue
            call = match[1]
            counts[call] = counts.get(call, 0) + 1
            if "/the-run-" in line:
                inside = "begins" in line
                if inside:
                    found = []
            elif inside and call not in NOT:
                found.append((call, counts[call]))
    return found


def groups(name: str) -> list[str]:
    return [f"{top}/{name}" for top, folders, _ in os.walk("/sys/fs/cgroup") if name in folders]


def problem(said: dict[str, Any], reason: str) -> str:
    """What is wrong with how a run with a fault has ended, or ""."""
    if "wrong" in said or not said["same"] or said["children"]:
        return str(said)
    if "error" not in said:
        return "" if said["ok"] else str(said)
    if "internal" in said["error"] or (said["errno"] != getattr(errno, reason) and "may" not in said["error"]):
        return str(said)
    return ""


@pytest.mark.parametrize("how", ["run", "prepared"])
def test_any_call_of_a_run(live: Case, how: str) -> None:
    bundle = live.bundle(["/bin/cat"])
    bundle.process["terminal"] = False
    bundle.save()
    name, root, log = bundle.id, f"{live.dir}/root", f"{live.dir}/calls"
    for _ in range(2):  # the first may find no compiled modules, and calls more
        assert child(live, ["-o", log], how, bundle.path, name)["ok"]
    found = points(log)
    assert len(found) > 50, "the record must be of a real run"
    failures, refused, left = [], 0, 0
    for number, (call, count) in enumerate(found[:: max(1, len(found) // POINTS)]):
        reason = REASONS[number % len(REASONS)]
        inject = ["-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:error={reason}:when={count}"]
        said = child(live, inject, how, bundle.path, name)
        refused += "error" in said
        wrong = problem(said, reason)
        if os.listdir(root) or groups(name):
            # Only where the removal itself was refused, and somebody said so; then it can be repeated.
            left += 1
            wrong = wrong or ("" if "error" in said else "something is left, and nobody says so")
            ocirun.delete(name, root=root, force=True)
            if os.listdir(root) or groups(name):
                wrong += f" cannot be removed: {os.listdir(root)} {groups(name)}"
        if wrong:
            failures.append(f"{call}:{count}:{reason}: {wrong}")
    assert not failures, "\n".join(failures)
    assert refused > POINTS / 4
    assert left <= refused / 4
