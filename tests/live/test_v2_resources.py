"""Limits and figures on cgroup v2, read back from the kernel."""

from __future__ import annotations

import json
import os

import pytest

from . import process
from .v2 import MIB, SLEEP, directory, needs_v2, value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .bundles import Bundle
    from .case import Case

pytestmark = needs_v2

RESOURCES: dict[str, Any] = {
    "memory": {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 32 * MIB},
    "cpu": {"shares": 512, "quota": 50000, "period": 200000, "burst": 1000, "cpus": "0", "mems": "0"},
    "pids": {"limit": 50},
    "blockIO": {"weight": 750},
    "hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}],
    "unified": {"memory.high": str(60 * MIB), "pids.max": "40", "cgroup.max.depth": "3"},
}
FILES = {
    "memory.max": str(64 * MIB),
    "memory.swap.max": str(32 * MIB),
    "memory.low": str(32 * MIB),
    "memory.high": str(60 * MIB),
    "cpu.weight": "59",
    "cpu.max": "50000 200000",
    "cpu.max.burst": "1000",
    "cpuset.cpus": "0",
    "cpuset.mems": "0",
    # unified has the last word.
    "pids.max": "40",
    "io.weight": "default 7475",
    "hugetlb.2MB.max": str(4 * MIB),
    "hugetlb.2MB.rsvd.max": str(4 * MIB),
    "cgroup.max.depth": "3",
}


def values(bundle: Bundle, files: dict[str, str]) -> dict[str, str]:
    return {file: value(bundle, file) for file in files}


