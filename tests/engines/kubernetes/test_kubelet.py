"""A kubelet without a cluster, whose pods run with ocirun: what a user of Kubernetes sees of the runtime."""

from __future__ import annotations

import os
import re

import pytest

from ..calling import WITHOUT_LIMITS, prepared, program
from ..leaks import Quiet
from .conftest import ready
from .kubelet import Kubelet, container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from .node import Node

ROOT = "/run/containerd/runc/k8s.io"
SLEEP = ("sleep", "1000")
#: How often a probe is made, and how long it may take, which is one second by itself: too little where all is emulated.
OFTEN = {"periodSeconds": 1, "timeoutSeconds": 30}
STAYS = (
    " containerd", "registry.py", "kubelet", "unshare", "cgroup /default", "cgroup /k8s.io", "cgroup /kubepods",
)  # fmt: skip


@pytest.fixture(scope="module")
def running(node: Node) -> Iterator[Kubelet]:
    """A running kubelet that has had a pod."""
    node.add(ready("kubelet"))
    made = Kubelet(node)
    made.start()
    made.put("first", {"containers": [container("c", *SLEEP)]})
    made.ready("first")
    made.remove("first")
    yield made
    made.kill()


@pytest.fixture(scope="module")
def quiet(running: Kubelet) -> Quiet:
    """What the node looks like without pods."""
    return Quiet(running.node.machine, (ROOT,), STAYS)


@pytest.fixture
def kubelet(running: Kubelet, quiet: Quiet) -> Iterator[Kubelet]:
    """The kubelet; afterwards its pods are removed, and nothing of them may be left."""
    yield running
    running.remove(*(name.removesuffix(".json") for name in os.listdir(f"{running.home}/pods")))
    quiet.check()


def inside(kubelet: Kubelet, status: dict[str, Any], *command: str) -> str:
    """What a command says in a container."""
    return kubelet.node.crictl("exec", status["containerID"].partition("//")[2], *command).out.strip()


def limits(kubelet: Kubelet, status: dict[str, Any]) -> list[int]:
    """The limits that a container has, of memory and of processor time in 100 ms."""
    names = "memory.max cpu.max" if kubelet.unified else "memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us"
    return [
        int(line.split()[0])
        for line in inside(kubelet, status, "sh", "-c", f"cd /sys/fs/cgroup; cat {names}").splitlines()
    ]


def test_probes(kubelet: Kubelet) -> None:
    """An exec probe and an HTTP probe make a pod ready; one that fails has its container started anew."""
    server = container(
        "server", "httpd", "-f", "-p", "8080", "-h", "/www",
        readinessProbe={"httpGet": {"path": "/", "port": 8080}, **OFTEN},
        livenessProbe={"exec": {"command": ["pidof", "httpd"]}, **OFTEN},
        startupProbe={"tcpSocket": {"port": 8080}, **OFTEN},
    )  # fmt: skip
    dying = container(
        "dying", "sh", "-c", "touch /alive; sleep 1; rm /alive; exec sleep 1000",
        livenessProbe={"exec": {"command": ["cat", "/alive"]}, **OFTEN, "failureThreshold": 1},
    )  # fmt: skip
    kubelet.put("probed", {"containers": [server]})
    assert kubelet.ready("probed")["server"]["started"]
    kubelet.put("dying", {"containers": [dying]})
    kubelet.until(lambda: kubelet.containers("dying").get("dying", {}).get("restartCount"), "the probe fails")


def test_restart_with_the_exit_code(kubelet: Kubelet) -> None:
    kubelet.put("failing", {"containers": [container("c", "sh", "-c", "echo last >/dev/termination-log; exit 42")]})
    kubelet.until(lambda: kubelet.containers("failing").get("c", {}).get("restartCount"), "it is started again")
    ended = kubelet.containers("failing")["c"]["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"].strip()) == (42, "Error", "last")


