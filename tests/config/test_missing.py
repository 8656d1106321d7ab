"""What may be left out: all that the spec's own schema does not require, but for what is listed here with its reason."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from config.samples import ABSENT, changed, full, minimal
from ocirun.config.check import check

DEFS: dict[str, Any] = json.loads(
    (Path(__file__).resolve().parents[2] / "schemas" / "config.schema.json").read_text(encoding="utf-8")
)["$defs"]

#: Keys that the JSON schema of runtime-spec 1.3 requires, by the object they are in.
REQUIRED = {
    "spec": {"ociVersion"},
    "root": {"path"},
    "process": {"cwd"},
    "consoleSize": {"height", "width"},
    "rlimit": {"type", "soft", "hard"},
    "ioPriority": {"class"},
    "scheduler": {"policy"},
    "mount": {"destination"},
    "hook": {"path"},
    "idMapping": {"containerID", "hostID", "size"},
    "namespace": {"type"},
    "device": {"type", "path"},
    "deviceRule": {"allow"},
    "weightDevice": {"major", "minor"},
    "throttleDevice": {"major", "minor"},
    "hugepageLimit": {"pageSize", "limit"},
    "interfacePriority": {"name", "priority"},
    "seccomp": {"defaultAction"},
    "syscallRule": {"names", "action"},
    "syscallArg": {"index", "value", "op"},
    "memoryPolicy": {"mode"},
    "personality": {"domain"},
}

#: What is refused all the same: the spec's text requires it, and there is no reading that is both common and safe.
NEEDED = {
    r"/root": "runc and crun refuse it too",
    r"/process/args": "the text requires one entry at least; runc refuses it too",
    r"/process/ioPriority/priority": "0, as others take it, is the highest level",
    r"/linux/devices/0/(major|minor)": "0, as others take it, is another device",
    r"/linux/resources/blockIO/throttle\w+/0/rate": "0, as others take it, is no limit on v1, and refused on v2",
    r"/linux/(uid|gid)Mappings": "the other kind is there, and a user namespace",
    r"/mounts/\d+/(uid|gid)Mappings": "the other kind is there",
    r"/linux/seccomp/listenerPath": "metadata is for nobody then",
    r"/linux/memoryPolicy/nodes": "the mode needs nodes",
    r"/linux(/namespaces)?": "names and mappings are for namespaces",
    r"/process/scheduler/(runtime|deadline)": "the policy needs it",
}


def optional(node: Any, value: Any, pointer: str = "") -> list[str]:
    """Pointers of the keys in `value` that the spec's schema does not require."""
    while "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        node = {**DEFS[name], "name": name}
    if isinstance(value, list):
        return [
            place
            for index, item in enumerate(value[:1])
            for place in optional(node["items"], item, f"{pointer}/{index}")
        ]
    if not isinstance(value, dict):
        return []
    found = []
    for key, item in value.items():
        here = f"{pointer}/{key}"
        if "properties" in node:
            if key not in REQUIRED.get(node["name"], ()):
                found.append(here)
            found += optional(node["properties"][key], item, here)
        else:
            found += optional(node["additionalProperties"], item, here)
    return found


PLACES = optional({"$ref": "#/$defs/spec"}, full())


def test_all_objects_are_looked_at() -> None:
    assert len(PLACES) > 120
    assert {name for name, node in DEFS.items() if "properties" in node} >= set(REQUIRED)


@pytest.mark.parametrize("value", [ABSENT, None], ids=["absent", "null"])
@pytest.mark.parametrize("pointer", PLACES)
def test_what_the_schema_does_not_require_may_be_left_out(pointer: str, value: object) -> None:
    before = {problem.pointer for problem in check(full()) if not problem.warning}
    found = {problem.pointer for problem in check(changed(full(), {pointer: value})) if not problem.warning} - before
    reasons = [why for pattern, why in NEEDED.items() if re.fullmatch(pattern, pointer)]
    assert bool(found) == bool(reasons), found


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"/process/user": ABSENT}, ""),
        ({"/process/user": None}, ""),
        ({"/process/user": {}}, ""),
        ({"/process/user/gid": ABSENT}, ""),
        ({"/process/user/uid": None}, ""),
        ({"/process/user": []}, "/process/user"),
        ({"/process/user": ""}, "/process/user"),
        ({"/process/user/uid": ""}, "/process/user/uid"),
        ({"/process/ioPriority": {"class": "IOPRIO_CLASS_IDLE"}}, ""),
        ({"/process/ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": None}}, ""),
        ({"/process/ioPriority": {"class": "IOPRIO_CLASS_BE"}}, "/process/ioPriority/priority"),
        ({"/process/ioPriority": {"class": "IOPRIO_CLASS_RT"}}, "/process/ioPriority/priority"),
        ({"/linux/rootfsPropagation": ""}, ""),
        ({"/linux/rootfsPropagation": []}, "/linux/rootfsPropagation"),
        ({"/process": ABSENT}, ""),
        ({"/process": None}, ""),
        ({"/process": {}}, "/process/cwd"),
    ],
)
def test_the_rule(changes: dict[str, Any], pointer: str) -> None:
    problems = check(changed(minimal(), changes))
    assert {problem.pointer for problem in problems[:1]} == ({pointer} if pointer else set())


def test_the_root_user_has_to_be_mapped_if_no_other_is_named() -> None:
    mapping = [{"containerID": 5, "hostID": 5, "size": 1}]
    changes = {"/linux/namespaces/-": {"type": "user"}, "/linux/uidMappings": mapping, "/linux/gidMappings": mapping}
    problems = check(changed(minimal(), {**changes, "/process/user": ABSENT}))
    assert [problem.pointer for problem in problems] == ["/process/user/uid", "/process/user/gid"]
