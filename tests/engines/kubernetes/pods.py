"""Pods started and stopped per second, with ocirun and with runc 1.4: a benchmark, not a test.

    python -m engines.kubernetes.pods [PODS [ROUNDS]]

As root, in `tests`. A pod is a sandbox and a container in it, asked for as a kubelet does, over the CRI of containerd 2.3:
one after the other, and PODS (50) at once. The runtimes take turns, on nodes of their own; the medians of all ROUNDS (3).
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from ..containerd.cri import Client
from ..machine import Machine
from ..runtime import Runtime, provided
from . import images, programs
from .images import BUSY
from .node import COVERED, Node

ONE_BY_ONE = 10
PARTS = ("one by one: pods/s", "at once: started/s", "at once: stopped/s")


def start(client: Client) -> str:
    """Start a pod; its id."""
    pod = client.pod()
    client.container(pod, ["sleep", "100000"], image={"image": BUSY})
    return pod


def measure(node: Node, count: int) -> list[float]:
    """Pods per second: one by one from start to end, at once started, at once stopped."""
    socket = f"/proc/{node.machine.pid}/root/run/containerd/containerd.sock"
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(socket, first=number * 1000)) for number in range(count)]
        clients[0].remove(start(clients[0]))
        began = time.monotonic()
        for _ in range(ONE_BY_ONE):
            clients[0].remove(start(clients[0]))
        rates = [ONE_BY_ONE / (time.monotonic() - began)]
        with ThreadPoolExecutor(count) as threads:
            began = time.monotonic()
            pods = list(threads.map(start, clients))
            rates.append(count / (time.monotonic() - began))
            began = time.monotonic()
            list(threads.map(lambda client, pod: client.remove(pod), clients, pods))
            rates.append(count / (time.monotonic() - began))
    return rates


def main() -> None:
    """Print a table."""
    count, rounds = (*map(int, sys.argv[1:]), *(50, 3)[len(sys.argv) - 1 :])
    built = programs.ready("containerd", "containerd-shim-runc-v2", "crictl", "ctr", "runc")
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="ocirun-engines-", dir="/var/tmp"))
        images.publish(f"{home}/images", programs.shell())
        nodes = []
        for runtime in (stack.enter_context(provided("ocirun")), Runtime("runc", built["runc"])):
            machine = stack.enter_context(Machine(name="pods", runtime=runtime, covered=COVERED))
            node = Node(machine, runtime, built, f"{home}/images")
            node.start()
            node.crictl("pull", BUSY)
            nodes.append(node)
        found: list[list[list[float]]] = [[] for _ in nodes]
        for _ in range(rounds):
            for node, rates in zip(nodes, found, strict=True):
                rates.append(measure(node, count))
    print(f"{count} pods, medians of {rounds}: {', '.join(node.runtime.name for node in nodes)}")
    for part, name in enumerate(PARTS):
        print(name, *(f"{statistics.median(rate[part] for rate in rates):.2f}" for rates in found))


if __name__ == "__main__":
    main()
