"""Short ways to ask cgroup.translate."""

from __future__ import annotations

import pytest

from ocirun.cgroup.settings import translate
from ocirun.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MIB = 1 << 20


def without(*missing: str) -> Callable[[str, str], bool]:
    """`available` of a host that lacks these files or controllers."""
    return lambda controller, file: controller not in missing and file not in missing


def make(resources: dict[str, Any], *missing: str, kind: str = "v1") -> list[str]:
    """The writes for resources as ``file=value``, without device rules."""
    made, _ = translate.translate(kind, resources, available=without(*missing), devices=False)
    return [f"{setting.file}={setting.value}" for setting in made]


def refused(resources: dict[str, Any], *missing: str, kind: str = "v1") -> list[str]:
    """The pointers of the problems, below the resources."""
    with pytest.raises(ConfigError) as caught:
        translate.translate(kind, resources, available=without(*missing), devices=False)
    for problem in caught.value.problems:
        assert problem.pointer.startswith("/linux/resources/")
        assert "\n" not in problem.message
    return [problem.pointer.removeprefix("/linux/resources/") for problem in caught.value.problems]


def make_v2(resources: dict[str, Any], *missing: str) -> list[str]:
    """As `make`, for v2."""
    return make(resources, *missing, kind="v2")


def refused_v2(resources: dict[str, Any], *missing: str) -> list[str]:
    """As `refused`, for v2."""
    return refused(resources, *missing, kind="v2")


def warned(resources: dict[str, Any]) -> list[str]:
    """The pointers of the warnings, for resources that lead to no write."""
    made, warnings = translate.translate("v1", resources, available=without(), devices=False)
    assert all(problem.warning for problem in warnings)
    assert made == []
    return [problem.pointer.removeprefix("/linux/resources/") for problem in warnings]