def test_every_limit_is_written(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    bundle.linux["resources"] = RESOURCES
    live.launch(bundle)
    assert values(bundle, FILES) == FILES


def test_update(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    bundle.linux["resources"] = {
        "memory": {"limit": 64 * MIB, "swap": 64 * MIB},
        "cpu": {"quota": 50000, "period": 100000},
    }
    live.launch(bundle)
    base = {"memory.max": str(64 * MIB), "memory.swap.max": "0", "cpu.max": "50000 100000", "pids.max": "max"}
    assert values(bundle, base) == base
    # Swap is told together with memory, and the period stays.
    options = ["--memory", str(32 * MIB), "--memory-swap", str(48 * MIB), "--cpu-quota", "30000", "--pids-limit", "9"]
    live.command("update", *options, bundle.id).ok()
    wanted = {"memory.max": str(32 * MIB), "memory.swap.max": str(16 * MIB), "cpu.max": "30000 100000", "pids.max": "9"}
    assert values(bundle, wanted) == wanted
    # Zero means unchanged; devices are passed over.
    document = {
        "memory": {"limit": 0},
        "cpu": {"shares": 2048, "quota": 0},
        "devices": [{"allow": False, "access": "rwm"}],
    }
    update(live, bundle, document)
    assert values(bundle, {**wanted, "cpu.weight": ""}) == {**wanted, "cpu.weight": "174"}
    live.command("exec", bundle.id, "/bin/sh", "-c", "echo >/dev/null").ok()
    # No limit of memory is none of swap either.
    live.command("update", "--memory", "-1", "--cpu-quota", "-1", bundle.id).ok()
    assert values(bundle, wanted) == {**wanted, "memory.max": "max", "memory.swap.max": "max", "cpu.max": "max 100000"}
    # All or nothing: the second is refused by the kernel.
    before = values(bundle, wanted)
    result = update(live, bundle, {"pids": {"limit": 5}, "unified": {"memory.max": "nonsense"}}, fails=True)
    assert "/unified/memory.max" in result and "invalid argument" in result
    assert values(bundle, wanted) == before
    result = update(live, bundle, {"memory": {"swappiness": 5}}, fails=True)
    assert "/memory/swappiness" in result and "no counterpart on cgroup v2" in result
    process_bytes = {"memory": {"limit": 4096, "checkBeforeUpdate": True}}
    assert "rejecting memory limit" in update(live, bundle, process_bytes, fails=True)


def update(live: Case, bundle: Bundle, document: dict[str, Any], *, fails: bool = False) -> str:
    path = f"{live.scratch}/resources.json"
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file)
    result = live.command("update", "--resources", path, bundle.id)
    assert (result.code != 0) == fails, result.report()
    return result.err


def test_statistics(live: Case) -> None:
    bundle = live.shell(
        "dd if=/dev/zero of=/dev/shm/x bs=1M count=5 2>/dev/null; i=0; while [ $i -lt 9999 ]; do i=$((i+1)); done; echo ready; sleep 600"
    )
    bundle.linux["resources"] = {"memory": {"limit": 64 * MIB}, "pids": {"limit": 9}, "cpu": {"cpus": "0"}}
    started = live.launch(bundle)
    process.eventually(lambda: "ready" in started.out, "the program is ready")
    event = live.command("events", "--stats", bundle.id).ok().json()
    data = event["data"]
    assert (event["type"], event["id"]) == ("stats", bundle.id)
    assert data["memory"]["usage"]["limit"] == 64 * MIB
    assert 5 * MIB < data["memory"]["usage"]["usage"] <= data["memory"]["usage"]["max"] <= 64 * MIB
    # With memory in it, as on v1; without a limit the greatest number.
    assert data["memory"]["swap"] == {"limit": 2**64 - 1, "usage": data["memory"]["usage"]["usage"], "failcnt": 0}
    assert data["memory"]["raw"]["shmem"] >= 5 * MIB
    assert data["pids"] == {"current": 1, "limit": 9}
    used = data["cpu"]["usage"]
    assert used["total"] > 0 and used["total"] >= used["user"]
    assert data["cpuset"] == {"cpus": [0], "mems": [0]}
    assert set(data["hugetlb"]) >= {"2MB"}
    assert "some" in data["memory"]["psi"]


def test_the_oom_killer_is_heard_of(live: Case) -> None:
    script = "read line; dd if=/dev/zero of=/dev/shm/x bs=1M count=40; sleep 600"
    bundle = live.shell(script)
    bundle.linux["resources"] = {"memory": {"limit": 16 * MIB}}
    reader, writer = os.pipe()
    live.create(bundle, stdin=reader)
    live.start(bundle)
    watcher, out, _ = process.spawn(live.argv("events", "--interval", "100s", bundle.id), scratch=live.scratch)
    process.eventually(lambda: watches(watcher.pid), "it watches", 20)
    os.write(writer, b"go\n")
    process.eventually(lambda: '"oom"' in read(out), "an event", 20)
    assert json.loads(read(out).splitlines()[0]) == {"type": "oom", "id": bundle.id}
    assert int(dict(line.split() for line in value(bundle, "memory.events").splitlines())["oom_kill"]) > 0
    live.delete(bundle, "--force")
    assert process.wait_end(watcher, 10)
    os.close(reader)
    os.close(writer)


def watches(pid: int) -> bool:
    """The process has the file of notices open."""
    try:
        return any("memory.events" in os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))
    except FileNotFoundError:  # closed meanwhile
        return False


def read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


@pytest.mark.parametrize(
    ("resources", "pointer"),
    [
        ({"memory": {"swappiness": 5}}, "/linux/resources/memory/swappiness"),
        ({"network": {"classID": 5}}, "/linux/resources/network/classID"),
        ({"unified": {"nosuch.max": "5"}}, "/linux/resources/unified/nosuch.max"),
        # Only the kernel knows: everything is undone.
        ({"unified": {"memory.nosuch": "5"}}, "/linux/resources/unified/memory.nosuch"),
        ({"cpu": {"cpus": "4000"}}, "/linux/resources/cpu/cpus"),
        ({"hugepageLimits": [{"pageSize": "64MB", "limit": 5}]}, "/linux/resources/hugepageLimits/0"),
    ],
)
def test_wrong_limit(live: Case, resources: dict[str, Any], pointer: str) -> None:
    bundle = live.bundle()
    bundle.linux["resources"] = resources
    live.refused(bundle, pointer, verbs=["run"])
    assert not os.path.exists(directory(bundle))
