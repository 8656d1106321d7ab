"""Hooks in the plan: where, with which state, environment and directory."""

from __future__ import annotations

import json

import pytest

from . import rules
from .samples import BUNDLE, ID, config, plan, sample

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.plan.ops import Op, Plan

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


def build(**hooks: Any) -> Plan:
    data = config("clock")
    data["hooks"] = hooks
    made = plan(data)
    rules.check(made)
    return made


def hook(made: Plan, kind: str) -> Op:
    return next(op for op in made.ops if op.pointer.startswith(f"/hooks/{kind}/"))


def test_the_six_places() -> None:
    """Between which other steps each kind stands (runtime-spec config.md "POSIX-platform Hooks")."""
    made = sample("hooks")
    names = rules.names(made)
    for kind in ("prestart", "createRuntime"):
        at = made.ops.index(hook(made, kind))
        assert names.index("make_link") < at < names.index("pivot")
        assert "sync" in names[:at]
    at = made.ops.index(hook(made, "createContainer"))
    assert made.ops.index(hook(made, "createRuntime")) < at < names.index("pivot")
    at = made.ops.index(hook(made, "startContainer"))
    assert names.index("wait_start") < at < names.index("execute")
    assert names.index("set_capabilities") < at
    assert made.ops.index(hook(made, "poststart")) > names.index("execute")
    assert made.ops.index(hook(made, "poststop")) > made.ops.index(hook(made, "poststart"))


def test_order_within_a_kind() -> None:
    for kind in KINDS:
        made = build(**{kind: [{"path": f"/h{number}"} for number in range(3)]})
        found = [op.args["path"] for op in made.ops if op.pointer.startswith("/hooks/")]
        assert found == ["/h0", "/h1", "/h2"]


@pytest.mark.parametrize("kind", KINDS)
def test_arguments(kind: str) -> None:
    bare = hook(build(**{kind: [{"path": "/h"}]}), kind).args
    assert bare["args"] == ["/h"]
    full = hook(build(**{kind: [{"path": "/h", "args": ["x", "y"], "env": ["A=1"], "timeout": 7}]}), kind).args
    assert full["args"] == ["x", "y"]
    assert full["env"] == ["A=1"]
    assert (full["timeout"] if "timeout" in full else full["cwd_timeout"][1]) == 7
    empty = hook(build(**{kind: [{"path": "/h", "env": []}]}), kind).args
    assert empty["env"] == [], "an empty environment is not none"


def test_directory() -> None:
    made = sample("hooks")
    assert hook(made, "createContainer").args["cwd_timeout"][0] == f"{BUNDLE}/rootfs"
    assert not hook(made, "startContainer").args["cwd_timeout"][0]


@pytest.mark.parametrize(("kind", "status"), [("createContainer", "creating"), ("startContainer", "created")])
def test_state_in_two_halves(kind: str, status: str) -> None:
    args = hook(sample("hooks"), kind).args
    state = json.loads(args["state_head"] + "42" + args["state_tail"])
    assert state.pop("ociVersion")
    assert state == {
        "id": ID,
        "status": status,
        "pid": 42,
        "bundle": BUNDLE,
        "annotations": config("hooks")["annotations"],
    }


def test_state_with_awkward_words() -> None:
    data = config("hooks")
    data["annotations"] = {'k"\\': 'v\n",\x01ä'}
    args = hook(plan(data), "startContainer").args
    assert json.loads(args["state_head"] + "1" + args["state_tail"])["annotations"] == data["annotations"]


def test_no_barrier_without_hooks() -> None:
    data = config("clock")
    data["linux"]["namespaces"] = [{"type": "mount"}, {"type": "uts"}]
    del data["linux"]["timeOffsets"]
    assert "sync" not in rules.names(plan(data))
