"""Device rules as an eBPF program: the program is run here, on a machine of Python, against the rules' meaning."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from ocirun.cgroup.files import device_filter
from ocirun.cgroup.settings import translate, translation

from .translated import without

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LETTERS = {"m": 1, "r": 2, "w": 4}
TYPES = {"b": 1, "c": 2}


def run(program: bytes, kind: str, access: str, major: int, minor: int) -> bool:
    """The program's answer, by the meaning of the instructions in Documentation/bpf/standardization/."""
    code = [struct.unpack_from("=BBhi", program, at) for at in range(0, len(program), 8)]
    context = struct.pack("=III", sum(LETTERS[letter] for letter in access) << 16 | TYPES[kind], major, minor)
    registers = [0] * 11
    at = 0
    while True:
        op, pair, offset, value = code[at]
        target, source, word = pair & 15, pair >> 4, value & 0xFFFFFFFF
        at += 1
        if op == 0x95:
            return bool(registers[0])
        if op == 0x61:
            registers[target] = struct.unpack_from("=I", context, offset)[0]
        elif op == 0xBC:
            registers[target] = registers[source] & 0xFFFFFFFF
        elif op == 0xB7:
            registers[target] = value
        elif op == 0x54:
            registers[target] &= word
        elif op == 0x74:
            registers[target] = (registers[target] & 0xFFFFFFFF) >> word
        elif op == 0x56:
            at += offset if registers[target] & 0xFFFFFFFF != word else 0
        elif op == 0x46:
            at += offset if registers[target] & word else 0
        elif op == 0x05:
            at += offset
        else:
            raise AssertionError(f"instruction {op:#x}")


def meant(rules: list[dict[str, Any]], kind: str, access: str, major: int, minor: int) -> bool:
    """What config.json says: for each letter the last rule that matches; nothing is allowed without one."""
    for letter in access:
        allowed = False
        for rule in rules:
            same = rule["type"] in ("a", kind) and rule.get("major", major) == major
            if same and rule.get("minor", minor) == minor and letter in rule["access"]:
                allowed = rule["allow"]
        if not allowed:
            return False
    return True


def text(rules: list[dict[str, Any]]) -> str:
    made, _ = translate.translate("v2", {"devices": rules}, available=without())
    (setting,) = made
    assert setting.file == translation.DEVICE_FILTER
    return setting.value


access = st.lists(st.sampled_from("rwm"), min_size=1, max_size=3, unique=True).map("".join)
numbers = st.sampled_from((0, 1, 3, 200, 2**32 - 1))
rule = st.fixed_dictionaries(
    {"allow": st.booleans(), "type": st.sampled_from("abc"), "access": access},
    optional={"major": numbers, "minor": numbers},
)
DEFAULTS: list[dict[str, Any]] = [
    {"allow": True, "type": "c", "access": "m"},
    {"allow": True, "type": "b", "access": "m"},
    *({"allow": True, "type": "c", "major": 1, "minor": minor, "access": "rwm"} for minor in (3, 5, 7, 8, 9)),
    *({"allow": True, "type": "c", "major": 5, "minor": minor, "access": "rwm"} for minor in (0, 2)),
    {"allow": True, "type": "c", "major": 136, "access": "rwm"},
    {"allow": True, "type": "c", "major": 10, "minor": 200, "access": "rwm"},
]


@given(st.lists(rule, max_size=6), st.sampled_from("bc"), access, numbers, numbers)
def test_the_program_does_what_the_rules_say(
    rules: list[dict[str, Any]], kind: str, wanted: str, major: int, minor: int
) -> None:
    program = device_filter.assemble(text(rules))
    assert run(program, kind, wanted, major, minor) == meant(rules + DEFAULTS, kind, wanted, major, minor)


@given(st.lists(rule, max_size=6))
def test_every_instruction_can_be_reached(rules: list[dict[str, Any]]) -> None:
    # The kernel's verifier refuses a program of which that is not true.
    program = device_filter.assemble(text(rules))
    code = [struct.unpack_from("=BBhi", program, at) for at in range(0, len(program), 8)]
    seen, pending = set(), [0]
    while pending:
        at = pending.pop()
        if at in seen:
            continue
        seen.add(at)
        op, _, offset, _ = code[at]
        if op == 0x95:
            continue
        if op in (0x56, 0x46, 0x05):
            pending.append(at + 1 + offset)
        if op != 0x05:
            pending.append(at + 1)
    assert seen == set(range(len(code)))


def test_text_leaves_out_what_is_replaced() -> None:
    rules = [{"allow": True, "type": "c", "major": 9, "access": "r"}, {"allow": False, "type": "a", "access": "rwm"}]
    assert text(rules).split("\n")[:2] == ["deny a *:* rwm", "allow c *:* m"]


def test_all_allowed_is_one_answer() -> None:
    program = device_filter.assemble("allow a *:* rwm")
    assert run(program, "b", "rw", 7, 7)
    assert len(program) == 8 * 8
