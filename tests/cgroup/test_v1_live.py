"""The v1 driver on real hierarchies: make, join, limit, measure, remove."""

from __future__ import annotations

import contextlib
import errno
import os
import time

import pytest
from waiting import eventually

from ocirun.cgroup import choose, paths
from ocirun.cgroup.files import freezer as v1_freezer
from ocirun.cgroup.files import tree
from ocirun.errors import HostError

from .live import LAYOUT, alive, get, joined, lab, make_below, memberships, move, needs_v1, put

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .live import Lab

__all__ = ["lab"]
pytestmark = needs_v1
MIB = 1 << 20


def test_directories_are_made_whatever_the_umask(lab: Lab) -> None:
    box = lab.driver("deep/er/box")
    old = os.umask(0o077)
    try:
        box.check()
        assert box.prepare() is None
    finally:
        os.umask(old)
    assert box.prepared
    for _, path in box.directories():
        assert os.stat(path).st_mode & 0o777 == 0o755
        assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o755
    for file in ("cpuset.cpus", "cpuset.mems"):
        assert get(f"{box.path('cpuset')}/{file}") == get(f"{LAYOUT.mounts['cpuset'].path}/{file}")


def test_joining_by_the_process_itself(lab: Lab) -> None:
    box = lab.driver(ready=True)
    process = lab.start(box, "sleep 100; exit")
    own = memberships(process.pid)
    assert {own[name] for name, _ in box.joined_by_child()} == {f"{lab.top}/box"}
    # Besides v1 there may be v2, in whose group the container is as well.
    assert own.get("", f"{lab.top}/box") == f"{lab.top}/box"
    # A child of it is where it is.
    eventually(lambda: len(box.pids()) == 2, "both are in it")


def test_joining_files_close_on_exec_and_only_write(lab: Lab) -> None:
    for fd in joined(lab.driver(ready=True)):
        assert not os.get_inheritable(fd)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.read(fd, 1)
        os.close(fd)


def test_placing_a_process(lab: Lab) -> None:
    box = lab.driver(ready=True)
    process = lab.start(None, "exec sleep 100")
    box.place(process.pid)
    assert box.pids() == [process.pid]
    assert memberships(process.pid)["memory"] == f"{lab.top}/box"


def test_a_relative_path_is_below_our_own_groups() -> None:
    name = f"ocirun-test-{os.getpid()}-relative"
    box = choose.new_driver(LAYOUT, cgroups_path=name, container_id="x")
    try:
        box.prepare()
        for controller, path in box.directories():
            key = "" if controller == "unified" else controller
            assert path == f"{LAYOUT.mount(key).path}{LAYOUT.own[key].rstrip('/')}/{name}"
            assert os.path.isdir(path)
    finally:
        box.remove()


def test_a_group_with_a_process_is_refused(lab: Lab) -> None:
    decoy = lab.start(lab.driver(ready=True), "exec sleep 100")
    other = lab.driver()
    with pytest.raises(HostError, match="container's cgroup is not empty") as caught:
        other.check()
    assert caught.value.pointer == "/linux/cgroupsPath"
    with pytest.raises(HostError, match="container's cgroup is not empty"):
        other.prepare()
    # Neither the undo of the failed create nor a later `delete` of its saved intent may touch the decoy.
    other.discard()
    for intent in (other, lab.again(other)):
        assert intent.kill(9) == 0
        intent.remove(kill=True)
    assert alive(decoy)
    assert all(os.path.isdir(path) for _, path in other.directories())


def test_a_process_in_one_hierarchy_only_is_noticed(lab: Lab) -> None:
    decoy = lab.start(None, "exec sleep 100")
    box = lab.driver(ready=True)
    put(f"{box.path('devices')}/cgroup.procs", str(decoy.pid))
    with pytest.raises(HostError, match="devices"):
        lab.driver().check()


def test_a_process_in_a_group_below_is_noticed(lab: Lab) -> None:
    box = lab.driver(ready=True)
    decoy = lab.start(box, "exec sleep 100")
    make_below(box, "in/side")
    move(box, "in/side", decoy.pid)
    with pytest.raises(HostError, match="not empty"):
        lab.driver().check()
    assert alive(decoy)


