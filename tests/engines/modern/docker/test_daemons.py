"""A newer dockerd with other settings: checkpoints, the image store of containerd, cgroup v2."""

from __future__ import annotations

import pytest

from ...docker.daemon import IMAGE, Docker
from ...docker.test_checkpoint import make_two
from ...leaks import Quiet
from ...machine import Machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...runtime import Runtime


@pytest.fixture
def settable(docker: Docker) -> Iterator[Docker]:
    """The daemon, started again with its settings of before afterwards."""
    before = dict(docker.settings)
    yield docker
    docker.stop()
    docker.settings.clear()
    docker.configure(**before)
    docker.start()


@pytest.mark.usefixtures("criu")
def test_checkpoint(settable: Docker) -> None:
    """Made, and the container is started afresh; dockerd 28 itself loses the way to start it from the checkpoint.

    It looks for the network of process 0, with runc as well: a restored container has no process before it runs.
    """
    docker = settable
    make_two(docker)
    refused = docker("start", "--checkpoint=second", "c1", check=False)
    assert refused.code == 1
    assert "/proc/0/ns/net" in refused.err


def test_image_store_of_containerd(settable: Docker, busybox: str) -> None:
    """The root is a snapshot that the shim mounts below the bundle."""
    docker = settable
    docker.stop()
    docker.configure(features={"containerd-snapshotter": True})
    docker.start()
    assert "io.containerd.snapshotter.v1" in docker("info", "-f", "{{.DriverStatus}}").out
    with open(busybox, "rb") as file:
        docker("import", "-", IMAGE, stdin=file.read())
    docker.run("echo", "hi").says("hi")
    docker.run("nosuchcmd").ends(127, "executable file not found in $PATH")
    docker.keep("-d", "--name=c1", "--read-only", "--", "sleep", "1000").ok()
    docker("exec", "c1", "touch", "/x", check=False).ends(1, "Read-only file system")
    docker("restart", "-t", "0", "c1")
    docker("rm", "-f", "c1")
    docker.machine.write(f"{docker.machine.store}/snapshot/Dockerfile", f"FROM {IMAGE}\nRUN echo built > /file\n")
    docker("build", "-t", "built", f"{docker.machine.store}/snapshot")
    docker("run", "--rm", "built", "cat", "/file").says("built")


@pytest.fixture
def unified(runtime: Runtime) -> Iterator[Machine]:
    """A machine that has the host's v2 hierarchy only."""
    with Machine(cgroups="v2", runtime=runtime) as made:
        yield made


def test_cgroup_v2(unified: Machine, runtime: Runtime, busybox: str) -> None:
    """A cgroup namespace for each container, devices by eBPF, freezing and killing."""
    docker = Docker(unified, runtime)
    docker.start()
    assert docker("info", "-f", "{{.CgroupVersion}} {{.CgroupDriver}}").words == ["2", "cgroupfs"]
    with open(busybox, "rb") as file:
        docker("import", "-", IMAGE, stdin=file.read())
    docker.run("echo", "hi").says("hi")
    quiet = Quiet(unified, ["/run/docker/runtime-runc/moby"], ["cgroup /docker/buildkit"])
    docker.keep("-d", "--name=c1", "--device=/dev/fuse", "--", "sleep", "1000").ok()
    assert docker("exec", "c1", "cat", "/proc/self/cgroup").out.splitlines()[-1] == "0::/"
    docker("exec", "c1", "sh", "-c", "mknod /n c 1 11 && cat /n", check=False).ends(1, "Operation not permitted")
    docker("exec", "c1", "head", "-c", "4", "/dev/zero")
    docker("pause", "c1")
    docker("unpause", "c1")
    assert docker("top", "c1").out.count("sleep") == 1
    docker("update", "--restart=no", "c1")
    docker("pause", "c1")
    docker("rm", "-f", "c1", limit=20)
    docker.run("--privileged", "--", "mkdir", "/sys/fs/cgroup/below").ok()
    options = ["--security-opt=writable-cgroups=true"]
    docker.run(*options, "--", "mkdir", "/sys/fs/cgroup/below").ok()
    docker.run("--pid=host", "--", "true").ok()
    quiet.check()
    docker.stop()
