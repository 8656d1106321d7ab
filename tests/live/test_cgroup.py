"""Placement and limits, read back from the kernel; everything gone after delete."""

from __future__ import annotations

import os

import pytest

from . import oracle, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .bundles import Bundle
    from .case import Case

SLEEP = ["/bin/sleep", "600"]
TOP = oracle.CGROUP_TOP


def mounted(controller: str) -> str:
    """Where a v1 controller is mounted, or ""."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        for line in file:
            fields, _, tail = line.partition(" - ")
            words = tail.split()
            if words[0] == "cgroup" and controller in words[2].split(","):
                return fields.split()[4]
    return ""


def need(controller: str) -> None:
    if not mounted(controller):
        pytest.skip(f"no v1 controller {controller} here")


def paths(pid: int) -> dict[str, str]:
    """Controller to cgroup path of a process."""
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
        found = {}
        for line in file:
            _, names, path = line.rstrip("\n").split(":", 2)
            for name in names.split(","):
                found[name] = path
        return found


def value(live: Case, bundle: Bundle, file: str) -> str:
    """A file of the container's cgroup."""
    controller = file.split(".")[0]
    where = mounted(controller) + bundle.linux["cgroupsPath"]
    with open(f"{where}/{file}", encoding="ascii") as opened:
        return opened.read().strip()


