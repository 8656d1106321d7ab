"""exec in the container's cgroup, in one below it, and where there is none to be joined."""

from __future__ import annotations

import os

import pytest

from . import execs, process
from .test_cgroup import mounted, need, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .bundles import Bundle
    from .case import Case


@pytest.fixture(autouse=True)
def _controllers() -> None:
    for controller in ("pids", "memory", "freezer"):
        need(controller)


def directory(live: Case, bundle: Bundle, controller: str) -> str:
    return mounted(controller) + paths(live.pid(bundle))[controller]


def groups(text: str) -> dict[str, str]:
    """/proc/PID/cgroup as controller to path; without the v2 hierarchy, where no group is made here."""
    found = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        found.update({name: path for name in controllers.split(",") if name})
    return found


def test_same_groups(live: Case) -> None:
    bundle = execs.idle(live)
    expected = {name: path for name, path in paths(live.pid(bundle)).items() if name}
    assert groups(execs.probe(live, bundle)["cgroup"]) == expected
    assert expected["pids"].endswith(bundle.id)


def test_group_below(live: Case) -> None:
    bundle = execs.idle(live)
    tops = {name: directory(live, bundle, name) for name in ("pids", "memory", "freezer")}
    os.makedirs(tops["pids"] + "/below/deep")
    os.mkdir(tops["memory"] + "/below")
    own = groups(execs.probe(live, bundle)["cgroup"])
    seen = groups(execs.probe(live, bundle, "--cgroup", "pids:/below/deep")["cgroup"])
    assert seen["pids"] == own["pids"] + "/below/deep"
    assert {**seen, "pids": own["pids"]} == own
    seen = groups(execs.probe(live, bundle, "--cgroup", "pids,memory:below")["cgroup"])
    assert (seen["pids"], seen["memory"]) == (own["pids"] + "/below", own["memory"] + "/below")
    seen = groups(execs.probe(live, bundle, "--cgroup", "pids:below", "--cgroup", "memory:below")["cgroup"])
    assert (seen["pids"], seen["memory"]) == (own["pids"] + "/below", own["memory"] + "/below")
    assert groups(execs.probe(live, bundle, "--cgroup", "/")["cgroup"]) == own


def test_refused_groups(live: Case) -> None:
    bundle = execs.idle(live)
    for text, words in (
        ("..", ["leads out"]),
        ("pids:..", ["leads out"]),
        ("pids:/below/../../..", ["leads out"]),
        # Without the words "no such file or directory", which engines take for a missing program.
        ("pids:nosuch", ["join nosuch of cgroup", "no such file in this cgroup"]),
        ("nosuch", ["join nosuch of cgroup", "no such file in this cgroup"]),
        ("nosuchcontroller:below", ["unknown controller"]),
        ("pids,:below", ["unknown controller"]),
    ):
        result = execs.with_options(live, bundle, ["--cgroup", text], "/bin/touch", "/ran")
        result.failed(*words)
        assert result.code == 255
    assert not os.path.exists(f"{bundle.rootfs}/ran")


def test_a_link_is_no_group(live: Case) -> None:
    # cgroupfs has no links; a name with odd bytes is a name.
    bundle = execs.idle(live)
    os.mkdir(directory(live, bundle, "pids") + "/a b\\")
    assert execs.probe(live, bundle, "--cgroup", "pids:a b\\")["cgroup"].count("/a b\\") == 1


def test_processors_before_the_group(live: Case) -> None:
    # execCPUAffinity and --cgroup together: the cpuset has the last word.
    need("cpuset")
    bundle = live.bundle(execs.IDLE)
    bundle.process["execCPUAffinity"] = {"initial": "0"}
    live.launch(bundle)
    top = directory(live, bundle, "cpuset")
    os.mkdir(f"{top}/one")
    for name, value in (("cpus", "1"), ("mems", "0")):
        with open(f"{top}/one/cpuset.{name}", "w", encoding="ascii") as file:
            file.write(value)
    status = execs.probe(live, bundle, "--cgroup", "cpuset:one")["status"]
    assert "Cpus_allowed_list:\t1\n" in status


