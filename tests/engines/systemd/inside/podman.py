"""podman as its packages set it up: systemd makes its cgroups."""

from __future__ import annotations

from ...engine import Engine
from ...podman.engine import IMAGE, PAUSE, POLICY, Podman

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...runtime import Runtime
    from .guest import Guest

# What docs/engines/podman.md tells to write, and an infra image that is here.
CONFIG = """[engine]
runtime = "{name}"
runtime_supports_json = ["{name}"]
runtime_supports_nocgroup = ["{name}"]
infra_image = "{pause}"
[engine.runtimes]
{name} = ["/usr/local/bin/{name}"]
"""
STORAGE = """[storage]
driver = "overlay"
runroot = "/run/containers/storage"
graphroot = "/var/lib/containers/storage"
"""
#: What podman makes once and keeps.
STAYS = ("mount /var/lib/containers/", "mount /run/netns", "machine.slice", "podman-pause-", "catatonit")


class SystemdPodman(Podman):
    """podman of root."""

    machine: Guest

    def __init__(self, machine: Guest, runtime: Runtime) -> None:
        Engine.__init__(self, machine, runtime)
        machine.write("/etc/containers/containers.conf", CONFIG.format(name=runtime.name, pause=PAUSE))
        machine.write("/etc/containers/policy.json", POLICY)
        machine.write("/etc/containers/storage.conf", STORAGE)

    def start(self, name: str, *options: str, program: tuple[str, ...] = ("sleep", "1000")) -> int:
        """Run a container that stays; the pid of its first process."""
        self("run", "-d", f"--name={name}", "--network=none", *options, IMAGE, *program)
        return int(self.inspect(name, ".State.Pid"))