def test_container_is_where_the_config_says(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    live.create(bundle)
    found = paths(live.pid(bundle))
    wanted = bundle.linux["cgroupsPath"]
    for name in ("memory", "pids", "freezer", "devices", "cpu", "cpuset", "blkio"):
        if mounted(name):
            assert found[name] == wanted, name
    live.start(bundle)
    assert paths(live.pid(bundle)) == found, "engines watch this place from create on"
    live.delete(bundle, "--force")
    live.assert_clean()


def test_without_a_path_the_id_is_in_it(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    del bundle.linux["cgroupsPath"]
    live.create(bundle)
    for name, path in paths(live.pid(bundle)).items():
        if mounted(name) and name in ("memory", "pids", "freezer"):
            assert bundle.id in path
    live.delete(bundle)
    live.assert_clean()


def test_same_relative_path_is_the_same_place(live: Case) -> None:
    seen = []
    for _ in range(2):
        bundle = live.bundle(SLEEP)
        bundle.linux["cgroupsPath"] = f"{live.session.mark}-relative/{live.session.mark}"
        live.create(bundle)
        seen.append(paths(live.pid(bundle)).get("pids"))
        live.delete(bundle)
    assert seen[0] == seen[1]
    for path in oracle.cgroups(f"{live.session.mark}-relative"):
        os.rmdir(path)


@pytest.mark.parametrize("path", ["/../up", "/a/../../up", "a/../../../up"])
def test_path_does_not_climb(live: Case, path: str) -> None:
    # F02: refused, or held inside the hierarchy.
    bundle = live.bundle()
    bundle.linux["cgroupsPath"] = path.replace("up", live.session.mark + "-up")
    before = sorted(os.listdir(TOP))
    result = live.run(bundle)
    if result.code:
        result.failed("/linux/cgroupsPath")
    assert sorted(os.listdir(TOP)) == before
    for one in oracle.cgroups(live.session.mark + "-up"):
        assert one.count("/") >= 4, "below a controller, not beside it"
        os.rmdir(one)


def test_leftover_directory_of_the_same_name(live: Case) -> None:
    # After a reboot or a crash engines start again with the same id.
    bundle = live.bundle(SLEEP)
    need("pids")
    live.group(mounted("pids") + bundle.linux["cgroupsPath"])
    live.create(bundle)
    live.delete(bundle)
    live.assert_clean()


def test_parent_somebody_else_made_stays(live: Case) -> None:
    need("pids")
    outer = live.group(f"{mounted('pids')}{live.session.parent}/{live.session.mark}-outer")
    bundle = live.bundle()
    bundle.linux["cgroupsPath"] = f"{live.session.parent}/{live.session.mark}-outer/in"
    live.run(bundle).ok()
    assert os.path.isdir(outer)
    for path in oracle.cgroups(f"{live.session.mark}-outer"):
        os.rmdir(path)


def test_children_made_inside_are_removed(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    live.launch(bundle)
    for name in ("pids", "memory", "freezer"):
        if mounted(name):
            os.makedirs(f"{mounted(name)}{bundle.linux['cgroupsPath']}/a/b/c")
    live.delete(bundle, "--force")
    live.assert_clean()


def test_process_in_a_child_group_is_killed(live: Case) -> None:
    need("freezer")
    bundle = live.shell("sleep 641 & exec sleep 642")
    bundle.share_host("pid")
    live.launch(bundle)
    process.eventually(lambda: len(children(live, bundle)) == 1, "one child")
    inner = f"{mounted('freezer')}{bundle.linux['cgroupsPath']}/inner"
    os.mkdir(inner)
    with open(f"{inner}/cgroup.procs", "w", encoding="ascii") as file:
        file.write(str(children(live, bundle)[0]))
    live.delete(bundle, "--force")
    live.assert_clean()


def children(live: Case, bundle: Bundle) -> list[int]:
    return [pid for pid in process.children(live.pid(bundle)) if "sleep 641" in process.describe(pid)]


LIMITS: list[tuple[dict[str, dict[str, int | str]], str, str]] = [
    ({"memory": {"limit": 64 << 20}}, "memory.limit_in_bytes", str(64 << 20)),
    ({"memory": {"limit": 64 << 20, "reservation": 32 << 20}}, "memory.soft_limit_in_bytes", str(32 << 20)),
    ({"memory": {"limit": -1}}, "memory.limit_in_bytes", "9223372036854771712"),
    ({"memory": {"swappiness": 10}}, "memory.swappiness", "10"),
    ({"pids": {"limit": 100}}, "pids.max", "100"),
    ({"pids": {"limit": -1}}, "pids.max", "max"),
    ({"cpu": {"shares": 512}}, "cpu.shares", "512"),
    ({"cpu": {"quota": 50000, "period": 200000}}, "cpu.cfs_quota_us", "50000"),
    ({"cpu": {"quota": 50000, "period": 200000}}, "cpu.cfs_period_us", "200000"),
    ({"cpu": {"cpus": "0"}}, "cpuset.cpus", "0"),
    ({"cpu": {"mems": "0"}}, "cpuset.mems", "0"),
]


@pytest.mark.parametrize(("resources", "file", "wanted"), LIMITS, ids=[f"{n}-{one[1]}" for n, one in enumerate(LIMITS)])
def test_limit(live: Case, resources: dict[str, dict[str, int | str]], file: str, wanted: str) -> None:
    need(file.split(".")[0])
    bundle = live.bundle(SLEEP)
    bundle.linux["resources"] = resources
    if not os.path.exists(f"{mounted(file.split('.')[0])}/{file}") and file.split(".")[0] == "memory":
        pytest.skip(f"no {file} in this kernel")
    live.create(bundle)
    assert value(live, bundle, file) == wanted


def test_pids_limit_is_felt(live: Case) -> None:
    need("pids")
    bundle = live.shell("for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait")
    bundle.linux["resources"] = {"pids": {"limit": 5}}
    assert "can't fork" in live.run(bundle).err


def test_small_memory_limit_starts_a_program(live: Case) -> None:
    # The helper is small on purpose; runc needs 4 MiB.
    need("memory")
    bundle = live.bundle(["/bin/true"])
    bundle.linux["resources"] = {"memory": {"limit": 1 << 20}}
    live.run(bundle).ok()
    live.assert_clean()


def test_killed_for_memory(live: Case) -> None:
    need("memory")
    bundle = live.bundle(["/bin/dd", "if=/dev/zero", "of=/dev/shm/x", "bs=1M", "count=60"])
    bundle.linux["resources"] = {"memory": {"limit": 16 << 20}}
    assert live.run(bundle).code == 137


def test_memory_limit_that_no_start_fits_in(live: Case) -> None:
    need("memory")
    bundle = live.bundle()
    bundle.linux["resources"] = {"memory": {"limit": 4096}}
    live.refused(bundle, "/linux/resources/memory/limit", "OOM-killed")


@pytest.mark.parametrize(
    ("resources", "pointer"),
    [
        ({"cpu": {"quota": 50000, "period": 10}}, "/linux/resources/cpu/period"),
        ({"cpu": {"cpus": "nosuch"}}, "/linux/resources/cpu/cpus"),
        ({"cpu": {"cpus": "4000"}}, "/linux/resources/cpu/cpus"),
        ({"memory": {"limit": "64M"}}, "/linux/resources/memory/limit"),
        ({"memory": {"limit": 64 << 20, "swap": 32 << 20}}, "/linux/resources/memory/swap"),
        ({"pids": {"limit": "5"}}, "/linux/resources/pids/limit"),
    ],
)
def test_wrong_limit(live: Case, resources: dict[str, dict[str, int | str]], pointer: str) -> None:
    bundle = live.bundle()
    bundle.linux["resources"] = resources
    live.refused(bundle, pointer)


def test_default_fork_bomb_can_be_deleted(live: Case) -> None:
    # R54
    need("pids")
    bundle = live.shell("bomb() { bomb | bomb & }; bomb; while :; do sleep 1; done")
    bundle.linux["resources"] = {"pids": {"limit": 20}}
    live.launch(bundle)
    # Those whose fork has failed end, so the number itself may be lower again.
    process.eventually(lambda: value(live, bundle, "pids.events") != "max 0", "the limit is reached")
    result = live.delete(bundle, "--force")
    assert result.seconds < 10
    live.assert_clean()
