"""What containerd 2 does otherwise than 1.6, by tests that both have to pass."""

from __future__ import annotations

from ...containerd.test_cri import test_events_reach_the_log_of_the_runtime as test_events_reach_the_log_of_the_runtime
from ...containerd.test_cri import test_exec_sync as test_exec_sync
from ...containerd.test_cri import test_pod_with_two_containers as test_pod_with_two_containers
from ...containerd.test_cri import test_program_that_cannot_start as test_program_that_cannot_start
from ...containerd.test_cri import test_resources_and_update as test_resources_and_update
from ...containerd.test_cri import test_security_context as test_security_context
from ...containerd.test_cri import test_shared_processes as test_shared_processes
from ...containerd.test_cri import test_stop_with_and_without_patience as test_stop_with_and_without_patience
from ...containerd.test_ctr import test_checkpoint_and_restore as test_checkpoint_and_restore
from ...containerd.test_ctr import test_containerd_restarts as test_containerd_restarts
from ...containerd.test_ctr import test_kill_all_and_remove_by_force as test_kill_all_and_remove_by_force
from ...containerd.test_ctr import test_output_and_status as test_output_and_status
from ...containerd.test_ctr import test_tasks as test_tasks
from ...containerd.test_ctr import test_user_namespace as test_user_namespace