def test_program_that_is_missing(kubelet: Kubelet) -> None:
    """The message is the runtime's, with its place in config.json."""
    kubelet.put("missing", {"containers": [container("c", "/missing")]})
    kubelet.until(lambda: kubelet.containers("missing").get("c", {}).get("lastState"), "it has failed")
    ended = kubelet.containers("missing")["c"]["lastState"]["terminated"]
    assert ended["reason"] == "StartError"
    assert "/missing" in ended["message"]


def test_limits(kubelet: Kubelet) -> None:
    resources = {"limits": {"memory": "64Mi", "cpu": "500m"}, "requests": {"memory": "32Mi", "cpu": "250m"}}
    kubelet.put("limited", {"containers": [container("c", *SLEEP, resources=resources)]})
    status = kubelet.ready("limited")["c"]
    assert limits(kubelet, status) == [64 << 20, 50000]


def test_memory_that_ends_is_told_as_oomkilled(kubelet: Kubelet) -> None:
    eater = container("c", "eat", resources={"limits": {"memory": "32Mi"}})
    kubelet.put("eater", {"restartPolicy": "Never", "containers": [eater]})
    kubelet.until(lambda: "terminated" in kubelet.containers("eater").get("c", {}).get("state", {}), "it has ended")
    ended = kubelet.containers("eater")["c"]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")


def test_init_container_and_sidecar(kubelet: Kubelet) -> None:
    """The first ends before the second begins, which runs as long as the pod; all see the same volume."""
    mounts = [{"name": "shared", "mountPath": "/shared"}]
    first = container("first", "sh", "-c", "echo first >>/shared/order", volumeMounts=mounts)
    sidecar = container(
        "sidecar", "sh", "-c", "echo sidecar >>/shared/order; exec sleep 1000", volumeMounts=mounts, restartPolicy="Always",
        startupProbe={"exec": {"command": ["grep", "sidecar", "/shared/order"]}, **OFTEN},
    )  # fmt: skip
    main = container("main", "sh", "-c", "echo main >>/shared/order; exec sleep 1000", volumeMounts=mounts)
    volumes = [{"name": "shared", "emptyDir": {"medium": "Memory"}}]
    kubelet.put("ordered", {"volumes": volumes, "initContainers": [first, sidecar], "containers": [main]})
    status = kubelet.ready("ordered")["main"]
    assert inside(kubelet, status, "cat", "/shared/order").split() == ["first", "sidecar", "main"]
    before = kubelet.containers("ordered", "initContainerStatuses")
    assert before["first"]["state"]["terminated"]["exitCode"] == 0
    assert "running" in before["sidecar"]["state"]


def test_projected_files_and_a_subpath(kubelet: Kubelet) -> None:
    """Files behind links that the kubelet replaces at once, mounted wholly and alone."""
    items = [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]
    volumes = [{"name": "told", "downwardAPI": {"items": items}}]
    mounts = [
        {"name": "told", "mountPath": "/told", "readOnly": True},
        {"name": "told", "mountPath": "/etc/labels", "subPath": "labels"},
    ]
    pod = {"volumes": volumes, "containers": [container("c", *SLEEP, volumeMounts=mounts)]}
    kubelet.put("projected", pod, labels={"color": "blue"})
    status = kubelet.ready("projected")["c"]
    assert inside(kubelet, status, "cat", "/told/labels", "/etc/labels") == 'color="blue"color="blue"'


def test_user_namespace(kubelet: Kubelet) -> None:
    """Root of the pod is nobody of the host, and owns its files in a volume all the same."""
    mounts = [{"name": "data", "mountPath": "/data"}]
    owned = container("c", "sh", "-c", "touch /data/file; exec sleep 1000", volumeMounts=mounts)
    kubelet.put("mapped", {"hostUsers": False, "volumes": [{"name": "data", "emptyDir": {}}], "containers": [owned]})
    status = kubelet.ready("mapped")["c"]
    inner, outer, count = inside(kubelet, status, "cat", "/proc/self/uid_map").split()
    assert (inner, count) == ("0", "65536")
    assert int(outer) >= 65536
    assert inside(kubelet, status, "stat", "-c", "%u", "/data/file", "/proc/1", "/") == "0\n0\n0"


