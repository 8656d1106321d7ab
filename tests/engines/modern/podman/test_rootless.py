"""podman 5 of an ordinary user, by tests that older ones have to pass, too."""

from __future__ import annotations

from ...podman.test_rootless import ada as ada
from ...podman.test_rootless import test_keep_id as test_keep_id
from ...podman.test_rootless import test_life as test_life
from ...podman.test_rootless import test_run as test_run
