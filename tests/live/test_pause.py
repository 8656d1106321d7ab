"""pause and resume, and what may be done to a paused container."""

from __future__ import annotations

import os
import time

import pytest

from . import process
from .test_cgroup import need, value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .bundles import Bundle
    from .case import Case

COUNT = "while :; do echo x >> /count; sleep 0.01; done"


@pytest.fixture
def counting(live: Case) -> Bundle:
    """A running container that writes a line every 10 ms."""
    need("freezer")
    bundle = live.shell(COUNT)
    live.launch(bundle)
    wait_for_count(bundle)
    return bundle


def wait_for_count(bundle: Bundle) -> None:
    """Wait for the first line."""
    process.eventually(lambda: os.path.exists(f"{bundle.rootfs}/count"), "the first line")


def test_pause_stops_and_resume_goes_on(live: Case, counting: Bundle) -> None:
    live.command("pause", counting.id).ok()
    assert live.status(counting) == "paused"
    before = counting.read("/count")
    time.sleep(0.1)
    assert counting.read("/count") == before
    live.command("resume", counting.id).ok()
    assert live.status(counting) == "running"
    process.eventually(lambda: len(counting.read("/count")) > len(before), "it goes on")


def test_pause_twice_and_resume_twice(live: Case, counting: Bundle) -> None:
    live.command("resume", counting.id).failed("container not paused")
    live.command("pause", counting.id).ok()
    live.command("pause", counting.id).failed("container not running")
    assert live.status(counting) == "paused"
    live.command("resume", counting.id).ok()
    live.command("resume", counting.id).failed("container not paused")


def test_kill_of_a_paused_container(live: Case, counting: Bundle) -> None:
    # On v1 a frozen process does not see SIGKILL until it is thawed.
    live.command("pause", counting.id).ok()
    live.kill(counting, "KILL")
    live.ended(counting)
    live.assert_clean()


def test_delete_of_a_paused_container(live: Case, counting: Bundle) -> None:
    live.command("pause", counting.id).ok()
    live.command("delete", counting.id).failed("that is not stopped")
    assert live.status(counting) == "paused"
    result = live.delete(counting, "--force")
    assert result.seconds < 5
    live.assert_clean()


def test_start_of_a_paused_container(live: Case) -> None:
    need("freezer")
    bundle = live.shell("touch /ran; sleep 600")
    live.create(bundle)
    live.command("pause", bundle.id).ok()
    live.command("start", bundle.id).failed()
    live.command("resume", bundle.id).ok()
    assert live.status(bundle) == "created"
    live.start(bundle)
    assert live.status(bundle) == "running"


def test_pause_of_a_stopped_container(live: Case) -> None:
    bundle = live.bundle()
    live.launch(bundle)
    live.until(bundle, "stopped")
    for verb in ("pause", "resume"):
        live.command(verb, bundle.id).failed("container not")
    live.delete(bundle)


def test_all_processes_are_paused(live: Case) -> None:
    need("freezer")
    bundle = live.shell(f"({COUNT}) & sleep 600")
    live.launch(bundle)
    wait_for_count(bundle)
    live.command("pause", bundle.id).ok()
    assert value(live, bundle, "freezer.state") == "FROZEN"
    before = bundle.read("/count")
    time.sleep(0.1)
    assert bundle.read("/count") == before


def test_signal_waits_for_the_resume(live: Case) -> None:
    need("freezer")
    bundle = live.shell("trap 'echo got it; exit 0' TERM; echo ready; while :; do sleep 0.02; done")
    result = live.launch(bundle)
    process.eventually(lambda: "ready" in result.out, "ready")
    live.command("pause", bundle.id).ok()
    live.kill(bundle, "TERM")
    assert live.status(bundle) == "paused"
    live.command("resume", bundle.id).ok()
    live.until(bundle, "stopped")
    assert "got it" in result.out
    live.delete(bundle)
