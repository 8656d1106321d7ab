"""podman of root: scopes, slices, limits, and all that `--cgroups` can be."""

from __future__ import annotations

import pytest

from ...podman.engine import IMAGE
from .guest import group, values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .podman import SystemdPodman

LIMITS = ("--memory=64m", "--memory-swap=96m", "--cpus=0.5", "--pids-limit=20", "--cpuset-cpus=1")
FILES = ("memory.max", "memory.swap.max", "cpu.max", "pids.max", "cpuset.cpus")
SHOWN = ("MemoryMax", "MemorySwapMax", "CPUQuotaPerSecUSec", "TasksMax", "AllowedCPUs", "Slice", "Delegate")
# Its own place, and that of conmon, which is its parent; without namespaces that would hide them.
OPEN = ("--network=none", "--pid=host", "--cgroupns=host")
PLACES = ("sh", "-c", "cat /proc/self/cgroup /proc/$PPID/cgroup")


def test_a_life_with_limits(podman: SystemdPodman) -> None:
    machine = podman.machine
    pid = podman.start("c1", *LIMITS)
    where = group(pid)
    identifier = podman.inspect("c1", ".Id")
    assert where == f"/machine.slice/libpod-{identifier}.scope"
    unit = f"libpod-{identifier}.scope"
    assert machine.properties(unit, *SHOWN) == {
        "MemoryMax": str(64 << 20),
        "MemorySwapMax": str(32 << 20),
        "CPUQuotaPerSecUSec": "500ms",
        "TasksMax": "20",
        "AllowedCPUs": "1",
        "Slice": "machine.slice",
        "Delegate": "yes",
    }
    seen = podman("exec", "c1", "sh", "-c", f"cat /proc/self/cgroup; cd /sys/fs/cgroup; cat {' '.join(FILES)}")
    assert seen.out.splitlines() == ["0::/", str(64 << 20), str(32 << 20), "50000 100000", "20", "1"]
    # Processes are counted, and the last one is refused.
    podman("exec", "c1", "sh", "-c", "for i in $(seq 25); do sleep 0.5 & done", check=False).ends(2, "can't fork")

    podman("update", "--memory=128m", "--memory-swap=128m", "--cpus=0.25", "c1")
    # systemd writes the files anew from what it knows.
    machine.systemctl("daemon-reload")
    assert values(where, *FILES) == [str(128 << 20), "0", "25000 100000", "20", "1"]
    podman("pause", "c1")
    assert values(where, "cgroup.events") == ["populated 1\nfrozen 1"]
    podman("unpause", "c1")
    assert values(where, "cgroup.events") == ["populated 1\nfrozen 0"]
    assert podman("stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", "c1").words[0] == "c1"

    podman("stop", "-t", "0", "c1")
    assert unit not in machine.units()
    podman("start", "c1")
    assert group(podman.inspect("c1", ".State.Pid")) == where
    podman("rm", "-f", "-t", "0", "c1")


def test_a_pod_has_a_slice(podman: SystemdPodman) -> None:
    podman("pod", "create", "--name=p1", "--share=ipc,uts", "--network=none", "--memory=100m")
    pod = podman("pod", "inspect", "-f", "{{.ID}}", "p1").out.strip()
    where = group(podman.start("one", "--pod=p1", "--memory=50m"))
    above, _, scope = where.rpartition("/")
    assert above == f"/machine.slice/machine-libpod_pod_{pod}.slice"
    assert scope.startswith("libpod-")
    assert [*values(above, "memory.max"), *values(where, "memory.max")] == [str(100 << 20), str(50 << 20)]
    podman("pod", "pause", "p1")
    assert values(where, "cgroup.events") == ["populated 1\nfrozen 1"]
    podman("pod", "unpause", "p1")
    podman("pod", "rm", "-f", "-t", "0", "p1")


def test_parent_slice(podman: SystemdPodman) -> None:
    own, above = podman.run(*OPEN, "--cgroup-parent=x-y.slice", "--", *PLACES).words
    assert own.startswith("0::/x.slice/x-y.slice/libpod-")
    assert above.startswith("0::/x.slice/x-y.slice/libpod-conmon-")


@pytest.mark.parametrize("mode", ["no-conmon", "split"])
def test_ways_of_having_cgroups(podman: SystemdPodman, mode: str) -> None:
    # In a unit, as "split" divides the group that podman itself is in.
    unit = f"ocirun-test-{mode}.service"
    around = ["systemd-run", "--wait", "--pipe", "-q", f"--unit={unit}", "-p", "Delegate=yes"]
    command = ["podman", "run", "--rm", *OPEN, f"--cgroups={mode}", IMAGE, *PLACES]
    own, above = podman.machine.run(*around, *command).words
    here = f"0::/system.slice/{unit}"
    if mode == "no-conmon":
        assert own.startswith("0::/machine.slice/libpod-")
        assert above == here
    else:
        assert own.startswith(f"{here}/libpod-payload-")
        assert above == f"{here}/runtime"


def test_no_cgroup(podman: SystemdPodman) -> None:
    if not podman.runtime.ours:
        return  # runc does not know the option of crun that podman uses
    assert group(podman.start("c1", "--cgroups=disabled")) == group("self")
    podman("rm", "-f", "-t", "0", "c1")
