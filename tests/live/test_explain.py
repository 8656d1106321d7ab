"""``explain`` of what there is: the plan of an exec has the operations, and the numbers, that the exec has."""

from __future__ import annotations

import json

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .case import Case

_PROCESS = {"args": ["/bin/true"], "cwd": "/", "user": {"uid": 7, "gid": 8}}


def _operations(log: str) -> list[tuple[str, str, str]]:
    """Actor, operation and pointer of each that a log of --debug tells, in their order."""
    with open(log, encoding="utf-8") as file:
        steps = [json.loads(line) for line in file]
    found = [step for step in steps if "operation" in step]
    assert [step["index"] for step in found] == list(range(len(found)))
    return [(step["actor"], step["operation"], step["pointer"]) for step in found]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], ["/bin/true"]),
        (["--cwd", "/tmp", "--user", "5:6", "-g", "7", "--cap", "CAP_KILL", "--no-new-privs"], ["/bin/true", "-l"]),
        (["--detach", "--pid-file", "FOLDER/pid", "--env", "A=1"], ["/bin/true"]),
        (["--process", "FOLDER/process"], []),
    ],
    ids=["plain", "changed", "detached", "from a file"],
)
def test_of_an_exec(live: Case, options: list[str], words: list[str]) -> None:
    bundle = live.bundle(["/bin/sleep", "1000"])
    live.launch(bundle)
    options = [word.replace("FOLDER", live.dir) for word in options]
    with open(f"{live.dir}/process", "w", encoding="ascii") as file:
        json.dump(_PROCESS, file)
    before = live.state(bundle)
    plan = live.command("explain", "--json", "--exec", bundle.id, *options, *words).ok().json()["ops"]
    text = live.command("explain", "--exec", bundle.id, *options, "--", *words).ok().out
    assert live.state(bundle) == before
    assert live.command("ps", "--format", "json", bundle.id).ok().json() == [before["pid"]], "nothing was started"
    log = f"{live.dir}/log"
    live.command(*("--debug", "--log", log, "--log-format", "json", "exec"), *options, bundle.id, *words).ok()
    assert [(op["actor"], op["op"], op.get("pointer", "")) for op in plan] == _operations(log)
    assert f"\n{len(plan) - 1:4}  init  /process/args" in text
    live.delete(bundle, "--force")


def test_of_an_exec_that_is_refused(live: Case) -> None:
    """What `exec` would refuse before it acts is refused with its words."""
    live.command("explain", "--exec", "nobody", "ls").failed("container does not exist")
    bundle = live.bundle(["/bin/true"])
    live.launch(bundle)
    live.until(bundle, "stopped")
    live.command("explain", "--exec", bundle.id, "ls").failed("cannot exec in a stopped container")
    live.delete(bundle)
