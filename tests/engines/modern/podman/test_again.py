"""What podman 5 and its buildah do otherwise than older ones, by tests that both have to pass."""

from __future__ import annotations

from ...podman.test_buildah import buildah as buildah
from ...podman.test_buildah import test_dockerfile as test_dockerfile
from ...podman.test_buildah import test_failing_step as test_failing_step
from ...podman.test_buildah import test_run as test_run
from ...podman.test_checkpoint import test_another_container_from_an_archive as test_another_container_from_an_archive
from ...podman.test_checkpoint import test_goes_on_where_it_was as test_goes_on_where_it_was
from ...podman.test_pods import test_pod as test_pod
from ...podman.test_run import test_cgroups as test_cgroups
from ...podman.test_run import test_exec as test_exec
from ...podman.test_run import test_health as test_health
from ...podman.test_run import test_hooks as test_hooks
from ...podman.test_run import test_host_processes as test_host_processes
from ...podman.test_run import test_life as test_life
from ...podman.test_run import test_preserved_descriptors as test_preserved_descriptors
from ...podman.test_run import test_program_that_cannot_start as test_program_that_cannot_start
from ...podman.test_run import test_socket_activation_and_readiness as test_socket_activation_and_readiness
from ...podman.test_run import test_terminal as test_terminal
