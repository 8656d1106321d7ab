"""dockerd and containerd as their packages set them up: services of systemd, which makes their cgroups."""

from __future__ import annotations

from ...containerd.daemon import IMAGE, PAUSE, Containerd
from ...docker.daemon import Docker
from ...engine import Engine
from ...images import docker_archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .guest import Guest

CONFIG = """version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "{name}"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}.options]
        BinaryName = "{path}"
        SystemdCgroup = true
"""


class Service(Engine):
    """An engine whose daemon is a service of systemd."""

    machine: Guest
    unit = ""

    def log(self) -> str:
        """The last lines that the daemon wrote."""
        return self.machine.run("journalctl", "-n", "15", "-o", "cat", "-u", self.unit).out


class SystemdDocker(Service, Docker):
    """docker.service, on a containerd.service."""

    machine: Guest
    unit = "docker"

    def start(self) -> None:
        """Start the service with the settings."""
        self.configure(**{"exec-opts": ["native.cgroupdriver=systemd"]})
        result = self.machine.systemctl("restart", "docker", check=False)
        assert result.code == 0, f"{result}\n{self.log()}"

    def stop(self, number: int = 0) -> None:
        """Stop the service, and the socket that would start it again."""
        self.machine.systemctl("stop", "docker.service", "docker.socket")


class SystemdContainerd(Service, Containerd):
    """containerd.service with a CRI plugin whose only runtime is the one under test."""

    machine: Guest
    unit = "containerd"

    def start(self) -> None:
        """Start the service with the settings."""
        config = CONFIG.format(name=self.runtime.name, path=self.path, pause=PAUSE)
        self.machine.write("/etc/containerd/config.toml", config)
        self.machine.systemctl("restart", "containerd")

    def load(self, rootfs: str) -> None:
        """Import the images for the CRI plugin."""
        for name, entrypoint in ((IMAGE, None), (PAUSE, ["sleep", "100000"])):
            archive = docker_archive(rootfs, "/tmp/image.tar", name, entrypoint=entrypoint)
            self("-n", "k8s.io", "images", "import", archive)

    def stop(self) -> None:
        """Stop the service."""
        self.machine.systemctl("stop", "containerd")
