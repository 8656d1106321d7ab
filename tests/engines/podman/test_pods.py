"""Pods: made by hand, from a Kubernetes file, and written out as one."""

from __future__ import annotations

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .engine import Podman

KUBE = """apiVersion: v1
kind: Pod
metadata:
  name: kube
spec:
  containers:
  - name: web
    image: localhost/bb:latest
    imagePullPolicy: Never
    command: ["sh", "-c", "mkdir /www; echo hello > /www/index.html; exec httpd -f -p 80 -h /www"]
    ports: [{containerPort: 80, hostPort: 8082}]
    resources: {limits: {memory: 64Mi}}
    securityContext: {capabilities: {drop: [NET_RAW]}, readOnlyRootFilesystem: false}
  - name: other
    image: localhost/bb:latest
    imagePullPolicy: Never
    command: ["sleep", "1000"]
    env: [{name: A, value: b}]
"""


def test_pod(podman: Podman) -> None:
    podman("pod", "create", "--name=p1", "--share=pid,ipc,net,uts")
    for name in ("one", "two"):
        podman("run", "-d", "--pod=p1", f"--name={name}", "localhost/bb:latest", "sleep", "1000")
    for kind in ("net", "ipc", "uts", "pid"):
        seen = {podman("exec", name, "readlink", f"/proc/self/ns/{kind}").out for name in ("one", "two")}
        assert len(seen) == 1
    assert podman("pod", "top", "p1").out.count("sleep 1000 ") == 2
    podman("pod", "pause", "p1")
    assert podman.inspect("one", ".State.Status") == "paused"
    podman("pod", "unpause", "p1")
    assert "one" in podman("pod", "stats", "--no-stream", "p1").out
    podman("pod", "stop", "-t", "1", "p1")
    podman("pod", "start", "p1")
    podman("exec", "one", "true")
    podman("pod", "rm", "-f", "-t", "0", "p1")


@pytest.fixture
def finding(podman: Podman) -> Podman:
    """podman with a runtime that finds programs of a container without a PATH, as `play kube` makes them."""
    if not podman.runtime.ours:
        pytest.skip("runc has no PATH of its own: it finds no program that is named without a directory")
    return podman


def test_play_kube(finding: Podman) -> None:
    podman = finding
    path = podman.machine.write(f"{podman.machine.store}/kube.yaml", KUBE)
    podman("play", "kube", path)
    podman.until(lambda: podman.machine.fetch("http://127.0.0.1:8082/") == "hello\n", "the page is served")
    podman("exec", "kube-other", "sh", "-c", "echo $A").says("b")
    limit = podman("exec", "kube-web", "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
    assert limit.words == [str(64 << 20)]
    podman("play", "kube", "--down", path)
    assert podman("pod", "ls", "-q").words == []


def test_generate(finding: Podman) -> None:
    podman = finding
    podman.keep("-d", "--name=c1", "-e", "A=b", "--", "sleep", "1000").ok()
    text = podman("generate", "kube", "c1").out
    assert "kind: Pod" in text and "sleep" in text
    unit = podman("generate", "systemd", "--new", "c1").out
    assert "ExecStart=/usr/bin/podman run" in unit
    podman("rm", "-f", "-t", "0", "c1")
    path = podman.machine.write(f"{podman.machine.store}/generated.yaml", text)
    podman("play", "kube", path)
    podman("play", "kube", "--down", path)
