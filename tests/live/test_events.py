"""ps, events and features of real containers."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from . import process
from .test_cgroup import SLEEP, need

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .bundles import Bundle
    from .case import Case

MIB = 1 << 20
needs_ps = pytest.mark.skipif(shutil.which("ps") is None, reason="no ps on this host")


def lines(path: str) -> list[Any]:
    """The events in an output file so far."""
    with open(path, encoding="ascii") as file:
        return [json.loads(line) for line in file.read().splitlines(keepends=True) if line.endswith("\n")]


def holds_eventfd(pid: int) -> bool:
    """The process has an eventfd open."""
    try:
        return any("eventfd" in os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))
    except FileNotFoundError:  # closed meanwhile
        return False


def family(live: Case) -> tuple[Bundle, list[int]]:
    """A running container with three processes, and their pids."""
    bundle = live.shell("sleep 601 & sleep 602 & wait")
    live.launch(bundle)
    init = live.pid(bundle)
    process.eventually(lambda: len(process.descendants(init)) == 2, "two children")
    return bundle, sorted([init, *process.descendants(init)])


def test_ps_json(live: Case) -> None:
    bundle, pids = family(live)
    for form in (("--format", "json"), ("-f", "json"), ("--format=json",)):
        assert live.command("ps", *form, bundle.id).ok().json() == pids


@needs_ps
def test_ps_table(live: Case) -> None:
    bundle, pids = family(live)
    head, *rows = live.command("ps", bundle.id).ok().out.splitlines()
    assert "PID" in head.split()
    assert sorted(int(row.split()[1]) for row in rows) == pids
    head, *rows = live.command("ps", bundle.id, "-o", "pid,args").ok().out.splitlines()
    assert [row.split() for row in rows] == [
        [str(pids[0]), "/bin/sh", "-c", *["sleep", "601", "&", "sleep", "602", "&", "wait"]],
        [str(pids[1]), "sleep", "601"],
        [str(pids[2]), "sleep", "602"],
    ]
    live.command("ps", bundle.id, "-o", "comm").failed("PID")
    live.command("ps", bundle.id, "--no-such-option").failed("ps ended with status")
    assert live.command("ps", bundle.id, env={"XDG_RUNTIME_DIR": "/run"}).ok().out


def test_ps_in_every_state(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    live.create(bundle)
    assert live.command("ps", "-f", "json", bundle.id).ok().json() == [live.pid(bundle)]
    live.start(bundle)
    live.kill(bundle, "KILL")
    live.until(bundle, "stopped")
    assert live.command("ps", "-f", "json", bundle.id).ok().json() == []
    if shutil.which("ps"):
        assert len(live.command("ps", bundle.id).ok().out.splitlines()) == 1
    live.command("ps", "-f", "json", "unknown").failed("container does not exist")


def test_ps_without_a_cgroup(live: Case) -> None:
    bundle = live.shell("sleep 601 & wait")
    bundle.save()
    live.command("--cgroup-manager", "disabled", "create", "--bundle", bundle.path, bundle.id).ok()
    live.start(bundle)
    init = live.pid(bundle)
    process.eventually(lambda: len(process.descendants(init)) == 1, "a child")
    assert live.command("ps", "-f", "json", bundle.id).ok().json() == sorted([init, *process.descendants(init)])
    live.command("events", "--stats", bundle.id).failed("no cgroup")
    live.command("update", "--pids-limit", "5", bundle.id).failed("/pids/limit")


def test_stats(live: Case) -> None:
    for controller in ("memory", "pids", "cpuacct"):
        need(controller)
    bundle = live.shell("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; touch /ready; sleep 600")
    bundle.linux["resources"] = {"memory": {"limit": 64 * MIB}, "pids": {"limit": 50}}
    live.launch(bundle)
    process.eventually(lambda: os.path.exists(f"{bundle.rootfs}/ready"), "some work done")
    [event] = lines(live.command("events", "--stats", bundle.id).ok().out_path)
    assert (event["type"], event["id"]) == ("stats", bundle.id)
    data = event["data"]
    assert set(data) >= {"cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces"}
    usage = data["cpu"]["usage"]
    assert usage["total"] > 1_000_000
    assert sum(usage["percpu"]) >= usage["total"] // 2
    memory = data["memory"]
    assert memory["usage"]["limit"] == 64 * MIB
    assert 0 < memory["usage"]["usage"] <= memory["usage"]["max"]
    assert memory["raw"]["hierarchical_memory_limit"] == 64 * MIB
    assert data["pids"]["current"] in (1, 2)
    assert data["pids"]["limit"] == 50


def test_events_until_the_end(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    live.launch(bundle)
    proc, out, err = process.spawn(live.argv("events", "--interval", "100ms", bundle.id), scratch=live.scratch)
    process.eventually(lambda: len(lines(out)) >= 3, "three events")
    live.kill(bundle, "KILL")
    assert process.wait_end(proc, 5)
    assert (proc.returncode, os.path.getsize(err)) == (0, 0)
    assert {event["type"] for event in lines(out)} == {"stats"}
    live.command("events", bundle.id).failed("is not running")
    live.command("events", "--stats", bundle.id).failed("is not running")


def test_events_end_with_delete(live: Case) -> None:
    need("memory")
    bundle = live.bundle(SLEEP)
    live.create(bundle)
    proc, out, _ = process.spawn(live.argv("events", "--interval=1h", bundle.id), scratch=live.scratch)
    process.eventually(lambda: holds_eventfd(proc.pid), "a watch")
    live.delete(bundle)
    assert process.wait_end(proc, 5)
    assert (proc.returncode, lines(out)) == (0, [])


def test_lack_of_memory(live: Case) -> None:
    need("memory")
    # Again and again: the command shows its eventfd before it has given it to the kernel.
    fill = "while :; do head -c 64000000 /dev/zero | tail -c 60000000 >/dev/null; done"
    bundle = live.shell(fill)
    os.symlink("busybox", f"{bundle.rootfs}/bin/tail")
    bundle.linux["resources"] = {"memory": {"limit": 16 * MIB, "swap": 16 * MIB}}
    live.create(bundle)
    proc, out, _ = process.spawn(live.argv("events", "--interval", "1h", bundle.id), scratch=live.scratch)
    # The command has to be there before it happens.
    process.eventually(lambda: holds_eventfd(proc.pid), "a watch")
    live.start(bundle)
    process.eventually(lambda: {"type": "oom", "id": bundle.id} in lines(out), "oom", 20)
    live.kill(bundle, "KILL")
    assert process.wait_end(proc, 5)
    assert {event["type"] for event in lines(out)} == {"oom"}


def test_no_false_alarm_at_the_end(live: Case) -> None:
    # The kernel raises the notice once more when the group is removed.
    need("memory")
    bundle = live.bundle(SLEEP)
    live.launch(bundle)
    proc, out, _ = process.spawn(live.argv("events", "--interval", "1h", bundle.id), scratch=live.scratch)
    process.eventually(lambda: holds_eventfd(proc.pid), "a watch")
    live.delete(bundle, "--force")
    assert process.wait_end(proc, 5)
    assert lines(out) == []


@pytest.mark.parametrize("options", [["rro", "rnosuid"], ["ro", "nodev", "noatime"], ["rprivate", "rnoexec"]])
def test_features_hold_for_real_mounts(live: Case, options: list[str]) -> None:
    announced = live.command("features").ok()
    assert announced.err == ""
    assert set(options) <= set(announced.json()["mountOptions"])
    bundle = live.shell("grep ' /data ' /proc/self/mountinfo")
    os.mkdir(f"{live.dir}/data")
    bundle.mount("/data", f"{live.dir}/data", "rbind", *options)
    assert live.output(bundle)


def test_features_hold_for_namespaces_and_capabilities(live: Case) -> None:
    document = live.command("features").ok().json()
    bundle = live.shell("echo fine")
    for kind in document["linux"]["namespaces"]:
        if kind == "user":
            bundle.user_namespace()
        else:
            bundle.namespace(kind)
    sets = ("bounding", "effective", "permitted", "inheritable")
    bundle.process["capabilities"] = dict.fromkeys(sets, document["linux"]["capabilities"])
    assert live.output(bundle) == "fine\n"
    for version in (document["ociVersionMin"], document["ociVersionMax"]):
        plain = live.shell("echo fine")
        plain.config["ociVersion"] = version
        assert live.output(plain) == "fine\n"


def test_features_hold_for_hooks(live: Case) -> None:
    kinds = live.command("features").ok().json()["hooks"]
    bundle = live.shell("echo fine")
    log = f"{live.dir}/hooks"
    os.mkdir(log, 0o777)
    os.chmod(log, 0o777)
    bundle.mount("/hooks", log, "bind")
    for kind in kinds:
        place = "/hooks" if kind == "startContainer" else log
        bundle.hook(kind, f"cat >/dev/null; echo >{place}/{kind}")
    assert live.output(bundle) == "fine\n"
    assert sorted(os.listdir(log)) == sorted(kinds)
