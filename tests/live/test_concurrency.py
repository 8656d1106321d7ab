"""Many commands at once: one wins, the others say so, and all is gone in the end (R20-R27)."""

from __future__ import annotations

import os
import time

import pytest

from . import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from .case import Case

Running = list[tuple["subprocess.Popen[bytes]", list[str], str, str]]


def start_all(live: Case, commands: Sequence[Sequence[str]]) -> Running:
    found = []
    for command in commands:
        argv = live.argv(*command)
        found.append((*process.spawn(argv, scratch=live.scratch), argv))
    return [(proc, argv, out, err) for proc, out, err, argv in found]


def finish(running: Running, limit: float = 30.0) -> list[process.Result]:
    results = []
    end = time.monotonic() + limit
    for proc, argv, out, err in running:
        in_time = process.wait_end(proc, max(0.1, end - time.monotonic()))
        result = process.Result(argv, proc.returncode, out, err, 0.0)
        assert in_time, "still running: " + result.report()
        results.append(result)
    return results


@pytest.mark.parametrize("count", [8, 32])
def test_r20_creates_of_one_id(live: Case, count: int) -> None:
    bundle = live.bundle(["/bin/sleep", "600"])
    bundle.save()
    results = finish(start_all(live, [["create", "--bundle", bundle.path, bundle.id]] * count))
    winners = [one for one in results if one.code == 0]
    assert len(winners) == 1
    for one in results:
        if one.code:
            one.failed("container with given ID already exists")
    assert live.status(bundle) == "created"
    live.start(bundle)
    assert live.status(bundle) == "running"
    live.delete(bundle, "--force")
    live.assert_clean()


def test_r21_create_against_delete(live: Case) -> None:
    # Never a container that runs with no state; delete never takes the new one's cgroup.
    bundle = live.bundle(["/bin/sleep", "600"])
    bundle.save()
    for _ in range(25):
        commands = [["create", "--bundle", bundle.path, bundle.id], ["delete", "--force", bundle.id]]
        results = finish(start_all(live, [*commands, *commands]))
        for one in results:
            assert "Traceback" not in one.err, one.report()
            assert one.code in (0, 1), one.report()
        if os.listdir(live.root):
            state = live.command("state", bundle.id)
            if state.code == 0 and state.json()["status"] == "created":
                live.start(bundle)
            live.command("delete", "--force", bundle.id).ok()
        live.assert_clean()


def test_r22_start_twice_at_once(live: Case) -> None:
    for _ in range(5):
        bundle = live.shell("echo x >> /ran; exec sleep 600")
        live.create(bundle)
        results = finish(start_all(live, [["start", bundle.id]] * 4))
        assert [one.code for one in results].count(0) == 1
        process.eventually(lambda bundle=bundle: os.path.exists(f"{bundle.rootfs}/ran"), "it runs")  # type: ignore[misc]
        assert bundle.read("/ran") == "x\n"
        live.delete(bundle, "--force")


def test_r22_start_against_kill_and_delete(live: Case) -> None:
    for _ in range(10):
        bundle = live.bundle(["/bin/sleep", "600"])
        live.create(bundle)
        finish(start_all(live, [["start", bundle.id], ["kill", bundle.id, "KILL"], ["delete", "--force", bundle.id]]))
        live.command("delete", "--force", bundle.id).ok()
        live.assert_clean()


def test_r23_kill_against_the_end(live: Case) -> None:
    for _ in range(10):
        bundle = live.bundle(["/bin/sleep", "0.02"])
        live.launch(bundle)
        for one in finish(start_all(live, [["kill", bundle.id, "TERM"]] * 3)):
            if one.code:
                one.failed("container not running")
        live.command("delete", "--force", bundle.id).ok()


def test_r24_pause_against_resume_kill_and_delete(live: Case) -> None:
    for _ in range(5):
        bundle = live.bundle(["/bin/sleep", "600"])
        live.launch(bundle)
        finish(start_all(live, [["pause", bundle.id], ["resume", bundle.id], ["kill", bundle.id, "KILL"]]))
        live.command("delete", "--force", bundle.id).ok()
        live.assert_clean()


def test_r26_many_containers(live: Case) -> None:
    bundles = [live.bundle(["/bin/sleep", "600"]) for _ in range(40)]
    for bundle in bundles:
        bundle.save()
    for one in finish(start_all(live, [["create", "--bundle", bundle.path, bundle.id] for bundle in bundles]), 60):
        one.ok()
    for one in finish(start_all(live, [["start", bundle.id] for bundle in bundles]), 60):
        one.ok()
    listed = live.command("list", "--format", "json").ok().json()
    assert {one["status"] for one in listed} == {"running"}
    assert len(listed) == 40
    for one in finish(start_all(live, [["delete", "--force", bundle.id] for bundle in bundles]), 60):
        one.ok()
    live.assert_clean()


def test_r27_list_and_state_while_containers_come_and_go(live: Case) -> None:
    bundle = live.bundle(["/bin/true"])
    bundle.save()
    stays = live.bundle(["/bin/sleep", "600"])
    live.create(stays)
    for _ in range(12):
        running = start_all(
            live,
            [
                ["run", "--bundle", bundle.path, bundle.id],
                ["list", "--format", "json"],
                ["list", "-q"],
                ["state", stays.id],
            ],
        )
        ran, listed, quiet, state = finish(running)
        ran.ok()
        assert stays.id in [one["id"] for one in listed.ok().json()]
        assert stays.id in quiet.ok().out
        assert state.ok().json()["status"] == "created"


def test_r29_stopped_command_does_not_block_kill_and_delete(live: Case) -> None:
    bundle = live.bundle(["/bin/sleep", "600"])
    marker = f"{live.dir}/marker"
    bundle.hook("poststart", f"touch {marker}; sleep 60")
    live.create(bundle)
    running = start_all(live, [["start", bundle.id]])
    process.eventually(lambda: os.path.exists(marker), "start is under way")
    started = time.monotonic()
    live.kill(bundle, "KILL")
    live.delete(bundle, "--force")
    assert time.monotonic() - started < 30
    running[0][0].kill()
    finish(running)
    process.end_all()
