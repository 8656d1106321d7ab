"""A kubelet whose cgroupDriver is systemd: the limits of a pod and of its container are properties of units."""

from __future__ import annotations

import pytest

from ...leaks import Quiet
from ...systemd.inside.conftest import machine as machine
from ...systemd.inside.conftest import runtime as runtime
from ..kubelet import Kubelet, container
from ..node import CONFIG, Node
from ..test_kubelet import SLEEP, limits
from ..test_kubelet import kubelet as kubelet
from ..test_kubelet import test_graceful_stop as test_graceful_stop
from ..test_kubelet import test_init_container_and_sidecar as test_init_container_and_sidecar
from ..test_kubelet import test_kubelet_that_is_killed as test_kubelet_that_is_killed
from ..test_kubelet import test_memory_that_ends_is_told_as_oomkilled as test_memory_that_ends_is_told_as_oomkilled
from ..test_kubelet import test_resize_in_place as test_resize_in_place
from ..test_kubelet import test_restart_with_the_exit_code as test_restart_with_the_exit_code
from ..test_kubelet import test_user_namespace as test_user_namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...runtime import Runtime
    from ...systemd.inside.guest import Guest

#: Where the caller put the images, and the programs into the PATH.
IMAGES, PROGRAMS = "/srv/images", "/srv/programs.tar.gz"


class SystemdNode(Node):
    """A node whose pods are in slices and scopes."""

    settings = CONFIG.replace('BinaryName = "{path}"', 'BinaryName = "{path}"\n        SystemdCgroup = true')


@pytest.fixture(scope="module")
def running(machine: Guest, runtime: Runtime) -> Iterator[Kubelet]:
    """A running kubelet that has had a pod."""
    machine.run("tar", "-C", "/", "-xf", PROGRAMS).ok()
    node = SystemdNode(machine, runtime, {}, IMAGES)
    node.start()
    made = Kubelet(node, "systemd")
    made.start()
    made.put("first", {"containers": [container("c", *SLEEP)]})
    made.ready("first")
    made.remove("first")
    yield made
    made.kill()


@pytest.fixture(scope="module")
def quiet(running: Kubelet) -> Quiet:
    """What the guest looks like without pods."""
    return Quiet(
        running.node.machine,
        ("/run/containerd/runc/k8s.io",),
        (" containerd", "kubelet", "kubepods", "systemd", "session"),
    )


def test_limits_are_properties_of_the_units(kubelet: Kubelet, machine: Guest) -> None:
    resources = {"limits": {"memory": "64Mi", "cpu": "500m"}, "requests": {"memory": "32Mi", "cpu": "250m"}}
    kubelet.put("limited", {"containers": [container("c", *SLEEP, resources=resources)]})
    status = kubelet.ready("limited")["c"]
    assert limits(kubelet, status) == [64 << 20, 50000]
    scope = f"cri-containerd-{status['containerID'].partition('//')[2]}.scope"
    found = machine.properties(scope, "MemoryMax", "Slice")
    assert found["MemoryMax"] == str(64 << 20)
    assert machine.properties(found["Slice"], "MemoryMax")["MemoryMax"] == str(64 << 20)
