"""Nodes: machines with the programs of Kubernetes, one whose runtime is under test and one with runc beside it."""

from __future__ import annotations

import shutil
import tempfile

import pytest

from ..conftest import need_root
from ..machine import Machine
from ..runtime import Runtime
from . import images, programs
from .node import COVERED, Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def built() -> dict[str, str]:
    """The programs of Kubernetes, without the kubelet."""
    return ready("containerd", "containerd-shim-runc-v2", "crictl", "critest", "ctr", "nerdctl", "runc")


def ready(*names: str) -> dict[str, str]:
    """The paths of programs; skips where they cannot be built."""
    need_root()
    try:
        return programs.ready(*names)
    except programs.NoProgramsError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def published() -> Iterator[str]:
    """The directory of the registry."""
    try:
        shell = programs.shell()
    except programs.NoProgramsError as error:
        pytest.skip(str(error))
    home = tempfile.mkdtemp(prefix="ocirun-engines-", dir="/var/tmp")
    images.publish(f"{home}/images", shell)
    yield f"{home}/images"
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def node(built: dict[str, str], published: str, runtime: Runtime) -> Iterator[Node]:
    """A node whose pods run with the runtime under test."""
    with Machine(name="node", runtime=runtime, covered=COVERED) as machine:
        made = Node(machine, runtime, built, published)
        made.start()
        yield made


@pytest.fixture(scope="session")
def beside(built: dict[str, str], published: str) -> Iterator[Node]:
    """A node whose pods run with the runc that was built."""
    runc = Runtime("runc", built["runc"])
    with Machine(name="beside", runtime=runc, covered=COVERED) as machine:
        made = Node(machine, runc, built, published)
        made.start()
        yield made
