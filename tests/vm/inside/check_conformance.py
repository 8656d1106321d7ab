"""What the specification asks for on cgroup v2 only, tried on ocirun: those requirements that a host with v1 has to skip."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from vm import share

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

IDS = (
    "config-linux.cgroupOwnership.existing-files",
    "config-linux.cgroupOwnership.missing-files",
    "config-linux.cgroupOwnership.namespace",
    "config-linux.cgroupOwnership.no-mount",
    "config-linux.cgroupOwnership.only-delegated",
    "config-linux.cgroupOwnership.others",
    "config-linux.cgroupOwnership.read-write",
    "config-linux.cgroupsPath.absolute",
    "config-linux.resources.devices.order",
    "config-linux.resources.hugepageLimits.reservation",
    "config-linux.resources.memory.checkBeforeUpdate",
    "config-linux.resources.unified.absent",
    "config-linux.resources.unified.controllers",
    "config-linux.resources.unified.conversion",
    "config-linux.resources.unified.unknown",
)


@pytest.fixture(scope="module")
def results() -> dict[str, dict[str, Any]]:
    """The suite's results by id."""
    command = [sys.executable, "-m", "conformance", "--json", "-", "--only", *IDS]
    env = {**os.environ, "PYTHONPATH": f"{share.CHECKOUT}/tests"}
    done = subprocess.run(command, cwd=share.CHECKOUT, env=env, stdout=subprocess.PIPE, text=True, check=False)
    return {one["id"]: one for one in json.loads(done.stdout)["results"]}


@pytest.mark.parametrize("name", IDS)
def test_requirement(name: str, results: dict[str, dict[str, Any]]) -> None:
    assert results[name]["result"] == "passed", results[name]["reason"]
