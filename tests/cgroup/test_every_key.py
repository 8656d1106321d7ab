"""No key of `linux.resources` is passed over: each driver reads every key that the schema has, or says why not here."""

from __future__ import annotations

import contextlib

import pytest

from ocirun.cgroup.settings import translate
from ocirun.config import _tables as tables
from ocirun.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

# Key -> why the driver may leave it.
PASSED_OVER = {
    "v1": {
        "memory/checkBeforeUpdate": "for `update`, which looks before it writes",
        "unified/a": "all of it is refused",
    },
    "v2": {
        "memory/checkBeforeUpdate": "for `update`, which looks before it writes",
        "network/priorities/priority": "all of them are refused",
    },
}
VALUES = {"page_size": "2MB", "access": "rwm", "name": "eth0"}


class Noted(dict[str, "Any"]):
    """An object of config.json that notes which of its keys are looked at."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.read: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.read.add(key)
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)

    def items(self) -> Any:
        self.read |= set(self)
        return super().items()


def filled(node: Any) -> Any:
    """A value with everything that the schema has."""
    kind = node[0]
    if kind == tables.OBJECT:
        return Noted({key: filled(below) for key, below in node[1].items()})
    if kind == tables.LIST:
        return [filled(node[1])]
    if kind == tables.MAP:
        return Noted({"a": filled(node[1])})
    if kind == tables.INT:
        return max(1, node[1])
    if kind == tables.BOOL:
        return True
    return VALUES.get(node[1], "0") if kind == tables.STR else node[1][0]


def unread(value: Any, path: str = "") -> Iterator[str]:
    """The keys of what `filled` made that nobody has looked at."""
    for entry in value if isinstance(value, list) else ():
        yield from unread(entry, path)
    if isinstance(value, Noted):
        for key in set(value) - value.read:
            yield f"{path}/{key}"[1:]
        for key in value.read & set(value):
            yield from unread(dict.__getitem__(value, key), f"{path}/{key}")


@pytest.mark.parametrize("kind", ["v1", "v2"])
def test_every_key_is_read(kind: str) -> None:
    resources = filled(tables.RESOURCES)
    with contextlib.suppress(ConfigError):  # what a driver does not have is refused
        translate.translate(kind, resources, available=lambda *_: True)
    assert set(unread(resources)) == set(PASSED_OVER[kind])


def test_a_key_that_is_passed_over_is_found() -> None:
    resources = filled(tables.RESOURCES)
    resources["memory"]["new"] = 1
    assert [resources[key] for key in resources]
    assert "memory/new" in set(unread(resources))
