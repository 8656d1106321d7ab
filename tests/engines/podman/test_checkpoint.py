"""podman container checkpoint and restore."""

from __future__ import annotations

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .engine import Podman

COUNT = "i=0; while true; do i=$((i+1)); echo $i > /next; mv /next /count; sleep 0.1; done"


def count(podman: Podman, name: str = "c1") -> int:
    text = podman("exec", name, "cat", "/count", check=False).out
    return int(text) if text.strip() else 0


@pytest.mark.usefixtures("criu")
def test_goes_on_where_it_was(podman: Podman) -> None:
    podman.keep("-d", "--name=c1", "--network=none", "--", "sh", "-c", COUNT).ok()
    podman.until(lambda: count(podman) >= 20, "it counts")
    podman("container", "checkpoint", "c1")
    assert podman.inspect("c1", ".State.Status") == "exited"
    podman("container", "restore", "c1")
    assert count(podman) >= 20
    before = count(podman)
    podman.until(lambda: count(podman) > before, "it counts on")
    podman("exec", "c1", "true")


@pytest.mark.usefixtures("criu")
def test_another_container_from_an_archive(podman: Podman) -> None:
    archive = f"{podman.machine.store}/saved.tar.gz"
    podman.keep("-d", "--name=c1", "--network=none", "--", "sh", "-c", COUNT).ok()
    podman.until(lambda: count(podman) >= 20, "it counts")
    podman("container", "checkpoint", "--leave-running", "--export", archive, "c1")
    before = count(podman)
    podman.until(lambda: count(podman) > before, "it counts on")
    podman("rm", "-f", "-t", "0", "c1")
    podman("container", "restore", "--import", archive, "--name", "c2")
    assert count(podman, "c2") >= 20
