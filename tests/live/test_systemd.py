"""Cgroups made by systemd, asked of systemd itself.  Runs where systemd does: in the guest of tests/vm."""

from __future__ import annotations

import os
import subprocess

import pytest

from . import device_rules, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .bundles import Bundle
    from .case import Case
    from .process import Result

pytestmark = pytest.mark.skipif(not os.path.isdir("/run/systemd/system"), reason="systemd does not run here")

TOP = "/sys/fs/cgroup"
USER, UID = "tester", 1000
USERS = f"/user.slice/user-{UID}.slice/user@{UID}.service"
LIMITS: dict[str, Any] = {
    "memory": {"limit": 1 << 26, "reservation": 1 << 25},
    "pids": {"limit": 50},
    "cpu": {"quota": 50000, "period": 100000, "cpus": "0", "shares": 512},
}
SHOWN = ("MemoryMax", "MemoryLow", "TasksMax", "CPUQuotaPerSecUSec", "AllowedCPUs", "CPUWeight")
WANTED = {
    "MemoryMax": str(1 << 26),
    "MemoryLow": str(1 << 25),
    "TasksMax": "50",
    "CPUQuotaPerSecUSec": "500ms",
    "AllowedCPUs": "0",
}
FILES = {"memory.max": str(1 << 26), "pids.max": "50", "cpu.max": "50000 100000", "cpuset.cpus": "0"}


class Manager:
    """An instance of systemd, and containers whose units it has."""

    def __init__(self, live: Case, *, user: bool) -> None:
        self.live = live
        self.user = user
        self.slice = f"{live.session.mark}-{live.session.count}.slice"
        above = self.slice.partition("-")[0] + ".slice"
        self.group = (USERS if user else "") + f"/{above}/{self.slice}"
        if user:
            os.chown(live.root, UID, UID)

    def close(self) -> None:
        """Delete what the test has left."""
        for name in os.listdir(self.live.root):
            self.command("delete", "--force", name)
        # systemd keeps a slice that is empty.
        self.control("stop", self.slice.partition("-")[0] + ".slice")
        os.chown(self.live.root, 0, 0)

    def run(self, *argv: str) -> Result:
        """A program as the owner of this instance."""
        env = {**process.BARE_ENVIRONMENT}
        if self.user:
            env["XDG_RUNTIME_DIR"] = f"/run/user/{UID}"
        return process.run(
            list(argv), scratch=self.live.scratch, env=env, cwd="/", before=_become if self.user else None
        )

    def command(self, *args: str) -> Result:
        """The runtime; only `create` and `run` are told of systemd."""
        return self.run(*self.live.argv(*args))

    def make(self, verb: str, bundle: Bundle) -> Result:
        bundle.save()
        return self.command("--systemd-cgroup", verb, "--bundle", bundle.path, bundle.id)

    def control(self, *args: str) -> str:
        """systemctl."""
        done = self.run("systemctl", *(["--user"] if self.user else []), *args)
        return done.ok().out

    def show(self, unit: str, *names: str) -> dict[str, str]:
        """Properties of a unit."""
        text = self.control("show", unit, "-p", ",".join(names))
        return dict(line.split("=", 1) for line in text.splitlines())

    def bundle(self, script: str, resources: dict[str, Any] | None = None) -> Bundle:
        """A bundle with a unit ``box-ID.scope``."""
        bundle = self.live.shell(script)
        bundle.linux["cgroupsPath"] = f"{self.slice}:box:{bundle.id}"
        bundle.linux["resources"] = resources or {}
        if self.user:
            bundle.namespace("user")
            for kind in ("uid", "gid"):
                bundle.linux[f"{kind}Mappings"] = [{"containerID": 0, "hostID": UID, "size": 1}]
            bundle.config["mounts"] = [
                {**one, "options": [word for word in one.get("options", []) if word != "gid=5"]}
                for one in bundle.mounts
            ]
            for where, _, _ in os.walk(bundle.path):
                os.chown(where, UID, UID)
        return bundle

    def unit(self, bundle: Bundle) -> str:
        return f"box-{bundle.id}.scope"

    def directory(self, bundle: Bundle) -> str:
        """Where the unit's cgroup is."""
        return f"{TOP}{self.group}/{self.unit(bundle)}"

    def file(self, bundle: Bundle, name: str) -> str:
        with open(f"{self.directory(bundle)}/{name}", encoding="ascii") as file:
            return file.read().strip()


def _become() -> None:
    os.setgroups([])
    os.setresgid(UID, UID, UID)
    os.setresuid(UID, UID, UID)


@pytest.fixture(params=["system", "user"])
def manager(request: pytest.FixtureRequest, live: Case) -> Iterator[Manager]:
    made = Manager(live, user=request.param == "user")
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def system(live: Case) -> Iterator[Manager]:
    made = Manager(live, user=False)
    try:
        yield made
    finally:
        made.close()