def test_a_record_from_before_the_check_touches_nothing(lab: Lab) -> None:
    decoy = lab.start(lab.driver(ready=True), "exec sleep 100")
    intent = lab.again(lab.driver())
    assert intent.kill(9) == 0
    intent.remove(kill=True)
    assert alive(decoy)


def test_an_empty_group_is_taken_over(lab: Lab) -> None:
    left = lab.driver(ready=True)
    left.close()
    box = lab.driver(ready=True)
    assert box.found == {name for name, _ in box.directories()}
    assert lab.start(box, "exec sleep 100").pid in box.pids()
    later = lab.again(box)
    assert later.kill(9, wait=10) == 1
    later.remove()
    assert not any(os.path.exists(path) for _, path in box.directories())


def test_discard_leaves_what_was_there(lab: Lab) -> None:
    lab.driver(ready=True).close()
    os.rmdir(lab.driver().path("memory"))
    box = lab.driver(ready=True)
    assert "memory" not in box.found
    box.discard()
    assert [name for name, path in box.directories() if not os.path.exists(path)] == ["memory"]
    assert not box.prepared


def test_a_crash_while_making(lab: Lab) -> None:
    box = lab.driver()
    box.check()
    intent = box.record()
    for name in ("cpu", "memory"):
        box.make(name)
    later = choose.recorded_driver(intent)
    later.remove()
    assert not any(os.path.exists(path) for _, path in box.directories())


def test_a_close_that_fails_forgets_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = os.close
    for number in range(1, 60):
        left = number

        def close(fd: int) -> None:
            nonlocal left
            plain(fd)
            left -= 1
            if left == 0:
                raise OSError(errno.EIO, "x")

        open_before = set(os.listdir("/proc/self/fd"))
        box = lab.driver(f"box{number}")
        box.check()
        with monkeypatch.context() as patch:
            patch.setattr(os, "close", close)
            try:
                box.prepare()
            except (OSError, HostError):
                pass
        box.discard()
        box.close()
        assert [path for _, path in box.directories() if os.path.isdir(path)] == [], number
        # A close that fails may leave another descriptor behind; groups are what counts here.
        for fd in set(os.listdir("/proc/self/fd")) - open_before:
            with contextlib.suppress(OSError):
                plain(int(fd))
        if left > 0:
            break
    assert number > 5


def test_a_name_that_is_a_file(lab: Lab) -> None:
    lab.driver("x", ready=True).close()
    box = lab.driver("tasks")
    for verb in (box.check, box.prepare):
        with pytest.raises(HostError, match="not a directory"):
            verb()
    assert not box.prepared


def test_another_file_system_at_the_mount_point(lab: Lab) -> None:
    group = paths.Group(("memory",), "/proc", "0:1", "x")
    with pytest.raises(HostError, match="is not the cgroup hierarchy memory"):
        tree.open_group(group)


def test_limits_arrive(lab: Lab) -> None:
    box = lab.driver(ready=True)
    lab.apply(
        box,
        {
            "memory": {"limit": 64 * MIB, "swap": 128 * MIB, "reservation": 32 * MIB, "swappiness": 10},
            "cpu": {"shares": 512, "quota": 20000, "period": 50000, "burst": 10000, "cpus": "0", "mems": "0"},
            "pids": {"limit": 7},
        },
    )
    for controller, file, value in (
        ("memory", "memory.limit_in_bytes", str(64 * MIB)),
        ("memory", "memory.memsw.limit_in_bytes", str(128 * MIB)),
        ("memory", "memory.soft_limit_in_bytes", str(32 * MIB)),
        ("memory", "memory.swappiness", "10"),
        ("cpu", "cpu.shares", "512"),
        ("cpu", "cpu.cfs_quota_us", "20000"),
        ("cpu", "cpu.cfs_period_us", "50000"),
        ("cpu", "cpu.cfs_burst_us", "10000"),
        ("cpuset", "cpuset.cpus", "0"),
        ("pids", "pids.max", "7"),
    ):
        assert get(f"{box.path(controller)}/{file}") == value


