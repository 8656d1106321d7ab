"""A config that the schema rejects is refused before anything is made."""

from __future__ import annotations

import json

import pytest
from config.test_schema import VALIDATOR, mutants
from hypothesis import HealthCheck, given, settings

from ocirun.container import Container, CreateOptions
from ocirun.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundle")


@given(mutants())
@settings(max_examples=150, derandomize=True, suppress_health_check=list(HealthCheck))
def test_what_the_schema_rejects_leaves_nothing_behind(bundle: Path, config: Any) -> None:
    if VALIDATOR.is_valid(config):
        return
    (bundle / "config.json").write_text(json.dumps(config))
    root = bundle / "state"
    with pytest.raises(ConfigError):
        Container.create("c", root=str(root), options=CreateOptions(bundle=str(bundle)))
    # The state root is what `create` makes first.
    assert not root.exists()