def test_life(manager: Manager) -> None:
    bundle = manager.bundle("while :; do sleep 0.2; done", LIMITS)
    bundle.config["annotations"] = {"org.systemd.property.TimeoutStopSec": "2.5"}
    manager.make("create", bundle).ok()
    unit, pid = manager.unit(bundle), manager.command("state", bundle.id).ok().json()["pid"]
    names = ("Slice", "Delegate", "Description", "TimeoutStopUSec", "ActiveState")
    assert manager.show(unit, *names) == {
        "Slice": manager.slice,
        "Delegate": "yes",
        "Description": f"ocirun container {bundle.id}",
        "TimeoutStopUSec": "2.500000s",
        "ActiveState": "active",
    }
    shown = manager.show(unit, *SHOWN)
    assert {name: shown[name] for name in WANTED} == WANTED
    assert shown["CPUWeight"] == manager.file(bundle, "cpu.weight")
    assert {name: manager.file(bundle, name) for name in FILES} == FILES
    assert _group(pid) == f"{manager.group}/{unit}"

    manager.command("start", bundle.id).ok()
    inside = manager.command("exec", bundle.id, "cat", "/proc/self/cgroup").ok().out
    assert inside.strip().endswith(f"{manager.group}/{unit}"), inside

    manager.command("update", "--memory", "33554432", "--pids-limit", "60", "--cpu-quota", "20000", bundle.id).ok()
    changed = {"memory.max": "33554432", "pids.max": "60", "cpu.max": "20000 100000"}
    assert {name: manager.file(bundle, name) for name in changed} == changed
    manager.control("daemon-reload")
    assert {name: manager.file(bundle, name) for name in changed} == changed
    assert manager.show(unit, "MemoryMax", "TasksMax", "CPUQuotaPerSecUSec") == {
        "MemoryMax": "33554432",
        "TasksMax": "60",
        "CPUQuotaPerSecUSec": "200ms",
    }

    manager.command("pause", bundle.id).ok()
    assert manager.command("state", bundle.id).ok().json()["status"] == "paused"
    manager.command("resume", bundle.id).ok()
    assert str(pid) in manager.command("ps", bundle.id).ok().out
    stats = manager.command("events", "--stats", bundle.id).ok().json()
    assert stats["data"]["memory"]["usage"]["limit"] == 33554432

    manager.command("delete", "--force", bundle.id).ok()
    assert manager.show(unit, "LoadState")["LoadState"] == "not-found"
    assert not os.path.exists(manager.directory(bundle))


def _group(pid: int) -> str:
    with open(f"/proc/{pid}/cgroup", encoding="ascii") as file:
        return file.read().strip().removeprefix("0::")


def test_end_by_itself_leaves_no_unit(manager: Manager) -> None:
    bundle = manager.bundle("cat /proc/self/cgroup")
    out = manager.make("run", bundle).ok().out
    assert out.strip().endswith(f"{manager.group}/{manager.unit(bundle)}")
    assert manager.show(manager.unit(bundle), "LoadState")["LoadState"] == "not-found"


def test_memory_is_limited_and_the_failed_unit_goes(system: Manager) -> None:
    bundle = system.bundle(
        "dd if=/dev/zero of=/dev/null bs=128M count=1", {"memory": {"limit": 1 << 25, "swap": 1 << 25}}
    )
    result = system.make("run", bundle)
    assert result.code == 137, result.report()
    assert system.show(system.unit(bundle), "LoadState")["LoadState"] == "not-found"


def test_failure_leaves_no_unit(system: Manager) -> None:
    bundle = system.bundle("true")
    bundle.mounts[0] = {**bundle.mounts[0], "options": ["nonsense=1"]}
    system.make("create", bundle).failed("/mounts/0/options/0")
    assert system.show(system.unit(bundle), "LoadState")["LoadState"] == "not-found"
    assert not os.path.exists(system.directory(bundle))
    del bundle.mounts[0]["options"]
    bundle.config["annotations"] = {"org.systemd.property.Nonsense": "uint32 1"}
    system.make("create", bundle).failed("/annotations/org.systemd.property.Nonsense", "unknown property")
    assert system.show(system.unit(bundle), "LoadState")["LoadState"] == "not-found"


def test_unit_of_somebody_else(system: Manager) -> None:
    bundle = system.bundle("true")
    unit = system.unit(bundle)
    decoy = subprocess.Popen(
        ["systemd-run", "--scope", "-q", f"--unit={unit}", f"--slice={system.slice}", "sleep", "600"]
    )
    try:
        process.eventually(lambda: system.show(unit, "ActiveState")["ActiveState"] == "active", "the decoy", 30.0)
        system.make("create", bundle).failed("cgroup is not empty")
        assert decoy.poll() is None
        assert system.show(unit, "ActiveState")["ActiveState"] == "active"
    finally:
        decoy.terminate()
        decoy.wait()


