"""The tutorial about engines does what it shows."""

from __future__ import annotations

import pytest
from docs.tutorials import PAGES, READERS, START, steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .engine import Podman


def test_the_tutorial(podman: Podman) -> None:
    if not podman.runtime.ours:
        pytest.skip("of ocirun only")
    work = f"{podman.machine.store}/tutorial"
    podman.machine.run("mkdir", work).ok()
    for page in (START, "engines"):
        for step in steps(PAGES[page]):
            command = f"{{ {step.command}\n}} 2>&1".replace(READERS, work)
            found = podman.machine.run("/bin/sh", "-c", command, cwd=work).out.splitlines()
            assert step.form(found) == step.form(line.replace(READERS, work) for line in step.output), step.command
