"""The CRI's own validation suite, with ocirun and with runc in its place at the same time."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from .node import SOCKET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .node import Node

#: What no runtime can pass here, and why.
NOT_HERE = {
    "benchmark": "measures, and says nothing of right or wrong",
    "public image with digest": "the digest is that of an image in a registry of the world",
}
NOT_ON_V1 = {"support listing pod sandbox metrics": "containerd tells container_threads on cgroup v2 only"}
#: The suite leaves these out while it runs. AppArmor is a matter of the kernel, the others of containerd 2.3, two of
#: them by chance.
LEFT_OUT = ("AppArmor is disabled", "spec discrepancy: containerd", "is not yet supported by the runtime")
LIMIT = 1500


class Report:
    """What the suite said: its specs by their outcome, and the message of each that did not pass."""

    def __init__(self, text: str) -> None:
        self.specs: dict[str, str] = {}
        self.messages: dict[str, str] = {}
        for spec in json.loads(text)[0]["SpecReports"]:
            if spec["LeafNodeType"] != "It":
                continue
            name = " ".join([*(spec["ContainerHierarchyTexts"] or []), spec["LeafNodeText"]])
            self.specs[name] = spec["State"]
            self.messages[name] = spec.get("Failure", {}).get("Message", "")

    def of(self, *states: str) -> set[str]:
        """Names of the specs that ended so."""
        return {name for name, state in self.specs.items() if state in states}

    def told(self, names: set[str]) -> str:
        """These specs with their messages, a line each."""
        return "\n".join(f"{name}: {self.messages[name][-600:]}" for name in sorted(names))


def run(node: Node, *, handler: str = "", focus: str = "") -> Report:
    """Run the suite on a node.

    handler   of the CRI, "" for the default
    focus     a pattern of the specs, "" for all
    """
    path = f"{node.machine.store}/report{handler}.json"
    options = ["-nri-socket", "/run/nri/nri.sock", "-ginkgo.no-color", "-ginkgo.json-report", path]
    unified = os.path.exists(f"/proc/{node.machine.pid}/root/sys/fs/cgroup/cgroup.controllers")
    for words in NOT_HERE if unified else {**NOT_HERE, **NOT_ON_V1}:
        options += ["-ginkgo.skip", words]
    options += ["-runtime-handler", handler, "-ginkgo.focus", focus]
    node.machine.run("critest", "-runtime-endpoint", SOCKET, "-image-endpoint", SOCKET, *options, limit=LIMIT)
    with open(path, encoding="utf-8") as file:
        return Report(file.read())


@pytest.fixture(scope="module")
def reports(node: Node, beside: Node) -> tuple[Report, Report]:
    """The reports of both nodes."""
    with ThreadPoolExecutor(2) as threads:
        ours, theirs = threads.map(run, (node, beside))
    return ours, theirs


def test_every_spec_that_can_run_does(reports: tuple[Report, Report]) -> None:
    """122 of 142: the others are 5 benchmarks, 9 specs for AppArmor, and those named above."""
    for report in reports:
        left_out = {name for name in report.of("skipped") if report.messages[name]}
        assert all(any(words in report.messages[name] for words in LEFT_OUT) for name in left_out), report.told(
            left_out
        )
        assert len(report.of("passed", "failed")) >= 122


def test_none_fails(reports: tuple[Report, Report]) -> None:
    for report in reports:
        failed = set(report.specs) - report.of("passed", "skipped")
        assert not failed, report.told(failed)


def test_none_that_passes_with_runc_is_left_out(reports: tuple[Report, Report]) -> None:
    ours, theirs = reports
    missing = {name for name in theirs.of("passed") - ours.of("passed") if "containerd" not in ours.messages[name]}
    assert not missing, ours.told(missing)
