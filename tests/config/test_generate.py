"""The committed tables and types are what the generator makes of the schema, and it refuses what it does not know."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any, NotRequired, get_origin, get_type_hints

import pytest
from jsonschema import Draft202012Validator

from ocirun.config import _types, patterns

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"


def _generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate", SCHEMAS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = _generator()


def schema() -> dict[str, Any]:
    result: dict[str, Any] = json.loads((SCHEMAS / "config.schema.json").read_text(encoding="utf-8"))
    return result


@pytest.mark.parametrize("name", ["_tables.py", "_types.py"])
def test_files_are_in_step_with_the_schema(name: str) -> None:
    made = generate.Generator(schema()).files()[name]
    assert (generate.TARGET / name).read_text(encoding="utf-8") == made


def test_check_reports_a_stale_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "TARGET", tmp_path)
    assert generate.main(["--check"]) == 1
    assert "_tables.py" in capsys.readouterr().err
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0


@pytest.mark.parametrize("name", ["config.schema.json", "features.schema.json", "state.schema.json"])
def test_schemas_are_schemas(name: str) -> None:
    Draft202012Validator.check_schema(json.loads((SCHEMAS / name).read_text(encoding="utf-8")))


def test_every_definition_is_used() -> None:
    text = json.dumps(schema())
    assert [name for name in schema()["$defs"] if f'"#/$defs/{name}"' not in text] == []


def test_every_form_has_a_function() -> None:
    assert set(generate.FORMS.values()) - {"text"} == set(patterns.FORMS)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"type": "string", "pattern": "^a$"}, r"\^a\$"),
        ({"type": "string", "pattern": "^/[^\\u0000]*$", "maxLength": 5}, "no maxLength for this kind"),
        ({"type": "integer", "minimum": 0, "maximum": 1, "multipleOf": 2}, "no multipleOf"),
        ({"type": "object", "properties": {}, "not": {}}, "no not"),
        ({"type": "object", "properties": {}, "anyOf": [{"required": ["a", "b"]}]}, "anyOf"),
        ({"type": "object", "propertyNames": {"type": "string"}, "additionalProperties": {"type": "boolean"}}, "keys"),
        ({"$ref": "other.json"}, "only references to definitions"),
    ],
)
def test_what_the_walker_does_not_know_is_refused(value: dict[str, Any], words: str) -> None:
    changed = schema()
    changed["$defs"]["spec"]["properties"]["hostname"] = value
    with pytest.raises((ValueError, KeyError), match=words):
        generate.Generator(changed).files()


def test_types_say_what_is_required() -> None:
    hints = get_type_hints(_types.Process, include_extras=True)
    assert {key for key, hint in hints.items() if get_origin(hint) is not NotRequired} == {"cwd", "args"}
    assert get_type_hints(_types.IdMapping) == {"containerID": int, "hostID": int, "size": int}


def test_the_state_schema() -> None:
    validator = Draft202012Validator(json.loads((SCHEMAS / "state.schema.json").read_text(encoding="utf-8")))
    state = {"ociVersion": "1.3.0", "id": "a", "status": "running", "pid": 5, "bundle": "/b", "annotations": {}}
    assert validator.is_valid(state)
    for key, value in (("status", "dead"), ("pid", -1), ("bundle", "b"), ("id", "a/b"), ("annotations", {"a": 1})):
        assert not validator.is_valid({**state, key: value})
