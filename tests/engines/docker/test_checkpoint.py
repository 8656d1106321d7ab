"""docker checkpoint, which dockerd has among its experiments."""

from __future__ import annotations

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .daemon import Docker

COUNT = "i=0; while true; do i=$((i+1)); echo $i > /next; mv /next /count; sleep 0.1; done"


def count(docker: Docker) -> int:
    text = docker("exec", "c1", "cat", "/count", check=False).out
    return int(text) if text.strip() else 0


def make_two(docker: Docker) -> None:
    """The checkpoints "first", after which the container c1 goes on, and "second", with which it ends."""
    docker.stop()
    docker.configure(experimental=True)
    docker.start()
    docker.keep("-d", "--name=c1", "--network=none", "--", "sh", "-c", COUNT).ok()
    docker.until(lambda: count(docker) >= 20, "it counts")
    docker("checkpoint", "create", "--leave-running", "c1", "first")
    before = count(docker)
    docker.until(lambda: count(docker) > before, "it counts on")
    docker("checkpoint", "create", "c1", "second")
    docker.until(lambda: docker.inspect("c1", ".State.Running") == "false", "it has ended")
    assert docker("checkpoint", "ls", "c1").out.split()[-2:] == ["first", "second"]


@pytest.mark.usefixtures("criu")
def test_goes_on_where_it_was(docker: Docker) -> None:
    if docker.machine.root:
        pytest.skip("dockerd 28 cannot start from a checkpoint, with runc either: see tests/engines/modern/docker")
    make_two(docker)

    def started() -> bool:
        # containerd may not have thrown away its own copy yet, and then refuses the same content again.
        result = docker("start", "--checkpoint=second", "c1", check=False)
        return "already exists" not in result.err and bool(result.ok())

    docker.until(started, "containerd takes the checkpoint")
    before = count(docker)
    assert before >= 20
    docker.until(lambda: count(docker) > before, "it counts on")
