"""The life of a container step by step, and what failing hooks do to it."""

from __future__ import annotations

import json
import os

from live import process

from .. import host
from ..bench import mountinfo
from ..registry import covers
from .hooks import life

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from live.bundles import Bundle

    from ..bench import Bench

IDLE = ("/bin/sleep", "70000")


def _rich(bench: Bench) -> Bundle:
    """A container that asks for something of everything."""
    bundle = bench.bundle(["/probe"])
    bundle.config |= {"hostname": "rich", "domainname": "example.test"}
    bundle.config["root"]["readonly"] = True
    changes: dict[str, Any] = {
        "cwd": "/tmp",
        "args": ["/probe", "one", "two words"],
        "env": ["PATH=/bin", "A=b=c", "EMPTY="],
        "user": {"uid": 1000, "gid": 1001, "additionalGids": [5, 2000], "umask": 0o77},
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}],
        "oomScoreAdj": 321,
    }
    bundle.process.update(changes)
    bundle.mount("/mnt", "tmpfs", "size=64k", kind="tmpfs")
    changes = {
        "sysctl": {"kernel.msgmax": "4242"},
        "devices": [{"path": "/dev/one", "type": "c", "major": 1, "minor": 11}],
        "maskedPaths": ["/etc/passwd"],
        "readonlyPaths": ["/proc/sys"],
        "resources": {"pids": {"limit": 77}},
    }
    bundle.linux.update(changes)
    return bundle


@covers("runtime.lifecycle.environment", "runtime.lifecycle.run", "runtime.operations.create.properties")
def environment(bench: Bench) -> None:
    """Everything that the config asks for, as the program finds it."""
    bundle = _rich(bench)
    report = bench.run(bundle).ok().json()
    mounts = mountinfo(report)
    assert (report["hostname"], report["domainname"]) == ("rich", "example.test")
    assert "ro" in mounts["/"]["options"] and "size=64k" in mounts["/mnt"]["super"]
    assert report["args"] == ["/probe", "one", "two words"] and report["cwd"] == "/tmp"
    assert {"PATH=/bin", "A=b=c", "EMPTY="} <= set(report["env"])
    assert report["uids"] == [1000] * 3 and report["gids"] == [1001] * 3 and set(report["groups"]) - {1001} == {5, 2000}
    assert report["umask"] == 0o77 and report["rlimits"]["RLIMIT_NOFILE"] == [100, 200]
    assert report["oom_score_adj"] == "321\n" and report["no_new_privs"] == 1
    assert "/etc/passwd" in mounts and "ro" in mounts["/proc/sys"]["options"]


@covers("runtime.lifecycle.resources")
def resources(bench: Bench) -> None:
    """All but the program is there after create: seen from outside, by way of the process."""
    bundle = _rich(bench)
    bench.create(bundle)
    pid = bench.pid(bundle)
    root = f"/proc/{pid}/root"
    mounts = mountinfo({"mountinfo": host.text(f"/proc/{pid}/mountinfo")})
    assert "/mnt" in mounts and "/proc/sys" in mounts and "/etc/passwd" in mounts, sorted(mounts)
    assert os.stat(f"{root}/dev/one").st_rdev == os.makedev(1, 11)
    for name in ("mnt", "uts", "ipc", "net"):
        assert os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}")
    path = host.cgroup(bundle.linux["cgroupsPath"], "pids")
    assert not path or host.text(f"{path}/pids.max") == "77\n"
    assert not path or str(pid) in host.text(f"{path}/cgroup.procs").split()


@covers("runtime.lifecycle.not-run", "runtime.operations.create.args", "runtime.operations.start.runs")
def not_run(bench: Bench) -> None:
    """The program's mark comes after start, and not before."""
    bundle = bench.shell("echo ran >/tmp/ran; echo out")
    result = bench.create(bundle)
    assert bench.status(bundle) == "created"
    exe = os.readlink(f"/proc/{bench.pid(bundle)}/exe")
    assert not exe.endswith("/busybox"), "the process is the program already"
    assert not os.path.exists(f"{bundle.rootfs}/tmp/ran")
    bench.start(bundle)
    bench.until(bundle, "stopped")
    assert bundle.read("/tmp/ran") == "ran\n" and result.out == "out\n"


@covers("runtime.lifecycle.config-updates")
def config_updates(bench: Bench) -> None:
    """config.json is another after create, and then not there: start and hooks are as they were."""
    bundle = bench.shell("echo old >/tmp/ran")
    seen = f"{bench.directory('seen')}/hook"
    bundle.hook("poststop", f"cat >/dev/null; echo old >>{seen}")
    bench.create(bundle)
    with open(f"{bundle.path}/config.json", encoding="utf-8") as file:
        config = json.load(file)
    config["process"]["args"][2] = "echo new >/tmp/ran"
    config["hooks"]["poststop"][0]["args"][2] = f"echo new >>{seen}"
    config["annotations"] = {"com.example.new": "1"}
    with open(f"{bundle.path}/config.json", "w", encoding="utf-8") as file:
        json.dump(config, file)
    assert "com.example.new" not in (bench.state(bundle).get("annotations") or {})
    bench.start(bundle)
    bench.until(bundle, "stopped")
    os.unlink(f"{bundle.path}/config.json")
    bench.delete(bundle)
    assert bundle.read("/tmp/ran") == "old\n" and host.text(seen) == "old\n"


