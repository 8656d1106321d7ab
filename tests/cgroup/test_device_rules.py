"""Device rules for v1, held against a model of the kernel's devices cgroup and the ordered list of the spec."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocirun.cgroup.settings import translate, translation
from ocirun.cgroup.settings.device_rules import DEFAULTS, v1_change
from ocirun.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_WRITES = [
    ("devices.allow", value)
    for value in (
        "c *:* m",
        "b *:* m",
        "c 1:3 rwm",
        "c 1:8 rwm",
        "c 1:7 rwm",
        "c 5:0 rwm",
        "c 1:5 rwm",
        "c 1:9 rwm",
        "c 136:* rwm",
        "c 5:2 rwm",
        "c 10:200 rwm",
    )
]
DENY_ALL = {"allow": False, "access": "rwm"}


def settings(rules: list[dict[str, Any]]) -> list[translation.Setting]:
    return translate.translate("v1", {"devices": rules}, available=lambda controller, file: True)[0]


def writes(rules: list[dict[str, Any]]) -> list[tuple[str, str]]:
    assert {setting.controller for setting in settings(rules)} == {"devices"}
    return [(setting.file, setting.value) for setting in settings(rules)]


def problem(rules: list[dict[str, Any]]) -> str:
    with pytest.raises(ConfigError) as caught:
        settings(rules)
    return caught.value.problems[0].pointer


def rule(text: str) -> dict[str, Any]:
    """``+c 1:3 rw`` as a rule; * and missing words are left out."""
    words = text[1:].split()
    entry: dict[str, Any] = {"allow": text[0] == "+"}
    if words and words[0] != "?":
        entry["type"] = words[0]
    if len(words) > 1:
        for key, number in zip(("major", "minor"), words[1].split(":"), strict=True):
            if number != "*":
                entry[key] = int(number)
    if len(words) > 2:
        entry["access"] = words[2]
    return entry


def test_without_rules_only_the_defaults_are_allowed() -> None:
    assert writes([]) == [("devices.deny", "a"), *DEFAULT_WRITES]
    assert len(DEFAULT_WRITES) == len(DEFAULTS)
    assert {setting.pointer for setting in settings([])} == {"/linux/resources/devices"}


def test_without_resources_the_rules_are_made_all_the_same() -> None:
    every: tuple[dict[str, Any] | None, ...] = (None, {}, {"devices": None}, {"devices": []})
    for resources in every:
        made, _ = translate.translate("v1", resources, available=lambda controller, file: True)
        assert len(made) == 1 + len(DEFAULTS)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        # The form that engines send: no type means all.
        (["-? *:* rwm"], [("devices.deny", "a")]),
        (["-a *:* rwm"], [("devices.deny", "a")]),
        (["-"], [("devices.deny", "a")]),
        (["-a"], [("devices.deny", "a")]),
        (["-", "+c 1:11 rw"], [("devices.deny", "a"), ("devices.allow", "c 1:11 rw")]),
        (["+c 1:11 rw"], [("devices.deny", "a"), ("devices.allow", "c 1:11 rw")]),
        (["+b 8:* wr"], [("devices.deny", "a"), ("devices.allow", "b 8:* rw")]),
        (["+c *:7 r"], [("devices.deny", "a"), ("devices.allow", "c *:7 r")]),
        (["+a *:* r"], [("devices.deny", "a"), ("devices.allow", "b *:* r"), ("devices.allow", "c *:* r")]),
        (["+a 8:1 rwm"], [("devices.deny", "a"), ("devices.allow", "b 8:1 rwm"), ("devices.allow", "c 8:1 rwm")]),
        # What comes before a rule for everything is moot.
        (["+c 1:11 rw", "-"], [("devices.deny", "a")]),
        (["+", "-", "+b 8:0 r"], [("devices.deny", "a"), ("devices.allow", "b 8:0 r")]),
        # A deny of what is not allowed needs no write; one after its allow does.
        (["-c 10:229 rwm"], [("devices.deny", "a")]),
        (
            ["+c 10:229 rwm", "-c 10:229 w"],
            [("devices.deny", "a"), ("devices.allow", "c 10:229 rwm"), ("devices.deny", "c 10:229 w")],
        ),
        # The kernel takes back only what has the very same numbers.
        (
            ["+c 10:1 r", "+c 10:2 rw", "-c 10:* r"],
            [
                ("devices.deny", "a"),
                ("devices.allow", "c 10:1 r"),
                ("devices.allow", "c 10:2 rw"),
                ("devices.deny", "c 10:1 r"),
                ("devices.deny", "c 10:2 r"),
            ],
        ),
        (["+c 4:* rw", "+c 4:1 r"], [("devices.deny", "a"), ("devices.allow", "c 4:* rw")]),
    ],
)
def test_writes(rules: list[str], expected: list[tuple[str, str]]) -> None:
    assert writes([rule(text) for text in rules]) == [*expected, *DEFAULT_WRITES]


def test_pointers() -> None:
    made = settings([DENY_ALL, rule("+c 1:11 rw")])
    assert [setting.pointer for setting in made[:3]] == [
        "/linux/resources/devices/0",
        "/linux/resources/devices/1",
        "/linux/resources/devices",
    ]


def test_defaults_that_the_rules_have_are_not_written_again() -> None:
    made = writes([DENY_ALL, rule("+c 1:3 rwm"), rule("+c *:* m")])
    assert made.count(("devices.allow", "c 1:3 rwm")) == 1
    assert made.count(("devices.allow", "c *:* m")) == 1


def test_a_privileged_container() -> None:
    assert writes([rule("+")]) == [("devices.allow", "a")]
    assert writes([rule("+"), rule("-b 8:0 rw")]) == [("devices.allow", "a"), ("devices.deny", "b 8:0 rw")]
    # The defaults come last, so what they allow cannot be denied.
    assert writes([rule("+"), rule("-c 1:3 rw")])[-1] == ("devices.allow", "c 1:3 rw")


@pytest.mark.parametrize(
    ("rules", "pointer"),
    [
        (["+c 4:* rw", "-c 4:1 r"], "/linux/resources/devices/1"),
        (["+c *:* rw", "-c 4:* r"], "/linux/resources/devices/1"),
        (["+c 4:* rw", "-c *:1 r"], "/linux/resources/devices/1"),
        (["+", "-b *:* rwm", "+b 8:0 r"], "/linux/resources/devices/2"),
        (["+", "-c *:* rwm"], "/linux/resources/devices"),
    ],
)
def test_lists_that_v1_cannot_hold(rules: list[str], pointer: str) -> None:
    assert problem([rule(text) for text in rules]) == pointer


@pytest.mark.parametrize(
    ("entry", "pointer"),
    [
        ({"allow": True, "access": ""}, "access"),
        ({"allow": True, "access": "x"}, "access"),
        ({"allow": True, "access": "r w"}, "access"),
        ({"allow": True, "access": "rwm\n"}, "access"),
        ({"allow": True, "type": "p"}, "type"),
        ({"allow": True, "type": "u"}, "type"),
        ({"allow": True, "type": "c", "major": -2}, "major"),
        ({"allow": True, "type": "c", "minor": 2**32}, "minor"),
    ],
)
def test_bad_rules(entry: dict[str, Any], pointer: str) -> None:
    assert problem([DENY_ALL, entry]) == f"/linux/resources/devices/1/{pointer}"


def test_minus_one_is_every_number() -> None:
    assert writes([{"allow": True, "type": "c", "major": 4, "minor": -1}])[1] == ("devices.allow", "c 4:* rwm")


def test_without_the_controller_the_host_is_refused() -> None:
    with pytest.raises(ConfigError, match="devices"):
        translate.translate("v1", {}, available=lambda controller, file: controller != "devices")


def test_an_update_leaves_the_rules() -> None:
    made, _ = translate.translate("v1", {"devices": [DENY_ALL]}, available=lambda controller, file: True, devices=False)
    assert made == []


NUMBERS = st.sampled_from([None, 0, 1, 3, 4])
RULES = st.lists(
    st.fixed_dictionaries(
        {"allow": st.booleans()},
        optional={
            "type": st.sampled_from("abc"),
            "major": NUMBERS,
            "minor": NUMBERS,
            "access": st.sets(st.sampled_from("rwm"), min_size=1).map("".join),
        },
    ),
    max_size=6,
)


class Kernel:
    """security/device_cgroup.c: a default, and exceptions that are only ever narrowed by their own numbers."""

    def __init__(self) -> None:
        self.allow = True
        self.exceptions: dict[tuple[str, str, str], set[str]] = {}

    def write(self, file: str, value: str) -> None:
        allow = file == "devices.allow"
        if value == "a":
            self.allow, self.exceptions = allow, {}
            return
        kind, numbers, access = value.split(" ")
        major, minor = numbers.split(":")
        held = self.exceptions.setdefault((kind, major, minor), set())
        if allow == self.allow:
            held -= set(access)
        else:
            held |= set(access)

    def permits(self, kind: str, major: int, minor: int, letter: str) -> bool:
        matched = any(
            letter in access and mine[0] == kind and mine[1] in ("*", str(major)) and mine[2] in ("*", str(minor))
            for mine, access in self.exceptions.items()
        )
        return matched != self.allow


def spec_permits(rules: list[dict[str, Any]], kind: str, major: int, minor: int, letter: str) -> bool:
    defaults = [
        {"allow": True, "type": t, "major": None if a < 0 else a, "minor": None if b < 0 else b, "access": x}
        for t, a, b, x in DEFAULTS
    ]
    allowed = False
    for entry in [*rules, *defaults]:
        if (
            entry.get("type", "a") in ("a", kind)
            and entry.get("major") in (None, major)
            and entry.get("minor") in (None, minor)
            and letter in entry.get("access", "rwm")
        ):
            allowed = entry["allow"]
    return allowed


@given(RULES)
def test_the_kernel_decides_as_the_ordered_list_does(rules: list[dict[str, Any]]) -> None:
    try:
        made = writes(rules)
    except ConfigError:
        # Which lists v1 cannot hold is tested above.
        return
    kernel = Kernel()
    for file, value in made:
        kernel.write(file, value)
    for kind in "bc":
        for major in (0, 1, 3, 4, 5):
            for minor in (0, 1, 3, 4):
                for letter in "rwm":
                    assert kernel.permits(kind, major, minor, letter) == spec_permits(rules, kind, major, minor, letter)


PLACES = [
    (kind, major, minor, letter)
    for kind in "bc"
    for major in (0, 1, 3, 4, 5)
    for minor in (0, 1, 3, 4)
    for letter in "rwm"
]


@given(RULES, RULES)
def test_a_change_without_a_gap(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> None:
    result = translation.Translation(lambda controller, file: True, "")
    try:
        made, fresh = writes(old), writes(new)
        v1_change(old, new, result)
        changes = result.result()[0]
    except ConfigError:
        return
    kernel, wanted = Kernel(), Kernel()
    for file, value in made:
        kernel.write(file, value)
    for file, value in fresh:
        wanted.write(file, value)
    both = {place: kernel.permits(*place) for place in PLACES if kernel.permits(*place) == wanted.permits(*place)}
    for setting in changes:
        kernel.write(setting.file, setting.value)
        assert {place: kernel.permits(*place) for place in both} == both
    assert [kernel.permits(*place) for place in PLACES] == [wanted.permits(*place) for place in PLACES]
    held, fresh_ones = ({key: access for key, access in one.exceptions.items() if access} for one in (kernel, wanted))
    assert held == fresh_ones


def test_a_change_of_the_rule_for_everything_is_refused_on_v1() -> None:
    result = translation.Translation(lambda controller, file: True, "")
    v1_change([DENY_ALL], [{"allow": True}], result)
    with pytest.raises(ConfigError, match="without a gap"):
        result.result()
