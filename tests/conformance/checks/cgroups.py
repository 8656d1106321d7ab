"""cgroups: places, limits, device rules."""

from __future__ import annotations

import json
import os

from live import oracle, process

from .. import host
from ..registry import Skip, covers, need

TYPE_CHECKING = False
if TYPE_CHECKING:
    from live.bundles import Bundle

    from ..bench import Bench

IDLE = ["/bin/sleep", "70000"]
NO_V2 = "cgroup v2 has no controllers on this machine: they are all with v1"


def _place(bundle: Bundle, controller: str) -> str:
    path = host.cgroup(bundle.linux["cgroupsPath"], controller)
    need(path, f"the cgroup controller {controller} is with neither v1 nor v2")
    return path


@covers("config-linux.cgroupsPath.absolute")
def absolute(bench: Bench) -> None:
    bundle = bench.bundle(IDLE)
    bench.launch(bundle)
    pid = str(bench.pid(bundle))
    places = [_place(bundle, name) for name in ("pids", "memory", "cpu") if host.cgroup("", name)]
    need(places, "no cgroup controller is mounted")
    for place in places:
        assert pid in host.text(f"{place}/cgroup.procs").split(), f"{place} does not have the process"


@covers("config-linux.cgroupsPath.consistent")
def consistent(bench: Bench) -> None:
    """An absolute and a relative one, each of two containers, one after the other."""
    for value in (f"{bench.session.parent}/same", f"{bench.session.mark}-relative"):
        seen = []
        for _ in range(2):
            bundle = bench.bundle(IDLE)
            bundle.linux["cgroupsPath"] = value
            bench.launch(bundle)
            seen.append(host.text(f"/proc/{bench.pid(bundle)}/cgroup"))
            bench.kill(bundle, "KILL")
            bench.ended(bundle)
        assert seen[0] == seen[1] and bench.session.mark in seen[0], seen


@covers("config-linux.cgroupsPath.invalid")
def invalid(bench: Bench) -> None:
    """One that climbs: refused, or taken as a path below the mount point."""
    bundle = bench.bundle(IDLE)
    bundle.linux["cgroupsPath"] = f"{bench.session.parent}/../../../{bench.session.mark}-climbs"
    made = bench.make("create", bundle)
    if made.code == 0:
        seen = host.text(f"/proc/{bench.pid(bundle)}/cgroup")
        assert ".." not in seen, f"the process is outside: {seen}"
        raise Skip("the runtime takes no value that was tried for invalid")


@covers("config-linux.cgroups.check")
def check(bench: Bench) -> None:
    """A cgroup that another process is in: a runtime that looks must refuse."""
    bundle = bench.bundle(IDLE)
    place = _place(bundle, "pids")
    os.makedirs(place)
    sleeper, _, _ = process.spawn(["/bin/sleep", "70000"], scratch=bench.scratch)
    with open(f"{place}/cgroup.procs", "w", encoding="ascii") as file:
        file.write(str(sleeper.pid))
    made = bench.make("create", bundle)
    sleeper.kill()
    process.wait_end(sleeper, 5.0)
    if made.code == 0:
        raise Skip("the runtime does not look whether the cgroup is empty, which it MAY")


@covers("config-linux.resources.devices.order")
def device_order(bench: Bench) -> None:
    """Two rules for one device, which is none that runtimes allow by themselves: the later one counts."""
    need(host.v1("devices") or host.v2(), "there is no cgroup controller for devices")
    node = {"type": "c", "major": 1, "minor": 11}
    for last in (False, True):
        bundle = bench.shell("( : >/dev/mine ) 2>/dev/null && echo opened; echo end")
        bundle.linux["devices"] = [{"path": "/dev/mine", "fileMode": 0o666, **node}]
        deny = {"allow": False, "access": "rwm"}
        rules = [{"allow": not last, "access": "rwm", **node}, {"allow": last, "access": "rwm", **node}]
        bundle.linux["resources"] = {"devices": [deny, *rules]}
        found = bench.output(bundle)
        assert found == ("opened\nend\n" if last else "end\n"), f"the last rule says {'allow' if last else 'deny'}"


@covers("config-linux.resources.memory.checkBeforeUpdate")
def check_before_update(bench: Bench) -> None:
    """24 MiB are used, by a file in memory that cannot be taken away; 12 are asked for."""
    need(bench.has("update"), "the runtime has no command update")
    need(len(host.text("/proc/swaps").splitlines()) <= 1, "the machine has swap, so that memory can be taken away")
    bundle = bench.shell("head -c 25165824 /dev/zero >/dev/shm/big; echo >/tmp/up; sleep 70000")
    bundle.linux["resources"] = {"memory": {"limit": 64 << 20}}
    place = _place(bundle, "memory")
    name = "memory.limit_in_bytes" if host.v1("memory") else "memory.max"
    bench.launch(bundle)
    bench.eventually_file(bundle, "/tmp/up")
    resources = f"{bench.dir}/resources.json"
    with open(resources, "w", encoding="ascii") as file:
        json.dump({"memory": {"limit": 12 << 20, "checkBeforeUpdate": True}}, file)
    result = bench.command("update", "--resources", resources, bundle.id)
    assert result.code, "the new limit was accepted: " + result.report()
    assert host.text(f"{place}/{name}") == f"{64 << 20}\n" and bench.status(bundle) == "running"


