"""The second opinion: JSON Schema on the config, by the package ``jsonschema``.

The checks of `create` are made for speed, from tables that are generated from
``schemas/config.schema.json``.  Here the schema itself is asked, by a
validator that shares no code with them.  The two must agree; where they do
not, one of them is wrong, and that is reported.
"""

from __future__ import annotations

import os

from .._base.jsonio import loads, pointer_token
from ..config.check import structure
from ..config.report import LIMIT
from ..errors import HostError
from .findings import NOTE, SCHEMA, WARNING, Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_NAME = "config.schema.json"

#: Ends of what the walk expects and a schema has no words for: the depth of what nothing reads, half a surrogate pair.
_UNSAID = (" levels", "without lone surrogates")


def schema_text() -> bytes:
    """Return the schema: from beside the package's modules when installed, from ``schemas/`` of a checkout.

    Raises HostError if it is in neither place.
    """
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for folder in (os.path.join(package, "schemas"), os.path.join(package, "..", "..", "schemas")):
        try:
            with open(os.path.join(folder, _NAME), "rb") as file:
                return file.read()
        except FileNotFoundError:
            continue
    raise HostError(f"{_NAME} is missing from the installation", remedy="install ocirun again")


def opinion(data: object) -> list[Finding]:
    """Return where the schema and the walk over the tables disagree; [] if they agree."""
    try:
        from jsonschema import Draft202012Validator  # noqa: F401
    except ImportError:
        return [Finding(NOTE, SCHEMA, "", "no second opinion: the package jsonschema is not installed")]
    seen = [problem for problem in structure(data) if not problem.expected.endswith(_UNSAID)]
    if len(seen) > LIMIT:  # the walk has given up, so there is nothing to compare
        return []
    walked = {problem.pointer: problem.message for problem in seen}
    asked = dict(_by_schema(data))
    found = []
    for pointer, message in asked.items():
        if not _related(pointer, walked):
            found.append(Finding(WARNING, SCHEMA, pointer, f"the schema alone finds a fault: {message}"))
    for pointer, message in walked.items():
        if not _related(pointer, asked):
            found.append(Finding(WARNING, SCHEMA, pointer, f"the schema finds no fault here, but: {message}"))
    return found


def _related(pointer: str, others: dict[str, str]) -> bool:
    """Return whether one of `others` is the same place, or around or inside it: a key that lacks has two addresses."""
    return any(
        pointer == other or pointer.startswith(f"{other}/") or other.startswith(f"{pointer}/") for other in others
    )


def _by_schema(data: object) -> Iterator[tuple[str, str]]:
    validator = _validator(_nullable(loads(schema_text())))
    for error in validator.iter_errors(data):
        message = error.message if len(error.message) <= 200 else error.message[:200] + "..."
        yield "".join(f"/{pointer_token(str(part))}" for part in error.absolute_path), message


def _validator(schema: Any) -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    # JSON Schema takes 1.0 for an integer; the schema's $comment rules that out.
    checker = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
    changed: dict[str, Any] = {"pattern": _pattern, "anyOf": _any_of}
    make: Any = extend
    return make(Draft202012Validator, changed, type_checker=checker)(schema)


def _nullable(node: Any) -> Any:
    """Return the schema with null allowed for each optional key, as its $comment says."""
    if isinstance(node, list):
        return [_nullable(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _nullable(value) for key, value in node.items()}
    if isinstance(node.get("properties"), dict):
        required = node.get("required", [])
        node["properties"] = {
            key: value if key in required else {"anyOf": [{"type": "null"}, value]}
            for key, value in node["properties"].items()
        }
    return node


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[Any]:
    """Check ``pattern``, whose ``$`` is the very end in JSON Schema, but before a last newline too in Python."""
    import re

    from jsonschema.exceptions import ValidationError

    if isinstance(instance, str) and not re.search(pattern.replace("$", r"\Z"), instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _any_of(validator: Any, options: list[Any], instance: Any, _schema: Any) -> Iterator[Any]:
    """Check ``anyOf``; of keys of which one is required, a null one does not count."""
    from jsonschema.exceptions import ValidationError

    if all("required" in option for option in options):
        if isinstance(instance, dict) and all(instance.get(option["required"][0]) is None for option in options):
            yield ValidationError("none of the keys of which one is required")
        return
    if any(validator.evolve(schema=option).is_valid(instance) for option in options):
        return
    for option in options:
        if option != {"type": "null"}:
            yield from validator.descend(instance, option)
