"""exec: capabilities, limits, schedulers, processors, umask: by flags, by the config, and by a process file."""

from __future__ import annotations

import os
import resource

import pytest

from . import execs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .case import Case

KILL, CHOWN, NET_RAW = 1 << 5, 1 << 0, 1 << 13


def caps(live: Case, sets: dict[str, list[str]], *options: str) -> Any:
    bundle = live.bundle(execs.IDLE)
    bundle.process["capabilities"] = sets
    live.launch(bundle)
    return execs.probe(live, bundle, *options)["caps"]


ADD = ["--cap", "CAP_KILL", "--cap", "CAP_NET_RAW"]


def test_added_to_none(live: Case) -> None:
    seen = caps(live, {}, *ADD)
    for name in ("bounding", "effective", "permitted"):
        assert seen[name] == KILL | NET_RAW
    assert seen["inheritable"] == seen["ambient"] == 0


def test_added_to_some(live: Case) -> None:
    seen = caps(live, {name: ["CAP_CHOWN"] for name in ("bounding", "effective", "permitted")}, *ADD)
    for name in ("bounding", "effective", "permitted"):
        assert seen[name] == KILL | NET_RAW | CHOWN
    assert seen["inheritable"] == seen["ambient"] == 0


def test_ambient_where_inheritable(live: Case) -> None:
    # Nothing becomes inheritable by --cap; what is so already becomes ambient, and so survives another user.
    sets = {"bounding": ["CAP_CHOWN", "CAP_KILL"], "inheritable": ["CAP_CHOWN", "CAP_KILL"], "permitted": ["CAP_CHOWN"]}
    seen = caps(live, sets, *ADD, "--user", "1000:1000")
    assert seen["inheritable"] == CHOWN | KILL
    assert seen["ambient"] == KILL
    assert seen["permitted"] == seen["effective"] == KILL


def test_another_user_has_none_left(live: Case) -> None:
    seen = caps(live, {}, *ADD, "--user", "1000:1000")
    assert seen["effective"] == seen["permitted"] == 0 and seen["bounding"] == KILL | NET_RAW


def test_unknown_capability_is_a_warning(live: Case) -> None:
    bundle = execs.idle(live)
    result = execs.with_options(live, bundle, ["--cap", "CAP_NOSUCH", "--cap", "kill"], "/bin/echo", "runs").ok()
    assert result.out == "runs\n"
    assert "CAP_NOSUCH" in result.err and "left out" in result.err


def test_caller_with_ambient_ones(live: Case) -> None:
    # What the caller has left lying about does not come in.
    bundle = execs.idle(live)
    assert execs.probe(live, bundle)["caps"]["inheritable"] == 0
    words = ["/usr/bin/setpriv", "--inh-caps", "+chown", "--ambient-caps", "+chown"]
    if not os.path.exists(words[0]):
        pytest.skip("needs setpriv")
    from . import process

    result = process.run([*words, *live.argv("exec", bundle.id, "/probe")], scratch=live.scratch).ok()
    seen = result.json()["caps"]
    assert seen["inheritable"] == seen["ambient"] == 0


def test_limits_of_the_config(live: Case) -> None:
    bundle = live.bundle(execs.IDLE)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    bundle.process["rlimits"] = [
        {"type": "RLIMIT_NOFILE", "soft": 4, "hard": 8},
        {"type": "RLIMIT_STACK", "soft": 1048576, "hard": 1048576},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
    ]
    live.launch(bundle)
    seen = execs.probe(live, bundle)["rlimits"]
    assert (seen["RLIMIT_NOFILE"], seen["RLIMIT_STACK"], seen["RLIMIT_CORE"]) == ([4, 8], [1048576] * 2, [0, 0])
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)


def test_limits_below_what_set_up_needs(live: Case) -> None:
    bundle = execs.idle(live)
    limits = [("NOFILE", 3), ("FSIZE", 0), ("NPROC", 1), ("MEMLOCK", 0), ("MSGQUEUE", 0)]
    described = {
        "args": ["/bin/busybox", "true"],
        "cwd": "/",
        "user": {"uid": 1000, "gid": 1000},
        "rlimits": [{"type": f"RLIMIT_{name}", "soft": value, "hard": value} for name, value in limits],
    }
    execs.described(live, bundle, described).ok()


def test_a_limit_nobody_may_raise(live: Case) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = [{"type": "RLIMIT_NOFILE", "soft": hard + 1, "hard": hard + 1}]
    bundle = execs.idle(live)
    result = execs.described(
        live, bundle, {"args": ["/probe"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "rlimits": wanted}
    )
    if result.code:
        result.failed("/process/rlimits/0", "operation not permitted")
        execs.no_helper(live)
    else:
        assert result.json()["rlimits"]["RLIMIT_NOFILE"] == [hard + 1] * 2


def test_umask(live: Case) -> None:
    bundle = live.bundle(execs.IDLE)
    bundle.process["user"]["umask"] = 63
    live.launch(bundle)
    assert execs.probe(live, bundle)["umask"] == 0o077
    described = {"args": ["/probe"], "cwd": "/", "user": {"uid": 0, "gid": 0, "umask": 2}}
    assert execs.described(live, bundle, described).ok().json()["umask"] == 2
    # Without one anywhere it is the caller's, as the spec says.
    other = execs.idle(live)
    assert execs.probe(live, other, before=lambda: os.umask(0o027))["umask"] == 0o027


def test_caller_s_priority_and_processors(live: Case) -> None:
    if (os.cpu_count() or 1) < 2:
        pytest.skip("needs two processors")
    bundle = execs.idle(live)
    one = {min(os.sched_getaffinity(0))}
    assert execs.probe(live, bundle, before=lambda: os.sched_setaffinity(0, one))["cpus"] == os.cpu_count()


@pytest.mark.parametrize(
    ("affinity", "count"),
    [
        ({"initial": "0"}, 1),
        ({"final": "1"}, 1),
        ({"initial": "0", "final": "0-1"}, 2),
        ({"initial": "0-1", "final": "0"}, 1),
    ],
)
def test_chosen_processors(live: Case, affinity: dict[str, str], count: int) -> None:
    if (os.cpu_count() or 1) < 2:
        pytest.skip("needs two processors")
    bundle = live.bundle()
    bundle.process["args"] = ["/probe", "--sleep"]
    bundle.process["execCPUAffinity"] = affinity
    result = live.launch(bundle)
    assert execs.probe(live, bundle)["cpus"] == count
    described = {"args": ["/probe"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "execCPUAffinity": {"final": "0-1"}}
    assert execs.described(live, bundle, described).ok().json()["cpus"] == 2
    # Not for the first process.
    assert result.json()["cpus"] == os.cpu_count()


def test_a_processor_outside_the_cpuset(live: Case) -> None:
    bundle = execs.idle(live)
    described = {"args": ["/probe"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "execCPUAffinity": {"final": "4000"}}
    execs.described(live, bundle, described).failed("/process/execCPUAffinity/final", "invalid argument")
    described["execCPUAffinity"] = {"initial": "4000"}
    execs.described(live, bundle, described).failed("/process/execCPUAffinity/initial", "invalid argument")


def test_streams_belong_to_the_user(live: Case) -> None:
    null = os.stat("/dev/null").st_uid  # crun gives it away, where somebody runs that
    bundle = execs.idle(live)
    script = "echo again > /dev/stdout; stat -c %u /proc/self/fd/1 /proc/self/fd/2"
    assert execs.shell(live, bundle, script, "--user", "1000:1000").split() == ["again", "1000", "1000"]
    assert os.stat("/dev/null").st_uid == null
