"""The walker and a JSON Schema validator must give the same verdict on any config."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from config.samples import docker, full, minimal
from config.test_generate import generate
from ocirun.config import _tables, patterns
from ocirun.config.check import Walk, check, structure

SCHEMA = Path(__file__).resolve().parents[2] / "schemas" / "config.schema.json"


def _properties(validator: Any, properties: dict[str, Any], instance: Any, schema: Any) -> Any:
    # Null stands for an optional key that is absent, as the schema's $comment says.
    if isinstance(instance, dict):
        for key in properties.keys() & instance.keys():
            if instance[key] is not None or key in schema.get("required", ()):
                yield from validator.descend(instance[key], properties[key], path=key, schema_path=key)


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Any:
    # In a JSON Schema "$" is the end; in Python it is also before a last newline.
    if isinstance(instance, str) and not re.search(pattern.replace("$", r"\Z"), instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _any_of(validator: Any, options: list[Any], instance: Any, schema: Any) -> Any:
    # Of keys of which one is required, a null one does not count.
    if all("required" in option for option in options):
        if isinstance(instance, dict) and all(instance.get(option["required"][0]) is None for option in options):
            yield ValidationError("none of the keys")
    elif not any(validator.evolve(schema=option).is_valid(instance) for option in options):
        yield ValidationError("no option fits")


# The default takes 1.0 for an integer, as JSON Schema does; the schema's $comment rules that out.
CHECKER = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
Validator: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {"properties": _properties, "pattern": _pattern, "anyOf": _any_of}, type_checker=CHECKER
)
VALIDATOR = Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))

BASES = [minimal(), docker(), full()]

#: Values near the edges of ranges and forms, and of each JSON type.
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 5, 6, 9, 10, 99, 100, 101, 511, 512, 1000, 1001, -1000, -1001, 4095, 4096, 65535,
    65536, 999999999, 10**9, 1048575, 1048576, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**32 - 2, 2**32 - 1, 2**32,
    2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64 - 1, 2**64, 0.0, 1.0, 1e300, "", "a", "/", "/a", "a/b", "A=b",
    "=b", "A", "A=", "a\0b", "/\0", "rwm", "rx", "1.0.0", "1.0.0\n", "2MB", "2MB\n", "0KB", "SCMP_ACT_ALLOW", "pid",
    "c", "b", "LINUX", "MPOL_BIND", "private", "RLIMIT_CPU", [], {}, [None], [1], ["a"], ["/a"], ["A=b"], [[]], [{}],
    {"a": 1}, {"a": "b"}, {"": "b"}, {"a\0": "b"}, {"path": "/a"}, {"type": "pid"},
    {"major": 1, "minor": 1}, {"major": 1, "minor": 1, "weight": 10}, {"a": {}}, {"a": {"hcaHandles": 1}},
    {"containerID": 0, "hostID": 0, "size": 1}, {"cwd": "/", "args": ["a"], "user": {"uid": 0, "gid": 0}},
]  # fmt: skip


def places(value: Any) -> list[tuple[Any, Any]]:
    """Each (container, key or index) in `value`."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [entry for key in keys for entry in [(value, key), *places(value[key])]]


@st.composite
def mutants(draw: st.DrawFn) -> Any:
    """A good config with up to three changes."""
    config = copy.deepcopy(draw(st.sampled_from(BASES)))
    for _ in range(draw(st.integers(1, 3))):
        container, key = draw(st.sampled_from(places(config) or [(config, "x")]))
        value = copy.deepcopy(draw(st.sampled_from(VALUES)))
        match draw(st.integers(0, 4)):
            case 0:
                container.pop(key, None) if isinstance(container, dict) else container.pop(key)
            case 1 if isinstance(container, list):
                container.insert(key, value)
            case 1:
                container[draw(st.sampled_from(["x", "", "weight", "path", "linux", "a/b~"]))] = value
            case _:
                container[key] = value
    return config


def verdicts(config: Any) -> tuple[bool, bool]:
    return VALIDATOR.is_valid(config), not structure(config)


@settings(max_examples=600, derandomize=True)
@given(mutants())
def test_walker_and_schema_agree_on_changed_configs(config: Any) -> None:
    by_schema, by_walker = verdicts(config)
    assert by_schema == by_walker
    # The rules must stand whatever the walk lets through, and find nothing missing that the walk has found.
    problems = check(config)
    assert by_walker or any(not problem.warning for problem in problems)


def _good() -> dict[int, list[Any]]:
    """The values of `full` by the table entry that they are checked with."""
    good: dict[int, list[Any]] = {}

    def collect(node: Any, value: Any) -> None:
        good.setdefault(id(node), []).append(value)
        if node[0] == _tables.OBJECT:
            for key, item in value.items():
                collect(node[1][key], item)
        elif node[0] == _tables.LIST or node[0] == _tables.MAP:
            for item in value.values() if isinstance(value, dict) else value[:5]:
                collect(node[1], item)

    collect(_tables.SPEC, full())
    return good


GOOD = _good()


def _pairs() -> list[tuple[str, Any, Any]]:
    """Each definition and each property of the schema with its entry in the tables."""
    pairs = []
    for name, schema in VALIDATOR.schema["$defs"].items():
        node: Any = getattr(_tables, generate.constant(name), None)
        # Definitions that only people need are not in the tables.
        if node is None:
            continue
        pairs.append((name, schema, node))
        for key, inner in schema.get("properties", {}).items():
            pairs.append((f"{name}.{key}", inner, node[1][key]))
    return pairs


@pytest.mark.parametrize(("schema", "node"), [pytest.param(*pair[1:], id=pair[0]) for pair in _pairs()])
def test_walker_and_schema_agree_on_each_part(schema: Any, node: Any) -> None:
    validator = VALIDATOR.evolve(schema={**schema, "$defs": VALIDATOR.schema["$defs"]})
    verdicts = []
    for value in [*VALUES, *GOOD[id(node)]]:
        walk = Walk()
        walk.value(value, node, "")
        by_walker = not walk.report.problems
        assert by_walker == validator.is_valid(value), value
        verdicts.append(by_walker)
    # A value of each verdict, or the comparison says nothing.
    assert set(verdicts) == {True, False}


@settings(max_examples=300, derandomize=True)
@given(st.text(alphabet="01.-+/=a2MBKGrwm\0\n ", max_size=8))
def test_forms_are_their_patterns(text: str) -> None:
    for pattern, name in generate.FORMS.items():
        by_pattern = re.search(pattern.replace("$", r"\Z"), text) is not None
        by_form = not patterns.clean(text) and (name == "text" or bool(patterns.FORMS[name][0](text)))
        assert by_form == by_pattern, (name, text)
