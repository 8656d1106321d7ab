"""One containerd of the newer kind for all tests of this folder, with the form of config.toml that it has."""

from __future__ import annotations

import pytest

from ...containerd.conftest import cri as cri
from ...containerd.conftest import ctr as ctr
from ...containerd.conftest import quiet as quiet
from ...containerd.daemon import Containerd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...machine import Machine
    from ...runtime import Runtime

CONFIG = """version = 3
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{pause}"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  enable_cdi = true
  cdi_spec_dirs = ["/etc/cni/devices"]
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "{name}"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.{name}]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.{name}.options]
        BinaryName = "{path}"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.handler]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.handler.options]
        BinaryName = "{path}"
        Root = "/run/handler"
"""


class Newer(Containerd):
    """A containerd of version 2."""

    settings = CONFIG


@pytest.fixture(scope="package")
def daemon(machine: Machine, runtime: Runtime, busybox: str) -> Iterator[Containerd]:
    """A running containerd that has the images."""
    made = Newer(machine, runtime)
    made.start()
    made.load(busybox)
    yield made
    made.stop()
