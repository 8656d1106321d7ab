"""What newer engines do otherwise than older ones, by tests that both have to pass."""

from __future__ import annotations

from ...docker.test_build import builder as builder
from ...docker.test_build import test_build as test_build
from ...docker.test_exec import running as running
from ...docker.test_exec import test_terminal as test_terminal
from ...docker.test_lifecycle import test_end_of_shim_or_init as test_end_of_shim_or_init
from ...docker.test_lifecycle import test_live_restore as test_live_restore
from ...docker.test_lifecycle import test_pause as test_pause
from ...docker.test_lifecycle import test_update as test_update
from ...docker.test_messages import test_version as test_version
from ...docker.test_run import test_limits_are_visible as test_limits_are_visible
from ...docker.test_run import test_program_that_cannot_start as test_program_that_cannot_start
from ...docker.test_undo import registered as registered
from ...docker.test_undo import test_lines_taken_out_is_not_enough as test_lines_taken_out_is_not_enough
from ...docker.test_undo import test_reload_with_runc_named as test_reload_with_runc_named
from ...docker.test_undo import test_restart as test_restart