@pytest.mark.parametrize(
    ("limit", "swap"), [(256 * MIB, 512 * MIB), (16 * MIB, 32 * MIB), (128 * MIB, 128 * MIB), (-1, -1), (300 * MIB, -1)]
)
def test_memory_is_raised_and_lowered_in_one_call(lab: Lab, limit: int, swap: int) -> None:
    box = lab.driver(ready=True)
    lab.apply(box, {"memory": {"limit": 64 * MIB, "swap": 96 * MIB}})
    lab.apply(box, {"memory": {"limit": limit, "swap": swap}})
    unlimited = get(f"{LAYOUT.mounts['memory'].path}/memory.limit_in_bytes")
    for file, value in (("memory.limit_in_bytes", limit), ("memory.memsw.limit_in_bytes", swap)):
        assert get(f"{box.path('memory')}/{file}") == (str(value) if value > 0 else unlimited)


def test_bandwidth_below_a_limited_parent(lab: Lab) -> None:
    parent = lab.driver("pod", ready=True)
    lab.apply(parent, {"cpu": {"quota": 50000, "period": 100000}})
    box = lab.driver("pod/box", ready=True)
    lab.apply(box, {"cpu": {"quota": 50000, "period": 100000}})
    # A period of 10 ms with the old quota would be five CPUs; the quota has to go first.
    lab.apply(box, {"cpu": {"quota": 5000, "period": 10000}})
    lab.apply(box, {"cpu": {"quota": 50000, "period": 100000}})
    lab.apply(box, {"cpu": {"period": 200000}})
    assert get(f"{box.path('cpu')}/cpu.cfs_quota_us") == "50000"
    with pytest.raises(HostError, match=r"cannot write '60000' to .*/cpu\.cfs_quota_us: invalid argument") as caught:
        lab.apply(box, {"cpu": {"quota": 60000, "period": 100000}})
    assert (caught.value.pointer, caught.value.call) == ("/linux/resources/cpu/quota", "write")


def test_a_file_that_does_not_exist(lab: Lab) -> None:
    box = lab.driver(ready=True)
    with pytest.raises(HostError, match=r"to .*/memory\.none: there is no such file in this cgroup") as caught:
        box.write("memory", "memory.none", "1", pointer="/x")
    assert (caught.value.errno, caught.value.pointer) == (errno.ENOENT, "/x")
    with pytest.raises(HostError):
        box.write("memory", "../cgroup.procs/x", "1")


def test_memory_limit_below_what_is_used(lab: Lab) -> None:
    box = lab.driver(ready=True)
    # The data of a shell variable cannot be reclaimed without swap.  The shell must not become its last command.
    process = lab.start(box, "x=$(head -c 20000000 /dev/zero | tr '\\0' a); echo; sleep 100; :")
    assert process.stdout is not None
    process.stdout.readline()
    lab.apply(box, {"memory": {"disableOOMKiller": True}})
    with pytest.raises(HostError, match=r"memory.limit_in_bytes") as caught:
        lab.apply(box, {"memory": {"limit": 4 * MIB}})
    assert caught.value.errno == errno.EBUSY
    assert "bytes that cannot be reclaimed" in caught.value.remedy
    assert alive(process)


def test_device_rules_hold(lab: Lab) -> None:
    box = lab.driver(ready=True)
    lab.apply(box, {"devices": [{"allow": False, "access": "rwm"}]}, devices=True)
    lines = get(f"{box.path('devices')}/devices.list").splitlines()
    assert "c 1:3 rwm" in lines
    assert "a *:* rwm" not in lines
    process = lab.start(box, "head -c 1 /dev/zero >/dev/null && ! head -c 0 </dev/kmsg")
    assert process.wait(timeout=10) == 0
    lab.apply(box, {"devices": [{"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"}]}, devices=True)
    assert "c 1:11 r" in get(f"{box.path('devices')}/devices.list").splitlines()
    assert lab.start(box, "head -c 0 </dev/kmsg && ! true 2>/dev/null >/dev/kmsg").wait(timeout=10) == 0


def test_usage_tells_why_a_process_ended(lab: Lab) -> None:
    box = lab.driver(ready=True)
    lab.apply(box, {"memory": {"limit": 8 * MIB, "swap": 8 * MIB}, "pids": {"limit": 50}})
    process = lab.start(box, "x=$(head -c 60000000 /dev/zero | tr '\\0' a); sleep 100")
    process.wait(timeout=30)
    usage = lab.again(box).usage()
    assert usage["oom_kills"] >= 1
    assert usage["memory_limit_bytes"] == 8 * MIB
    assert 4 * MIB < usage["memory_peak_bytes"] <= 8 * MIB
    assert {"memory_failures", "memory_swap_failures"} <= usage.keys()
    assert usage["cpu_ns"] > 0
    assert usage["pids_limit"] == 50
    assert all(isinstance(value, int) for value in usage.values())


