"""dockerd with userns-remap: root of every container is an ordinary user of the host."""

from __future__ import annotations

import pytest

from ..terminal import Terminal
from .daemon import IMAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .daemon import Docker


@pytest.fixture(scope="module")
def remapped(daemon: Docker, busybox: str) -> Iterator[Docker]:
    """The daemon, started again with other users for its containers."""
    for name, line in (
        ("passwd", "dockremap:x:990:990::/:/bin/false"),
        ("group", "dockremap:x:990:"),
        ("subuid", "dockremap:300000:65536"),
        ("subgid", "dockremap:300000:65536"),
    ):
        with open(f"{daemon.machine.store}/etc/{name}", "a", encoding="utf-8") as file:
            file.write(line + "\n")
    daemon.stop()
    daemon.configure(**{"userns-remap": "default"})
    daemon.start()
    with open(busybox, "rb") as file:
        daemon("import", "-", IMAGE, stdin=file.read())
    yield daemon
    daemon.stop()
    del daemon.settings["userns-remap"]
    daemon.start()


def test_ids(remapped: Docker, docker: Docker) -> None:
    assert docker.run("cat", "/proc/self/uid_map").words == ["0", "300000", "65536"]
    docker.run("sh", "-c", "touch /x && chown app /x && stat -c %u /x").says("1000")
    docker.run("id", "-u").says("0")
    docker.keep("-d", "--name=c1", "-v", "vol:/data", "--", "sleep", "1000").ok()
    pid = docker.inspect("c1", ".State.Pid")
    assert docker.machine.run("stat", "-c", "%u", f"/proc/{pid}").words == ["300000"]
    docker("exec", "c1", "sh", "-c", "echo e > /data/x; cat /data/x").says("e")
    terminal = Terminal(docker.machine, "docker", "exec", "-ti", "c1", "sh")
    terminal.expect("#")
    terminal.type("exit 4\n")
    assert terminal.wait() == 4


def test_namespace_of_the_host(remapped: Docker, docker: Docker) -> None:
    assert docker.run("--userns=host", "--", "cat", "/proc/self/uid_map").words[:2] == ["0", "0"]
