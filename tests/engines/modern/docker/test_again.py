"""What newer engines do otherwise than older ones, by tests that both have to pass."""

from __future__ import annotations

from ...docker.test_build import builder as builder
from ...docker.test_build import test_build as test_build
from ...docker.test_exec import running as running
from ...docker.test_exec import test_terminal as test_terminal
from ...docker.test_run import test_limits_are_visible as test_limits_are_visible
from ...docker.test_run import test_program_that_cannot_start as test_program_that_cannot_start