def test_caller_of_the_api(kubelet: Kubelet, busybox: str, open_directory: Path) -> None:
    """Without privilege, as docs/callers.md says: each of the obstacles is named with the field that takes it away."""
    runtime = kubelet.node.runtime
    if runtime.root or not runtime.ours:
        pytest.skip("needs ocirun's interpreter of this system")
    places = prepared(busybox, runtime, open_directory)
    volumes = [{"name": f"v{number}", "hostPath": {"path": path}} for number, path in enumerate(places.values())]
    mounts = [{"name": f"v{number}", "mountPath": place, "readOnly": True} for number, place in enumerate(places)]
    # Python may lie below a home that the image closes.
    volumes, mounts = [{"name": "home", "emptyDir": {}}, *volumes], [{"name": "home", "mountPath": "/root"}, *mounts]

    def call(name: str, context: dict[str, Any], **pod: Any) -> str:
        one = container(
            "c", *program(runtime, open_directory, "leave out"), volumeMounts=mounts, securityContext=context
        )
        kubelet.put(name, {"restartPolicy": "Never", "volumes": volumes, "containers": [one], **pod})
        kubelet.until(lambda: "terminated" in kubelet.containers(name).get("c", {}).get("state", {}), "it has ended")
        ended = kubelet.containers(name)["c"]["state"]["terminated"]
        said = kubelet.node.crictl("logs", ended["containerID"].partition("//")[2]).out.strip()
        return f"{ended['reason']} {ended['message']}" if ended.get("message") else said

    usual, none = ({"seccompProfile": {"type": kind}} for kind in ("RuntimeDefault", "Unconfined"))
    filtered = call("filtered", usual)
    assert "`seccompProfile: {type: Unconfined}`" in filtered
    masked = call("masked", none)
    assert masked.startswith("StepError fsmount 1 ") and "`procMount: Unmasked`" in masked
    assert call("open", none | {"procMount": "Unmasked"}, hostUsers=False) == WITHOUT_LIMITS
    user = {"procMount": "Unmasked", "runAsUser": 1000, "runAsGroup": 1000, "capabilities": {"drop": ["ALL"]}}
    assert call("user", none | user, hostUsers=False) == WITHOUT_LIMITS


def test_security_context(kubelet: Kubelet) -> None:
    context = {
        "runAsUser": 1500, "runAsGroup": 1500, "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    pod = {
        "securityContext": {
            "fsGroup": 2000,
            "sysctls": [{"name": "net.ipv4.ip_local_port_range", "value": "4000 5000"}],
        },
        "volumes": [{"name": "data", "emptyDir": {}}],
        "containers": [
            container("c", *SLEEP, securityContext=context, volumeMounts=[{"name": "data", "mountPath": "/data"}])
        ],
    }
    kubelet.put("secure", pod)
    status = kubelet.ready("secure")["c"]
    assert inside(kubelet, status, "id", "-G") == "1500 2000"
    lines = inside(kubelet, status, "cat", "/proc/self/status")
    for line in ("CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"):
        assert line in lines
    assert (
        inside(kubelet, status, "sh", "-c", "touch /file 2>/dev/null || touch /data/file; stat -c %g /data/file")
        == "2000"
    )
    assert inside(kubelet, status, "cat", "/proc/sys/net/ipv4/ip_local_port_range").split() == ["4000", "5000"]


def test_shared_processes_and_names_of_the_host(kubelet: Kubelet) -> None:
    two = [container("one", "sleep", "1001"), container("two", "sleep", "1002")]
    kubelet.put("shared", {"shareProcessNamespace": True, "containers": two})
    seen = inside(kubelet, kubelet.ready("shared")["two"], "ps", "-o", "args")
    assert {"/pause", "sleep 1001", "sleep 1002"} <= set(seen.splitlines())
    kubelet.put("host", {"hostNetwork": True, "hostPID": True, "hostIPC": True, "containers": [container("c", *SLEEP)]})
    assert "kubelet --config" in inside(kubelet, kubelet.ready("host")["c"], "ps", "-o", "args")


