"""dockerd with native.cgroupdriver=systemd, on a host with AppArmor."""

from __future__ import annotations

import pytest

from ...docker.daemon import IMAGE
from .daemons import SystemdDocker
from .guest import GuestQuiet, group, values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...runtime import Runtime
    from .guest import Guest

LIMITS = ("--memory=64m", "--memory-swap=64m", "--cpus=0.5", "--pids-limit=20", "--cpuset-cpus=0")
FILES = ("memory.max", "memory.swap.max", "cpu.max", "pids.max", "cpuset.cpus")
SHOWN = ("MemoryMax", "MemorySwapMax", "CPUQuotaPerSecUSec", "TasksMax", "AllowedCPUs", "Slice")
STAYS = ("mount /run/docker/netns/default", "mount /var/lib/docker")


@pytest.fixture(scope="module")
def engine(machine: Guest, runtime: Runtime, busybox: str) -> Iterator[SystemdDocker]:
    """A running dockerd that has the image."""
    made = SystemdDocker(machine, runtime)
    made.start()
    with open(busybox, "rb") as file:
        made("import", "-", IMAGE, stdin=file.read())
    yield made
    made.stop()


@pytest.fixture
def docker(engine: SystemdDocker) -> Iterator[SystemdDocker]:
    """dockerd; afterwards nothing of its containers may be left."""
    quiet = GuestQuiet(engine.machine, ["/run/docker/runtime-runc/moby"], STAYS, slices=("x.slice",))
    yield engine
    quiet.check()


def test_daemon_knows_where_it_is(docker: SystemdDocker) -> None:
    shown = docker("info", "-f", "{{.CgroupDriver}} {{.CgroupVersion}} {{.DefaultRuntime}} {{.SecurityOptions}}").out
    assert shown.startswith(
        f"systemd 2 {docker.runtime.name} [name=apparmor name=seccomp,profile=default name=cgroupns]"
    )


def test_a_life_with_limits(docker: SystemdDocker) -> None:
    machine = docker.machine
    docker.keep("-d", "--name=c1", *LIMITS, "--", "sleep", "1000").ok()
    pid, identifier = docker("inspect", "-f", "{{.State.Pid}} {{.Id}}", "c1").words
    unit = f"docker-{identifier}.scope"
    where = group(pid)
    assert where == f"/system.slice/{unit}"
    script = f"cat /proc/self/attr/current /proc/self/cgroup; cd /sys/fs/cgroup; cat {' '.join(FILES)}"
    lines = docker("exec", "c1", "sh", "-c", script).out.splitlines()
    assert lines == ["docker-default (enforce)", "0::/", str(64 << 20), "0", "50000 100000", "20", "0"]
    docker("update", "--memory=100m", "--memory-swap=200m", "--cpus=0.25", "--pids-limit=30", "c1")
    assert machine.properties(unit, *SHOWN) == {
        "MemoryMax": str(100 << 20),
        "MemorySwapMax": str(100 << 20),
        "CPUQuotaPerSecUSec": "250ms",
        "TasksMax": "30",
        "AllowedCPUs": "0",
        "Slice": "system.slice",
    }
    # systemd writes the files anew from what it knows; devices stay those that were allowed.
    machine.systemctl("daemon-reload")
    assert values(where, *FILES) == [str(100 << 20), str(100 << 20), "25000 100000", "30", "0"]
    script = "head -c 4 /dev/zero | wc -c; mknod /d c 1 11 2>/dev/null; head -c 1 /d 2>/dev/null || echo denied"
    assert docker("exec", "c1", "sh", "-c", script).words == ["4", "denied"]
    docker("exec", "c1", "dd", "if=/dev/zero", "of=/dev/null", "bs=300M", "count=1", check=False).ends(137)
    assert "oom_kill 1" in values(where, "memory.events")[0]
    docker("pause", "c1")
    assert values(where, "cgroup.events") == ["populated 1\nfrozen 1"]
    docker("unpause", "c1")
    assert docker("stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", "c1").words == ["c1", "1"]
    docker("stop", "-t", "0", "c1")
    assert unit not in machine.units()
    # containerd has told of it, and dockerd shows it at the end.
    assert docker.inspect("c1", ".State.OOMKilled") == "true"
    docker("start", "c1")
    assert group(docker.inspect("c1", ".State.Pid")) == where
    docker("rm", "-f", "c1")


def test_parent_slice(docker: SystemdDocker) -> None:
    options = ["--cgroup-parent=x-y.slice", "--cgroupns=host", "--network=none"]
    seen = docker.run(*options, "--", "cat", "/proc/self/cgroup").ok()
    assert seen.out.startswith("0::/x.slice/x-y.slice/docker-")
