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


def test_the_difference_of_two_bundles(live: Case) -> None:
    """Bundles that are alike but for their place do the same; a file stands for a config of the first bundle."""
    one, two = live.bundle(), live.bundle()
    two.config["linux"]["cgroupsPath"] = one.config["linux"]["cgroupsPath"]
    one.save()
    two.save()
    assert live.command("explain", "-b", one.path, "--diff", two.path).ok().out == "The plans are the same.\n"
    two.config["hostname"] = "another"
    two.config["annotations"] = {"new": "yes"}
    two.save()
    for other in (two.path, f"{two.path}/config.json"):
        result = live.command("explain", "-b", one.path, "--diff", other)
        assert (result.code, result.err) == (1, "")
        assert "-> another\n" in result.out
        assert result.out.endswith("~ /annotations differs, from which no operation of these plans comes\n")
    record = json.loads(live.command("explain", "-b", one.path, "--diff", two.path, "--json").out)
    (change,) = record["changes"]
    assert (change["change"], change["new"]["args"]) == ("changed", {"name": "another"})
    missing = live.command("explain", "-b", one.path, "--diff", f"{live.dir}/none")
    assert missing.code == 2
    assert f"bundle {live.dir}/none: no such file" in missing.err
    live.assert_clean()