def test_usage_counts_groups_below(lab: Lab) -> None:
    box = lab.driver(ready=True)
    make_below(box, "inner")
    put(f"{box.path('memory')}/inner/memory.limit_in_bytes", str(8 * MIB))
    process = lab.start(
        box, "until grep -q inner /proc/self/cgroup; do sleep 0.01; done; x=$(head -c 60000000 /dev/zero | tr '\\0' a)"
    )
    move(box, "inner", process.pid)
    process.wait(timeout=30)
    assert get(f"{box.path('memory')}/memory.oom_control").endswith("oom_kill 0")
    assert box.usage()["oom_kills"] == 1
    assert box.usage()["pids_limit"] == -1


def test_remove_with_groups_below(lab: Lab) -> None:
    box = lab.driver(ready=True)
    make_below(box, "/".join(f"d{number}" for number in range(50)))
    make_below(box, "e/f")
    box.remove()
    assert not any(os.path.exists(path) for _, path in box.directories())
    # The group above is not ours.
    assert all(os.path.isdir(os.path.dirname(path)) for _, path in box.directories())
    box.remove()
    assert (box.pids(), box.usage(), box.kill(9), box.frozen()) == ([], {}, 0, False)


def test_remove_of_a_tree_deeper_than_a_path(lab: Lab) -> None:
    box = lab.driver(ready=True)
    here = os.open(box.path("freezer"), os.O_RDONLY)
    for _ in range(120):
        os.mkdir("x" * 100, dir_fd=here)
        inner = os.open("x" * 100, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    assert box.pids() == []
    box.remove()
    assert not os.path.exists(box.path("freezer"))


def test_remove_waits_for_a_process_that_is_about_to_end(lab: Lab) -> None:
    box = lab.driver(ready=True)
    process = lab.start(box, "sleep 0.3")
    box.remove()
    process.wait(timeout=10)
    assert not os.path.exists(box.path("memory"))


def test_remove_gives_up_and_says_why(lab: Lab) -> None:
    box = lab.driver(ready=True)
    process = lab.start(box, "exec sleep 100")
    start = time.monotonic()
    with pytest.raises(HostError, match="cannot be removed: 1 processes are still in it"):
        box.remove(limit=0.3)
    assert 0.2 < time.monotonic() - start < 10
    assert alive(process)
    box.remove(kill=True)
    assert process.wait(timeout=10) == -9


def test_remove_kills_what_left_the_freezer(lab: Lab) -> None:
    box = lab.driver(ready=True)
    process = lab.start(None, "exec sleep 100")
    put(f"{box.path('memory')}/cgroup.procs", str(process.pid))
    assert box.kill(9) == 0
    box.remove(kill=True)
    assert process.wait(timeout=10) == -9


def test_groups_vanish_while_they_are_used(lab: Lab) -> None:
    box = lab.driver(ready=True)
    for _, path in box.directories():
        os.rmdir(path)
    assert box.pids() == []
    with pytest.raises(HostError):
        box.write("memory", "memory.limit_in_bytes", "100")
    with pytest.raises(HostError):
        joined(box)
    later = lab.again(box)
    with pytest.raises(HostError, match="is gone"):
        later.freeze()
    later.remove()


def test_group_above_that_is_removed_while_it_is_looked_at(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one above is looked at then; a file that was open answers ENODEV."""
    box = lab.driver()
    (freezer,) = (path for name, path in box.directories() if name == "freezer")
    parent = os.path.dirname(freezer)
    os.mkdir(parent)
    state = v1_freezer.state

    def removed(fd: int) -> str:
        if os.path.isdir(parent):
            os.rmdir(parent)
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        return state(fd)

    monkeypatch.setattr(v1_freezer, "state", removed)
    box.check()
    assert not os.path.exists(parent)


def test_creating_beside_somebody_who_removes(lab: Lab) -> None:
    parents = [os.path.dirname(path) for _, path in lab.driver().directories()]
    lab.start(None, f"while :; do rmdir {' '.join(parents)} 2>/dev/null; done")
    for _ in range(20):
        box = lab.driver()
        box.check()
        box.prepare()
        box.remove()
