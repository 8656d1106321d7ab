"""podman of the newer kind for all tests of this folder."""

from __future__ import annotations

from ...podman.conftest import engine as engine
from ...podman.conftest import podman as podman
from ...podman.conftest import quiet as quiet
