"""exec --process FILE: what the file says, what the container gives where it says nothing, what is refused."""

from __future__ import annotations

import os

import pytest

from . import execs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .case import Case

MINIMAL = {"args": ["/probe"], "cwd": "/", "user": {"uid": 0, "gid": 0}}


def test_as_engines_write_it(live: Case) -> None:
    bundle = execs.idle(live)
    wanted = {
        "user": {"uid": 1000, "gid": 1000, "additionalGids": [1000, 2000], "umask": 63},
        "args": ["/probe", "argument"],
        "env": ["PATH=/bin", "X=y"],
        "cwd": "/tmp",
        "capabilities": {name: ["CAP_KILL"] for name in ("bounding", "effective", "permitted")},
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 50, "hard": 60}],
        "noNewPrivileges": True,
        "oomScoreAdj": 300,
        "terminal": False,
    }
    seen = execs.described(live, bundle, wanted).ok().json()
    assert seen["uids"] == [1000] * 3 and seen["groups"] == [1000, 2000]
    assert seen["args"] == ["/probe", "argument"]
    assert set(seen["env"]) == {"PATH=/bin", "X=y", "HOME=/home/app"}
    assert seen["cwd"] == "/tmp" and seen["umask"] == 63
    assert seen["caps"]["bounding"] == 1 << 5 and seen["caps"]["effective"] == 0
    assert seen["rlimits"]["RLIMIT_NOFILE"] == [50, 60]
    assert seen["oom_score_adj"].strip() == "300"


def test_environment_only_from_the_file(live: Case) -> None:
    bundle = live.bundle(execs.IDLE)
    bundle.process["env"] += ["SECRET=of the container"]
    live.launch(bundle)
    seen = execs.described(live, bundle, {**MINIMAL, "env": ["ONLY=this"]}).ok().json()
    assert set(seen["env"]) == {"ONLY=this", "HOME=/root"}
    # And from nowhere without one.
    assert execs.described(live, bundle, MINIMAL).ok().json()["env"] == ["HOME=/root"]


def test_what_is_absent(live: Case) -> None:
    bundle = live.bundle(execs.IDLE)
    bundle.process.update(
        user={"uid": 1000, "gid": 1000, "additionalGids": [5], "umask": 7},
        rlimits=[{"type": "RLIMIT_NOFILE", "soft": 70, "hard": 80}],
        oomScoreAdj=250,
        scheduler={"policy": "SCHED_BATCH", "nice": 4},
        ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 6},
        cwd="/tmp",
    )
    bundle.linux["personality"] = {"domain": "LINUX32"}
    live.launch(bundle)
    like_init = execs.probe(live, bundle)
    seen = execs.described(live, bundle, MINIMAL).ok().json()
    # Of the container: what confines and what schedules.
    for key in ("rlimits", "oom_score_adj", "policy", "nice", "ioprio", "personality", "ns", "cgroup", "umask"):
        assert seen[key] == like_init[key], key
    assert seen["rlimits"]["RLIMIT_NOFILE"] == [70, 80]
    assert seen["caps"]["bounding"] == like_init["caps"]["bounding"] != 0
    # Its own: user, groups, directory, no_new_privs.
    assert (seen["uids"], seen["groups"], seen["cwd"]) == ([0] * 3, [], "/")
    assert (like_init["no_new_privs"], seen["no_new_privs"]) == (1, 0)


def test_what_is_there_wins(live: Case) -> None:
    bundle = live.bundle(execs.IDLE)
    bundle.process.update(
        rlimits=[{"type": "RLIMIT_NOFILE", "soft": 70, "hard": 80}],
        scheduler={"policy": "SCHED_BATCH", "nice": 4},
        ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 6},
        oomScoreAdj=250,
    )
    live.launch(bundle)
    own = {
        "scheduler": {"policy": "SCHED_OTHER", "nice": 2},
        "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 0},
        "rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}],
        "oomScoreAdj": 260,
        "capabilities": {},
    }
    seen = execs.described(live, bundle, {**MINIMAL, **own}).ok().json()
    assert (seen["policy"], seen["nice"], seen["ioprio"] >> 13) == (0, 2, 3)
    assert seen["rlimits"]["RLIMIT_CORE"] == [0, 0] and seen["rlimits"]["RLIMIT_NOFILE"] != [70, 80]
    assert seen["oom_score_adj"].strip() == "260"
    assert set(seen["caps"].values()) == {0}


