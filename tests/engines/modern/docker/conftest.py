"""One dockerd of the newer kind for all tests of this folder."""

from __future__ import annotations

from ...docker.conftest import daemon as daemon
from ...docker.conftest import docker as docker
from ...docker.conftest import quiet as quiet
