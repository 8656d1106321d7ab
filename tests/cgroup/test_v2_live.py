"""The v2 driver against the kernel.  The hierarchy may have no controller, as on a hybrid host; it is enough here."""

from __future__ import annotations

import errno
import os
import signal
import subprocess

import pytest
from waiting import eventually

from ocirun.cgroup.files import device_filter, v2_files
from ocirun.errors import HostError

from .live import alive, get, lab_v2, make_below, memberships, needs_v2, put

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .live import Lab

__all__ = ["lab_v2"]

pytestmark = needs_v2


def path(box: object) -> str:
    return str(box.directories()[0][1])  # type: ignore[attr-defined]


def test_made_and_removed(lab_v2: Lab) -> None:
    box = lab_v2.driver_v2("a/b")
    assert not os.path.exists(path(box))
    box.check()
    box.prepare()
    assert os.path.isdir(path(box))
    lab_v2.again(box, kind="v2").remove()
    assert not os.path.exists(path(box))


def test_discard_takes_back_what_was_made_and_nothing_else(lab_v2: Lab) -> None:
    mine, found = lab_v2.driver_v2("mine", ready=True), lab_v2.driver_v2("found")
    os.mkdir(path(found))
    found.check()
    found.prepare()
    mine.discard()
    found.discard()
    assert not os.path.exists(path(mine))
    assert os.path.isdir(path(found))


def test_a_process_joins_and_is_listed(lab_v2: Lab) -> None:
    box = lab_v2.driver_v2(ready=True)
    process = lab_v2.start(box, "sleep 100 & wait")
    assert memberships(process.pid)[""] == f"{lab_v2.top}/box"
    eventually(lambda: len(box.pids()) == 2, "both are in it")
    assert process.pid in box.pids()


def test_a_process_starts_in_the_group_below(lab_v2: Lab) -> None:
    box = lab_v2.driver_v2(ready=True)
    make_below(box, "in/it")
    fd = box.open_directory("in/it")
    assert os.path.samestat(os.fstat(fd), os.stat(f"{path(box)}/in/it"))
    os.close(fd)
    for bad in ("none", "../box"):
        with pytest.raises(HostError):
            box.open_directory(bad)


def test_a_group_with_processes_is_refused(lab_v2: Lab) -> None:
    box, other = lab_v2.driver_v2(ready=True), lab_v2.driver_v2()
    lab_v2.start(box, "sleep 100")
    with pytest.raises(HostError, match="container's cgroup is not empty: 1 process"):
        other.check()


@pytest.mark.parametrize("which", ["itself", "above"])
def test_a_frozen_group_is_refused(lab_v2: Lab, which: str) -> None:
    box, other = lab_v2.driver_v2("a/box", ready=True), lab_v2.driver_v2("a/box" if which == "itself" else "a/new")
    put(f"{path(box)}/cgroup.freeze" if which == "itself" else f"{os.path.dirname(path(box))}/cgroup.freeze", "1")
    with pytest.raises(HostError, match="container's cgroup unexpectedly frozen"):
        other.check()


def test_a_threaded_subtree_cannot_hold_a_container(lab_v2: Lab) -> None:
    box = lab_v2.driver_v2("a/box", ready=True)
    put(f"{path(box)}/cgroup.type", "threaded")
    for name in ("a/box", "a/new", "a/box/in"):
        with pytest.raises(HostError, match="cannot hold the container's processes") as caught:
            lab_v2.driver_v2(name).check()
        assert (caught.value.errno, caught.value.pointer) == (errno.EOPNOTSUPP, "/linux/cgroupsPath")


def test_freeze_and_thaw(lab_v2: Lab) -> None:
    box = lab_v2.driver_v2(ready=True)
    process = lab_v2.start(box, "while :; do :; done")
    assert not box.frozen()
    box.freeze()
    assert box.frozen() and lab_v2.again(box, kind="v2").frozen()
    before = cpu(process.pid)
    assert cpu(process.pid) == before
    box.thaw()
    assert not box.frozen()
    eventually(lambda: cpu(process.pid) > before, "it runs again")


def cpu(pid: int) -> int:
    """User time in ticks (proc_pid_stat(5))."""
    return int(get(f"/proc/{pid}/stat").rpartition(") ")[2].split()[11])


def test_thaw_says_what_keeps_it_frozen(lab_v2: Lab) -> None:
    box = lab_v2.driver_v2("a/box", ready=True)
    above = f"{os.path.dirname(path(box))}/cgroup.freeze"
    put(above, "1")
    try:
        with pytest.raises(HostError, match="stays frozen, since a group above is"):
            box.thaw()
    finally:
        put(above, "0")


