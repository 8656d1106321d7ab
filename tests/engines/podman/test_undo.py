"""The section Undo of docs/engines/podman.md, which is buildah's too."""

from __future__ import annotations

import shutil

import pytest

from .engine import IMAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .engine import Podman

# What is left of the configuration when the lines for ocirun are taken out.
LEFT = """[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
"""


UNIFIED = "/sys/fs/cgroup/unified"


@pytest.fixture
def undone(podman: Podman) -> Iterator[Podman]:
    """podman without our lines; afterwards they are back."""
    if podman.runtime.name != "ocirun" or not (shutil.which("crun") or shutil.which("runc") or podman.machine.root):
        pytest.skip("it is about ocirun, and the runtime that is left")
    podman.machine.write("/etc/containers/containers.conf", LEFT)
    # crun refuses a hybrid host with controllers on the side of v2, where an engine may have switched one on.
    hybrid = podman.machine.run("grep", "-q", ".", f"{UNIFIED}/cgroup.controllers").code == 0
    if hybrid:
        podman.machine.run("umount", UNIFIED).ok()
    yield podman
    if hybrid:
        podman.machine.run("mount", "-t", "cgroup2", "none", UNIFIED).ok()
    podman.configure()


def test_containers_are_of_another_runtime(undone: Podman) -> None:
    assert undone("info", "-f", "{{.Host.OCIRuntime.Name}}").out.strip() in ("crun", "runc")
    undone.keep("--name=c1", "--ulimit=nofile=64:64", "--ulimit=nproc=10000:10000", "--", "echo", "hi").says("hi")
    assert undone.inspect("c1", ".OCIRuntime") in ("crun", "runc")


def test_a_step_of_buildah(undone: Podman) -> None:
    name = undone.machine.run("buildah", "from", IMAGE).ok().out.strip()
    try:
        log = undone.machine.run("buildah", "--log-level=debug", "run", name, "echo", "hi").ok()
        assert log.out.strip() == "hi"
        assert "ocirun" not in log.err
    finally:
        undone.machine.run("buildah", "rm", name).ok()


def test_a_container_that_was_made_before(podman: Podman) -> None:
    """It is to be removed first: podman looks for its runtime by name, and does not know it any more."""
    if podman.runtime.name != "ocirun":
        pytest.skip("it is about ocirun")
    podman.keep("--name=c1", "--", "true").ok()
    podman.machine.write("/etc/containers/containers.conf", LEFT)
    try:
        assert podman("start", "c1", check=False).code != 0
    finally:
        podman.configure()
    podman("rm", "c1")
