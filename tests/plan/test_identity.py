"""Process identity as numbers: ids, groups, capabilities, limits, environment, namespaces."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocirun.errors import ConfigError
from ocirun.plan import constants as c
from ocirun.plan.process import identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

KILL, CHOWN, ADMIN, CHECKPOINT = 1 << 5, 1 << 0, 1 << 21, 1 << 40
HEADERS = Path("/usr/include")


def pointers(call: Callable[[], Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        call()
    return [problem.pointer for problem in caught.value.problems]


def caps(
    block: dict[str, list[str]] | None, last_cap: int = 40, grantable: int = 2**64 - 1
) -> identity.CapabilityMasks:
    return identity.capabilities(block, last_cap=last_cap, grantable=grantable)


# Constants


def defines(header: str, prefix: str) -> dict[str, int]:
    path = HEADERS / header
    if not path.exists():
        pytest.skip(f"no {path}")
    found = {}
    for line in path.read_text().splitlines():
        words = line.replace("# define", "#define").split()
        if len(words) > 2 and words[0] == "#define" and words[1].startswith(prefix):
            try:
                found[words[1]] = int(words[2], 0)
            except ValueError:
                continue
    return found


@pytest.mark.parametrize(
    ("header", "prefix"),
    [("linux/mount.h", "MOUNT_ATTR_"), ("linux/mount.h", "MS_"), ("linux/sched.h", "CLONE_NEW")],
)
def test_constants_equal_the_headers(header: str, prefix: str) -> None:
    ours = {name: value for name, value in vars(c).items() if name.startswith(prefix)}
    kernel = defines(header, prefix)
    assert ours.keys() & kernel.keys()
    assert {name: kernel[name] for name in ours if name in kernel} == {n: ours[n] for n in ours if n in kernel}


def test_capability_numbers_equal_the_header() -> None:
    known = defines("linux/capability.h", "CAP_")
    assert {name: known.get(name, number) for name, number in c.CAPABILITIES.items()} == c.CAPABILITIES
    assert sorted(c.CAPABILITIES.values()) == list(range(41))


def test_rlimit_numbers_equal_the_library() -> None:
    assert len(c.RLIMITS) == 16
    for name, number in c.RLIMITS.items():
        assert getattr(resource, name, number) == number


# Capabilities


@pytest.mark.parametrize("block", [None, {}, {"effective": []}])
def test_no_capabilities_are_empty_sets(block: dict[str, list[str]] | None) -> None:
    assert caps(block) == identity.CapabilityMasks()


def test_all_five_sets() -> None:
    names = ["CAP_KILL", "CAP_CHOWN", "CAP_KILL"]
    found = caps(dict.fromkeys(("bounding", "effective", "inheritable", "permitted", "ambient"), names))
    both = KILL | CHOWN
    assert found == identity.CapabilityMasks(both, both, both, both, both)
    assert "ambient=0x21" in repr(found)


def test_every_capability() -> None:
    found = caps({"bounding": list(c.CAPABILITIES), "permitted": list(c.CAPABILITIES)})
    assert found.bounding == found.permitted == 2**41 - 1
    assert found.effective == found.inheritable == found.ambient == 0


@pytest.mark.parametrize("name", ["cap_kill", "KILL", "CAP_NOPE", "", "CAP_KILL ", "Cap_Kill", "CAP_ALL"])
def test_unknown_name_is_a_warning(name: str) -> None:
    found = caps({"bounding": ["CAP_CHOWN", name], "effective": [name]})
    assert found.bounding == CHOWN
    (warning,) = found.warnings
    assert warning.warning
    assert warning.pointer == "/process/capabilities/bounding/1"
    assert repr(name) in warning.message


def test_name_above_last_cap_is_a_warning() -> None:
    block = {"bounding": ["CAP_CHECKPOINT_RESTORE", "CAP_BPF"]}
    assert caps(block, last_cap=40).bounding == CHECKPOINT | 1 << 39
    older = caps(block, last_cap=39)
    assert older.bounding == 1 << 39
    assert "kernel" in older.warnings[0].message


def test_what_the_runtime_lacks_is_a_warning() -> None:
    block = {"bounding": ["CAP_SYS_ADMIN", "CAP_KILL"], "permitted": ["CAP_SYS_ADMIN", "CAP_KILL"]}
    found = caps(block, grantable=~ADMIN)
    assert (found.bounding, found.permitted) == (KILL, KILL)
    assert len(found.warnings) == 1


def test_sets_that_depend_on_others() -> None:
    found = caps(
        {
            "bounding": ["CAP_KILL"],
            "permitted": ["CAP_KILL"],
            "effective": ["CAP_KILL", "CAP_CHOWN"],
            "inheritable": ["CAP_CHOWN"],
            "ambient": ["CAP_KILL"],
        }
    )
    assert found == identity.CapabilityMasks(KILL, KILL, 0, KILL, 0, warnings=found.warnings)
    assert [w.pointer.rsplit("/", 2)[1:] for w in found.warnings] == [
        ["effective", "1"],
        ["inheritable", "0"],
        ["ambient", "0"],
    ]


def test_many_names_that_cannot_be_granted_are_one_warning() -> None:
    """As of buildah, which asks for an ambient set and no inheritable one."""
    both = ["CAP_KILL", "CAP_CHOWN"]
    found = caps({"bounding": both, "permitted": both, "effective": both, "ambient": both})
    (warning,) = found.warnings
    assert warning.pointer == "/process/capabilities/ambient/0"
    assert warning.message == "CAP_KILL, CAP_CHOWN: ambient but not both permitted and inheritable, so left out"


@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.lists(st.sampled_from([*c.CAPABILITIES, "CAP_X"]), max_size=6)
            for name in ("bounding", "effective", "inheritable", "permitted", "ambient")
        },
    ),
    st.integers(0, 63),
    st.integers(0, 2**64 - 1),
)
def test_masks_can_be_granted(block: dict[str, list[str]], last_cap: int, grantable: int) -> None:
    found = caps(block, last_cap, grantable=grantable)
    everything = grantable & ((2 << last_cap) - 1)
    assert not (found.bounding | found.permitted | found.inheritable) & ~everything
    assert not found.effective & ~found.permitted
    assert not found.inheritable & ~found.bounding
    assert not found.ambient & ~(found.permitted & found.inheritable)


# Limits


def test_rlimits() -> None:
    top = 2**64 - 1
    items = [
        {"type": "RLIMIT_NOFILE", "soft": 3, "hard": 1024},
        {"type": "RLIMIT_CORE", "soft": top, "hard": top},
        {"type": "RLIMIT_RTTIME", "soft": 0, "hard": 0},
    ]
    assert identity.rlimits(items) == [(7, 3, 1024), (4, top, top), (15, 0, 0)]
    assert identity.rlimits(None) == identity.rlimits([]) == []


@pytest.mark.parametrize(
    ("items", "where"),
    [
        ([("RLIMIT_NOFILES", 1, 1)], ["/0/type"]),
        ([("nofile", 1, 1)], ["/0/type"]),
        ([("RLIMIT_CPU", 1, 1), ("RLIMIT_CPU", 1, 1)], ["/1/type"]),
        ([("RLIMIT_CPU", 2, 1)], ["/0/soft"]),
        ([("RLIMIT_CPU", -1, 1), ("RLIMIT_AS", 1, 2**64)], ["/0/soft", "/1/hard"]),
    ],
)
def test_bad_rlimits(items: list[tuple[str, int, int]], where: list[str]) -> None:
    blocks = [dict(zip(("type", "soft", "hard"), item, strict=True)) for item in items]
    assert pointers(lambda: identity.rlimits(blocks)) == ["/process/rlimits" + tail for tail in where]


# Ids


def test_user_ids() -> None:
    assert identity.user_ids(None) == (0, 0)
    assert identity.user_ids({"uid": 1000, "gid": 2**32 - 2}) == (1000, 2**32 - 2)


@pytest.mark.parametrize("bad", [-1, 2**32 - 1, 2**32])
def test_bad_ids(bad: int) -> None:
    assert pointers(lambda: identity.user_ids({"uid": bad, "gid": bad})) == ["/process/user/uid", "/process/user/gid"]
    groups = {"additionalGids": [5, bad]}
    assert pointers(lambda: identity.additional_gids(groups)) == ["/process/user/additionalGids/1"]


def test_additional_gids() -> None:
    assert identity.additional_gids(None) == identity.additional_gids({}) == ()
    assert identity.additional_gids({"additionalGids": [5, 4242, 5, 0]}) == (5, 4242, 5, 0)
    assert len(identity.additional_gids({"additionalGids": list(range(65536))})) == 65536
    many = {"additionalGids": list(range(65537))}
    assert pointers(lambda: identity.additional_gids(many)) == ["/process/user/additionalGids"]


def test_umask_is_decimal() -> None:
    assert identity.umask({"umask": 63}) == 0o077
    assert identity.umask({"umask": 0}) == 0
    assert identity.umask({"umask": 511}) == 0o777
    assert identity.umask(None) is identity.umask({}) is None
    for bad in (-1, 512):
        assert pointers(lambda value=bad: identity.umask({"umask": value})) == ["/process/user/umask"]  # type: ignore[misc]


def test_oom_score_adj() -> None:
    assert identity.oom_score_adj({"oomScoreAdj": -1000}) == -1000
    assert identity.oom_score_adj({"oomScoreAdj": 0}) == 0
    assert identity.oom_score_adj({}) is identity.oom_score_adj(None) is None
    for bad in (-1001, 1001):
        assert pointers(lambda value=bad: identity.oom_score_adj({"oomScoreAdj": value})) == [  # type: ignore[misc]
            "/process/oomScoreAdj"
        ]


# Environment


@pytest.mark.parametrize(
    ("env", "result", "home_missing"),
    [
        (None, [], True),
        (["A=1", "B=2", "A=3"], ["B=2", "A=3"], True),
        (["HOME=/x"], ["HOME=/x"], False),
        (["HOME="], [], True),
        (["HOME=/x", "A=", "HOME="], ["A="], True),
        (["HOME=", "HOME=/x"], ["HOME=/x"], False),
        (["A=one\ntwo", "B==", "C=é"], ["A=one\ntwo", "B==", "C=é"], True),
        (["HOMES=", "A B=c"], ["HOMES=", "A B=c"], True),
    ],
)
def test_environment(env: list[str] | None, result: list[str], home_missing: bool) -> None:
    assert identity.environment(env) == (result, home_missing)


@pytest.mark.parametrize("bad", ["", "A", "=", "=x", "A=\0", "A\0=x", "A=\ud800"])
def test_bad_environment(bad: str) -> None:
    assert pointers(lambda: identity.environment(["A=1", bad])) == ["/process/env/1"]


def test_bad_environment_keeps_values_secret() -> None:
    with pytest.raises(ConfigError) as caught:
        identity.environment(["TOKEN=secret\0"])
    assert "secret" not in str(caught.value)
    assert "TOKEN" in str(caught.value)


@given(st.lists(st.text(max_size=6), max_size=8))
def test_environment_has_each_name_once(env: list[str]) -> None:
    try:
        found, home_missing = identity.environment(env)
    except ConfigError:
        return
    names = [entry.partition("=")[0] for entry in found]
    assert len(set(names)) == len(names)
    assert home_missing == ("HOME" not in names)
    assert identity.environment(found) == (found, home_missing)


def test_listen_fds() -> None:
    env = ["LISTEN_PID=77", "A=1", "LISTEN_FDS=9", "LISTEN_FDNAMES=x"]
    assert identity.with_listen_fds(env, 2) == ["A=1", "LISTEN_FDNAMES=x", "LISTEN_FDS=2", "LISTEN_PID=1"]
    assert identity.with_listen_fds(env, 0) == env


# Namespaces


def test_clone_flags() -> None:
    types = ["pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"]
    assert identity.expand_clone_flags(0x7E020080) == types
    assert identity.expand_clone_flags(c.CLONE_NEWNS | c.CLONE_NEWIPC) == ["mount", "ipc"]


def test_namespace_files_exist() -> None:
    assert c.NAMESPACE_FILES.keys() == c.NAMESPACE_FLAGS.keys()
    for name in c.NAMESPACE_FILES.values():
        assert Path(f"/proc/self/ns/{name}").is_symlink()