def test_cpuset_of_the_container(live: Case) -> None:
    need("cpuset")
    bundle = live.bundle(execs.IDLE)
    bundle.linux["resources"] = {"cpu": {"cpus": "1"}}
    live.launch(bundle)
    one = {0}
    status = execs.probe(live, bundle, before=lambda: os.sched_setaffinity(0, one))["status"]
    assert "Cpus_allowed_list:\t1\n" in status


def test_no_process_left_to_make(live: Case) -> None:
    bundle = live.bundle(execs.IDLE)
    bundle.linux["resources"] = {"pids": {"limit": 1}}
    live.launch(bundle)
    for _ in range(3):
        result = execs.run(live, bundle, "/bin/true", limit=5)
        result.failed("resource temporarily unavailable")
        assert result.code == 255
    execs.no_helper(live)
    with open(directory(live, bundle, "pids") + "/pids.max", "w", encoding="ascii") as file:
        file.write("5")
    execs.run(live, bundle, "/bin/true").ok()


def test_memory_too_small(live: Case) -> None:
    bundle = execs.idle(live)
    top = directory(live, bundle, "memory")
    used = int(execs.read(f"{top}/memory.usage_in_bytes"))
    # Not even the helper fits in. The kernel may also choose the first process.
    with open(f"{top}/memory.limit_in_bytes", "w", encoding="ascii") as file:
        file.write(str(max(4096, used // 4096 * 4096)))
    for words in (["/bin/true"], ["--detach", "/bin/true"]):
        result = live.command("exec", *words[:-1], bundle.id, words[-1], limit=10)
        if result.code != 0:
            assert "Traceback" not in result.err and result.code in (255, 137), result.report()
            # The kernel kills, the first process perhaps, or has none left for a new process.
            reasons = ("killed by signal 9", "stopped container", "stopped meanwhile", "cannot allocate memory")
            clean = any(reason in result.err for reason in reasons)
            assert result.code == 137 or clean, result.report()
    execs.no_helper(live)


def test_memory_full_and_no_killer(live: Case) -> None:
    # With the killer off the process waits for memory; the caller can still end the command.
    bundle = execs.idle(live)
    top = directory(live, bundle, "memory")
    for name, value in (("memory.oom_control", "1"), ("memory.limit_in_bytes", "4096")):
        try:
            with open(f"{top}/{name}", "w", encoding="ascii") as file:
                file.write(value)
        except OSError as error:
            if name == "memory.oom_control":
                pytest.skip(f"{name}: {error}")
    proc, _, err = process.spawn(live.argv("exec", bundle.id, "/bin/true"), scratch=live.scratch)
    if not execs.ends_within(proc, 1.0):
        proc.terminate()
        assert process.wait_end(proc, 10)
        assert proc.returncode == 255 and "given up by signal 15" in execs.read(err)
    execs.no_helper(live)


def test_frozen_while_it_joins(live: Case) -> None:
    bundle = execs.idle(live)
    for _ in range(5):
        execs.run(live, bundle, "/bin/true").ok()
        proc, _, err = process.spawn(live.argv("exec", bundle.id, "/bin/true"), scratch=live.scratch)
        live.command("pause", bundle.id).ok()
        ended = execs.ends_within(proc, 3.0)
        live.command("resume", bundle.id).ok()
        assert process.wait_end(proc, 5)
        # Paused before: refused. Afterwards: the program is frozen as the others are, and ends when they go on.
        assert proc.returncode in (0, 255), execs.read(err)
        assert proc.returncode == 0 or (ended and "paused container" in execs.read(err)), execs.read(err)
    process.eventually(lambda: len(live.command("ps", "-f", "json", bundle.id).json()) == 1, "nothing stays")
