"""What a learning run makes of a profile: the smallest change that lets the calls through."""

from __future__ import annotations

import copy
import platform

import pytest

from ocirun.config.load import from_values
from ocirun.execute.seccomp.compiler import INSTRUCTION, compile_rules
from ocirun.execute.seccomp.learned import Learned, RefusedCall
from ocirun.execute.seccomp.learning import asking
from ocirun.plan.process import seccomp

from .filters import ALLOW, I386, X86_64, Filter, errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of x86-64")

NATIVE = "SCMP_ARCH_X86_64"
NUMBERS = {"read": 0, "socket": 41, "mkdir": 83, "mount": 165, "clone": 56, "clone3": 435, "getppid": 110, "write": 1}
ASKS = 0x7FC00000
NEWUSER = 0x10000000


def call(name: str, *args: tuple[int, ...], **more: Any) -> RefusedCall:
    number = more.pop("number", NUMBERS.get(name, 0))
    full = [(*one, *(0,) * (6 - len(one))) for one in args or ((),)]
    return RefusedCall(name=name, number=number, architecture=more.pop("arch", NATIVE), count=1, args=full, **more)


def rule(*names: str, action: str = "ALLOW", **more: Any) -> dict[str, Any]:
    return {"names": list(names), "action": f"SCMP_ACT_{action}", **more}


def equal(index: int, value: int) -> dict[str, Any]:
    return {"index": index, "value": value, "op": "SCMP_CMP_EQ"}


def learned(given: dict[str, Any] | None, *calls: RefusedCall) -> dict[str, Any]:
    before = copy.deepcopy(given)
    profile = Learned(calls, given, native=NATIVE).profile()
    assert given == before
    # It is a good one for config.json, and lets the calls through that it was made for.
    config = {"ociVersion": "1.0.2", "root": {"path": "r"}, "linux": {"seccomp": profile}}
    from_values(config, bundle="/", path="config")
    answer = compiled(profile)
    found = Learned(calls, given, native=NATIVE)
    for one in calls:
        for values in () if found.is_kept(one) else one.values:
            assert answer(one.number, *values, arch=X86_64 if one.architecture == NATIVE else I386) == ALLOW, one
    return profile


def compiled(profile: dict[str, Any]) -> Filter:
    rules = [one for at, each in enumerate(profile["syscalls"]) for one in seccomp._rules(at, each)]
    default = seccomp._action(profile["defaultAction"], profile.get("defaultErrnoRet"))
    return Filter(compile_rules(default, profile.get("architectures") or [], rules, "").code)


def test_without_a_profile() -> None:
    calls = call("write"), call("read"), call("read", arch="SCMP_ARCH_X86", number=3)
    assert learned(None, *calls) == {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": [NATIVE, "SCMP_ARCH_X86"],
        "syscalls": [rule("read", "write")],
    }


def test_a_name_is_added_in_its_order() -> None:
    given = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule("getppid", "read"), rule("write", "close")]}
    assert learned(given, call("mkdir"))["syscalls"] == [rule("getppid", "mkdir", "read"), rule("write", "close")]
    given["syscalls"] = [rule("write", "close")]
    assert learned(given, call("mkdir"))["syscalls"] == [rule("write", "close", "mkdir")]
    given["syscalls"] = [rule("write", args=[equal(0, 1)])]
    assert learned(given, call("mkdir"))["syscalls"] == [*given["syscalls"], rule("mkdir")]
    del given["syscalls"]
    assert learned(given, call("mkdir"))["syscalls"] == [rule("mkdir")]


def test_conditions_only_where_the_profile_has_some() -> None:
    given = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [rule("read"), rule("socket", args=[equal(0, 1)]), rule("write")],
    }
    made = learned(given, call("socket", (2, 77, 5), (16, 3), (2, 1)), call("mkdir", (1, 2)))
    assert made["syscalls"] == [
        rule("mkdir", "read"),
        rule("socket", args=[equal(0, 1)]),
        rule("socket", args=[equal(0, 2)]),
        rule("socket", args=[equal(0, 16)]),
        rule("write"),
    ]
    # More values than were kept: there is no list of them.
    made = learned(given, call("socket", (2,), more=True))
    assert made["syscalls"][0] == rule("read", "socket")


def test_masked_conditions_look_at_the_same_bits() -> None:
    condition = {"index": 0, "value": 0x7E020000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    given = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule("clone", args=[condition])]}
    made = learned(given, call("clone", (NEWUSER | 17, 0xFFFF)))
    assert made["syscalls"][1] == rule("clone", args=[{**condition, "valueTwo": NEWUSER}])
    answer = compiled(made)
    assert answer(NUMBERS["clone"], NEWUSER) == ALLOW
    assert answer(NUMBERS["clone"], NEWUSER | 0x40000000) == errno(1)


