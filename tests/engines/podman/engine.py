"""podman and buildah on a machine of their own."""

from __future__ import annotations

import os

from ..engine import WithRun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..machine import Machine, Result
    from ..runtime import Runtime

IMAGE = "localhost/bb:latest"
PAUSE = "localhost/pause:1"
ADA = 1001  # an ordinary user of the machine

CONFIG = """[containers]
default_ulimits = ["nofile=1024:1024", "nproc=10000:10000"]
[engine]
runtime = "{name}"
runtime_supports_json = ["{name}"]
runtime_supports_nocgroup = ["{name}"]
cgroup_manager = "cgroupfs"
events_logger = "file"
infra_image = "{pause}"
{extra}
[engine.runtimes]
{name} = ["/usr/local/bin/{name}"]
[network]
network_backend = "netavark"
"""
STORAGE = '[storage]\ndriver = "overlay"\nrunroot = "{run}"\ngraphroot = "{graph}"\n'
POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}\n'


class Podman(WithRun):
    """podman whose default runtime is the one under test."""

    command = "podman"
    image = IMAGE

    def __init__(self, machine: Machine, runtime: Runtime) -> None:
        super().__init__(machine, runtime)
        self.configure()
        machine.write("/etc/containers/policy.json", POLICY)
        machine.write("/etc/containers/registries.conf", 'unqualified-search-registries = ["localhost"]\n')
        machine.write(
            "/etc/containers/storage.conf",
            STORAGE.format(run="/run/containers/storage", graph="/var/lib/containers/storage"),
        )
        for name, line in (
            ("passwd", f"ada:x:{ADA}:{ADA}::/home/ada:/bin/sh"),
            ("group", f"ada:x:{ADA}:"),
            ("subuid", "ada:200000:65536"),
            ("subgid", "ada:200000:65536"),
        ):
            with open(f"{machine.store}/etc/{name}", "a", encoding="utf-8") as file:
                file.write(line + "\n")
        machine.run("install", "-d", "-o", str(ADA), "-g", str(ADA), "-m", "700", "/home/ada", f"/run/user/{ADA}").ok()
        # podman 5 takes the directories of the whole machine otherwise.
        graph = "/home/ada/.local/share/containers/storage"
        own = STORAGE.format(run=f"/run/user/{ADA}/containers", graph=graph)
        machine.write("/home/ada/.config/containers/storage.conf", own)
        machine.run("chown", "-R", f"{ADA}:{ADA}", "/home/ada").ok()

    def configure(self, extra: str = "") -> None:
        """Write containers.conf."""
        text = CONFIG.format(name=self.runtime.name, pause=PAUSE, extra=extra)
        self.machine.write("/etc/containers/containers.conf", text)

    def load(self, rootfs: str) -> None:
        """Import the images, for root and for ada."""
        with open(rootfs, "rb") as file:
            tar = file.read()
        self("import", "-", IMAGE, stdin=tar)
        self("import", "--change", 'ENTRYPOINT ["sleep","100000"]', "-", PAUSE, stdin=tar)

    def as_ada(self, *words: str, stdin: bytes = b"", check: bool = True) -> Result:
        """Run a command as the ordinary user."""
        become = ["setpriv", f"--reuid={ADA}", f"--regid={ADA}", "--init-groups", "--inh-caps=-all"]
        environment = ["env", "HOME=/home/ada", f"XDG_RUNTIME_DIR=/run/user/{ADA}", "USER=ada"]
        result = self.machine.run(*become, *environment, *words, stdin=stdin, cwd="/home/ada")
        return result.ok() if check else result


def state_roots(runtime: Runtime) -> list[str]:
    """The directories where the runtime keeps its states when nobody tells it another."""
    return [f"/run/{runtime.name}", f"/run/user/{ADA}/{runtime.name}"]


def missing() -> str:
    """A program that the tests need and that is not there, or ""."""
    directories = [*os.environ.get("PATH", "").split(":"), "/usr/sbin", "/sbin"]
    for program in ("podman", "conmon", "buildah", "newuidmap"):
        if not any(os.access(f"{where}/{program}", os.X_OK) for where in directories):
            return program
    return ""
