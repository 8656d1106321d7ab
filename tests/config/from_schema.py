"""Configs made from ``schemas/config.schema.json``: a good one, some parts of which are whatever the schema allows."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

from hypothesis import strategies as st

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SCHEMA = json.loads(
    (Path(__file__).resolve().parents[2] / "schemas" / "config.schema.json").read_text(encoding="utf-8")
)
DEFS: dict[str, Any] = SCHEMA["$defs"]

_LETTERS = st.characters(codec="utf-8", exclude_characters="\0")
_EDGES = (0, 1, -1, 2, 5, 100, 4096)
_MAPPING = {"containerID": 0, "hostID": 100000, "size": 65536}


def base() -> dict[str, Any]:
    """A config with every namespace of its own but those of users and time."""
    kinds = ("pid", "network", "ipc", "uts", "mount", "cgroup")
    return {
        "ociVersion": "1.3.0",
        "root": {"path": "rootfs"},
        "process": {"cwd": "/", "args": ["/bin/true"], "user": {"uid": 0, "gid": 0}},
        "linux": {"namespaces": [{"type": kind} for kind in kinds]},
    }


def values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Whatever fits a schema."""
    if "$ref" in schema:
        return values(DEFS[schema["$ref"].rpartition("/")[2]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kind = schema["type"]
    if kind == "boolean":
        return st.booleans()
    if kind == "integer":
        least, most = schema["minimum"], schema["maximum"]
        edges = sorted({least, most, *(edge for edge in _EDGES if least <= edge <= most)})
        return st.sampled_from(edges) | st.integers(least, min(most, least + 2000))
    if kind == "string":
        pattern = schema["pattern"].replace("$", r"\Z")
        if pattern.startswith(r"^[^\u0000]"):
            return st.text(_LETTERS, min_size=pattern.count("+"), max_size=12) | st.sampled_from(("a", "0-1", "L3:0=f"))
        return st.from_regex(re.compile(pattern), alphabet=_LETTERS).filter(lambda text: len(text) < 200)
    if kind == "array":
        least = schema.get("minItems", 0)
        return st.lists(values(schema["items"]), min_size=least, max_size=max(2, least))
    if "additionalProperties" in schema:
        return st.dictionaries(values(schema["propertyNames"]), values(schema["additionalProperties"]), max_size=2)
    return _objects(schema)


def _objects(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    required = schema.get("required", ())
    parts = {key: values(inner) for key, inner in schema["properties"].items()}
    found: st.SearchStrategy[Any] = st.fixed_dictionaries(
        {key: parts[key] for key in required},
        optional={key: part for key, part in parts.items() if key not in required},
    )
    either = [option["required"][0] for option in schema.get("anyOf", ())]
    return found.filter(lambda value: any(key in value for key in either)) if either else found


def places(name: str = "spec", pointer: str = "") -> list[tuple[str, dict[str, Any]]]:
    """(pointer, schema) of each value that a config may have, down to the members of lists and maps."""
    found = []
    for key, inner in DEFS[name].get("properties", {}).items():
        target = inner["$ref"].rpartition("/")[2] if "$ref" in inner else ""
        if target and "properties" in DEFS[target]:
            found += places(target, f"{pointer}/{key}")
        found.append((f"{pointer}/{key}", inner))
    return found


PLACES = [(pointer, values(schema)) for pointer, schema in places()]


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """The good config with one to three of its values exchanged or added."""
    config = copy.deepcopy(base())
    for _ in range(draw(st.integers(1, 3))):
        pointer, part = draw(st.sampled_from(PLACES))
        *parents, last = pointer[1:].split("/")
        target: Any = config
        schema = DEFS["spec"]
        for name in parents:
            schema = DEFS[schema["properties"][name]["$ref"].rpartition("/")[2]]
            if name not in target:
                # What this object needs besides what is to be put in.
                needed = {
                    key: inner for key, inner in schema["properties"].items() if key in schema.get("required", ())
                }
                target[name] = {key: draw(values(inner)) for key, inner in needed.items()}
            target = target[name]
        target[last] = draw(part)
    return config
