"""The machine of the newer engines, for the tests of this folder only."""

from __future__ import annotations

import pytest

from ..conftest import need_root
from ..machine import Machine
from ..runtime import provided

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..runtime import Runtime


@pytest.fixture(scope="session")
def runtime(request: pytest.FixtureRequest, tree: str) -> Iterator[Runtime]:
    """The runtime under test, installed in the tree: ocirun for its Python, or the tree's own runc."""
    need_root()
    with provided(request.config.getoption("--engine-runtime"), tree) as made:
        yield made


@pytest.fixture(scope="session")
def machine(runtime: Runtime) -> Iterator[Machine]:
    """The machine on which one engine after the other is started."""
    with Machine(name="modern", runtime=runtime) as made:
        yield made
