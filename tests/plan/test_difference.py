"""What two plans do differently: by what operations do, whatever their numbers are."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given

from ocirun.errors import OcirunError
from ocirun.plan import difference
from ocirun.plan.difference import ADDED, CHANGED, MOVED, REMOVED, Difference

from . import configs, samples

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.plan.ops import Plan

BIND = {"destination": "/data", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]}


def config() -> dict[str, Any]:
    return copy.deepcopy(samples.config("hello"))


def compared(new: dict[str, Any], old: dict[str, Any] | None = None) -> list[str]:
    """The lines of the difference to the sample, without legend, head and headings, blanks taken together."""
    found = Difference(samples.plan(old or config()), samples.plan(new), [])
    return [" ".join(line.split()) for line in found.lines() if line[0] in "-+~> " and "from config" not in line][1:]


@pytest.mark.parametrize("name", samples.NAMES)
def test_none(name: str) -> None:
    one, two = samples.sample(name), samples.sample(name)
    found = Difference(one, two, [])
    assert not found
    assert list(found.lines()) == ["The plans are the same.\n"]
    assert json.loads(found.json()) == {"changes": [], "warnings": {"old": [], "new": []}, "later": []}


def test_one_more_mount_changes_no_other() -> None:
    new = config()
    new["mounts"].insert(1, BIND)
    lines = compared(new)
    assert {line[0] for line in lines} == {"+"}
    assert all(" /mounts/1 " in line for line in lines)
    assert [line for line in lines if "take a copy of the mount at /usr" in line]
    assert {line[0] for line in compared(config(), new)} == {"-"}


def test_other_arguments() -> None:
    new = config()
    new["hostname"] = "other"
    new["mounts"][4]["options"] = ["nosuid", "size=2m", "mode=1777", "noexec"]
    new["linux"]["resources"]["memory"]["limit"] = 1 << 30
    new["process"]["args"] = ["/bin/true"]
    new["process"]["env"] = ["PATH=/sbin", "HOME=/root", "SECRET=word"]
    new["process"]["capabilities"]["bounding"].append("CAP_CHOWN")
    new["root"]["path"] = "/srv/root"
    lines = compared(new)
    told = [line for line in lines if line[0] not in "-+~>"]
    assert {line[0] for line in lines if line not in told} == {"~"}
    assert "name: hello -> other" in told
    assert "options: -size=1m +size=2m" in told
    assert "attributes: -nodev +noexec" in told
    assert "value: 67108864 -> 1073741824" in told
    assert 'args: ["/bin/sh","/hello.sh"] -> ["/bin/true"]' in told
    assert "env: -TERM +SECRET ~PATH" in told
    assert "keep: +chown" in told
    assert "path: /bundle/rootfs -> /srv/root" in told
    assert not [line for line in lines if "word" in line], "values of the environment are for the program"


def test_another_place() -> None:
    new = config()
    new["mounts"].append(new["mounts"].pop(1))
    lines = compared(new)
    assert {line[0] for line in lines} == {">"}
    assert {line.split()[4] for line in lines} == {"/mounts/4"}
    assert [line.split(" ", 5)[5] for line in lines] == ["open the mount point /dev", "mount tmpfs", "attach the mount"]


def test_rules_of_one_file_are_told_apart() -> None:
    old = config()
    rules = [{"allow": True, "type": "c", "major": 10, "minor": minor, "access": "rw"} for minor in (1, 2, 3)]
    old["linux"]["resources"]["devices"] = rules
    new = copy.deepcopy(old)
    del new["linux"]["resources"]["devices"][1]
    lines = compared(new, old)
    assert [line[0] for line in lines] == ["-"]
    assert "write c 10:2 rw to devices.allow" in lines[0]


def test_another_type_of_mount_at_the_same_place() -> None:
    new = config()
    new["mounts"][4] = {**BIND, "destination": "/tmp"}
    lines = compared(new)
    assert [line for line in lines if line[0] == "-" and "mount tmpfs" in line]
    assert [line for line in lines if line[0] == "+" and "take a copy of the mount at /usr" in line]


def test_seccomp_names_the_calls() -> None:
    old = copy.deepcopy(samples.config("seccomp"))
    new = copy.deepcopy(old)
    rules = new["linux"]["seccomp"]["syscalls"]
    gone = rules[0]["names"].pop(0)
    rules[0]["names"].append("reboot")
    lines = compared(new, old)
    assert [line for line in lines if line[0] == "~" and "compile the seccomp filter" in line]
    assert [line for line in lines if f"-{gone} +reboot" in line]


def test_warnings_and_what_is_in_no_plan() -> None:
    one, two = samples.sample("hello"), samples.sample("hello")
    two.warnings = [difference_warning()]
    found = Difference(one, two, ["/annotations"])
    assert found
    told = list(found.lines())
    assert "+ warning: /mounts/1: has no effect\n" in told
    assert told[-1].startswith("~ /annotations differs")
    record = json.loads(found.json("no rights"))
    assert record == {
        "changes": [],
        "warnings": {"old": [], "new": ["/mounts/1: has no effect"]},
        "later": ["/annotations"],
        "refused": "no rights",
    }


def difference_warning() -> Any:
    from ocirun.errors import Problem

    return Problem("/mounts/1", "has no effect", warning=True)


def test_the_bundle_is_a_word() -> None:
    plan = samples.plan({**config(), "mounts": [{**BIND, "source": "lib"}, {**BIND, "source": "/bundle2/lib"}]})
    texts = repr([op.args for op in difference.without_bundle(plan, samples.BUNDLE).ops])
    assert "'BUNDLE/rootfs'" in texts and "'BUNDLE/lib'" in texts and "'/bundle2/lib'" in texts
    assert "'/bundle/" not in texts


def _random(data: dict[str, Any]) -> Plan | None:
    try:
        return samples.plan(data)
    except OcirunError:
        return None


@given(configs.configs(), configs.configs())
def test_every_operation_is_accounted_for(one: dict[str, Any], two: dict[str, Any]) -> None:
    old, new = _random(one), _random(two)
    if old is None or new is None:
        return
    found = Difference(old, new, [])
    kinds = {
        kind: [change for change in found.changes if change.kind == kind] for kind in (REMOVED, ADDED, CHANGED, MOVED)
    }
    assert len(old.ops) - len(kinds[REMOVED]) == len(new.ops) - len(kinds[ADDED])
    for number in ("old", "new"):
        named = [getattr(change, number) for change in found.changes if getattr(change, number) >= 0]
        assert len(named) == len(set(named)), "an operation changes once"
    for change in kinds[CHANGED]:
        assert old.ops[change.old].name == new.ops[change.new].name
    for change in kinds[MOVED]:
        assert old.ops[change.old].name == new.ops[change.new].name
    for columns in (100, 80, 50):
        told = [line for text in found.lines(columns) for line in text.splitlines()]
        assert all(line.isprintable() and len(line) <= columns for line in told)
    json.loads(found.json())
