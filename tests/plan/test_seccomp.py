"""What a seccomp profile becomes in a plan: the rules, the flags, the time of loading."""

from __future__ import annotations

import pytest

from ocirun.errors import UnsupportedError
from ocirun.plan import render
from ocirun.plan.ops import BARRIERS
from ocirun.plan.process import seccomp

from . import rules, samples

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.plan.ops import Op, Plan

SYS_ADMIN = 1 << 21
# The caller's own are high enough for the helper to set those of the config.
LIMITS = {"hard_limits": dict.fromkeys(range(16), 2**64 - 1)}
TSYNC, LOG, SPEC_ALLOW, NEW_LISTENER, WAIT = 1, 2, 4, 8, 32


def planned(*syscalls: dict[str, Any], nnp: bool = True, facts: dict[str, Any] | None = None, **block: Any) -> Plan:
    data = samples.config("hello")
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": list(syscalls), **block}
    data["linux"] = {**data["linux"], "seccomp": profile}
    data["process"] = {**data["process"], "noNewPrivileges": nnp}
    return samples.plan(data, facts=facts)


def one(plan: Plan, name: str) -> Op:
    (found,) = [op for op in plan.ops if op.name == name]
    return found


def allow(*names: str, action: str = "ALLOW", **more: Any) -> dict[str, Any]:
    return {"names": list(names), "action": f"SCMP_ACT_{action}", **more}


def test_rules_as_they_are_written() -> None:
    args = [
        {"index": 1, "op": "SCMP_CMP_MASKED_EQ", "value": 255, "valueTwo": 1},
        {"index": 0, "op": "SCMP_CMP_EQ", "value": 2},
    ]
    plan = planned(
        allow("read", "write"),
        allow("clone", args=args),
        allow("open", action="ERRNO", errnoRet=38),
        allow("close", action="TRACE"),
        allow("mount", action="KILL"),
        architectures=["SCMP_ARCH_X86"],
    )
    rules.check(plan)
    assert one(plan, "compile_seccomp").args == {
        "filter": "filter",
        "default": ["SCMP_ACT_ERRNO", 1],
        "architectures": ["SCMP_ARCH_X86"],
        "newer": "ENOSYS",
        "unknown": "",
        "learn": "",
        "rules": [
            {"place": 0, "action": ["SCMP_ACT_ALLOW", 0], "names": ["read", "write"]},
            {
                "place": 1,
                "action": ["SCMP_ACT_ALLOW", 0],
                "names": ["clone"],
                "args": [[1, "SCMP_CMP_MASKED_EQ", 255, 1], [0, "SCMP_CMP_EQ", 2, 0]],
            },
            {"place": 2, "action": ["SCMP_ACT_ERRNO", 38], "names": ["open"]},
            {"place": 3, "action": ["SCMP_ACT_TRACE", 1], "names": ["close"]},
            {"place": 4, "action": ["SCMP_ACT_KILL_THREAD", 0], "names": ["mount"]},
        ],
    }


def test_two_conditions_on_one_argument_are_two_rules() -> None:
    args = [{"index": 0, "op": "SCMP_CMP_EQ", "value": value} for value in (1, 2)]
    made = one(planned(allow("socket", args=args)), "compile_seccomp").args["rules"]
    assert [rule["args"] for rule in made] == [[[0, "SCMP_CMP_EQ", 1, 0]], [[0, "SCMP_CMP_EQ", 2, 0]]]
    assert {rule["place"] for rule in made} == {0}


@pytest.mark.parametrize(
    ("block", "newer"),
    [
        ({}, "ENOSYS"),
        ({"defaultErrnoRet": 1}, "ENOSYS"),
        ({"defaultErrnoRet": 38}, ""),
        ({"defaultAction": "SCMP_ACT_KILL_PROCESS"}, "ENOSYS"),
        ({"defaultAction": "SCMP_ACT_TRAP"}, "ENOSYS"),
        ({"defaultAction": "SCMP_ACT_ALLOW"}, ""),
        ({"defaultAction": "SCMP_ACT_LOG"}, ""),
        ({"defaultAction": "SCMP_ACT_TRACE"}, ""),
    ],
    ids=str,
)
def test_calls_newer_than_the_profile(block: dict[str, Any], newer: str) -> None:
    assert one(planned(**block), "compile_seccomp").args["newer"] == newer


