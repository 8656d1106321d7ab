"""The five operations: what they refuse, and that a refusal changes nothing."""

from __future__ import annotations

import os

from live import oracle

from .. import host
from ..bench import DELETE
from ..registry import covers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from live.bundles import Bundle

    from ..bench import Bench

IDLE = ["/bin/sleep", "70000"]
# Writes the names of the signals it gets, until TERM.
TRAPS = (
    'for name in HUP USR1 USR2 CONT; do trap "echo $name >>/tmp/got" $name; done; '
    "trap 'echo TERM >>/tmp/got; exit' TERM; echo >/tmp/up; while :; do sleep 0.02; done"
)


def _facts(bench: Bench, bundle: Bundle) -> Any:
    """What a refused operation must leave alone: status, pid, process, cgroup."""
    state = bench.state(bundle)
    pid = state["pid"]
    alive = bool(pid) and os.path.exists(f"/proc/{pid}") and host.text(f"/proc/{pid}/stat").split(") ")[-1][:1] != "Z"
    return state["status"], pid, alive, oracle.cgroups(bundle.id)


@covers("runtime.operations")
def all_there(bench: Bench) -> None:
    bundle = bench.bundle(IDLE)
    bench.create(bundle)
    bench.state(bundle)
    bench.start(bundle)
    bench.kill(bundle, "KILL")
    bench.ended(bundle)


def _no_id(operation: str, *rest: str) -> None:
    @covers(f"runtime.operations.{operation}.no-id")
    def check(bench: Bench) -> None:
        """No argument, and an empty one."""
        assert bench.command(operation).code
        assert bench.command(operation, "", *rest).code


_no_id("state")
_no_id("start")
_no_id("kill", "TERM")
_no_id("delete")


@covers("runtime.operations.state.unknown")
def unknown(bench: Bench) -> None:
    result = bench.command("state", "nobody-has-this")
    assert result.code and not result.out.strip(), result.report()


@covers("runtime.operations.create.arguments")
def create_arguments(bench: Bench) -> None:
    """No id; no bundle, in a directory that is none; a bundle that is not there."""
    bundle = bench.bundle()
    bundle.save()
    assert bench.command("create", "--bundle", bundle.path).code
    assert bench.command("create", bundle.id, cwd="/").code
    assert bench.command("create", "--bundle", f"{bench.dir}/nowhere", bundle.id).code
    assert bench.command("state", bundle.id).code


@covers(
    "runtime.operations.create.id-taken", "runtime.operations.create.id-taken.nothing-new", "runtime.state.id.unique"
)
def id_taken(bench: Bench) -> None:
    """Taken by a container that is created, running, stopped; the one that has it stays as it is."""
    bundle, other = bench.bundle(IDLE), bench.bundle()
    other.id = bundle.id
    bench.create(bundle)
    for _ in ("created", "running", "stopped"):
        before = _facts(bench, bundle)
        made = bench.make("create", other)
        assert made.code, made.report()
        assert _facts(bench, bundle) == before and bench.state(bundle)["bundle"] == bundle.path
        if before[0] == "created":
            bench.start(bundle)
        elif before[0] == "running":
            bench.kill(bundle, "KILL")
            bench.until(bundle, "stopped")


@covers("runtime.operations.create.id-invalid")
def id_invalid(bench: Bench) -> None:
    """Ids that would be a path, or nothing."""
    bundle = bench.bundle()
    bench.watch()
    for wrong in ("", "..", ".", "a/b", "../a", "/a", "a\nb", "a b"):
        bundle.id = wrong
        made = bench.make("create", bundle)
        assert made.code, f"{wrong!r} was accepted: {made.report()}"
        bench.assert_untouched()


@covers("runtime.operations.create.new")
def create_new(bench: Bench) -> None:
    bundle = bench.bundle(IDLE)
    assert bench.command("state", bundle.id).code
    bench.create(bundle)
    status, pid, alive, _ = _facts(bench, bundle)
    assert status == "created" and pid > 0 and alive


@covers("runtime.operations.start.not-created", "runtime.operations.start.not-created.no-effect")
def start_twice(bench: Bench) -> None:
    """One that is running, one that is stopped, and one that does not exist."""
    bundle = bench.shell("echo ran >>/tmp/ran; sleep 70000")
    bench.launch(bundle)
    bench.eventually_file(bundle, "/tmp/ran")
    for status in ("running", "stopped"):
        if status == "stopped":
            bench.kill(bundle, "KILL")
            bench.until(bundle, "stopped")
        before = _facts(bench, bundle)
        result = bench.command("start", bundle.id)
        assert before[0] == status and result.code, result.report()
        assert _facts(bench, bundle) == before and bundle.read("/tmp/ran") == "ran\n"
    assert bench.command("start", "nobody-has-this").code


@covers("runtime.operations.kill.not-running", "runtime.operations.kill.not-running.no-effect")
def kill_stopped(bench: Bench) -> None:
    """One that is stopped, and one that does not exist."""
    bundle = bench.bundle()
    bench.launch(bundle)
    bench.until(bundle, "stopped")
    before = _facts(bench, bundle)
    result = bench.command("kill", bundle.id, "KILL")
    assert result.code, result.report()
    assert _facts(bench, bundle) == before
    assert bench.command("kill", "nobody-has-this", "KILL").code


@covers("runtime.operations.kill.signal")
def kill_signal(bench: Bench) -> None:
    """By name, with SIG, and by number; each arrives as itself. A container that is created gets it too."""
    bundle = bench.shell(TRAPS)
    bench.launch(bundle)
    bench.eventually_file(bundle, "/tmp/up")
    for word, name in (("USR1", "USR1"), ("SIGUSR2", "USR2"), ("1", "HUP")):
        bench.kill(bundle, word)
        _wait_for(bundle, name)
    bench.kill(bundle, "TERM")
    bench.until(bundle, "stopped")
    assert bundle.read("/tmp/got").split() == ["USR1", "USR2", "HUP", "TERM"]
    other = bench.bundle(IDLE)
    bench.create(other)
    bench.kill(other, "KILL")
    bench.until(other, "stopped")


def _wait_for(bundle: Bundle, name: str) -> None:
    from live import process

    process.eventually(lambda: name in host.text(f"{bundle.rootfs}/tmp/got").split(), f"signal {name}")


@covers("runtime.operations.delete.running")
def delete_running(bench: Bench) -> None:
    """And one that does not exist."""
    bundle = bench.bundle(IDLE)
    bench.launch(bundle)
    before = _facts(bench, bundle)
    result = bench.command("delete", bundle.id)
    assert before[0] == "running" and result.code, result.report()
    assert _facts(bench, bundle) == before
    assert bench.command("delete", "nobody-has-this").code


@covers("runtime.operations.delete.created")
def delete_created(bench: Bench) -> None:
    bundle = bench.bundle(IDLE)
    bench.create(bundle)
    before = _facts(bench, bundle)
    result = bench.command("delete", *DELETE.get(bench.session.name, []), bundle.id)
    assert result.code, "the container was deleted although it was not stopped: " + result.report()
    assert _facts(bench, bundle) == before
