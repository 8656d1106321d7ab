"""The guest as a node, with the programs and images that were brought along."""

from __future__ import annotations

import pytest

from ...systemd.inside.conftest import machine as machine
from ...systemd.inside.conftest import runtime as runtime
from ..node import CONFIG, Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...runtime import Runtime
    from ...systemd.inside.guest import Guest

#: Where the caller has put the images, and the programs.
IMAGES, PROGRAMS = "/srv/images", "/srv/programs.tar.gz"
#: A handler of the CRI that is runc, beside the runtime under test.
BESIDE = "beside"
HANDLER = f"""[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.{BESIDE}]
  runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.{BESIDE}.options]
    BinaryName = "/usr/local/bin/runc"
    SystemdCgroup = true
"""


class SystemdNode(Node):
    """A node whose pods are in slices and scopes, and have profiles of AppArmor."""

    settings = (
        CONFIG.replace("disable_apparmor = true", "disable_apparmor = false").replace(
            'BinaryName = "{path}"', 'BinaryName = "{path}"\n        SystemdCgroup = true'
        )
        + HANDLER
    )


@pytest.fixture(scope="session")
def node(machine: Guest, runtime: Runtime) -> Iterator[SystemdNode]:
    """The node with containerd."""
    machine.run("tar", "-C", "/", "-xf", PROGRAMS).ok()
    made = SystemdNode(machine, runtime, {}, IMAGES)
    made.start()
    yield made
    made.stop()