@pytest.mark.parametrize(
    ("flags", "notify", "known", "expected", "why"),
    [
        (None, False, 0x3F, SPEC_ALLOW, "choice is ours"),
        (None, False, TSYNC | LOG, 0, "choice is ours"),
        ([], False, 0x3F, 0, ""),
        (["LOG"], False, 0x3F, LOG, ""),
        (["SPEC_ALLOW", "LOG"], False, 0x3F, LOG | SPEC_ALLOW, ""),
        (["TSYNC"], False, 0x3F, 0, "one thread"),
        (["TSYNC", "LOG"], False, 0x3F, LOG, "one thread"),
        (["WAIT_KILLABLE_RECV"], False, 0x3F, 0, "SCMP_ACT_NOTIFY"),
        (["WAIT_KILLABLE_RECV"], True, 0x3F, WAIT | NEW_LISTENER, ""),
        (None, True, 0x3F, SPEC_ALLOW | NEW_LISTENER, "choice is ours"),
    ],
    ids=str,
)
def test_flags(flags: list[str] | None, notify: bool, known: int, expected: int, why: str) -> None:
    block: dict[str, Any] = {} if flags is None else {"flags": [f"SECCOMP_FILTER_FLAG_{flag}" for flag in flags]}
    if notify:
        block["listenerPath"] = "/agent"
    plan = planned(*([allow("mkdir", action="NOTIFY")] if notify else []), facts={"seccomp_flags": known}, **block)
    op = one(plan, "load_seccomp" if notify else "hold_seccomp")
    assert op.args["flags"] == expected
    assert why in op.why


def test_flags_that_the_kernel_lacks() -> None:
    flags = ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]
    with pytest.raises(UnsupportedError, match="not known to this kernel") as caught:
        planned(flags=flags, facts={"seccomp_flags": 7})
    assert caught.value.pointer == "/linux/seccomp/flags/1"
    with pytest.raises(UnsupportedError, match="no seccomp filters"):
        planned(facts={"seccomp_flags": -1})


def test_the_right_to_load_it() -> None:
    """CAP_SYS_ADMIN is kept for it where new privileges are allowed; without them nobody needs it."""
    with_rights, without = planned(nnp=False), planned()
    mine = one(without, "set_capabilities").args
    kept = one(with_rights, "set_capabilities").args
    for name in ("effective", "permitted"):
        assert not mine[name] & SYS_ADMIN
        assert kept[name] == mine[name] | SYS_ADMIN
    for name in ("inheritable", "ambient"):
        assert kept[name] == mine[name]
    assert one(with_rights, "drop_bounding").args == one(without, "drop_bounding").args
    assert "execve drops it" in one(with_rights, "set_capabilities").why


def test_without_the_right() -> None:
    facts = {"capabilities": (1 << 41) - 1 - SYS_ADMIN}
    with pytest.raises(UnsupportedError, match="CAP_SYS_ADMIN") as caught:
        planned(nnp=False, facts=facts)
    assert "noNewPrivileges" in caught.value.remedy
    assert planned(nnp=True, facts=facts)


def test_loaded_last() -> None:
    plan = planned()
    at = [op.name for op in plan.ops].index
    assert at("compile_seccomp") < at("spawn")
    assert at("find_program") < at("hold_seccomp") < at("ready") < at("execute")
    assert not [op for op in plan.ops if op.name in ("load_seccomp", "pass_listener")]


def test_listener_goes_out_before_ready() -> None:
    plan = planned(
        allow("mkdir", action="NOTIFY"), listenerPath="/run/agent", listenerMetadata="m", flags=[], facts=LIMITS
    )
    rules.check(plan)
    at = [op.name for op in plan.ops].index
    assert at("set_capabilities") < at("load_seccomp") < at("set_rlimit") < at("ready")
    send = plan.ops[at("load_seccomp") + 1]
    assert (send.name, send.actor, send.pointer) == ("pass_listener", "host", "/linux/seccomp/listenerPath")
    assert send.args == {"socket": "/run/agent", "metadata": "m", "status": "creating"}
    assert "load_seccomp" in BARRIERS
    assert not [op for op in plan.ops if op.name == "hold_seccomp"]