def test_flags_beside_the_file(live: Case) -> None:
    bundle = execs.idle(live)
    seen = execs.described(live, bundle, MINIMAL, "-e", "FLAG=ignored", "--no-new-privs").ok().json()
    assert seen["env"] == ["HOME=/root"] and seen["no_new_privs"] == 1
    seen = execs.described(live, bundle, {**MINIMAL, "cwd": "/bin"}, "--user", "7:8", "--cwd", "/tmp").ok().json()
    assert (seen["uids"], seen["gids"], seen["cwd"]) == ([7] * 3, [8] * 3, "/tmp")
    container = execs.probe(live, bundle)["caps"]["bounding"]
    seen = execs.described(live, bundle, MINIMAL, "--cap", "CAP_NET_RAW").ok().json()
    assert seen["caps"]["bounding"] == container | 1 << 13


def test_from_a_pipe(live: Case) -> None:
    # As a shell gives it: --process <(command)
    bundle = execs.idle(live)
    path = execs.write(live, {**MINIMAL, "args": ["/bin/echo", "by pipe"]})
    for name in ("/dev/stdin", "/proc/self/fd/0"):
        reader, writer = os.pipe()
        with open(path, "rb") as file:
            os.write(writer, file.read())
        os.close(writer)
        result = execs.with_options(live, bundle, ["-p", name], stdin=reader).ok()
        os.close(reader)
        assert result.out == "by pipe\n"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"args": "/probe"}, "/args"),
    ({"args": []}, "/args"),
    ({"args": ["/probe", 1]}, "/args/1"),
    ({"cwd": "tmp"}, "/cwd"),
    ({"cwd": 5}, "/cwd"),
    ({"user": {"uid": "0", "gid": 0}}, "/user/uid"),
    ({"user": {"uid": True, "gid": 0}}, "/user/uid"),
    ({"user": {"uid": -1, "gid": 0}}, "/user/uid"),
    ({"user": {"uid": 0, "gid": 4294967295}}, "/user/gid"),
    ({"user": {"uid": 0, "gid": 0, "additionalGids": [4294967296]}}, "/user/additionalGids/0"),
    ({"user": {"uid": 0, "gid": 0, "umask": 512}}, "/user/umask"),
    ({"user": []}, "/user"),
    ({"user": "root"}, "/user"),
    ({"env": {"A": "B"}}, "/env"),
    ({"env": ["NOVALUE"]}, "/env/0"),
    ({"terminal": 1}, "/terminal"),
    ({"capabilities": ["CAP_KILL"]}, "/capabilities"),
    ({"capabilities": {"bounding": 5}}, "/capabilities/bounding"),
    ({"user": {"uid": 0, "gid": 0, "additionalGids": 5}}, "/user/additionalGids"),
    ({"rlimits": [{"type": "RLIMIT_X", "soft": 1, "hard": 1}]}, "/rlimits/0/type"),
    ({"oomScoreAdj": 1001}, "/oomScoreAdj"),
    ({"noNewPrivileges": "yes"}, "/noNewPrivileges"),
    ({"scheduler": {"policy": "SCHED_NONE"}}, "/scheduler/policy"),
    ({"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 8}}, "/ioPriority/priority"),
    ({"execCPUAffinity": {"initial": "x"}}, "/execCPUAffinity/initial"),
    ({"consoleSize": {"height": -1, "width": 1}}, "/consoleSize/height"),
]


@pytest.mark.parametrize("flags", [[], ["--user", "0", "-g", "5", "--cap", "CAP_KILL", "-t"]], ids=["plain", "flags"])
def test_wrong(live: Case, flags: list[str]) -> None:
    bundle = execs.idle(live)
    for change, pointer in WRONG:
        if flags and pointer in ("/terminal", "/user/uid"):
            continue  # the flag replaces it
        result = execs.described(live, bundle, {**MINIMAL, **change}, *flags)
        result.failed(f"process.json: {pointer}: ")
        assert result.code == 255
    execs.no_helper(live)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b"{}", b'{"args": ["/probe"]}'])
def test_no_description(live: Case, raw: bytes) -> None:
    bundle = execs.idle(live)
    result = execs.described(live, bundle, raw)
    result.failed("process.json: ")
    assert result.code == 255


def test_missing_file(live: Case) -> None:
    bundle = execs.idle(live)
    execs.with_options(live, bundle, ["-p", f"{live.dir}/nosuch"]).failed("nosuch", "no such file or directory")
    execs.with_options(live, bundle, ["-p", live.dir]).failed("is a directory")
    execs.with_options(live, bundle, ["-p", "/dev/zero"]).failed("is larger than")