def test_out_of_the_rules_that_refuse() -> None:
    given = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            rule("mkdir", action="KILL_PROCESS"),
            rule("mount", "getppid", action="ERRNO"),
            rule("socket", action="ERRNO", args=[equal(0, 16)]),
            rule("socket", action="ERRNO", args=[equal(0, 17)]),
        ],
    }
    made = learned(given, call("mkdir"), call("mount"), call("socket", (16,)))
    assert made["syscalls"] == [rule("getppid", action="ERRNO"), given["syscalls"][3]]
    given["defaultAction"] = "SCMP_ACT_KILL"
    del given["syscalls"][2:]
    assert learned(given, call("mount"))["syscalls"] == [
        rule("mkdir", action="KILL_PROCESS"),
        rule("getppid", action="ERRNO"),
        rule("mount"),
    ]


def test_enosys_by_a_rule_is_a_detour_and_stays() -> None:
    detour = rule("clone3", action="ERRNO", errnoRet=38)
    given = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule("read"), detour]}
    found = Learned([call("clone3", answer="ERRNO(38)")], given, native=NATIVE)
    assert found.profile() == given
    assert "clone3" in found.text() and "stays refused" in found.text()
    # As the answer to all that is not named it is a refusal.
    given["defaultErrnoRet"] = 38
    assert learned(given, call("mkdir", answer="ERRNO(38)"))["syscalls"][0] == rule("mkdir", "read")


def test_other_architectures() -> None:
    given: dict[str, Any] = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule("read")]}
    foreign = call("read", arch="SCMP_ARCH_X86", number=3)
    assert learned(given, foreign) == {**given, "architectures": [NATIVE, "SCMP_ARCH_X86"]}
    given["architectures"] = ["SCMP_ARCH_X32"]
    assert learned(given, foreign)["architectures"] == ["SCMP_ARCH_X32", "SCMP_ARCH_X86"]
    given["architectures"] = ["SCMP_ARCH_X86"]
    assert learned(given, call("mkdir"))["architectures"] == ["SCMP_ARCH_X86"]


def test_a_number_without_a_name() -> None:
    found = Learned([call("", number=5000)], None, native=NATIVE, dropped=7)
    assert found.profile()["syscalls"][0]["names"] == []
    assert "number 5000" in found.text() and "7 more calls" in found.text()


def test_order_and_text() -> None:
    calls = [call("write", arch="SCMP_ARCH_X86"), call("read"), call("mkdir", (255, 1), programs=["a", "b"])]
    found = Learned(calls, None, native=NATIVE)
    assert [one.name for one in found.calls] == ["mkdir", "read", "write"]
    assert found.calls[0].args == [("0xff", "0x1", "0x0", "0x0", "0x0", "0x0")]
    assert (found.calls[0].program, found.calls[1].program) == ("a", "")
    assert found.text().startswith("mkdir (x86_64) once by a, b: 0xff 0x1 0x0 0x0 0x0 0x0\n")


def test_the_filter_that_asks() -> None:
    """Where the profile refuses it asks, the token lets everything through, and nothing else is changed."""
    given = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [rule("read"), rule("mkdir", action="KILL"), rule("write", action="LOG")],
    }
    code = compiled(given)
    answer = Filter(asking(_bytes(given), b"\1\2\3\4\5\6\7\x88"))
    token = int.from_bytes(b"\1\2\3\4\5\6\7\x88", "little")
    assert [answer(NUMBERS[name]) for name in ("read", "mkdir", "mount")] == [ALLOW, ASKS, ASKS]
    assert answer(NUMBERS["write"]) == code(NUMBERS["write"])
    assert answer(3, arch=I386) == ASKS
    assert answer(NUMBERS["mount"], 0, 0, 0, 0, 0, token) == ALLOW
    for near in (token ^ 1, token ^ 1 << 63, token & 0xFFFFFFFF, token >> 32):
        assert answer(NUMBERS["mount"], 0, 0, 0, 0, 0, near) == ASKS
    everything = Filter(asking(b"", bytes(8)))
    assert everything(NUMBERS["read"], 0, 0, 0, 0, 0, 1) == ASKS


def _bytes(profile: dict[str, Any]) -> bytes:
    rules = [one for at, each in enumerate(profile["syscalls"]) for one in seccomp._rules(at, each)]
    code = compile_rules(seccomp._action(profile["defaultAction"], None), [], rules, "").code
    assert len(code) % INSTRUCTION.size == 0
    return code
