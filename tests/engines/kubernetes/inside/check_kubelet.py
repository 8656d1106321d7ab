"""A kubelet whose cgroupDriver is systemd: the limits of a pod and of its container are properties of units.

Its tests are those of `test_kubelet.py`. Where all is emulated, the end of a test's pods is not waited for: they end while
the next test runs, and at the end of all nothing may be left.
"""

from __future__ import annotations

import os

import pytest

from ...systemd.inside.guest import GuestQuiet
from ..kubelet import Kubelet, container
from ..test_kubelet import ROOT, SLEEP, STAYS, limits
from ..test_kubelet import test_graceful_stop as test_graceful_stop
from ..test_kubelet import test_init_container_and_sidecar as test_init_container_and_sidecar
from ..test_kubelet import test_kubelet_that_is_killed as test_kubelet_that_is_killed
from ..test_kubelet import test_memory_that_ends_is_told_as_oomkilled as test_memory_that_ends_is_told_as_oomkilled
from ..test_kubelet import test_probes as test_probes
from ..test_kubelet import test_program_that_is_missing as test_program_that_is_missing
from ..test_kubelet import test_projected_files_and_a_subpath as test_projected_files_and_a_subpath
from ..test_kubelet import test_resize_in_place as test_resize_in_place
from ..test_kubelet import test_restart_with_the_exit_code as test_restart_with_the_exit_code
from ..test_kubelet import test_user_namespace as test_user_namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...systemd.inside.guest import Guest
    from .conftest import SystemdNode


@pytest.fixture(scope="module")
def running(node: SystemdNode, machine: Guest) -> Iterator[Kubelet]:
    """A running kubelet that has had a pod; at the end nothing of its pods is left, with systemd either."""
    made = Kubelet(node, "systemd")
    made.start()
    made.put("first", {"containers": [container("c", *SLEEP)]})
    made.ready("first")
    made.remove("first")
    quiet = GuestQuiet(machine, (ROOT,), STAYS, slices=())
    yield made
    made.remove(*made.names)
    quiet.check(120)
    made.kill()


@pytest.fixture
def kubelet(running: Kubelet) -> Iterator[Kubelet]:
    """The kubelet; afterwards its pods have to end."""
    yield running
    running.drop(*(name.removesuffix(".json") for name in os.listdir(f"{running.home}/pods")))


def test_limits_are_properties_of_the_units(kubelet: Kubelet, machine: Guest) -> None:
    resources = {"limits": {"memory": "64Mi", "cpu": "500m"}, "requests": {"memory": "32Mi", "cpu": "250m"}}
    kubelet.put("limited", {"containers": [container("c", *SLEEP, resources=resources)]})
    status = kubelet.ready("limited")["c"]
    assert limits(kubelet, status) == [64 << 20, 50000]
    scope = f"cri-containerd-{status['containerID'].partition('//')[2]}.scope"
    found = machine.properties(scope, "MemoryMax", "CPUQuotaPerSecUSec", "Slice")
    assert (found["MemoryMax"], found["CPUQuotaPerSecUSec"]) == (str(64 << 20), "500ms")
    assert machine.properties(found["Slice"], "MemoryMax")["MemoryMax"] == str(64 << 20)
