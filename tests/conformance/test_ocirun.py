"""ocirun keeps to the specification: one test for each requirement."""

from __future__ import annotations

import pytest

from . import sentences

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@pytest.mark.parametrize("id", [one.id for one in sentences.read().values() if not one.untested])
def test_requirement(id: str, ocirun: dict[str, dict[str, Any]]) -> None:
    found = ocirun[id]
    if found["result"] == "skipped":
        pytest.skip(found["reason"])
    assert found["result"] == "passed", found["reason"]
