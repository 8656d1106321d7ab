"""A service on three machines goes on when one of them ends."""

from __future__ import annotations

import contextlib

import pytest

from ..docker.daemon import IMAGE, Docker
from ..machine import Machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..runtime import Runtime

REPLICAS = 4
PAGE = "mkdir -p /www; hostname > /www/index.html; exec httpd -f -p 80 -h /www"


def connect(machines: list[Machine]) -> None:
    """Put all machines at one Ethernet, 10.99.0.1 and on: a bridge in the network of the first."""
    first, *others = machines
    first.network("link", "add", "lan", "type", "bridge")
    first.network("addr", "add", "10.99.0.1/24", "dev", "lan")
    first.network("link", "set", "lan", "up")
    for number, other in enumerate(others, 2):
        first.network("link", "add", f"lan{number}", "type", "veth", "peer", "name", "lan", "netns", str(other.pid))
        first.network("link", "set", f"lan{number}", "master", "lan", "up")
        other.network("addr", "add", f"10.99.0.{number}/24", "dev", "lan")
        other.network("link", "set", "lan", "up")


@pytest.fixture
def nodes(runtime: Runtime, busybox: str) -> Iterator[list[Docker]]:
    """Three machines in one swarm, the first of them the manager."""
    with contextlib.ExitStack() as stack:
        machines = [stack.enter_context(Machine(name=f"node{number}", runtime=runtime)) for number in (1, 2, 3)]
        connect(machines)
        made = []
        for number, machine in enumerate(machines, 1):
            docker = Docker(machine, runtime)
            docker.start()
            with open(busybox, "rb") as file:
                docker("import", "-", IMAGE, stdin=file.read())
            here = f"10.99.0.{number}"
            if number == 1:
                docker("swarm", "init", "--advertise-addr", here, "--dispatcher-heartbeat", "1s")
                token = docker("swarm", "join-token", "-q", "worker").out.strip()
            else:
                docker("swarm", "join", "--advertise-addr", here, "--token", token, "10.99.0.1:2377")
            made.append(docker)
        yield made


def test_service_survives_a_node(nodes: list[Docker]) -> None:
    manager = nodes[0]
    name = manager.runtime.name

    def places() -> list[str]:
        """The nodes of the tasks that run."""
        shown = manager(
            "service", "ps", "-f", "desired-state=running", "--format", "{{.Node}} {{.CurrentState}}", "web"
        )
        return sorted(line.split()[0] for line in shown.out.splitlines() if line.split()[1:2] == ["Running"])

    def answers() -> set[str]:
        """Which containers answer to the name of the service, for a client in the same network."""
        script = "for i in 1 2 3 4 5 6 7 8; do timeout 3 wget -q -O - http://web/; done"
        return set(manager("run", "--rm", "--network=over", IMAGE, "sh", "-c", script, check=False).out.split())

    assert sorted(manager("node", "ls", "--format", "{{.Hostname}} {{.Status}}").out.splitlines()) == [
        "node1 Ready", "node2 Ready", "node3 Ready",
    ]  # fmt: skip
    manager("network", "create", "-d", "overlay", "--attachable", "over")
    service = ["--name=web", f"--replicas={REPLICAS}", "--network=over", "--endpoint-mode=dnsrr", "--no-resolve-image"]
    manager("service", "create", "--detach", *service, IMAGE, "sh", "-c", PAGE)
    manager.until(lambda: len(places()) == REPLICAS, "all replicas run", 60)
    assert set(places()) == {"node1", "node2", "node3"}
    for node in nodes:
        (first, *_) = node("ps", "-q", "--filter=label=com.docker.swarm.service.name=web").words
        assert node.inspect(first, ".HostConfig.Runtime") == name
    manager.until(lambda: len(answers()) >= 2, "containers of several nodes answer", 60)

    manager("service", "scale", "--detach", "web=6")
    manager.until(lambda: len(places()) == 6, "two more run", 60)
    manager("service", "update", "--detach", "--env-add", "A=b", "--update-parallelism=0", "web")
    manager.until(
        lambda: manager("service", "inspect", "-f", "{{.UpdateStatus.State}}", "web").out == "completed\n",
        "updated",
        90,
    )

    nodes[2].machine.end()
    manager.until(lambda: len(places()) == 6 and set(places()) == {"node1", "node2"}, "others take over", 90)
    manager.until(answers, "the service answers", 60)
    manager("service", "rm", "web")
    for node in nodes[:2]:
        node.until(lambda node=node: not node("ps", "-q").words, "the tasks are gone", 60)