def test_freeze_gives_up_and_thaws(lab_v2: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    box = lab_v2.driver_v2(ready=True)
    monkeypatch.setattr(v2_files, "_wait", lambda *_: False)
    with pytest.raises(HostError, match="cannot be frozen"):
        box.freeze()
    assert get(f"{path(box)}/cgroup.freeze") == "0"


def test_kill_reaches_groups_below_and_frozen_ones(lab_v2: Lab) -> None:
    box = lab_v2.driver_v2(ready=True)
    first, second = lab_v2.start(box, "sleep 100"), lab_v2.start(box, "sleep 100")
    decoy = lab_v2.start(None, "sleep 100")
    make_below(box, "in")
    put(f"{path(box)}/in/cgroup.procs", str(second.pid))
    box.freeze()
    assert box.kill(9, wait=10.0) == 2
    assert (first.wait(), second.wait()) == (-9, -9)
    assert alive(decoy)
    assert box.pids() == []


def test_another_signal(lab_v2: Lab) -> None:
    box = lab_v2.driver_v2(ready=True)
    process = lab_v2.start(box, "exec sleep 100")
    assert box.kill(int(signal.SIGTERM)) == 1
    assert process.wait() == -signal.SIGTERM


def test_a_fork_bomb_is_killed(lab_v2: Lab) -> None:
    box = lab_v2.driver_v2(ready=True)
    lab_v2.start_bomb(box, "f() { sleep 0.001; f & f & wait; }; for i in 1 2 3; do f & done; sleep 0.2")
    eventually(lambda: len(box.pids()) > 3, "its children are in it")
    box.kill(9, wait=20.0)
    assert box.pids() == []


def test_remove_with_processes(lab_v2: Lab) -> None:
    box = lab_v2.driver_v2(ready=True)
    process = lab_v2.start(box, "sleep 100")
    make_below(box, "a/b/c")
    with pytest.raises(HostError, match="1 processes are still in it"):
        box.remove(limit=0.0)
    box.remove(kill=True)
    assert process.wait() == -9
    assert not os.path.exists(path(box))


def test_remove_of_a_threaded_group_below(lab_v2: Lab) -> None:
    box = lab_v2.driver_v2(ready=True)
    make_below(box, "threads")
    put(f"{path(box)}/threads/cgroup.type", "threaded")
    process = lab_v2.start(box, "sleep 100")
    put(f"{path(box)}/threads/cgroup.threads", str(process.pid))
    assert box.pids() == [process.pid]
    box.remove(kill=True)
    assert process.wait() == -9


def test_somebody_elses_group_is_not_touched_before_it_was_taken(lab_v2: Lab) -> None:
    box = lab_v2.driver_v2(ready=True)
    process = lab_v2.start(box, "sleep 100")
    other = lab_v2.driver_v2()
    other.found = {"unified"}
    other.checked = True
    again = lab_v2.again(other, kind="v2")
    assert again.kill(9) == 0
    again.remove(kill=True)
    assert alive(process)


def test_where_another_process_starts(lab_v2: Lab) -> None:
    box = lab_v2.driver_v2(ready=True)
    for above, controllers in box.enabling:
        box.enable(above, [], controllers)
    # Not one of those that groups with processes may pass on (cgroup-v2.rst, "Threads").
    threaded = ("cpu", "cpuset", "perf_event", "pids")
    domain = [name for name in get(f"{path(box)}/cgroup.controllers").split() if name not in threaded]
    if not domain:
        pytest.skip("this hierarchy has no controllers")
    process = lab_v2.start(box, "sleep 100")
    assert box.home(process.pid) == ("", "")
    make_below(box, "init/scope")
    put(f"{path(box)}/init/scope/cgroup.procs", str(process.pid))
    assert box.home(process.pid) == ("", "")
    put(f"{path(box)}/cgroup.subtree_control", f"+{domain[0]}")
    below, why = box.home(process.pid)
    assert (below, bool(why)) == ("init/scope", True)


def test_home_outside_of_the_group_is_refused(lab_v2: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    box = lab_v2.driver_v2(ready=True)
    monkeypatch.setattr(v2_files, "domain_only", lambda _: True)
    with pytest.raises(HostError, match="which is not below"):
        box.home(lab_v2.start(None, "sleep 100").pid)


def test_ownership(lab_v2: Lab) -> None:
    box = lab_v2.driver_v2(ready=True)
    box.give(1234, ["cgroup.procs", "cgroup.none"])
    assert os.stat(path(box)).st_uid == os.stat(f"{path(box)}/cgroup.procs").st_uid == 1234
    assert os.stat(f"{path(box)}/cgroup.kill").st_uid == 0


def test_enable(lab_v2: Lab) -> None:
    box = lab_v2.driver_v2("a/box", ready=True)
    for above, controllers in box.enabling:
        box.enable(above, [], controllers)
    top = os.path.dirname(path(box))
    assert set(box.groups[0].controllers[1:]) <= {*get(f"{path(box)}/cgroup.controllers").split()} | {"cpu"}
    with pytest.raises(HostError, match="cannot switch on nonsense below it"):
        box.enable(top, ["nonsense"], [])
    box.enable(top, [], ["nonsense", *box.groups[0].controllers[1:]])


def test_devices(lab_v2: Lab) -> None:
    box = lab_v2.driver_v2(ready=True)
    allowed, denied = "deny a *:* rwm\nallow c 1:3 rwm", "deny a *:* rwm"
    box.filter_devices(allowed)
    assert opens(lab_v2, box) == {"null": True, "zero": False}
    # Again, in place of the first: at no moment is there none, or both.
    box.filter_devices(f"{denied}\nallow c 1:5 r")
    assert opens(lab_v2, box) == {"null": False, "zero": True}
    fd = box.open_directory()
    found: list[int] = []
    device_filter._attached(fd, path(box), found)
    os.close(fd)
    for one in found:
        os.close(one)
    assert len(found) == 1


def opens(lab: Lab, box: object) -> dict[str, bool]:
    """Which devices a process of the group can read."""
    result = {}
    for name in ("null", "zero"):
        files = [box.open_join("unified")]  # type: ignore[attr-defined]
        script = f"echo 0 >&{files[0]}; exec </dev/{name}"
        done = subprocess.run(["busybox", "sh", "-c", script], pass_fds=files, stderr=subprocess.DEVNULL, check=False)
        os.close(files[0])
        result[name] = done.returncode == 0
    return result


def test_a_program_that_the_kernel_refuses(lab_v2: Lab) -> None:
    box = lab_v2.driver_v2(ready=True)
    fd = box.open_directory()
    with pytest.raises(HostError, match="load the device filter") as caught:
        device_filter.attach(fd, b"\0" * 8, path(box))
    os.close(fd)
    assert (caught.value.call, caught.value.pointer) == ("bpf", "/linux/resources/devices")
