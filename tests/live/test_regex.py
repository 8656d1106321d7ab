"""``kill --regex`` and ``delete --regex``, and ``--config``, with real containers."""

from __future__ import annotations

import json
import os

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .case import Case

SLEEP = ["/bin/sleep", "600"]


def test_regex_takes_all_that_match_and_no_other(live: Case) -> None:
    first, second, other = (live.bundle(SLEEP) for _ in range(3))
    for bundle in (first, second, other):
        live.launch(bundle)
    stem = first.id.removesuffix("0")
    live.command("kill", "--regex", f"^{stem}[01]$", "KILL").ok()
    for bundle in (first, second):
        live.until(bundle, "stopped")
    assert live.status(other) == "running"
    # One that runs is refused, and those that do not are removed all the same.
    live.command("delete", "--regex", f"^{stem}").failed(f"{other.id}: ")
    assert live.command("list", "-q").ok().out.split() == [other.id]
    live.command("delete", "--regex", "--force", f"^{stem}").ok()
    live.command("delete", "--regex", f"^{stem}").ok()
    live.assert_clean()


@pytest.mark.parametrize("pattern", ["(", "[[:alpha:]]", "a{99999999999}"])
@pytest.mark.parametrize("words", [["kill"], ["delete", "--force"]])
def test_what_is_no_regex(live: Case, words: list[str], pattern: str) -> None:
    """A class of POSIX too, of which Python would make something else."""
    bundle = live.bundle(SLEEP)
    live.launch(bundle)
    failed = live.command(*words, "--regex", pattern).failed("option --regex", "is no regular expression")
    assert ".py" not in failed.err
    assert live.status(bundle) == "running"


@pytest.mark.parametrize("verb", ["run", "create"])
def test_config_in_another_file(live: Case, verb: str) -> None:
    bundle = live.shell("echo from config.json")
    bundle.save()
    with open(f"{bundle.path}/config.json", encoding="utf-8") as file:
        config = json.load(file)
    config["process"]["args"] = ["/bin/echo", "from elsewhere"]
    elsewhere = f"{live.dir}/elsewhere.json"
    with open(elsewhere, "w", encoding="utf-8") as file:
        json.dump(config, file)
    os.unlink(f"{bundle.path}/config.json")
    # root.path is relative: it starts at the bundle, as `state` says.
    made = live.command(verb, "--bundle", bundle.path, "--config", os.path.relpath(elsewhere), bundle.id).ok()
    if verb == "create":
        assert live.state(bundle)["bundle"] == bundle.path
        live.start(bundle)
        live.until(bundle, "stopped")
        live.delete(bundle)
    assert made.out == "from elsewhere\n"
    live.assert_clean()


def test_errors_name_the_file(live: Case) -> None:
    bundle = live.bundle()
    bundle.save()
    missing, wrong = f"{live.dir}/missing.json", f"{live.dir}/wrong.json"
    with open(f"{bundle.path}/config.json", encoding="utf-8") as file:
        config = json.load(file)
    config["mounts"].append({"destination": "/", "type": "tmpfs"})
    with open(wrong, "w", encoding="utf-8") as file:
        json.dump(config, file)
    live.command("run", "-b", bundle.path, "-f", missing, bundle.id).failed(f"open {missing}")
    pointer = f"/mounts/{len(config['mounts']) - 1}/destination"
    live.command("run", "-b", bundle.path, "-f", wrong, bundle.id).failed(f"{wrong}: {pointer}: ")
    explained = live.command("explain", "-b", bundle.path, "-f", wrong)
    explained.failed(f"{wrong}: {pointer}: ")
    live.assert_clean()
