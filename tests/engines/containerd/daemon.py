"""containerd on a machine of its own, and its command ctr."""

from __future__ import annotations

import signal

from ..engine import Engine, divided
from ..images import docker_archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess

    from ..machine import Machine, Result
    from ..runtime import Runtime

IMAGE = "docker.io/library/bb:latest"
PAUSE = "docker.io/library/pause:1"

CONFIG = """version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "{name}"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}.options]
        BinaryName = "{path}"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.handler]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.handler.options]
        BinaryName = "{path}"
        Root = "/run/handler"
"""
NETWORK = """{
  "cniVersion": "0.4.0", "name": "pods",
  "plugins": [{"type": "bridge", "bridge": "cni0", "isGateway": true,
    "ipam": {"type": "host-local", "subnet": "10.77.0.0/16"}}]
}
"""


class Containerd(Engine):
    """A containerd whose CRI plugin has the runtime under test as its default, and as the handler "handler"."""

    command = "ctr"
    daemon = "containerd"
    settings = CONFIG
    pause = PAUSE
    network = NETWORK

    def __init__(self, machine: Machine, runtime: Runtime) -> None:
        super().__init__(machine, runtime)
        self._daemon: subprocess.Popen[bytes] | None = None
        self.exec_count = 0
        self._count = 0

    def start(self) -> None:
        """Start containerd and wait until it answers."""
        config = self.settings.format(name=self.runtime.name, path=self.path, pause=self.pause)
        self.machine.write("/etc/containerd/config.toml", config)
        self.machine.write("/etc/cni/net.d/10-pods.conflist", self.network)
        # A shim of Docker's makes it too, with mode 700, and then root of a user namespace cannot pass.
        self.machine.run("install", "-d", "-m", "711", "/run/containerd").ok()
        with open(f"{self.machine.store}/containerd.log", "ab") as log:
            self._daemon = self.machine.spawn("containerd", stdout=log, stderr=log)
        self.until(lambda: self("version", check=False).code == 0, "containerd answers", 60)

    def load(self, rootfs: str) -> None:
        """Import the images."""
        store = self.machine.store
        for name, entrypoint in ((IMAGE, None), (PAUSE, ["sleep", "100000"])):
            archive = docker_archive(rootfs, f"{store}/image.tar", name, entrypoint=entrypoint)
            for namespace in ("default", "k8s.io"):
                self("-n", namespace, "images", "import", archive)

    def stop(self) -> None:
        """End containerd and wait for it; the shims stay."""
        assert self._daemon is not None
        (pid,) = [pid for pid, args in self.machine.processes().items() if args == "containerd"]
        self.machine.run("kill", f"-{int(signal.SIGTERM)}", str(pid)).ok()
        self._daemon.wait(60)
        self._daemon = None

    def words(self, *words: str) -> list[str]:
        """`ctr run OPTIONS IMAGE ID PROGRAM`: words before a "--" are options; a new id each time unless given by id=."""
        options, program = divided(words)
        self._count += 1
        names = [word.removeprefix("id=") for word in options if word.startswith("id=")] or [f"x{self._count}"]
        options = [word for word in options if not word.startswith("id=")]
        return ["run", "--runc-binary", self.path, *options, IMAGE, names[0], *program]

    def run(self, *words: str, stdin: bytes = b"") -> Result:
        """`ctr run --rm`; the result is not checked."""
        options, program = divided(words)
        return self(*self.words("--rm", *options, "--", *program), check=False, stdin=stdin)