@covers("config-linux.resources.hugepageLimits.reservation")
def huge_pages(bench: Bench) -> None:
    size = host.huge_page_size()
    need(size, "the kernel has no huge pages")
    bundle = bench.bundle(IDLE)
    place = _place(bundle, "hugetlb")
    bundle.linux["resources"] = {"hugepageLimits": [{"pageSize": size, "limit": 1 << 30}]}
    bench.launch(bundle)
    names = (
        (f"hugetlb.{size}.rsvd.limit_in_bytes", f"hugetlb.{size}.limit_in_bytes")
        if host.v1("hugetlb")
        else (f"hugetlb.{size}.rsvd.max", f"hugetlb.{size}.max")
    )
    found = [host.text(f"{place}/{name}").strip() for name in names]
    assert found[0] == str(1 << 30) or (not found[0] and found[1] == str(1 << 30)), found


@covers("config-linux.resources.pids.limit.zero")
def no_processes(bench: Bench) -> None:
    """The limit is 0, as the kernel shows it; the program, which does not fork, runs all the same."""
    bundle = bench.bundle(IDLE)
    place = _place(bundle, "pids")
    bundle.config["ociVersion"] = "1.3.0"  # in earlier versions 0 was what is written for none
    bundle.linux["resources"] = {"pids": {"limit": 0}}
    bench.launch(bundle)
    assert host.text(f"{place}/pids.max") == "0\n"
    assert bench.status(bundle) == "running"


def _unified(bench: Bench, **settings: str) -> Bundle:
    bundle = bench.bundle(IDLE)
    bundle.linux["resources"] = {"unified": {name.replace("__", "."): value for name, value in settings.items()}}
    return bundle


@covers("config-linux.resources.unified.controllers")
def unified_controllers(bench: Bench) -> None:
    """In a cgroup two levels below the top, so that those above have to hand them down."""
    need(host.v2(), NO_V2)
    bundle = _unified(bench, pids__max="55", memory__high="67108864")
    bench.launch(bundle)
    place = _place(bundle, "pids")
    assert {"pids", "memory"} <= set(host.text(f"{place}/cgroup.controllers").split())
    assert host.text(f"{place}/pids.max") == "55\n" and host.text(f"{place}/memory.high") == "67108864\n"


@covers("config-linux.resources.unified.unknown")
def unified_unknown(bench: Bench) -> None:
    """Files that no other property of the config leads to."""
    need(host.v2(), NO_V2)
    bundle = _unified(bench, memory__oom__group="1", cgroup__max__depth="7")
    bench.launch(bundle)
    place = _place(bundle, "memory")
    assert host.text(f"{place}/memory.oom.group") == "1\n" and host.text(f"{place}/cgroup.max.depth") == "7\n"


@covers("config-linux.resources.unified.absent")
def unified_absent(bench: Bench) -> None:
    """On a machine without v2 every controller is absent."""
    bench.fails(_unified(bench, bananas__max="1"))
    if not host.v2():
        bench.fails(_unified(bench, pids__max="55"))


@covers("config-linux.resources.unified.conversion")
def conversion(bench: Bench) -> None:
    """Settings that v2 has nothing for."""
    need(host.v2(), NO_V2)
    for resources in ({"network": {"classID": 7}}, {"cpu": {"realtimeRuntime": 5000}}, {"memory": {"swappiness": 10}}):
        bundle = bench.bundle()
        bundle.linux["resources"] = resources
        bench.fails(bundle)


@covers("config-linux.cgroupOwnership.v1")
def owner_on_v1(bench: Bench) -> None:
    """With everything that would allow it on v2."""
    need(not host.v2(), "the controllers of this machine are with cgroup v2")
    bundle = bench.bundle(IDLE)
    bundle.namespace("cgroup")
    bundle.user_namespace()
    bundle.mounts.append({"destination": "/sys", "type": "tmpfs", "source": "sys"})
    bundle.mounts.append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid"]})
    bench.launch(bundle)
    places = oracle.cgroups(bundle.id)
    assert places, "there is no cgroup"
    for place in places:
        for name in ("", *os.listdir(place)):
            assert os.stat(f"{place}/{name}").st_uid == 0, f"{place}/{name}"
