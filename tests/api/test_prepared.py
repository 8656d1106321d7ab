"""`ocirun.Prepared`: one preparation, many runs that differ, and no work twice."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from waiting import in_threads

import ocirun
from ocirun.config import load
from ocirun.host import facts
from ocirun.plan import build

from .conftest import shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def prepared(bundle: str, root: str) -> ocirun.Prepared:
    return ocirun.Prepared(bundle, root=root, args=shell("cat; echo $WORD; pwd; ls /mnt"), env={"WORD": "first"})


def test_each_run_has_its_own(prepared: ocirun.Prepared, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    mount = {"destination": "/mnt", "source": str(tmp_path), "options": ["bind", "ro"]}
    plain = prepared.run(stdin=b"x\n")
    assert plain.stdout == b"x\nfirst\n/\n"
    changed = prepared.run(stdin=b"y\n", env={"WORD": "second"}, cwd="/tmp", mounts=[mount])
    assert changed.stdout.startswith(b"y\nsecond\n/tmp\n")
    assert b"file\n" in changed.stdout
    assert prepared.run(args=["/bin/echo", "z"]).stdout == b"z\n"
    assert prepared.run(stdin=b"x\n").stdout == plain.stdout


def test_limits_of_one_run(prepared: ocirun.Prepared) -> None:
    hog = shell("x=a; while :; do x=$x$x; done")
    outcome = prepared.run(args=hog, memory=16 << 20)
    assert (outcome.limit, outcome.oom_killed) == ("memory", True)
    assert outcome.memory_peak is not None and outcome.memory_peak <= 16 << 20
    assert prepared.run(args=shell("sleep 60"), timeout=0.2).timed_out
    many = shell("i=0; while [ $i -lt 8 ]; do sleep 1 & i=$((i+1)); done; echo all")
    assert not prepared.run(args=many, pids=4).ok
    assert prepared.run().ok


def test_seccomp_filter_of_the_preparation(bundle: str, root: str) -> None:
    """It is no part of the plan's bytes that are made once: each run takes it from the cache."""
    denied = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 122}
    config = json.loads((Path(bundle) / "config.json").read_text())
    config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [denied]}
    prepared = ocirun.Prepared(bundle, root=root, config=config, args=shell("mkdir /tmp/new"))
    for _ in range(2):
        assert b"quota exceeded" in prepared.run().stderr.lower()
    assert b"quota exceeded" in prepared.run(args=shell("mkdir /tmp/other"), memory=32 << 20).stderr.lower()
    # The first run may be one with a program of its own, for which nothing is compiled yet.
    prepared = ocirun.Prepared(bundle, root=root, config=config)
    for _ in range(2):
        assert b"quota exceeded" in prepared.run(args=shell("mkdir /tmp/new")).stderr.lower()


def test_limits_of_the_preparation_hold_for_each(bundle: str, root: str) -> None:
    prepared = ocirun.Prepared(bundle, root=root, args=shell("x=a; while :; do x=$x$x; done"), memory=16 << 20)
    for _ in range(2):
        assert prepared.run().limit == "memory"


def test_nothing_is_read_checked_or_planned_again(
    bundle: str, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = str(tmp_path / "bundle")
    shutil.copytree(bundle, here, symlinks=True)
    prepared = ocirun.Prepared(here, root=root, args=["/bin/echo", "still"])
    os.unlink(f"{here}/config.json")

    def never(*_: object, **__: object) -> None:
        raise AssertionError("done again")

    # With cgroup v2 it is asked which controllers the groups above have: one that is lost there is no limit here.
    unified = facts.cgroup_layout().mode == "v2"
    for owner, name in (
        *((load, name) for name in ("read", "checked", "checked_parts", "loads")),
        *((facts, name) for name in ("own_capabilities", "privileged", "last_capability")),
        *([] if unified else [(facts, "cgroup_layout")]),
        *((build.mounts, "add_mounts"), (build.program, "become"), (build.cgroups, "make_cgroup")),
    ):
        monkeypatch.setattr(owner, name, never)
    assert prepared.run().stdout == b"still\n"
    with pytest.raises(AssertionError, match="done again"):
        prepared.run(args=["/bin/echo", "new"])


@pytest.mark.parametrize(
    ("own", "pointer"),
    [
        ({"args": [""]}, "/process/args/0"),
        ({"cwd": "not/absolute"}, "/process/cwd"),
        ({"mounts": [{"destination": 5}]}, "/mounts/"),
        (
            {"mounts": [{"destination": "/x", "source": "/", "options": ["bind", "idmap"], "uidMappings": 3}]},
            "/mounts/",
        ),
    ],
)
def test_what_a_run_brings_is_checked(prepared: ocirun.Prepared, own: dict[str, Any], pointer: str) -> None:
    with pytest.raises(ocirun.ConfigError) as caught:
        prepared.run(**own)
    assert caught.value.pointer.startswith(pointer)
    assert not os.path.exists(prepared.root) or os.listdir(prepared.root) == []


def test_the_caller_s_values_stay_the_caller_s(prepared: ocirun.Prepared) -> None:
    mount: dict[str, Any] = {"destination": "/tmp/x", "type": "tmpfs", "source": None, "options": ["size=4k"]}
    before = json.dumps(mount)
    prepared.run(stdin=b"", mounts=[mount])
    assert json.dumps(mount) == before


def test_its_plan_is_that_of_a_fresh_container(prepared: ocirun.Prepared, bundle: str) -> None:
    plan = prepared.plan("some.id", args=["/bin/true"])
    data = json.loads(Path(bundle, "config.json").read_bytes())
    data["process"]["args"] = ["/bin/true"]
    data["process"]["env"].append("WORD=first")
    other = ocirun.Prepared(bundle, config=data, root=prepared.root).plan("some.id")
    assert plan == other


def test_an_id_can_be_given_and_is_taken_once(prepared: ocirun.Prepared) -> None:
    assert prepared.run(container_id="mine", args=["/bin/true"]).ok
    for wrong in ("a/b", "."):
        with pytest.raises(ocirun.InvalidIdError):
            prepared.run(container_id=wrong)


def test_one_preparation_in_many_threads(prepared: ocirun.Prepared) -> None:
    problems: list[str] = []

    def work(number: int) -> None:
        for turn in range(5):
            word = f"{number}.{turn}"
            outcome = prepared.run(args=shell("cat; echo $WORD $$"), stdin=word.encode(), env={"WORD": word})
            if outcome.stdout != f"{word}{word} 2\n".encode() or not outcome.ok:
                problems.append(f"{word}: {outcome} {outcome.stdout!r} {outcome.stderr!r}")

    before = set(os.listdir("/proc/self/fd"))
    in_threads(work, 8)
    assert problems == []
    assert set(os.listdir("/proc/self/fd")) == before
    assert os.listdir(prepared.root) == []
