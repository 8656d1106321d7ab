"""Runs a part of the tests in the guest, where cgroups are v2 and made by systemd; one result here for each file there."""

from __future__ import annotations

import pytest

from . import arch, inner

TYPE_CHECKING = False
if TYPE_CHECKING:
    import xml.etree.ElementTree as ET

# Named here, since everything would take too long in a guest that is emulated.
NATIVE = (
    "tests/cgroup/test_layout.py",
    "tests/cgroup/test_v2_live.py",
    "tests/live/test_cgroup_v2.py",
    "tests/live/test_v2_resources.py",
    "tests/live/test_limits_felt.py",
    "tests/vm/inside/check_apparmor.py",
    "tests/vm/inside/check_doctor.py",
    "tests/live/test_systemd.py",
    "tests/live/test_host_facts.py",
    "tests/api/test_container.py",
    "tests/api/test_sessions.py",
    "tests/api/test_prepared.py",
    "tests/vm/inside/check_sessions.py",
    "tests/vm/inside/check_users_sessions.py",
    "tests/vm/inside/check_conformance.py",
    "tests/vm/inside/check_host.py",
    "tests/vm/inside/check_checkpoint.py",
)
# What the processor has a part in: the system calls, signal frames and registers of the C parts, filters, the start.
FOREIGN = (
    "tests/executor/test_layout.py",
    "tests/executor/test_process_ops.py",
    "tests/install/test_preload.py",
    "tests/execute/test_report.py",
    "tests/execute/test_filter_cache.py",
    "tests/live/test_cgroup_v2.py",
    "tests/live/test_exec.py",
    "tests/live/test_hooks.py",
    "tests/live/test_lifecycle.py",
    "tests/live/test_namespaces.py",
    "tests/live/test_process.py",
    "tests/live/test_rootless.py",
    "tests/live/test_seccomp.py",
    "tests/live/test_seccomp_notify.py",
    "tests/live/test_security_proc.py",
    "tests/live/test_terminal.py",
    "tests/vm/inside/check_host.py",
)
FILES = FOREIGN if arch.FOREIGN else NATIVE
# What needs pip, or is a race that takes long.
DESELECTED = (
    "tests/install/test_preload.py::test_the_command",
    "tests/install/test_preload.py::test_a_place_that_cannot_be_written",
    "tests/live/test_security_proc.py::test_c03_working_directory_by_descriptor",
    "tests/live/test_security_proc.py::test_d02_null_removed_during_set_up",
)
# What a skip's reason says where there is nothing to be tested on another processor, or in any guest.
ELSEWHERE = ("x86-64", "cgroup v1")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[ET.Element]]:
    """File -> its test cases."""
    deselected = [f"--deselect={name}" for name in DESELECTED if arch.FOREIGN]
    return inner.run(FILES, tmp_path_factory.mktemp("vm"), options=deselected)


@pytest.mark.parametrize("name", FILES)
def test_in_the_guest(report: dict[str, list[ET.Element]], name: str) -> None:
    inner.judge(report, name, ELSEWHERE if arch.FOREIGN else ())
