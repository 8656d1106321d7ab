"""create is killed in the middle, at system calls all along its way (R01-R08).

One good run is recorded with strace, then create is run again and again with a
SIGKILL injected at the n-th call of a name.  Afterwards there is nothing, or a
container that one `delete --force` removes without a trace: no cgroup, no
mount, no process, no state.  strace counts calls for each name and process.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import time

import pytest

from . import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .bundles import Bundle
    from .case import Case

BUDGET = 40.0  # seconds for the sampled test
# Calls that may fail for lack of something, and of which there are few besides those of a create.
FALLIBLE = ("openat", "openat2", "mkdirat", "write", "memfd_create", "socketpair", "clone3", "flock", "fchmod")
FAULTS = 40  # points of the one with failing calls
INTERRUPTS = 30  # points for the one that is interrupted
CALL = re.compile(r"^(\d+)\s+(?:\S+\s+)?([a-z_0-9]+)\(")
# Calls of which every process makes hundreds, and which change nothing.
DULL = {
    "read",
    "fstat",
    "newfstatat",
    "close",
    "lseek",
    "brk",
    "mmap",
    "munmap",
    "mprotect",
    "rt_sigaction",
    "getdents64",
}


@pytest.fixture(autouse=True)
def _strace() -> None:
    if shutil.which("strace") is None:
        pytest.skip("needs strace")


def record(live: Case, bundle: Bundle, *command: str) -> list[tuple[str, int]]:
    """(call, how many-th of its process) of one good run, in the order of the run, each once."""
    trace = f"{live.dir}/trace"
    assert traced(live, ["-o", trace], *command) == 0, "the run that is recorded must be a good one"
    counts: dict[tuple[str, str], int] = {}
    points: list[tuple[str, int]] = []
    known = set()
    with open(trace, encoding="utf-8", errors="replace") as file:
        for line in file:
            match = CALL.match(line)
            if match is None:
                continue
            pid, call = match.groups()
            counts[pid, call] = counts.get((pid, call), 0) + 1
            point = (call, counts[pid, call])
            if point not in known:
                known.add(point)
                points.append(point)
    return points


def killed_at(live: Case, point: tuple[str, int], *command: str, by: str = "KILL") -> bool:
    """Run a command with a signal at one point; False if it reached its end all the same."""
    call, number = point
    options = ["-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal={by}:when={number}"]
    return traced(live, options, *command) != 0


def traced(live: Case, options: list[str], *command: str) -> int:
    """Run a command under strace until the command has ended; its exit status.

    The tracer is a grandchild, which would stay as long as the created init lives: it is let go.
    """
    argv = ["strace", "-D", "-I1", "-f", "-qq", *options, *live.argv(*command)]
    runtime, _, _ = process.spawn(argv, scratch=live.scratch)
    try:
        assert process.wait_end(runtime, 20), f"{command[0]} ends with {options}"
    finally:
        for pid in process.descendants():
            if process.describe(pid).startswith("strace"):
                os.kill(pid, signal.SIGTERM)
                process.eventually(lambda pid=pid: process.describe(pid) == "(gone)", "the tracer goes")  # type: ignore[misc]
    return runtime.returncode


def sample(points: list[tuple[str, int]], count: int) -> list[tuple[str, int]]:
    """Points evenly along the way, far apart ones first, so that a short time covers all of it."""
    lively = [point for point in points if point[0] not in DULL]
    step = max(1, len(lively) // count)
    chosen = lively[::step]
    return [point for phase in range(8) for point in chosen[phase::8]]


def test_create(live: Case) -> None:
    bundle = live.bundle(["/bin/sleep", "71234"])
    bundle.save()
    command = ("create", "--bundle", bundle.path, bundle.id)
    live.run(live.bundle()).ok()
    points = record(live, bundle, *command)
    assert len(points) > 50, "the record must be of a real create"
    live.delete(bundle, "--force")
    live.assert_clean()
    end = time.monotonic() + BUDGET
    failures = []
    outcomes = []
    for point in sample(points, 150):
        if time.monotonic() > end and outcomes.count(True) >= 20:
            break
        outcomes.append(killed_at(live, point, *command))
        failures += leftovers(live, bundle, point)
    assert not failures, f"{len(failures)} of {len(outcomes)} points:\n" + "\n".join(failures)
    assert outcomes.count(True) >= 20, f"of {len(outcomes)} creates only {outcomes.count(True)} were interrupted"


def test_create_interrupted(live: Case) -> None:
    # P15: Ctrl-C undoes what was done, wherever it comes; only a finished container is left to be deleted.
    bundle = live.bundle(["/bin/sleep", "71238"])
    bundle.save()
    command = ("create", "--bundle", bundle.path, "--pid-file", f"{live.dir}/pid", bundle.id)
    points = record(live, bundle, *command)
    live.delete(bundle, "--force")
    outcomes = []
    for point in sample(points, INTERRUPTS):
        outcomes.append(killed_at(live, point, *command, by="INT"))
        if live.command("state", bundle.id).code == 0:
            assert live.status(bundle) == "created", point
            live.delete(bundle, "--force")
        live.assert_clean()
        assert not os.listdir(live.root), point
        assert "Traceback" not in written(live), point
    assert outcomes.count(True) >= 10, outcomes


def test_create_with_calls_that_fail(live: Case) -> None:
    # R100, R101: whatever the kernel is short of, an error of one line, and nothing is left.
    bundle = live.bundle(["/bin/sleep", "71239"])
    bundle.save()
    command = ("create", "--bundle", bundle.path, "--pid-file", f"{live.dir}/pid", bundle.id)
    points = [point for point in record(live, bundle, *command) if point[0] in FALLIBLE]
    live.delete(bundle, "--force")
    reasons = ("EMFILE", "ENOSPC", "EIO", "ENOMEM")
    statuses = []
    for number, (call, count) in enumerate(points[:: max(1, len(points) // FAULTS)]):
        reason = reasons[number % len(reasons)]
        inject = ["-e", f"trace={call}", "-e", f"inject={call}:error={reason}:when={count}"]
        statuses.append(traced(live, ["-o", "/dev/null", *inject], *command))
        assert statuses[-1] in (0, 1, 127), (call, count, reason)
        if statuses[-1] == 0:  # before the command line, or where another way was taken
            live.delete(bundle, "--force")
        live.assert_clean()
        assert "Traceback" not in written(live) and "internal error" not in written(live), (call, count, reason)
    assert statuses.count(1) >= 10, statuses


def written(live: Case) -> str:
    """What all commands so far have said on standard error."""
    text = ""
    for entry in os.scandir(live.scratch):
        if entry.name.endswith(".err"):
            with open(entry.path, encoding="utf-8", errors="replace") as file:
                text += file.read()
    return text


def leftovers(live: Case, bundle: Bundle, point: tuple[str, int]) -> list[str]:
    """Delete by force; a line when that fails or something stays."""
    result = live.command("delete", "--force", bundle.id)
    try:
        result.ok()
        live.assert_clean()
    except AssertionError as error:
        live.clear()
        return [f"{point[0]}:{point[1]}: {'; '.join(str(error).splitlines()[:3])}"]
    return []


def test_start(live: Case) -> None:
    # R09-R11: whatever the point, `delete --force` ends it, and the program never ran twice.
    first = live.shell("echo x >> /ran; exec sleep 71235")
    live.create(first)
    points = record(live, first, "start", first.id)
    live.delete(first, "--force")
    for point in sample(points, 12):
        bundle = live.shell("echo x >> /ran; exec sleep 71235")
        live.create(bundle)
        killed_at(live, point, "start", bundle.id)
        assert live.status(bundle) in ("created", "running", "stopped"), point
        if os.path.exists(f"{bundle.rootfs}/ran"):
            assert bundle.read("/ran") == "x\n", point
        live.delete(bundle, "--force")
        live.assert_clean()
        shutil.rmtree(bundle.path)


def test_delete(live: Case) -> None:
    # R15: a repeat finishes what was begun.
    first = live.bundle(["/bin/sleep", "71236"])
    live.launch(first)
    points = record(live, first, "delete", "--force", first.id)
    for point in sample(points, 15):
        bundle = live.bundle(["/bin/sleep", "71236"])
        live.launch(bundle)
        killed_at(live, point, "delete", "--force", bundle.id)
        live.command("delete", "--force", bundle.id).ok()
        live.assert_clean()
        shutil.rmtree(bundle.path)


def test_id_is_reserved_but_nothing_else_is_there(live: Case) -> None:
    # R01: the directory of a create that died at once.
    bundle = live.bundle(["/bin/sleep", "600"])
    os.mkdir(f"{live.root}/{bundle.id}")
    live.make("create", bundle).failed("container with given ID already exists")
    live.command("delete", "--force", bundle.id).ok()
    live.create(bundle)
    live.delete(bundle)


def test_pause_and_resume(live: Case) -> None:
    # R14: never frozen and forgotten.
    bundle = live.bundle(["/bin/sleep", "71237"])
    live.launch(bundle)
    points = record(live, bundle, "pause", bundle.id)
    live.command("resume", bundle.id).ok()
    for point in sample(points, 8):
        killed_at(live, point, "pause", bundle.id)
        status = live.status(bundle)
        assert status in ("running", "paused"), point
        if status == "paused":
            live.command("resume", bundle.id).ok()
        assert live.status(bundle) == "running", point
    killed_at(live, points[-1], "pause", bundle.id)
    live.delete(bundle, "--force")
    live.assert_clean()
