"""Compiled filters, run in Python and held against what the rules say."""

from __future__ import annotations

import platform
import random

import pytest
from profiles import known_calls

from ocirun.errors import HostError, UnsupportedError
from ocirun.execute.seccomp.compiler import compile_rules
from ocirun.host import libseccomp

from .filters import ALLOW, I386, KILL, LOG, X32, X86_64, Filter, errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of x86-64")

# asm/unistd_64.h, asm/unistd_32.h
READ, GETPPID, CLONE3, MKDIR = 0, 110, 435, 83
READ_32, GETPPID_32 = 3, 64
DENY = ["SCMP_ACT_ERRNO", 1]
OPEN = ["SCMP_ACT_ALLOW", 0]
ALL_ABIS = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]


def rule(*names: str, action: list[Any] | None = None, args: list[list[Any]] | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"place": 0, "action": action or OPEN, "names": list(names)}
    return {**made, "args": args} if args else made


def compiled(
    *rules: dict[str, Any], default: list[Any] = DENY, architectures: list[str] | None = None, newer: str = ""
) -> Filter:
    return Filter(compile_rules(default, architectures or [], list(rules), newer).code)


def test_by_name() -> None:
    answer = compiled(
        rule("read"), rule("getppid", action=["SCMP_ACT_ERRNO", 77]), rule("mkdir", action=["SCMP_ACT_LOG", 0])
    )
    assert [answer(number) for number in (READ, GETPPID, MKDIR, 999)] == [ALLOW, errno(77), LOG, errno(1)]


def test_architectures() -> None:
    native = compiled(rule("read"))
    assert native(READ_32, arch=I386) == KILL
    assert native(READ | X32) == KILL
    for chosen in (ALL_ABIS, ALL_ABIS[1:]):  # the machine's own is always meant
        answer = compiled(rule("read"), architectures=chosen)
        assert answer(READ) == answer(READ_32, arch=I386) == answer(READ | X32) == ALLOW
        assert answer(GETPPID_32, arch=I386) == answer(GETPPID) == errno(1)
        assert answer(READ_32, arch=0xC00000B7) == KILL


def test_newer_calls() -> None:
    answer = compiled(
        rule("read"), rule("clone3", action=["SCMP_ACT_ERRNO", 5]), architectures=ALL_ABIS, newer="ENOSYS"
    )
    assert [answer(number) for number in (READ, GETPPID, CLONE3, CLONE3 + 1, 2**30 - 1)] == [
        *(ALLOW, errno(1), errno(5), errno(38), errno(38))
    ]
    assert answer(CLONE3 + 1, arch=I386) == errno(38)
    assert answer(GETPPID_32, arch=I386) == errno(1)
    assert answer(CLONE3 | X32) == errno(5)
    assert answer((CLONE3 + 1) | X32) == answer(0x3FFFFFFF | X32) == errno(38)
    assert answer(CLONE3 + 1, arch=0xC00000B7) == KILL


def test_newer_calls_of_an_abi_that_is_not_listed() -> None:
    """x32 shares the architecture of x86-64: its numbers are no newer calls, but forbidden ones."""
    answer = compiled(rule("read"), newer="ENOSYS")
    assert answer(READ + 1) == errno(38)
    assert answer(READ | X32) == answer(2000 | X32) == KILL


def test_default_that_kills() -> None:
    answer = compiled(rule("read", "getppid"), default=["SCMP_ACT_KILL_PROCESS", 0], newer="ENOSYS")
    assert (answer(GETPPID - 1), answer(GETPPID + 1)) == (0x80000000, errno(38))


def test_profile_without_names() -> None:
    assert compiled(newer="ENOSYS")(READ) == errno(1)


@pytest.mark.parametrize("seed", range(6))
def test_any_rules(seed: int) -> None:
    """Names and conditions at random: the first rule of a call whose conditions hold decides, as they exclude each other."""
    choose = random.Random(seed)
    names = choose.sample(known_calls()[:300], 60)
    rules = []
    for name in names:
        value = choose.choice((0, 1, 2**31, 2**32 - 1, 2**32, 2**63, choose.getrandbits(64)))
        index = choose.randrange(6)
        kind = choose.choice(("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ", ""))
        two = choose.getrandbits(64) & value if kind == "MASKED_EQ" else 0
        args = [[index, f"SCMP_CMP_{kind}", value, two]] if kind else None
        rules.append(rule(name, args=args, action=["SCMP_ACT_ERRNO", 2 + choose.randrange(100)]))
    answer = compiled(*rules, architectures=ALL_ABIS)
    numbers = {one["names"][0]: libseccomp.load().number_on(X86_64, one["names"][0].encode()) for one in rules}
    for one in rules:
        for value in (0, 1, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1, *_near(one)):
            args = [value] * 6
            expected = errno(one["action"][1]) if _holds(one, value) else errno(1)
            assert answer(numbers[one["names"][0]], *args) == expected, (one, value)


def _near(one: dict[str, Any]) -> list[int]:
    return [number % 2**64 for arg in one.get("args", ()) for number in (arg[2] - 1, arg[2], arg[2] + 1, arg[3])]


def _holds(one: dict[str, Any], value: int) -> bool:
    for _, operator, wanted, two in one.get("args", ()):
        holds = {
            "NE": value != wanted,
            "LT": value < wanted,
            "LE": value <= wanted,
            "EQ": value == wanted,
            "GE": value >= wanted,
            "GT": value > wanted,
            "MASKED_EQ": value & wanted == two,
        }
        if not holds[operator.removeprefix("SCMP_CMP_")]:
            return False
    return True


def test_unknown_names() -> None:
    program = compile_rules(DENY, [], [rule("read", "no_such_call"), rule("another one")], "")
    assert program.unknown == ["no_such_call", "another one"]
    assert Filter(program.code)(READ) == ALLOW


def test_rules_equal_to_the_default() -> None:
    answer = compiled(rule("read", action=DENY), rule("getppid"))
    assert (answer(READ), answer(GETPPID)) == (errno(1), ALLOW)


def test_architectures_that_cannot_be() -> None:
    with pytest.raises(UnsupportedError, match="not known to libseccomp") as caught:
        compiled(architectures=["SCMP_ARCH_X86", "SCMP_ARCH_NONE"])
    assert caught.value.pointer == "/linux/seccomp/architectures/1"
    with pytest.raises(UnsupportedError, match="SCMP_ARCH_S390X cannot be filtered"):
        compiled(architectures=["SCMP_ARCH_S390X"])


def test_too_long() -> None:
    """The kernel takes 4096 instructions."""
    rules = [rule("read", args=[[0, "SCMP_CMP_EQ", value << 33 | 1, 0]]) for value in range(2100)]
    with pytest.raises(UnsupportedError, match="instructions long; the kernel takes 4096"):
        compiled(*rules)


def test_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libseccomp, "NAME", "libnothing.so.2")
    monkeypatch.setattr(libseccomp, "_loaded", None)
    with pytest.raises(HostError, match="libnothing") as caught:
        compiled(rule("read"))
    assert "install libseccomp" in caught.value.remedy
