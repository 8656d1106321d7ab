"""process.rlimits: each limit exactly, set so late that the set-up does not suffer from it."""

from __future__ import annotations

import resource

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .case import Case

LIMITS = {
    "RLIMIT_AS": (1 << 30, 1 << 31),
    "RLIMIT_CORE": (0, 0),
    "RLIMIT_CPU": (100, 200),
    "RLIMIT_DATA": (1 << 28, 1 << 29),
    "RLIMIT_FSIZE": (1 << 20, 1 << 21),
    "RLIMIT_LOCKS": (10, 11),
    "RLIMIT_MEMLOCK": (4096, 8192),
    "RLIMIT_MSGQUEUE": (1000, 2000),
    "RLIMIT_NICE": (0, 0),
    "RLIMIT_NOFILE": (100, 200),
    "RLIMIT_NPROC": (1000, 2000),
    "RLIMIT_RSS": (1 << 28, 1 << 29),
    "RLIMIT_RTPRIO": (0, 0),
    "RLIMIT_RTTIME": (1000000, 2000000),
    "RLIMIT_SIGPENDING": (50, 60),
    "RLIMIT_STACK": (1 << 20, 1 << 21),
}


def entry(name: str, soft: int, hard: int) -> dict[str, Any]:
    return {"type": name, "soft": soft, "hard": hard}


def test_all_sixteen(live: Case) -> None:
    bundle = live.bundle()
    bundle.process["rlimits"] = [entry(name, *pair) for name, pair in LIMITS.items()]
    seen = live.probe(bundle)["rlimits"]
    assert {name: tuple(seen[name]) for name in LIMITS} == LIMITS


def test_unset_ones_are_the_callers(live: Case) -> None:
    seen = live.probe(live.bundle())["rlimits"]
    for name in LIMITS:
        number = getattr(resource, name, None)
        if number is not None:
            wanted = [value % (1 << 64) for value in resource.getrlimit(number)]
            assert seen[name] == wanted, name


def test_unlimited(live: Case) -> None:
    bundle = live.bundle()
    most = (1 << 64) - 1
    bundle.process["rlimits"] = [entry("RLIMIT_CORE", most, most), entry("RLIMIT_CPU", 5, most)]
    seen = live.probe(bundle)["rlimits"]
    assert seen["RLIMIT_CORE"] == [most, most]
    assert seen["RLIMIT_CPU"] == [5, most]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RLIMIT_NOFILE", 3),
        ("RLIMIT_FSIZE", 0),
        ("RLIMIT_NPROC", 1),
        ("RLIMIT_CORE", 0),
        ("RLIMIT_MEMLOCK", 0),
        ("RLIMIT_SIGPENDING", 0),
        ("RLIMIT_DATA", 1 << 20),
        ("RLIMIT_STACK", 1 << 16),
        ("RLIMIT_AS", 1 << 24),
    ],
)
@pytest.mark.parametrize("uid", [0, 1000])
def test_small_limits_hinder_the_program_only(live: Case, name: str, value: int, uid: int) -> None:
    # runc and crun fail in init with NOFILE 3: they set limits too early.
    bundle = live.bundle(["/bin/true"])
    bundle.process["rlimits"] = [entry(name, value, value)]
    bundle.process["user"] = {"uid": uid, "gid": 0}
    live.run(bundle).ok()


def test_caller_with_few_files(live: Case) -> None:
    # R100: our own limit is the caller's business, yet 64 must do.
    bundle = live.bundle(["/bin/true"])
    live.run(bundle, before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))).ok()


def test_hard_limit_above_the_callers(live: Case) -> None:
    # Root with CAP_SYS_RESOURCE may raise it; without, it is an error that names the entry.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    bundle = live.bundle()
    bundle.process["rlimits"] = [entry("RLIMIT_NOFILE", soft + 1, hard + 1)]
    bundle.process["args"] = ["/probe"]
    result = live.run(bundle)
    if result.code:
        result.failed("/process/rlimits/0")
        live.assert_clean()
    else:
        assert result.json()["rlimits"]["RLIMIT_NOFILE"] == [soft + 1, hard + 1]


def test_limits_in_a_user_namespace(live: Case) -> None:
    bundle = live.bundle()
    bundle.user_namespace()
    bundle.process["rlimits"] = [entry("RLIMIT_NOFILE", 100, 200), entry("RLIMIT_CORE", 0, 0)]
    seen = live.probe(bundle)["rlimits"]
    assert (seen["RLIMIT_NOFILE"], seen["RLIMIT_CORE"]) == ([100, 200], [0, 0])
