"""Runs the checks of `inside` in the guest, where systemd makes the cgroups of pods on version 2."""

from __future__ import annotations

import os
import subprocess

import pytest
from vm import inner

from .conftest import ready

TYPE_CHECKING = False
if TYPE_CHECKING:
    import xml.etree.ElementTree as ET
    from pathlib import Path

    from ..runtime import Runtime

HERE = "tests/engines/kubernetes/inside"
FILES = tuple(f"{HERE}/check_{name}.py" for name in ("kubelet", "validation"))
PLUGINS = ("bridge", "host-local", "loopback", "portmap")


@pytest.fixture(scope="module")
def report(runtime: Runtime, published: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[ET.Element]]:
    """File -> its test cases."""
    home = tmp_path_factory.mktemp("vm")
    carried = {"/srv/programs.tar.gz": _packed(home), "/srv/images": published}
    installed = os.path.dirname(os.path.dirname(runtime.path)) if runtime.ours else ""
    options = ["--ring", "kubernetes", "--engine-runtime", runtime.name, "--durations=0"]
    return inner.run(FILES, home, installed=installed, options=options, carried=carried)


def _packed(home: Path) -> str:
    """An archive of the programs and the plugins of the network: the second disk of the guest is small."""
    programs = ready("containerd", "containerd-shim-runc-v2", "crictl", "critest", "ctr", "kubelet", "runc")
    for name, path in programs.items() | {(name, f"/usr/lib/cni/{name}") for name in PLUGINS}:
        below = home / ("usr/lib/cni" if name in PLUGINS else "usr/local/bin")
        below.mkdir(parents=True, exist_ok=True)
        (below / name).symlink_to(path)
    command = ["tar", "--dereference", "-C", str(home), "-I", "gzip -1", "-cf", f"{home}/programs.tar.gz", "usr"]
    subprocess.run(command, check=True)
    return f"{home}/programs.tar.gz"


@pytest.mark.parametrize("name", FILES)
def test_in_the_guest(report: dict[str, list[ET.Element]], name: str) -> None:
    inner.judge(report, name)
