"""Runs the checks of `inside` in a guest, with the runtime installed there; one result here for each file."""

from __future__ import annotations

import os

import pytest
from vm import inner

TYPE_CHECKING = False
if TYPE_CHECKING:
    import xml.etree.ElementTree as ET

    from ..runtime import Runtime

HERE = "tests/engines/systemd/inside"
FILES = tuple(f"{HERE}/check_{name}.py" for name in ("podman", "units", "rootless", "docker", "containerd"))


@pytest.fixture(scope="module")
def report(runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[ET.Element]]:
    """File -> its test cases."""
    installed = os.path.dirname(os.path.dirname(runtime.path)) if runtime.ours else ""
    options = ["--engine-runtime", runtime.name, "--durations=0"]
    return inner.run(FILES, tmp_path_factory.mktemp("vm"), installed=installed, options=options)


@pytest.mark.parametrize("name", FILES)
def test_in_the_guest(report: dict[str, list[ET.Element]], name: str) -> None:
    inner.judge(report, name)