def _unable(bench: Bench) -> list[Bundle]:
    """Configs that are well formed, and that this machine cannot carry out: early and late in the work."""
    bundles = []
    for change in (
        lambda bundle: bundle.mount("/mnt", "/nowhere/at/all", "bind"),
        lambda bundle: bundle.mount("/mnt", "tmpfs", "size=lots", kind="tmpfs"),
        lambda bundle: bundle.process.update(args=["/no/such/program"]),
        lambda bundle: bundle.linux.update(sysctl={"kernel.msgmax": "many"}),
        lambda bundle: bundle.namespace("network", "/nowhere/ns"),
    ):
        bundle = bench.bundle()
        change(bundle)  # type: ignore[no-untyped-call]
        bundles.append(bundle)
    return bundles


@covers("runtime.lifecycle.unable", "runtime.operations.create.cannot-apply")
def unable(bench: Bench) -> None:
    for bundle in _unable(bench):
        bench.fails(bundle)


@covers("runtime.errors", "runtime.operations.create.cannot-apply.nothing-new")
def no_trace(bench: Bench) -> None:
    """After each such error no state, cgroup, mount or process is left, and the id can be used."""
    for bundle in _unable(bench):
        bench.watch()
        made = bench.make("create", bundle)
        if made.code == 0:  # The program is looked for by start only.
            assert bench.command("start", bundle.id).code, "accepted: " + made.report()
            bench.command("delete", "--force", bundle.id)
        assert bench.command("state", bundle.id).code, "a container is there after an error"
        bench.assert_untouched()


def _failing(kind: str) -> None:
    @covers(f"runtime.lifecycle.{kind}.failure")
    def failure(bench: Bench) -> None:
        """Error, stopped, destroyed, and the poststop hooks are run."""
        seen = f"{bench.directory('seen')}/hooks"
        bundle = bench.bundle(["/bin/sh", "-c", "echo ran >/tmp/ran; sleep 70000"])
        bundle.mount(seen.rpartition("/")[0], seen.rpartition("/")[0], "bind")
        bundle.hook(kind, f"cat >/dev/null; echo first >>{seen}; exit 7")
        bundle.hook(kind, f"cat >/dev/null; echo second >>{seen}")
        bundle.hook("poststop", f"cat >/dev/null; echo poststop >>{seen}")
        bench.watch()
        made = bench.make("create", bundle)
        if kind in ("startContainer", "poststart"):
            made.ok()
            made = bench.command("start", bundle.id)
        assert made.code, "no error: " + made.report()
        assert kind == "poststart" or not os.path.exists(f"{bundle.rootfs}/tmp/ran"), "the program has run"
        process.eventually(lambda: not process.descendants() or _only_zombies(), "the process has ended", 2.0)
        assert bench.command("state", bundle.id).code, "the container is still there"
        bench.assert_untouched()
        assert host.text(seen).split() == ["first", "poststop"], host.text(seen)


def _only_zombies() -> bool:
    return all(process.is_zombie(pid) for pid in process.descendants())


for _kind in ("prestart", "createRuntime", "createContainer", "startContainer", "poststart"):
    _failing(_kind)


@covers("runtime.lifecycle.poststop.failure", "runtime.warnings")
def poststop_failure(bench: Bench) -> None:
    """delete succeeds, the other hooks are run, nothing is left."""
    seen = f"{bench.directory('seen')}/hooks"
    bundle = bench.bundle()
    bundle.hook("poststop", f"cat >/dev/null; echo first >>{seen}; exit 7")
    bundle.hook("poststop", f"cat >/dev/null; echo second >>{seen}")
    bench.watch()
    bench.launch(bundle)
    bench.until(bundle, "stopped")
    bench.delete(bundle)
    assert host.text(seen).split() == ["first", "second"]
    assert bench.command("state", bundle.id).code
    bench.assert_untouched()


@covers("runtime.lifecycle.destroy", "runtime.operations.delete.resources")
def destroy(bench: Bench) -> None:
    """No state, cgroup, mount or process is left; the id can be used again."""
    bundle = _rich(bench)
    bundle.process["args"] = list(IDLE)
    for _ in range(2):
        bench.watch()
        bench.launch(bundle)
        bench.kill(bundle, "KILL")
        bench.ended(bundle)
        bench.assert_untouched()


@covers("runtime.operations.delete.others")
def others(bench: Bench) -> None:
    """A cgroup above that was there, a bind mount's source, a joined namespace, the bundle."""
    from .namespaces import _Holder

    holder = _Holder("network")
    try:
        source = bench.directory("source")
        with open(f"{source}/file", "w", encoding="ascii"):
            pass
        bundle = bench.bundle()
        top = host.cgroup("", "pids")
        above = f"{bundle.linux['cgroupsPath']}-above"
        if top:
            os.makedirs(top + above, exist_ok=True)
        bundle.linux["cgroupsPath"] = f"{above}/{bundle.id}"
        bundle.mount("/mnt", source, "bind")
        bundle.namespace("network", holder.path("network"))
        bench.launch(bundle)
        bench.ended(bundle)
        assert not top or os.path.isdir(top + above), "the cgroup above has gone"
        assert not top or not os.path.isdir(f"{top}{above}/{bundle.id}"), "the container's cgroup is still there"
        assert os.path.exists(f"{source}/file") and os.path.exists(f"{bundle.path}/config.json")
        assert os.path.exists(holder.path("network")) and holder.process.poll() is None
    finally:
        holder.close()


@covers("runtime.scope")
def scope(bench: Bench) -> None:
    """Every operation in turn, by who created the container."""
    assert life(bench)["orders"]["delete"]
    bundle = bench.bundle(list(IDLE))
    bench.create(bundle)
    assert bench.status(bundle) == "created"
    bench.start(bundle)
    bench.kill(bundle, "KILL")
    bench.until(bundle, "stopped")
    bench.delete(bundle)