def test_listener_path_without_questions() -> None:
    plan = planned(listenerPath="/run/agent")
    assert not [op for op in plan.ops if op.name in ("load_seccomp", "pass_listener")]


def test_relative_listener_path_is_below_the_bundle() -> None:
    plan = planned(allow("mkdir", action="NOTIFY"), listenerPath="agent")
    assert one(plan, "pass_listener").args["socket"] == f"{samples.BUNDLE}/agent"


def test_shown_to_people() -> None:
    many = [f"call{number}" for number in range(20)]
    args = [
        {"index": 0, "op": "SCMP_CMP_NE", "value": 40},
        {"index": 1, "op": "SCMP_CMP_MASKED_EQ", "value": 15, "valueTwo": 1},
    ]
    plan = planned(allow(*many), allow("socket", args=args), allow("x", action="ERRNO", errnoRet=2))
    text = render.plan_text(plan)
    expected = (
        "compile the seccomp filter  [default=ERRNO(1); newer=ENOSYS; ALLOW: 20 calls; "
        "ALLOW: socket if arg0 != 40 and arg1 & 0xf == 0x1; ERRNO(2): x]"
    )
    assert expected in text
    assert "[flags=SPEC_ALLOW]" in text
    assert seccomp.flag_words(0) == "none"


def learning(
    how: str, block: dict[str, Any] | None = None, *, facts: dict[str, Any] | None = None, **more: Any
) -> Plan:
    data = samples.config("hello")
    data["process"] = {**data["process"], "noNewPrivileges": True}
    data["linux"] = {key: value for key, value in data["linux"].items() if key != "seccomp"}
    if block is not None:
        data["linux"]["seccomp"] = block
    return samples.plan({**data, **more}, facts=facts, learn=how, detach=False)


@pytest.mark.parametrize("how", ["allow", "refuse"])
def test_learning_run(how: str) -> None:
    """Loaded last as any filter, with a listener; hooks on the host are none of its business."""
    plan = learning(how, {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [allow("execve")]})
    rules.check(plan)
    assert (one(plan, "compile_seccomp").args["learn"], one(plan, "compile_seccomp").pointer) == (how, "/linux/seccomp")
    held = one(plan, "hold_seccomp")
    assert held.args["flags"] == SPEC_ALLOW | NEW_LISTENER | WAIT
    assert how.replace("allow", "let through") in held.why
    assert not [op for op in plan.ops if op.name in ("load_seccomp", "pass_listener")]
    assert f"learn={how}" in render.plan_text(plan)
    older = learning(how, {"defaultAction": "SCMP_ACT_ALLOW"}, facts={"seccomp_flags": 0x0F})
    assert one(older, "hold_seccomp").args["flags"] == SPEC_ALLOW | NEW_LISTENER


def test_learning_run_without_a_profile() -> None:
    plan = learning("allow")
    compiled = one(plan, "compile_seccomp")
    assert (compiled.pointer, compiled.args["default"], compiled.args["newer"]) == ("", ["SCMP_ACT_NOTIFY", 0], "")


def test_learning_run_that_cannot_be() -> None:
    deny = {"defaultAction": "SCMP_ACT_ERRNO"}
    cases: list[tuple[str, dict[str, Any] | None, dict[str, Any]]] = [
        ("/linux/seccomp/syscalls/0/action", {**deny, "syscalls": [allow("read", action="NOTIFY")]}, {}),
        ("/linux/seccomp/listenerPath", {**deny, "listenerPath": "/agent"}, {}),
        ("/hooks/startContainer", deny, {"hooks": {"startContainer": [{"path": "/bin/true"}]}}),
        ("learn: the kernel has no listeners", None, {"facts": {"seccomp_flags": 7}}),
        ("learn: the kernel has no seccomp filters", None, {"facts": {"seccomp_flags": -1}}),
    ]
    for text, block, more in cases:
        with pytest.raises(UnsupportedError) as caught:
            learning("allow", block, **more)
        assert text in str(caught.value)
    with pytest.raises(UnsupportedError, match="execve"):
        learning("refuse", deny)
    args = [{"index": 0, "op": "SCMP_CMP_NE", "value": 0}]
    for rule in (allow("execve"), allow("execve", args=args)):
        learning("refuse", {**deny, "syscalls": [rule]})
    learning("refuse", {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [allow("execve", action="ERRNO", args=args)]})
