"""``--capsule``: what a failed creation leaves, and that it has no secrets."""

from __future__ import annotations

import json
import os

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .bundles import Bundle
    from .case import Case

SECRETS = ("hunter2-of-env", "tok-of-args", "pw-of-args", "pw-of-mount", "key-of-hook", "tok-of-note")


def failing(live: Case) -> Bundle:
    """A bundle with secrets wherever they are met, which fails at a mount."""
    bundle = live.bundle(["/bin/sh", "--token", "tok-of-args", "--password=pw-of-args"])
    bundle.process["env"] = ["PATH=/bin", "DB=hunter2-of-env", "N=1"]
    bundle.config["annotations"] = {"org.example.token": "tok-of-note", "org.example.note": "shown"}
    bundle.config["hooks"] = {"poststop": [{"path": "/bin/true", "env": ["K=key-of-hook"]}]}
    bundle.mounts.append({"destination": "/x", "type": "tmpfs", "options": ["password=pw-of-mount"]})
    return bundle


def left(live: Case) -> str:
    """The one file that is there."""
    (name,) = os.listdir(f"{live.dir}/capsules")
    return f"{live.dir}/capsules/{name}"


def document(path: str) -> Any:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


@pytest.mark.parametrize("verb", ["create", "run"])
def test_failed_mount(live: Case, verb: str) -> None:
    bundle = failing(live)
    failed = live.make(verb, bundle, "--capsule", f"{live.dir}/capsules").failed("password", "explain --capsule")
    path = left(live)
    assert path in failed.err
    assert (os.stat(path).st_mode & 0o777, os.stat(os.path.dirname(path)).st_mode & 0o777) == (0o600, 0o700)
    found = document(path)
    error = found["error"]
    assert error["call"] == "fsconfig"
    assert found["plan"]["ops"][error["index"]]["op"] == "new_filesystem"
    assert found["progress"]["init"]["failed"] is True
    assert "tmpfs" in found["progress"]["init"]["output"], "the kernel's log of the mount"
    assert found["facts"]["kernel"] == os.uname().release
    with open(path, encoding="utf-8") as file:
        text = file.read()
    assert [secret for secret in SECRETS if secret in text] == []
    assert "shown" in text
    assert found["config"]["process"]["env"] == ["PATH=/bin", "DB=***", "N=***"]
    shown = live.command("explain", "--capsule", path).ok().out
    assert f"FAILED {error['index']:4}  init  {error['pointer'].rpartition('/options')[0]}  mount tmpfs" in shown
    assert "were not reached" in shown
    live.assert_clean()


def test_before_there_is_a_plan(live: Case) -> None:
    bundle = failing(live)
    bundle.config["process"]["cwd"] = "relative"
    live.make("create", bundle, "--capsule", f"{live.dir}/capsules").failed("/process/cwd")
    found = document(left(live))
    assert found["plan"] is None
    assert found["problems"][0]["pointer"] == "/process/cwd"
    assert "There was no plan yet" in live.command("explain", "--capsule", left(live)).ok().out


@pytest.mark.parametrize("wrong", ["../../outside", "a/b", "n" * 300, "..", "\udcff", ""])
def test_an_id_that_cannot_be(live: Case, wrong: str) -> None:
    """The file is in the directory all the same."""
    bundle = live.bundle(["/bin/true"])
    bundle.save()
    words = ("run", "--bundle", bundle.path, "--capsule", f"{live.dir}/capsules", wrong)
    live.command(*words).failed("invalid container ID", "explain --capsule")
    found = document(left(live))
    assert found["error"]["code"] == "invalid-id"
    assert not [name for name in os.listdir(live.dir) if name.startswith("outside")]


def test_success_leaves_nothing(live: Case) -> None:
    live.run(live.bundle(["/bin/true"]), "--capsule", f"{live.dir}/capsules").ok()
    assert os.listdir(f"{live.dir}/capsules") == []


def test_a_directory_that_cannot_be(live: Case) -> None:
    open(f"{live.dir}/file", "x").close()
    live.make("run", live.bundle(["/bin/true"]), "--capsule", f"{live.dir}/file").failed("capsules", "not a directory")
    live.assert_clean()


def test_nothing_in_it_is_for_the_terminal(live: Case) -> None:
    bundle = live.bundle(["/bin/true"])
    bundle.config["hostname"] = "\x1b[31mred\x07"
    bundle.mount("/x", "/nonexistent\x1b", "bind")
    live.make("create", bundle, "--capsule", f"{live.dir}/capsules").failed("capsule")
    shown = live.command("explain", "--capsule", left(live)).ok().out
    assert "nonexistent\\x1b" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"format": 1}', "nonsense", '{"format": 1, "error": {}}', '{"format": 1, "error": 3}']
)
def test_what_is_no_capsule(live: Case, content: str) -> None:
    path = f"{live.scratch}/other"
    with open(path, "w", encoding="ascii") as file:
        file.write(content)
    live.command("explain", "--capsule", path).failed(path)
