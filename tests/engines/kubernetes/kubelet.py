"""A kubelet without a cluster: its pods are files in a directory."""

from __future__ import annotations

import json
import os
import signal

from waiting import eventually

from .images import BUSY
from .node import SOCKET

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from typing import Any

    from .node import Node

#: Sysctls of the whole host that a kubelet sets, and their values: it finds them set, in files of its own.
TUNED = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1000000,
    "kernel/keys/root_maxbytes": 25000000,
}
#: Mounts are shared with the machine, except those below /proc.
START = """mount --make-rprivate /proc
for name in {names}; do mount --bind {home}/sysctl/$name /proc/sys/$name || exit 1; done
exec kubelet --config {home}/config.json --hostname-override node --v 2
"""


class Kubelet:
    """A kubelet on a node.

    node  whose containerd it talks to
    home  its directory
    unified  whether the cgroups are those of version 2
    names  of all pods that it was given
    """

    def __init__(self, node: Node, driver: str = "cgroupfs") -> None:
        self.node = node
        self.home = f"{node.machine.store}/kubelet"
        self.unified = os.path.exists(f"/proc/{node.machine.pid}/root/sys/fs/cgroup/cgroup.controllers")
        self.names: set[str] = set()
        self._process: subprocess.Popen[bytes] | None = None
        for name, value in TUNED.items():
            node.machine.write(f"{self.home}/sysctl/{name}", f"{value}\n")
        os.makedirs(f"{self.home}/pods")
        config = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": driver,
            "containerRuntimeEndpoint": SOCKET,
            "enableServer": True,
            "enforceNodeAllocatable": [],
            "evictionHard": {"memory.available": "1Mi"},
            "failCgroupV1": False,
            "failSwapOn": False,
            "fileCheckFrequency": "1s",
            "imageGCHighThresholdPercent": 100,
            "localStorageCapacityIsolation": False,
            "makeIPTablesUtilChains": False,
            "oomScoreAdj": 0,
            "podLogsDir": f"{self.home}/logs",
            "readOnlyPort": 10255,
            "registerNode": False,
            "staticPodPath": f"{self.home}/pods",
            "syncFrequency": "2s",
            "volumePluginDir": f"{self.home}/plugins",
        }
        node.machine.write(f"{self.home}/config.json", json.dumps(config))

    def start(self) -> None:
        """Start it, and wait until it answers."""
        script = START.format(names=" ".join(TUNED), home=self.home)
        with open(f"{self.node.machine.store}/kubelet.log", "ab") as log:
            self._process = self.node.machine.spawn(
                "unshare", "--mount", "--propagation", "unchanged", "sh", "-c", script, stdout=log, stderr=log
            )
        self.until(lambda: self._answers(), "the kubelet answers")

    def kill(self) -> None:
        """Kill it as a crash would; its pods go on running."""
        assert self._process is not None
        (pid,) = [pid for pid, args in self.node.machine.processes().items() if args.startswith("kubelet ")]
        self.node.machine.run("kill", f"-{int(signal.SIGKILL)}", str(pid)).ok()
        self._process.wait(60)
        self._process = None

    def put(self, name: str, spec: dict[str, Any], **metadata: Any) -> None:
        """Write the file of a pod; a pod of the same name is replaced, or changed if its uid is the same."""
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", **metadata},
            "spec": {"terminationGracePeriodSeconds": 1, **spec},
        }
        self.names.add(name)
        path = f"{self.home}/pods/{name}.json"
        with open(f"{self.home}/{name}.new", "w", encoding="utf-8") as file:
            json.dump(pod, file)
        os.replace(f"{self.home}/{name}.new", path)

    def drop(self, *names: str) -> None:
        """Remove the files of pods, which have to end then."""
        for name in names:
            os.unlink(f"{self.home}/pods/{name}.json")

    def remove(self, *names: str) -> None:
        """Drop pods, wait until these are gone, and remove their sandboxes, as a kubelet does each minute."""
        self.drop(*(name for name in names if os.path.exists(f"{self.home}/pods/{name}.json")))
        for name in names:
            self.until(lambda name=name: not self.pod(name), f"{name} is gone", 120)
            ready = ("pods", "-q", "--name", f"^{name}-node$", "--state", "Ready")
            self.until(lambda ready=ready: not self.node.crictl(*ready).words, f"{name} has stopped")
            self.until(lambda name=name: not self._sandboxes(name), f"the sandbox of {name} is removed")

    def _sandboxes(self, name: str) -> list[str]:
        """The sandboxes of a pod; they are being removed by the kubelet or by this."""
        found = self.node.crictl("pods", "-q", "--name", f"^{name}-node$").words
        for sandbox in found:
            self.node.crictl("rmp", sandbox, check=False)
        return found

    def pod(self, name: str) -> dict[str, Any]:
        """The pod with its status; empty if there is none."""
        text = self.node.machine.fetch("http://127.0.0.1:10255/pods")
        items = json.loads(text).get("items") or [] if text else []
        found = [item for item in items if item["metadata"]["name"] == f"{name}-node"]
        return found[0] if found else {}

    def containers(self, name: str, kind: str = "containerStatuses") -> dict[str, dict[str, Any]]:
        """The statuses of a pod's containers, by their names."""
        return {one["name"]: one for one in self.pod(name).get("status", {}).get(kind) or []}

    def ready(self, name: str, limit: float = 90) -> dict[str, dict[str, Any]]:
        """Wait until all containers of a pod are ready; their statuses."""

        def all_ready() -> bool:
            conditions = self.pod(name).get("status", {}).get("conditions") or []
            return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

        self.until(all_ready, f"{name} is ready", limit)
        return self.containers(name)

    def until(self, condition: Callable[[], object], what: str, limit: float = 90) -> None:
        """Wait until a condition holds; fails with `what` and the end of the kubelet's log."""
        eventually(condition, lambda: f"{what}\n{self._log()}", limit, pause=0.1)

    def _log(self) -> str:
        with open(f"{self.node.machine.store}/kubelet.log", encoding="utf-8", errors="replace") as file:
            lines = [line for line in file if "kubelet_node_status" not in line and "mirror pod" not in line]
        return "".join(lines[-25:])

    def _answers(self) -> bool:
        return self.node.machine.fetch("http://127.0.0.1:10255/healthz") == "ok"


def container(name: str, *command: str, **fields: Any) -> dict[str, Any]:
    """A container of the busybox image."""
    return {"name": name, "image": BUSY, "command": list(command), **fields}
