"""check.structure: each kind of value by itself, with exact pointers."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from config.samples import ABSENT, changed, full, minimal
from ocirun.config import report
from ocirun.config.check import DEPTH, check, structure

HUGE = 10**4000
ID = "an integer from 0 to 4294967294"


def errors(config: Any) -> dict[str, str]:
    """Pointer to message of what stops `config`."""
    return {problem.pointer: problem.message for problem in check(config) if not problem.warning}


@pytest.mark.parametrize(
    ("pointer", "value", "words"),
    [
        # Types are exact: what runtimes have taken for a uid (true, "0", 1.0) is none.
        ("/process/user/uid", True, f"must be {ID}, not true"),
        ("/process/user/uid", "0", f'must be {ID}, not the string "0"'),
        ("/process/user/uid", 1.0, f"must be {ID}, not the number 1.0"),
        ("/process/user/uid", 1e3, f"must be {ID}, not the number 1000.0"),
        ("/process/user/uid", 2**32, f"must be {ID}, not the number 4294967296"),
        ("/process/user/uid", 2**32 - 1, f"must be {ID}, not the number 4294967295"),
        ("/process/user/uid", -1, f"must be {ID}, not the number -1"),
        ("/process/user/uid", HUGE, f"must be {ID}, not a number that is too large"),
        ("/process/user/uid", float("inf"), f"must be {ID}, not the number inf"),
        ("/process/user/gid", 2**32 - 1, f"must be {ID}, not the number 4294967295"),
        ("/process/user/additionalGids", [2**32 - 1], ""),
        ("/process/user/umask", 0o1000, "from 0 to 511"),
        ("/process/user", [], "must be an object, not an array that is empty"),
        ("/process/terminal", 1, "must be true or false, not the number 1"),
        ("/process/terminal", "false", "true or false"),
        ("/process/args", [], "must be an array of at least 1, not an array that is empty"),
        ("/process/args", "true", 'must be an array, not the string "true"'),
        ("/process/args", {"0": "true"}, "must be an array, not an object"),
        ("/process/args/0", 5, "must be a string, not the number 5"),
        ("/process/args/0", "a\0b", "must be a string without NUL characters"),
        ("/process/args/0", "\ud800", "must be a string without lone surrogates"),
        ("/process/cwd", "tmp", 'must be an absolute path, not the string "tmp"'),
        ("/process/cwd", "", "must be an absolute path"),
        ("/process/env/0", "FOO", "must be NAME=value with a name"),
        ("/process/env/0", "=x", "must be NAME=value with a name"),
        ("/process/env/0", "A=\0", "NUL"),
        ("/process/oomScoreAdj", 1001, "from -1000 to 1000"),
        ("/process/oomScoreAdj", -1001, "from -1000 to 1000"),
        ("/process/consoleSize/height", 65536, "from 0 to 65535"),
        ("/process/rlimits/0/type", "RLIMIT_FILES", "must be one of RLIMIT_AS, "),
        ("/process/rlimits/0/soft", -1, "from 0 to 18446744073709551615"),
        ("/process/rlimits/0/hard", 2**64, "from 0 to 18446744073709551615"),
        ("/process/scheduler/policy", "FIFO", "one of SCHED_OTHER"),
        ("/process/scheduler/nice", 2**31, "from -2147483648 to 2147483647"),
        ("/process/scheduler/flags/0", "X", "one of SCHED_FLAG_RESET_ON_FORK"),
        ("/process/ioPriority/class", "RT", "one of IOPRIO_CLASS_RT"),
        ("/process/ioPriority/priority", 8, "from 0 to 7"),
        ("/ociVersion", "1.0", 'a version of the OCI spec that starts with "1."'),
        ("/ociVersion", "2.0.0", 'a version of the OCI spec that starts with "1."'),
        ("/ociVersion", "invalid", 'a version of the OCI spec that starts with "1."'),
        ("/ociVersion", "1.02.0", "a version"),
        ("/ociVersion", "1.0.0\n", "a version"),
        ("/ociVersion", "1.0.0-", "a version"),
        ("/ociVersion", "1.0.0+", "a version"),
        ("/ociVersion", "1.0.²", "a version"),
        ("/root/path", "", "must be a string that is not empty"),
        ("/root/readonly", "yes", "true or false"),
        ("/mounts/0/destination", "", "must be a string that is not empty"),
        ("/mounts/0/options/0", None, "must be a string, not null"),
        ("/mounts/0", None, "must be an object, not null"),
        ("/annotations/x", 5, "must be a string, not the number 5"),
        ("/annotations/x", None, "must be a string, not null"),
        ("/hooks/prestart/0/path", "true", "an absolute path"),
        ("/hooks/poststop/0/timeout", 0, "from 1 to"),
        ("/hooks/poststop/0/timeout", -1, "from 1 to"),
        ("/hooks/poststop/0/timeout", 2**63, "from 1 to"),
        ("/hooks/startContainer/0/env/0", "X", "NAME=value"),
        ("/linux", [], "must be an object"),
        ("/linux/namespaces/0/type", "net", "must be one of pid, network, "),
        ("/linux/namespaces/0/path", "run/netns/a", "an absolute path"),
        ("/linux/uidMappings/0/size", 0, "from 1 to 4294967295"),
        ("/linux/uidMappings/0/hostID", 2**32 - 1, ID),
        ("/linux/timeOffsets/boottime/nanosecs", 10**9, "from 0 to 999999999"),
        ("/linux/timeOffsets/boottime/secs", 2**63, "from -9223372036854775808"),
        ("/linux/devices/0/type", "d", "one of c, b, u, p"),
        ("/linux/devices/0/path", "dev/fuse", "an absolute path"),
        ("/linux/devices/0/major", 4096, "from 0 to 4095"),
        ("/linux/devices/0/minor", -1, "from 0 to 1048575"),
        ("/linux/rootfsPropagation", "foo", "one of shared, slave"),
        ("/linux/rootfsPropagation", "SHARED", "one of shared, slave"),
        ("/linux/maskedPaths/0", "proc/kcore", "an absolute path"),
        ("/linux/readonlyPaths/0", "", "an absolute path"),
        ("/linux/sysctl/net.a", 1, "must be a string"),
        ("/linux/resources/devices/0/allow", "true", "true or false"),
        ("/linux/resources/devices/0/type", "p", "one of a, b, c"),
        ("/linux/resources/devices/0/access", "", "the letters"),
        ("/linux/resources/devices/0/access", "rx", "the letters"),
        ("/linux/resources/devices/1/major", -2, "from -1"),
        ("/linux/resources/memory/limit", -2, "from -1"),
        ("/linux/resources/memory/swappiness", 101, "from 0 to 100"),
        ("/linux/resources/cpu/idle", 2, "from 0 to 1"),
        ("/linux/resources/cpu/quota", 2**63, "from -9223372036854775808"),
        ("/linux/resources/blockIO/weight", 1001, "from 0 to 1000"),
        ("/linux/resources/hugepageLimits/0/pageSize", "2mb", "a huge page size"),
        ("/linux/resources/hugepageLimits/0/pageSize", "02MB", "a huge page size"),
        ("/linux/resources/hugepageLimits/0/pageSize", "²MB", "a huge page size"),
        ("/linux/resources/hugepageLimits/0/pageSize", "2MB\n", "a huge page size"),
        ("/linux/resources/network/classID", 2**32, "from 0 to 4294967295"),
        ("/linux/resources/pids/limit", 2**63, "from -1"),
        ("/linux/seccomp/defaultAction", "ALLOW", "one of SCMP_ACT_KILL"),
        ("/linux/seccomp/architectures/0", "x86", "one of SCMP_ARCH_X86"),
        ("/linux/seccomp/flags/0", "LOG", "one of SECCOMP_FILTER_FLAG_TSYNC"),
        ("/linux/seccomp/syscalls/0/names", [], "an array of at least 1"),
        ("/linux/seccomp/syscalls/1/args/0/index", 6, "from 0 to 5"),
        ("/linux/seccomp/syscalls/1/args/0/op", "EQ", "one of SCMP_CMP_NE"),
        ("/linux/memoryPolicy/mode", "BIND", "one of MPOL_DEFAULT"),
        ("/linux/personality/domain", "linux", "one of LINUX, LINUX32"),
    ],
)  # fmt: skip
def test_a_wrong_value(pointer: str, value: Any, words: str) -> None:
    found = errors(changed(full(), {pointer: value}))
    # Array items are given as the whole array where only one item of it is at fault.
    place = f"{pointer}/0" if isinstance(value, list) and value else pointer
    assert list(found) == [place]
    assert words in found[place]
    assert "\n" not in found[place]


@pytest.mark.parametrize(
    "pointer",
    [
        "/ociVersion", "/root", "/root/path", "/process/cwd", "/process/args",
        "/process/consoleSize/height", "/process/consoleSize/width", "/process/rlimits/0/type",
        "/process/rlimits/0/soft", "/process/rlimits/0/hard", "/process/scheduler/policy", "/process/ioPriority/class",
        "/process/ioPriority/priority", "/mounts/0/destination", "/hooks/prestart/0/path", "/linux/namespaces/0/type",
        "/linux/uidMappings/0/containerID", "/linux/gidMappings/0/hostID", "/linux/uidMappings/0/size",
        "/linux/devices/0/path", "/linux/devices/1/type", "/linux/devices/0/major", "/linux/devices/0/minor",
        "/linux/resources/devices/0/allow", "/linux/resources/blockIO/weightDevice/0/major",
        "/linux/resources/blockIO/throttleReadBpsDevice/0/rate", "/linux/resources/hugepageLimits/0/limit",
        "/linux/resources/network/priorities/0/name", "/linux/seccomp/defaultAction",
        "/linux/seccomp/syscalls/0/names", "/linux/seccomp/syscalls/0/action", "/linux/seccomp/syscalls/1/args/0/value",
        "/linux/memoryPolicy/mode", "/linux/personality/domain",
    ],
)  # fmt: skip
def test_a_required_key(pointer: str) -> None:
    found = errors(changed(full(), {pointer: ABSENT}))
    assert list(found) == [pointer]
    assert found[pointer].startswith("is required")


def test_a_missing_key_says_what_it_should_have_been() -> None:
    gone = {"/root": ABSENT, "/process/args": ABSENT, "/process/cwd": ABSENT, "/process/rlimits/0/soft": ABSENT}
    expected = {problem.pointer: problem.expected for problem in check(changed(full(), gone))}
    assert expected == {
        "/root": "an object",
        "/process/args": "an array",
        "/process/cwd": "an absolute path",
        "/process/rlimits/0/soft": "an integer from 0 to 18446744073709551615",
    }


@pytest.mark.parametrize("base", ["/linux/resources/blockIO/weightDevice/0", "/linux/resources/rdma/mlx5_1"])
def test_one_of_two_is_required(base: str) -> None:
    keys = ("weight", "leafWeight") if "weight" in base else ("hcaHandles", "hcaObjects")
    assert errors(changed(full(), {f"{base}/{keys[0]}": ABSENT})) == {}
    assert list(errors(changed(full(), {f"{base}/{key}": ABSENT for key in keys}))) == [base]
    assert list(errors(changed(full(), {f"{base}/{key}": None for key in keys}))) == [base]


@pytest.mark.parametrize("data", [None, [], "x", 1, True])
def test_a_document_that_is_no_object(data: Any) -> None:
    assert list(errors(data)) == [""]


def strings(value: Any, pointer: str = "") -> list[str]:
    """The pointer of each string in `value`."""
    if isinstance(value, dict):
        return [
            place
            for key, item in value.items()
            for place in strings(item, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}")
        ]
    if isinstance(value, list):
        return [place for index, item in enumerate(value) for place in strings(item, f"{pointer}/{index}")]
    return [pointer] if isinstance(value, str) else []


@pytest.mark.parametrize("bad", ["/A=x\0y", "/A=\udfff"], ids=["NUL", "surrogate"])
def test_characters_that_the_kernel_cannot_take_are_refused_in_every_string(bad: str) -> None:
    config = full()
    del config["linux"]["seccomp"]["syscalls"][0]["names"][1:]
    places = strings(config)
    assert len(places) > 150
    for place in places:
        assert [problem.pointer for problem in structure(changed(config, {place: bad}))] == [place]


@pytest.mark.parametrize("bad", ["a\0b", "\ud83d", ""])
@pytest.mark.parametrize("place", ["/annotations", "/linux/sysctl", "/linux/resources/unified", "/linux/netDevices"])
def test_keys_of_maps(place: str, bad: str) -> None:
    config = full()
    target = config
    for part in place.split("/")[1:]:
        target = target[part]
    target[bad] = {} if place.endswith("netDevices") else "x"
    problems = structure(config)
    assert [problem.pointer for problem in problems] == [place]
    problems[0].line().encode("ascii")


def test_null_is_absent_for_an_optional_key() -> None:
    places = "hostname mounts hooks annotations process/env process/rlimits process/user/umask linux/resources"
    places += " linux/seccomp linux/namespaces/0/path"
    config = changed(minimal(), {f"/{place}": None for place in places.split()})
    before = copy.deepcopy(config)
    assert check(config) == []
    assert config == before
    assert check(changed(minimal(), {"/process": None, "/linux": None})) == []


def test_rules_see_null_as_absent() -> None:
    config = changed(minimal(), {"/hostname": "a", "/linux/namespaces": None})
    assert list(errors(config)) == ["/hostname"]


def test_all_problems_are_reported() -> None:
    bad = {"/process/cwd": "x", "/process/user/uid": "0", "/root": ABSENT, "/linux/seccomp/defaultAction": 1}
    assert set(errors(changed(full(), bad))) == set(bad)


def test_a_fault_silences_only_the_rules_that_read_it() -> None:
    faulty = changed(
        minimal(), {"/linux/namespaces/0/type": "nett", "/hostname": "a", "/mounts": [{"destination": "a"}]}
    )
    assert [(problem.pointer, problem.warning) for problem in check(faulty)] == [
        ("/linux/namespaces/0/type", False),
        ("/mounts/0/destination", True),
    ]


def test_the_number_of_problems_is_limited() -> None:
    config = changed(minimal(), {"/process/env": [1] * 100_000, "/hostname": "a" * 65})
    problems = check(config)
    assert len(problems) == report.LIMIT + 1
    assert problems[-1].message == f"more than {report.LIMIT} problems, the others are not listed"


def test_warnings_do_not_push_out_errors() -> None:
    config = changed(minimal(), {"/process/capabilities": {"bounding": ["CAP_X"] * 1000}, "/hostname": "a" * 65})
    assert list(errors(config)) == ["/hostname"]


@pytest.mark.parametrize("place", ["/x", "/process/x", "/linux/seccomp/syscalls/0/x"])
def test_depth_of_unknown_values(place: str) -> None:
    def nested(levels: int) -> Any:
        value: Any = 0
        for number in range(levels):
            value = [value] if number % 2 else {"a": value}
        return value

    above = place.count("/")
    # From Python a value may be deeper than any recursion goes.
    assert list(errors(changed(full(), {"/hostname": None}) | {"x": nested(100_000)})) == ["/x"]
    assert errors(changed(full(), {place: nested(DEPTH - above)})) == {}
    found = errors(changed(full(), {place: nested(DEPTH - above + 1)}))
    assert found == {place: "is nested more than 100 deep"}


def test_unknown_keys_are_ignored_unless_asked_for() -> None:
    config = changed(minimal(), {"/x": 1, "/Process": {}, "/linux/Resources": None, "/process/commandLine": "a"})
    assert check(config) == []
    found = {problem.pointer: problem for problem in check(config, unknown=True)}
    assert set(found) == {"/x", "/Process", "/linux/Resources"}
    assert all(problem.warning for problem in found.values())
    assert found["/linux/Resources"].message == "is not a key of the spec and is ignored; resources is meant?"


def test_pointers_are_escaped_and_printable() -> None:
    config = changed(minimal(), {"/annotations": {"a/b~c\n": 1, "é": 2}})
    assert set(errors(config)) == {"/annotations/a~1b~0c\\n", "/annotations/é"}


def test_found_is_short_and_on_one_line() -> None:
    (problem,) = check(changed(minimal(), {"/process/cwd": "x\n" * 10_000}))
    assert problem.found == 'the string "' + "x\\n" * 28 + 'x..."'
    assert problem.expected == "an absolute path"
