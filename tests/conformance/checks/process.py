"""What the process has: limits, capabilities, priorities, umask, terminal size."""

from __future__ import annotations

import os
import struct

from live import process as commands

from .. import host
from ..registry import covers, need

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..bench import Bench

LIMITS = {
    "RLIMIT_NOFILE": (400, 500),
    "RLIMIT_CORE": (0, 4096),
    "RLIMIT_STACK": (1 << 22, 1 << 23),
    "RLIMIT_MSGQUEUE": (0, 0),
}
PR_CAPBSET_DROP = 24
CAP_SYS_TIME = 25


def _limits(bench: Bench) -> Any:
    bundle = bench.bundle()
    bundle.process["rlimits"] = [{"type": kind, "soft": soft, "hard": hard} for kind, (soft, hard) in LIMITS.items()]
    return bench.probe(bundle)["rlimits"]


@covers("config.process.rlimits.soft")
def soft_limits(bench: Bench) -> None:
    found = bench.once("limits", _limits)
    assert {kind: found[kind][0] for kind in LIMITS} == {kind: soft for kind, (soft, _) in LIMITS.items()}


@covers("config.process.rlimits.hard")
def hard_limits(bench: Bench) -> None:
    found = bench.once("limits", _limits)
    assert {kind: found[kind][1] for kind in LIMITS} == {kind: hard for kind, (_, hard) in LIMITS.items()}


@covers("config.process.rlimits.type.getrlimit")
def all_limits(bench: Bench) -> None:
    """All sixteen types of the kernel, with the values that a process has anyway: each is accepted and read back."""
    now = bench.plain()["rlimits"]
    bundle = bench.bundle()
    bundle.process["rlimits"] = [{"type": kind, "soft": now[kind][0], "hard": now[kind][1]} for kind in sorted(now)]
    assert len(now) == 16
    assert bench.probe(bundle)["rlimits"] == now


@covers("config.process.capabilities.warning", "config.process.capabilities.no-failure")
def capabilities(bench: Bench) -> None:
    """An unknown one, and one that the runtime itself may not have: both are named in a warning, and all goes on."""
    bundle = bench.bundle()
    for names in bundle.process["capabilities"].values():
        names += ["CAP_NO_SUCH_THING", "CAP_SYS_TIME"]
    log = f"{bench.dir}/log"
    bundle.process["args"] = ["/probe"]
    bundle.save()
    words = ["--root", bench.root, "--log", log, "run", "--bundle", bundle.path, bundle.id]
    result = commands.run([*bench.session.words, *words], scratch=bench.scratch, before=_without_sys_time).ok()
    caps = result.json()["caps"]
    assert not caps["effective"] >> CAP_SYS_TIME & 1, "the capability was granted all the same"
    assert caps["effective"] >> 5 & 1, "CAP_KILL was not granted"
    told = result.err + host.text(log)
    for name in ("CAP_NO_SUCH_THING", "CAP_SYS_TIME"):
        assert name in told, f"no warning names {name}: {told!r}"


def _without_sys_time() -> None:
    """Drop CAP_SYS_TIME for good, and with it from what the next program may have."""
    import ctypes

    libc = ctypes.CDLL(None)
    libc.prctl(PR_CAPBSET_DROP, CAP_SYS_TIME, 0, 0, 0)


@covers("config.process.oomScoreAdj.set")
def oom_score(bench: Bench) -> None:
    bundle = bench.bundle()
    bundle.process["oomScoreAdj"] = 456
    assert bench.probe(bundle)["oom_score_adj"] == "456\n"


def _set_oom_score() -> None:
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("123")


@covers("config.process.oomScoreAdj.unset")
def oom_score_unset(bench: Bench) -> None:
    """The caller's value."""
    assert bench.probe(bench.bundle(), before=_set_oom_score)["oom_score_adj"] == "123\n"


@covers("config.process.user.umask.unset")
def umask(bench: Bench) -> None:
    """The caller's value."""
    assert bench.probe(bench.bundle(), before=lambda: os.umask(0o27))["umask"] == 0o27


@covers("config.process.consoleSize.ignored")
def console_size(bench: Bench) -> None:
    """With terminal false and unset the container runs; its standard input is no terminal."""
    for terminal in (False, None):
        bundle = bench.bundle()
        bundle.process["consoleSize"] = {"height": 20, "width": 70}
        if terminal is not None:
            bundle.process["terminal"] = terminal
        report = bench.probe(bundle)
        assert report["winsize"] == [0, 0] and not report["fds"][0]["tty"]


