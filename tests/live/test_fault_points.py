"""Calls that fail, all along the way of each command: whatever the kernel is short of, an error that says so.

A good run of the command is recorded with strace, then it is run again and again with an error injected at the n-th
call of a name, in the runtime as in its helper.  Each ends with a status and an error of its own, never with an
internal one, and after `delete --force` nothing is left.
"""

from __future__ import annotations

import json
import os
import shutil

import pytest

from . import process
from .test_kill_points import killed_at, record, traced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .bundles import Bundle
    from .case import Case

    Words = Callable[[Bundle], list[str]]

# Points for each command; a larger number in the environment makes it a search.
POINTS = int(os.environ.get("OCIRUN_FAULTS", "10"))
REASONS = ("ENOMEM", "EMFILE", "EIO")
# What comes before there is a command line, or cannot be told: memory for the interpreter, its end.
BEFORE = {"execve", "exit_group", "exit", "arch_prctl", "set_tid_address", "set_robust_list", "rt_sigreturn", "mmap"}
BEFORE |= {"brk", "munmap", "mprotect", "rt_sigprocmask", "restart_syscall"}
WAKEUP = "Exception ignored when trying to write to the signal wakeup fd"
CODES = {"config", "exists", "hook", "host", "not-found", "program", "state", "state-damaged", "step", "unsupported"}

# What to do to a container with this command, and what it must be before: nothing, created, running, paused.
COMMANDS: dict[str, tuple[str, Words]] = {
    "create": ("", lambda b: ["create", "--bundle", b.path, "--pid-file", f"{b.path}/pid", b.id]),
    "run": ("", lambda b: ["run", "--bundle", b.path, b.id]),
    "run-detached": ("", lambda b: ["run", "-d", "--bundle", b.path, b.id]),
    "start": ("created", lambda b: ["start", b.id]),
    "state": ("running", lambda b: ["state", b.id]),
    "list": ("running", lambda _: ["list"]),
    "exec": ("running", lambda b: ["exec", b.id, "/bin/true"]),
    "exec-detached": ("running", lambda b: ["exec", "-d", "--pid-file", f"{b.path}/pid", b.id, "/bin/true"]),
    "kill": ("running", lambda b: ["kill", b.id, "KILL"]),
    "kill-created": ("created", lambda b: ["kill", b.id, "TERM"]),
    "pause": ("running", lambda b: ["pause", b.id]),
    "resume": ("paused", lambda b: ["resume", b.id]),
    "update": ("running", lambda b: ["update", "--pids-limit", "50", b.id]),
    "ps": ("running", lambda b: ["ps", "--format", "json", b.id]),
    "events": ("running", lambda b: ["events", "--stats", b.id]),
    "delete": ("created", lambda b: ["delete", b.id]),
    "delete-force": ("running", lambda b: ["delete", "--force", b.id]),
}


@pytest.fixture(autouse=True)
def _strace() -> None:
    if shutil.which("strace") is None:
        pytest.skip("needs strace")


def bring(live: Case, bundle: Bundle, status: str) -> None:
    """From nothing to a status."""
    if status:
        live.create(bundle)
    if status in ("running", "paused"):
        live.start(bundle)
    if status == "paused":
        live.command("pause", bundle.id).ok()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command(live: Case, name: str) -> None:
    before, words = COMMANDS[name]
    bundle = live.bundle(["/bin/true"] if name == "run" else ["/bin/sleep", "71240"])
    if name == "run":
        bundle.process["terminal"] = True
    bundle.save()
    bring(live, bundle, before)
    points = [point for point in record(live, bundle, *words(bundle)) if point[0] not in BEFORE]
    assert len(points) > 20, "the record must be of a real run"
    live.command("delete", "--force", bundle.id).ok()
    failures, statuses = [], []
    for number, point in enumerate(points[:: max(1, len(points) // POINTS)]):
        reason = REASONS[number % len(REASONS)]
        bring(live, bundle, before)
        log = f"{live.dir}/log{number}"
        status, wrong = fail_at(live, log, point, reason, words(bundle))
        statuses.append(status)
        if wrong is None:
            wrong = rest(live, bundle)
        if wrong:
            failures.append(f"{point[0]}:{point[1]}:{reason}: {wrong}")
            live.clear()
    assert not failures, f"{len(failures)} of {len(statuses)} points:\n" + "\n".join(failures)


def fail_at(live: Case, log: str, point: tuple[str, int], reason: str, words: list[str]) -> tuple[int, str | None]:
    """Run a command with one failing call; its status, and what is wrong with how it ended."""
    call, count = point
    options = ["-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:error={reason}:when={count}"]
    seen = set(os.listdir(live.scratch))
    try:
        status = traced(live, options, "--log", log, "--log-format", "json", *words)
    except AssertionError as error:
        return -1, str(error)
    said = ""
    for name in sorted(set(os.listdir(live.scratch)) - seen):
        if name.endswith(".err"):
            with open(f"{live.scratch}/{name}", encoding="utf-8", errors="replace") as file:
                said += file.read()
    if WAKEUP in said:  # the interpreter's own words, where a pipe of this very process cannot be written
        said = "\n".join(line for line in said.splitlines() if "Error" not in line and "Traceback" not in line)
    if "internal error" in said or "Traceback" in said:
        return status, said
    if status == 0 or not os.path.exists(log):
        return status, None if status in (0, 1, 127, 255) else f"status {status}: {said}"
    with open(log, encoding="utf-8") as file:
        errors = [line for line in map(json.loads, file) if line["level"] == "error"]
    if status not in (1, 255) or (errors and errors[-1].get("code") not in CODES):
        return status, f"status {status}: {said}"
    return status, None


def rest(live: Case, bundle: Bundle) -> str:
    """What is left after `delete --force`, or ""."""
    try:
        live.command("delete", "--force", bundle.id).ok()
        live.assert_clean()
    except AssertionError as error:
        return "; ".join(str(error).splitlines()[:4])
    process.reap()
    return ""


@pytest.mark.parametrize("name", ["run", "run-detached", "exec", "exec-detached", "kill", "kill-created", "update"])
def test_killed_at_any_call(live: Case, name: str) -> None:
    """`create`, `start`, `delete` and `pause` are in test_kill_points; what a killed one leaves, delete removes."""
    before, words = COMMANDS[name]
    bundle = live.bundle(["/bin/sleep", "1"] if name == "run" else ["/bin/sleep", "71241"])
    bundle.save()
    bring(live, bundle, before)
    points = [point for point in record(live, bundle, *words(bundle)) if point[0] not in BEFORE]
    live.command("delete", "--force", bundle.id).ok()
    failures, killed = [], 0
    for point in points[:: max(1, len(points) // POINTS)]:
        bring(live, bundle, before)
        killed += killed_at(live, point, *words(bundle))
        if wrong := rest(live, bundle):
            failures.append(f"{point[0]}:{point[1]}: {wrong}")
            live.clear()
    assert not failures, "\n".join(failures)
    assert killed >= 3
