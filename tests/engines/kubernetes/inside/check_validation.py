"""Specs of the CRI's validation suite in which version 2 of cgroups has a part, with runc at the same time.

Few, as each takes a quarter of a minute where all is emulated. The suite gives an end of memory one minute, so that is left to
`check_kubelet.py`. Where an id-mapped mount of a tmpfs is missing (before Linux 6.3), it leaves out one of user namespaces.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ..test_validation import run
from .conftest import BESIDE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..test_validation import Report
    from .conftest import SystemdNode

FOCUS = "metrics operations|Privileged is|support execSync|listing container stats|UserNamespaces"


@pytest.fixture(scope="module")
def reports(node: SystemdNode) -> tuple[Report, Report]:
    """The reports of both runtimes."""
    with ThreadPoolExecutor(2) as threads:
        ours, theirs = threads.map(lambda handler: run(node, handler=handler, focus=FOCUS), ("", BESIDE))
    return ours, theirs


def test_all_pass(reports: tuple[Report, Report]) -> None:
    """12 of 13, among them the metrics of pods, which containerd tells on version 2 only, and a privileged container."""
    for report in reports:
        failed = set(report.specs) - report.of("passed", "skipped")
        assert not failed, report.told(failed)
        passed = report.of("passed")
        assert len(passed) >= 12, sorted(passed)
        assert any("listing pod sandbox metrics" in name for name in passed)


def test_none_that_passes_with_runc_is_left_out(reports: tuple[Report, Report]) -> None:
    ours, theirs = reports
    missing = theirs.of("passed") - ours.of("passed")
    assert not missing, ours.told(missing)