def test_delete_spares_a_later_unit_of_that_name(system: Manager) -> None:
    bundle = system.bundle("true")
    unit = system.unit(bundle)
    system.make("create", bundle).ok()
    system.command("start", bundle.id).ok()
    process.eventually(lambda: not os.path.exists(system.directory(bundle)), "the end of the unit", 30.0)
    decoy = subprocess.Popen(
        ["systemd-run", "--scope", "-q", f"--unit={unit}", f"--slice={system.slice}", "sleep", "600"]
    )
    try:
        process.eventually(lambda: system.show(unit, "ActiveState")["ActiveState"] == "active", "the decoy", 30.0)
        system.command("delete", bundle.id).ok()
        assert decoy.poll() is None
    finally:
        decoy.terminate()
        decoy.wait()


def test_default_unit(system: Manager) -> None:
    bundle = system.bundle("cat /proc/self/cgroup")
    del bundle.linux["cgroupsPath"]
    out = system.make("run", bundle).ok().out
    assert out.strip() == f"0::/system.slice/ocirun-{bundle.id}.scope"


def test_root_of_an_engines_user_namespace(live: Case) -> None:
    # Podman of an ordinary user: root of a user namespace asks the user's systemd, which knows it by another uid.
    manager = Manager(live, user=True)
    try:
        bundle = manager.bundle("cat /proc/self/cgroup; id -u")
        for kind in ("user", "network"):
            bundle.share_host(kind)
        del bundle.linux["uidMappings"], bundle.linux["gidMappings"]
        bundle.save()
        argv = live.argv("--systemd-cgroup", "run", "--bundle", bundle.path, bundle.id)
        out = manager.run("unshare", "-Urm", "--propagation", "slave", *argv).ok().out
        assert out.split() == [f"0::{manager.group}/{manager.unit(bundle)}", "0"]
    finally:
        manager.close()


def test_group_that_was_delegated_to_a_user(live: Case) -> None:
    # A group by hand below the user's own, as systemd-run --user gives one: no systemd in the middle.
    manager = Manager(live, user=True)
    group = f"{USERS}/{live.session.mark}-given"
    os.mkdir(TOP + group)
    for name in ("", "/cgroup.procs", "/cgroup.subtree_control", "/cgroup.threads"):
        os.chown(TOP + group + name, UID, UID)
    try:
        bundle = manager.bundle("while :; do sleep 0.2; done", LIMITS)
        bundle.linux["cgroupsPath"] = f"{group}/box"
        bundle.save()
        os.mkdir(f"{TOP}{group}/engine")
        os.chown(f"{TOP}{group}/engine", UID, UID)
        os.chown(f"{TOP}{group}/engine/cgroup.procs", UID, UID)

        def enter() -> None:
            with open(f"{TOP}{group}/engine/cgroup.procs", "w", encoding="ascii") as file:
                file.write("0")
            _become()

        def command(*args: str) -> Result:
            argv = live.argv(*args)
            return process.run(argv, scratch=live.scratch, env=process.BARE_ENVIRONMENT, cwd="/", before=enter)

        command("create", "--bundle", bundle.path, bundle.id).ok()
        command("start", bundle.id).ok()
        found = {}
        for name in FILES:
            with open(f"{TOP}{group}/box/{name}", encoding="ascii") as file:
                found[name] = file.read().strip()
        assert found == FILES
        assert command("exec", bundle.id, "cat", "/proc/self/cgroup").ok().out.strip().endswith("/box")
        command("update", "--pids-limit", "60", bundle.id).ok()
        command("pause", bundle.id).ok()
        assert command("state", bundle.id).ok().json()["status"] == "paused"
        command("resume", bundle.id).ok()
        command("delete", "--force", bundle.id).ok()
        assert not os.path.exists(f"{TOP}{group}/box")
    finally:
        manager.close()
        for below in ("/engine", "/box", ""):
            if os.path.isdir(TOP + group + below):
                os.rmdir(TOP + group + below)


def test_device_rules_outlive_reloads(system: Manager) -> None:
    """systemd is told nothing of devices, so it has nothing to set anew when it reads its units again."""
    bundle = device_rules.opening(system.bundle)
    system.make("create", bundle).ok()
    system.command("start", bundle.id).ok()
    for _ in range(10):
        system.control("daemon-reload")
    system.control("daemon-reexec")
    assert not device_rules.seen(system.command("exec", bundle.id, *device_rules.LOOK).ok().out)
    assert system.command("state", bundle.id).ok().json()["status"] == "running"