def test_resize_in_place(kubelet: Kubelet) -> None:
    """The limits change, and the container goes on."""

    def pod(memory: str, cpu: str) -> dict[str, Any]:
        resources = {"limits": {"memory": memory, "cpu": cpu}, "requests": {"memory": memory, "cpu": cpu}}
        return {"containers": [container("c", *SLEEP, resources=resources)]}

    kubelet.put("resized", pod("64Mi", "200m"), uid="resized")
    before = kubelet.ready("resized")["c"]
    kubelet.put("resized", pod("96Mi", "400m"), uid="resized")
    kubelet.until(lambda: limits(kubelet, before) == [96 << 20, 40000], "the limits are the new ones")
    after = kubelet.containers("resized")["c"]
    assert (after["containerID"], after["restartCount"]) == (before["containerID"], 0)


def test_graceful_stop(kubelet: Kubelet) -> None:
    """The hook runs first, then comes SIGTERM; the program has time to end."""
    at = f"{kubelet.home}/told"
    os.makedirs(at, exist_ok=True)
    mounts = [{"name": "told", "mountPath": "/told"}]
    script = "trap 'echo signal >>/told/log; exit 0' TERM; touch /told/ready; while :; do sleep 0.1; done"
    one = container(
        "c", "sh", "-c", script, volumeMounts=mounts,
        lifecycle={"preStop": {"exec": {"command": ["sh", "-c", "echo hook >>/told/log"]}}},
    )  # fmt: skip
    volumes = [{"name": "told", "hostPath": {"path": at}}]
    kubelet.put("graceful", {"terminationGracePeriodSeconds": 60, "volumes": volumes, "containers": [one]})
    kubelet.ready("graceful")
    kubelet.until(lambda: os.path.exists(f"{at}/ready"), "the program waits for the signal")
    kubelet.remove("graceful")
    with open(f"{at}/log", encoding="utf-8") as file:
        assert file.read().split() == ["hook", "signal"]


def test_kubelet_that_is_killed(kubelet: Kubelet) -> None:
    """Pods go on without it; it finds them again, and a container that ended meanwhile is told with its status."""
    kubelet.put("lasting", {"containers": [container("c", *SLEEP)]})
    kubelet.put(
        "ending", {"containers": [container("c", "sh", "-c", "while [ ! -e /end ]; do sleep 0.1; done; exit 3")]}
    )
    lasting, ending = kubelet.ready("lasting")["c"], kubelet.ready("ending")["c"]
    kubelet.kill()
    inside(kubelet, ending, "touch", "/end")
    kubelet.start()
    kubelet.until(
        lambda: kubelet.containers("ending").get("c", {}).get("restartCount"), "the one that ended is started again"
    )
    assert kubelet.containers("ending")["c"]["lastState"]["terminated"]["exitCode"] == 3
    assert kubelet.ready("lasting")["c"]["containerID"] == lasting["containerID"]


def test_containerd_that_is_restarted(kubelet: Kubelet) -> None:
    kubelet.put("lasting", {"containers": [container("c", *SLEEP)]})
    before = kubelet.ready("lasting")["c"]
    kubelet.node.stop()
    kubelet.node.start()
    kubelet.until(lambda: inside(kubelet, before, "pidof", "sleep"), "the container is there")
    assert kubelet.ready("lasting")["c"]["containerID"] == before["containerID"]


def test_many_pods(kubelet: Kubelet) -> None:
    names = [f"many-{number}" for number in range(10)]
    for name in names:
        kubelet.put(name, {"containers": [container("c", *SLEEP)]})
    for name in names:
        kubelet.ready(name, 180)
    shown = kubelet.node.machine.run(kubelet.node.path, "--root", ROOT, "list", "-q").words
    assert len(shown) == 2 * len(names)
    assert all(re.fullmatch("[0-9a-f]{64}", one) for one in shown)
