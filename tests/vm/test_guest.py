"""Runs a part of the tests in the guest, where cgroups are v2 and made by systemd; one result here for each file there."""

from __future__ import annotations

import os
import sys
import xml.etree.ElementTree as ET

import pytest

from . import arch, link, share, store

# Named here, since everything would take too long in a guest that is emulated.
NATIVE = (
    "tests/cgroup/test_layout.py",
    "tests/cgroup/test_v2_live.py",
    "tests/live/test_cgroup_v2.py",
    "tests/live/test_v2_resources.py",
    "tests/live/test_limits_felt.py",
    "tests/vm/inside/check_apparmor.py",
    "tests/live/test_systemd.py",
    "tests/live/test_host_facts.py",
    "tests/api/test_container.py",
    "tests/vm/inside/check_conformance.py",
    "tests/vm/inside/check_host.py",
    "tests/vm/inside/check_checkpoint.py",
)
# What the processor has a part in: the system calls, signal frames and registers of the C parts, filters, the start.
FOREIGN = (
    "tests/executor/test_layout.py",
    "tests/executor/test_process_ops.py",
    "tests/install/test_preload.py",
    "tests/launch/test_report.py",
    "tests/launch/test_filter_cache.py",
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
LIMIT = 2400.0
REPORT = "/tmp/report.xml"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[ET.Element]]:
    """File -> its test cases, as pytest in the guest reported them."""
    lack = store.missing() or ("the guest needs root" if os.geteuid() else "")
    if lack and os.environ.get("VM_REQUIRED") == "1":
        pytest.fail(lack, pytrace=False)
    if lack:
        pytest.skip(lack)
    disk = str(tmp_path_factory.mktemp("vm") / "disk")
    share.write(disk, store.carried())
    output: list[bytes] = []
    with store.start(store.accelerator(), disk) as running:
        if running.agent.run(share.UNPACK, err=output.append):
            pytest.fail(f"the checkout cannot be unpacked: {_text(output)}", pytrace=False)
        argv = [f"{share.CHECKOUT}/.venv/bin/python", "-m", "pytest", "-p", "no:cacheprovider", "-q", "--tb=short"]
        argv += ["-o", "junit_family=xunit1", f"--junit-xml={REPORT}"]
        argv += [*FILES, *(f"--deselect={name}" for name in DESELECTED if arch.FOREIGN)]
        try:
            how = {"cwd": share.CHECKOUT, "env": share.ENVIRONMENT}
            running.agent.run(argv, timeout=LIMIT, out=output.append, err=output.append, **how)
        except link.MachineEnded as error:
            pytest.fail(f"{error}\n{running.console()}\n{_text(output)}", pytrace=False)
        sys.stdout.write(_text(output))
        lines: list[bytes] = []
        if running.agent.run(["cat", REPORT], out=lines.append):
            pytest.fail(f"no report from the guest: {_text(output)[-8000:]}", pytrace=False)
    found: dict[str, list[ET.Element]] = {}
    for case in ET.fromstring(b"".join(lines)).iter("testcase"):
        found.setdefault(_file(case), []).append(case)
    return found


def _file(case: ET.Element) -> str:
    """The file that a test was collected from; pytest's own attribute is where its function was written."""
    module = case.get("classname") or ""
    names = [name for name in FILES if f"{module}.".startswith(f"{name.removesuffix('.py').replace('/', '.')}.")]
    return names[0] if names else module


def _text(parts: list[bytes]) -> str:
    return b"".join(parts).decode(errors="replace")


@pytest.mark.live
@pytest.mark.parametrize("name", FILES)
def test_in_the_guest(report: dict[str, list[ET.Element]], name: str) -> None:
    cases = report.get(name, [])
    assert cases, f"nothing of {name} ran in the guest"
    wrong = []
    for case in cases:
        for kind in ("failure", "error", "skipped"):
            # What is skipped there, where all is at hand, would be tested nowhere.
            for found in case.iter(kind):
                if kind == "skipped" and arch.FOREIGN and any(w in (found.get("message") or "") for w in ELSEWHERE):
                    continue
                wrong.append(f"{kind}: {case.get('name')}: {found.get('message')}\n{found.text or ''}")
    if wrong:
        pytest.fail(f"in the guest, {len(wrong)} of {len(cases)}:\n" + "\n".join(wrong), pytrace=False)
