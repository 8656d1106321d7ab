"""Docker and podman where there is nothing but cgroup v2: devices by eBPF, freezing, killing, limits."""

from __future__ import annotations

import pytest

from ..docker.daemon import IMAGE, Docker
from ..leaks import Quiet
from ..machine import Machine
from ..podman.engine import Podman

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..runtime import Runtime


@pytest.fixture(scope="module")
def unified(runtime: Runtime) -> Iterator[Machine]:
    """A machine with the host's v2 hierarchy in the place where all hierarchies are otherwise."""
    with Machine(cgroups="v2", runtime=runtime) as made:
        yield made


def test_docker(unified: Machine, runtime: Runtime, busybox: str) -> None:
    docker = Docker(unified, runtime)
    docker.start()
    assert docker("info", "-f", "{{.CgroupVersion}} {{.CgroupDriver}}").words == ["2", "cgroupfs"]
    with open(busybox, "rb") as file:
        docker("import", "-", IMAGE, stdin=file.read())
    docker.run("echo", "hi").says("hi")
    quiet = Quiet(unified, ["/run/docker/runtime-runc/moby"], ["cgroup /docker/buildkit"])
    docker.keep("-d", "--name=c1", "--device=/dev/fuse", "--", "sleep", "1000").ok()
    assert docker("exec", "c1", "cat", "/proc/self/cgroup").out.splitlines()[-1] == "0::/"
    docker("exec", "c1", "ls", "/sys/fs/cgroup/cgroup.procs")
    docker("exec", "c1", "sh", "-c", "mknod /n c 1 11 && cat /n", check=False).ends(1, "Operation not permitted")
    docker("exec", "c1", "head", "-c", "4", "/dev/zero")
    docker("exec", "-d", "c1", "sleep", "999")
    docker("pause", "c1")
    assert docker.inspect("c1", ".State.Status") == "paused"
    docker("unpause", "c1")
    assert docker("top", "c1").out.count("sleep") == 2
    docker("update", "--restart=no", "c1")
    docker("pause", "c1")
    docker("rm", "-f", "c1", limit=20)
    if runtime.ours:  # see tests of --privileged
        docker.run("--privileged", "--", "mount", "-t", "tmpfs", "t", "/tmp").ok()
    docker.run("--pid=host", "--", "true").ok()
    quiet.check()
    docker.stop()


def test_podman(unified: Machine, runtime: Runtime, busybox: str) -> None:
    podman = Podman(unified, runtime)
    podman.load(busybox)
    # The limit of processes that podman sets by itself needs a controller that the host may keep for cgroup v1.
    options = ["--pids-limit=-1"]
    podman.run(*options, "--", "echo", "hi").says("hi")
    podman.keep("-d", "--name=c1", *options, "--", "sleep", "1000").ok()
    podman("pause", "c1")
    podman("unpause", "c1")
    podman("exec", "c1", "cat", "/proc/self/cgroup")
    assert "sleep 1000" in podman("top", "c1").out
    podman("stop", "-t", "1", "c1")
    podman("rm", "c1")
    if runtime.ours:  # runc has no --cgroup-manager
        podman.run("--cgroups=disabled", "--", "true").ok()