def _scheduler(bench: Bench, **values: Any) -> Any:
    bundle = bench.bundle()
    bundle.process["scheduler"] = values
    return bench.probe(bundle)


@covers("config.process.scheduler.nice.unset")
def nice(bench: Bench) -> None:
    """The caller's is another."""
    bundle = bench.bundle()
    bundle.process["scheduler"] = {"policy": "SCHED_BATCH"}
    report = bench.probe(bundle, before=lambda: os.nice(7))
    assert (report["policy"], report["nice"]) == (3, 0)


@covers("config.process.scheduler.priority.unset")
def priority(bench: Bench) -> None:
    """0, which the other policies have; for the real-time ones the kernel refuses it."""
    assert _scheduler(bench, policy="SCHED_BATCH", nice=3)["priority"] == 0
    bundle = bench.bundle()
    bundle.process["scheduler"] = {"policy": "SCHED_FIFO"}
    bench.fails(bundle)


def _deadline(bench: Bench, without: str) -> None:
    """With 0 for one of the three: the kernel takes the deadline for an unset period, and refuses the others."""
    values = {"runtime": 1_000_000, "deadline": 50_000_000, "period": 100_000_000}
    bundle = bench.bundle()
    bundle.process["scheduler"] = {"policy": "SCHED_DEADLINE", **values}
    whole = bench.run(bundle)
    need(whole.code == 0 or "EBUSY" not in whole.err, "the kernel has no bandwidth left for deadline tasks (EBUSY)")
    assert whole.code == 0, f"refused although nothing is missing: {whole.report()}"
    del values[without]
    bundle = bench.bundle()
    bundle.process["scheduler"] = {"policy": "SCHED_DEADLINE", **values}
    if without != "period":
        bench.fails(bundle)
        return
    bundle.process["args"] = ["/bin/sleep", "70000"]
    bench.launch(bundle)
    found = _attributes(bench.pid(bundle))
    assert found == (1_000_000, 50_000_000, 50_000_000), found


def _attributes(pid: int) -> tuple[int, ...]:
    """runtime, deadline and period, of sched_getattr(2)."""
    import ctypes

    buffer = ctypes.create_string_buffer(48)
    number = 315 if os.uname().machine == "x86_64" else 275
    assert ctypes.CDLL(None).syscall(number, pid, buffer, 48, 0) == 0
    found: tuple[int, ...] = struct.unpack_from("=QQQ", buffer, 24)
    return found


def _part(name: str) -> None:
    @covers(f"config.process.scheduler.{name}.unset")
    def check(bench: Bench) -> None:
        _deadline(bench, name)


for _name in ("runtime", "deadline", "period"):
    _part(_name)


@covers("config.process.execCPUAffinity.final.unset")
def affinity(bench: Bench) -> None:
    """As it is for a process of ours with the same initial affinity that we put into the same cgroup."""
    import json

    need(bench.has("exec"), "the runtime has no command exec")
    need(len(os.sched_getaffinity(0)) > 1, "this machine has one processor")
    cpu = min(os.sched_getaffinity(0))
    bundle = bench.bundle(["/bin/sleep", "70000"])
    bundle.process["execCPUAffinity"] = {"initial": str(cpu)}
    bench.launch(bundle)
    described = bundle.process | {"args": ["/bin/grep", "Cpus_allowed_list", "/proc/self/status"]}
    path = f"{bench.dir}/process.json"
    with open(path, "w", encoding="utf-8") as file:
        json.dump(described, file)
    found = bench.command("exec", "--process", path, bundle.id).ok().out.split()[-1]
    tasks = host.cgroup(bundle.linux["cgroupsPath"], "cpuset")
    names = [f"{tasks}/cgroup.procs"] if tasks else []

    def enter() -> None:
        os.sched_setaffinity(0, {cpu})
        for name in names:
            with open(name, "w", encoding="ascii") as file:
                file.write("0")

    words = ["/bin/grep", "Cpus_allowed_list", "/proc/self/status"]
    expected = commands.run(words, scratch=bench.scratch, before=enter).ok().out.split()[-1]
    assert found == expected, f"the kernel leaves {expected}, the process has {found}"
