"""The state that `state` answers with, at each time of a container's life."""

from __future__ import annotations

import os

from .. import host
from ..registry import covers, need

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..bench import Bench

ANNOTATIONS = {"com.example.key": "value", "com.example.empty": ""}
TIMES = ("created", "running", "stopped")


def _life(bench: Bench) -> Any:
    bundle = bench.bundle(["/bin/sleep", "70000"])
    bundle.config["annotations"] = ANNOTATIONS
    found: dict[str, Any] = {"bundle": bundle.path, "id": bundle.id}
    bench.create(bundle)
    found["created"] = bench.state(bundle)
    bench.start(bundle)
    found["running"] = bench.state(bundle)
    found["command"] = host.text(f"/proc/{found['running']['pid']}/cmdline")
    bench.kill(bundle, "KILL")
    bench.until(bundle, "stopped")
    found["stopped"] = bench.state(bundle)
    return found


def _states(bench: Bench) -> Any:
    return bench.once("states", _life)


@covers("runtime.state.ociVersion")
def version(bench: Bench) -> None:
    """SemVer, at all times."""
    for time in TIMES:
        found = _states(bench)[time]["ociVersion"]
        numbers = found.partition("-")[0].partition("+")[0].split(".")
        assert len(numbers) == 3 and all(number.isdigit() for number in numbers), found


@covers("runtime.state.id")
def container_id(bench: Bench) -> None:
    known = _states(bench)
    assert [known[time]["id"] for time in TIMES] == [known["id"]] * 3


@covers("runtime.state.status", "runtime.operations.state.answer")
def status(bench: Bench) -> None:
    known = _states(bench)
    assert [known[time]["status"] for time in TIMES] == list(TIMES)


@covers("runtime.state.pid")
def pid(bench: Bench) -> None:
    """The host's process id of the program, the same before and after start."""
    known = _states(bench)
    assert known["created"]["pid"] == known["running"]["pid"] > 1
    assert known["command"] == "/bin/sleep\x0070000\x00", known["command"]


@covers("runtime.state.bundle")
def bundle_path(bench: Bench) -> None:
    """Absolute, also if it was given relative."""
    known = _states(bench)
    assert [known[time]["bundle"] for time in TIMES] == [known["bundle"]] * 3
    bundle = bench.bundle()
    bundle.save()
    parent, _, name = bundle.path.rpartition("/")
    bench.command("create", "--bundle", name, bundle.id, cwd=parent).ok()
    assert bench.state(bundle)["bundle"] == bundle.path


@covers("runtime.state.schema")
def schema(bench: Bench) -> None:
    """Types and ranges of the schema; what the specification does not define may be there too."""
    known = _states(bench)
    for time in TIMES:
        state = known[time]
        for name in ("ociVersion", "id", "status", "bundle"):
            assert isinstance(state[name], str), f"{name}: {state[name]!r}"
        assert state["status"] in ("creating", "created", "running", "stopped")
        assert isinstance(state.get("pid", 0), int) and state.get("pid", 0) >= 0
        assert state.get("annotations") == ANNOTATIONS, state.get("annotations")
    plain = bench.bundle()
    bench.create(plain)
    assert not bench.state(plain).get("annotations")


@covers("runtime.state.status.additional")
def additional(bench: Bench) -> None:
    """A container that is paused, which the specification does not have: its word is none of the four."""
    need(bench.has("pause"), "the runtime has no command that leads to a state of its own")
    bundle = bench.bundle(["/bin/sleep", "70000"])
    bench.launch(bundle)
    paused = bench.command("pause", bundle.id)
    need(os.path.isdir("/sys/fs/cgroup/freezer") or paused.code == 0, "there is no freezer to pause with")
    paused.ok()
    word = bench.status(bundle)
    bench.command("resume", bundle.id).ok()
    assert word not in ("creating", "created", "stopped"), f"a paused container is {word!r}"
    assert bench.status(bundle) == "running"
