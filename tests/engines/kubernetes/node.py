"""A node: a machine with containerd 2.3, a network for pods, a registry of images, and the tools of Kubernetes."""

from __future__ import annotations

import os

from ..containerd.daemon import Containerd
from .images import PAUSE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..machine import Machine, Result
    from ..runtime import Runtime

#: Where a kubelet writes whatever it is told.
COVERED = ("/var/lib/kubelet", "/var/log")
SOCKET = "unix:///run/containerd/containerd.sock"
PORT = 5000
CONFIG = """version = 3
[plugins."io.containerd.cri.v1.images"]
  use_local_image_pull = true
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{pause}"
  [plugins."io.containerd.cri.v1.images".registry]
    config_path = "/etc/containerd/certs.d"
[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  enable_unprivileged_ports = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "{name}"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.{name}]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.{name}.options]
        BinaryName = "{path}"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
"""
MIRROR = f'[host."http://127.0.0.1:{PORT}"]\n  capabilities = ["pull", "resolve"]\n'
NETWORK = """{
  "cniVersion": "1.0.0", "name": "pods",
  "plugins": [
    {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
      "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
"""


class Node(Containerd):
    """A containerd whose pods run with the runtime under test, and whose images come from the registry.

    programs  of `programs.ready`, which are in the PATH
    images    directory that `images.publish` has written
    """

    settings = CONFIG
    pause = PAUSE
    network = NETWORK

    def __init__(self, machine: Machine, runtime: Runtime, programs: Mapping[str, str], images: str) -> None:
        super().__init__(machine, runtime)
        self.add(programs)
        machine.write("/etc/containerd/certs.d/_default/hosts.toml", MIRROR)
        self._images = images

    def add(self, programs: Mapping[str, str]) -> None:
        """Put programs into the PATH."""
        for name, path in programs.items():
            link = f"{self.machine.store}/usr/local/bin/{name}"
            if not os.path.lexists(link):
                os.symlink(path, link)

    def start(self) -> None:
        """Start the registry and containerd, and wait until they answer."""
        registry = os.path.join(os.path.dirname(os.path.abspath(__file__)), "registry.py")
        with open(f"{self.machine.store}/registry.log", "ab") as log:
            self.machine.spawn("python3", "-I", registry, self._images, str(PORT), stdout=log, stderr=log)
        super().start()
        self.until(lambda: self.machine.fetch(f"http://127.0.0.1:{PORT}/v2/"), "the registry answers")
        self.until(self._has_network, "the CRI plugin has its network")

    def crictl(self, *words: str, check: bool = True) -> Result:
        """Run crictl; unless `check` is False it has to succeed."""
        # It gives up after 2 s by itself, and containerd then kills what it has called, such as a plugin of the network.
        result = self.machine.run("crictl", "-r", SOCKET, "-t", "100s", *words)
        return result.ok() if check else result

    def _has_network(self) -> bool:
        said = self.crictl("info", "-o", "go-template", "--template", "{{.status}}", check=False)
        return said.code == 0 and "NetworkPluginNotReady" not in said.out
