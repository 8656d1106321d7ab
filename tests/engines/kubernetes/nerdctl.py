"""nerdctl on a node."""

from __future__ import annotations

from ..engine import WithRun
from .images import BUSY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..machine import Result
    from .node import Node

CONFIG = """cgroup_manager = "cgroupfs"
cni_path = "/usr/lib/cni"
cni_netconfpath = "{store}/nerdctl/net.d"
data_root = "{store}/nerdctl/data"
hosts_dir = ["/etc/containerd/certs.d"]
"""


class Nerdctl(WithRun):
    """nerdctl, whose containers run with the runtime under test.

    shell  the words that call it in a shell
    """

    command = "nerdctl"
    daemon = "containerd"
    image = BUSY

    def __init__(self, node: Node) -> None:
        super().__init__(node.machine, node.runtime)
        store = node.machine.store
        self._config = node.machine.write(f"{store}/nerdctl.toml", CONFIG.format(store=store))
        self.shell = f"NERDCTL_TOML={self._config} nerdctl"
        self("pull", BUSY)

    def __call__(
        self,
        *words: str,
        check: bool = True,
        stdin: bytes = b"",
        limit: float = 120,
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
    ) -> Result:
        """Run nerdctl; a new container has the runtime under test."""
        if words[0] in ("run", "create"):
            words = (words[0], "--runtime", self.path, *words[1:])
        environment = {"NERDCTL_TOML": self._config, **(env or {})}
        return super().__call__(*words, check=check, stdin=stdin, limit=limit, env=environment, cwd=cwd)
