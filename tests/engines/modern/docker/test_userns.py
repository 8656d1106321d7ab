"""A newer dockerd with userns-remap, by the tests of the older one: they share a daemon with those settings."""

from __future__ import annotations

from ...docker.test_userns import remapped as remapped
from ...docker.test_userns import test_ids as test_ids
from ...docker.test_userns import test_namespace_of_the_host as test_namespace_of_the_host
