"""The CRI plugin with SystemdCgroup = true, called as by a kubelet whose cgroupDriver is systemd."""

from __future__ import annotations

import pytest

from ...containerd.cri import Client
from ...containerd.schema import RUNNING
from .daemons import SystemdContainerd
from .guest import GuestQuiet, group, values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...runtime import Runtime
    from .guest import Guest

PARENT = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice"


@pytest.fixture(scope="module")
def daemon(machine: Guest, runtime: Runtime, busybox: str) -> Iterator[SystemdContainerd]:
    """A running containerd that has the images."""
    made = SystemdContainerd(machine, runtime)
    made.start()
    made.load(busybox)
    yield made
    made.stop()


@pytest.fixture
def cri(daemon: SystemdContainerd) -> Iterator[Client]:
    """A client; afterwards its pods are removed, and nothing of them may be left."""
    quiet = GuestQuiet(daemon.machine, ["/run/containerd/runc/k8s.io"], (), slices=("kubepods.slice",))
    with Client("/run/containerd/containerd.sock") as client:
        yield client
        client.clear()
    quiet.check()


def test_a_pod_of_a_kubelet(cri: Client, daemon: SystemdContainerd) -> None:
    machine = daemon.machine
    pod = cri.pod(host_network=True, cgroup_parent=PARENT)
    limits = {"cpu_period": 100000, "cpu_quota": 50000, "cpu_shares": 512, "memory_limit_in_bytes": 64 << 20}
    container = cri.container(pod, ("sleep", "1000"), linux={"resources": limits})
    assert cri.status(container).state == RUNNING
    unit = f"cri-containerd-{container}.scope"
    where = f"{PARENT}/{unit}"
    (pid,) = values(where, "cgroup.procs")
    assert group(pid) == where
    assert values(f"{PARENT}/cri-containerd-{pod}.scope", "cgroup.events") == ["populated 1\nfrozen 0"]
    # runc of that age counts weights in another way.
    weights = ("59", "100") if daemon.runtime.ours else ("20", "39")
    assert values(where, "memory.max", "cpu.max", "cpu.weight") == [str(64 << 20), "50000 100000", weights[0]]
    seen = cri.output(container, "sh", "-c", "cat /proc/self/cgroup /sys/fs/cgroup/memory.max")
    assert seen == f"0::/\n{64 << 20}\n"
    update = {"cpu_shares": 1024, "cpu_quota": 25000, "cpu_period": 100000, "memory_limit_in_bytes": 128 << 20}
    cri("UpdateContainerResources", container_id=container, linux=update)
    machine.systemctl("daemon-reload")
    assert values(where, "memory.max", "cpu.max", "cpu.weight") == [str(128 << 20), "25000 100000", weights[1]]
    assert machine.properties(unit, "MemoryMax", "Slice") == {
        "MemoryMax": str(128 << 20),
        "Slice": PARENT.rpartition("/")[2],
    }
    # Such an update carries a rule that denies all devices; those that were allowed stay so.
    assert cri.output(container, "sh", "-c", "head -c 4 /dev/zero | wc -c").strip() == "4"
    stats = cri("ContainerStats", container_id=container).stats
    assert stats.memory.working_set_bytes.value > 0
    cri("StopContainer", container_id=container, timeout=0)
    assert unit not in machine.units()
