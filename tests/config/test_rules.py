"""The rules: what does not go together, with exact pointers."""

from __future__ import annotations

from typing import Any

import pytest

from config.samples import ABSENT, changed, docker, minimal, without
from ocirun.config.check import check
from ocirun.config.rules import ids
from ocirun.config.rules import process as process_rules

MAP = [{"containerID": 0, "hostID": 100000, "size": 1000}]
USER = {"/linux/namespaces/-": {"type": "user"}, "/linux/uidMappings": MAP, "/linux/gidMappings": MAP}
DEADLINE = {"policy": "SCHED_DEADLINE", "runtime": 2000, "deadline": 3000, "period": 4000}
NODE = {"type": "c", "path": "/dev/x", "major": 1, "minor": 3}


def found(changes: dict[str, Any], *, warning: bool = False) -> dict[str, str]:
    problems = check(changed(minimal(), changes))
    return {problem.pointer: problem.message for problem in problems if problem.warning == warning}


@pytest.mark.parametrize(
    ("changes", "pointer", "words"),
    [
        # process
        ({"/process/args": [""]}, "/process/args/0", "names no program"),
        (
            {"/process/rlimits": [{"type": "RLIMIT_CPU", "soft": 1, "hard": 1}] * 2},
            "/process/rlimits/1/type",
            "RLIMIT_CPU is set by entry 0 already",
        ),
        ({"/process/rlimits": [{"type": "RLIMIT_CPU", "soft": 2, "hard": 1}]}, "/process/rlimits/0/soft", "hard limit"),
        ({"/process/scheduler": {"policy": "SCHED_OTHER", "nice": 20}}, "/process/scheduler/nice", "-20 to 19"),
        ({"/process/scheduler": {"policy": "SCHED_OTHER", "nice": -21}}, "/process/scheduler/nice", "-20 to 19"),
        ({"/process/scheduler": {"policy": "SCHED_IDLE", "nice": 1}}, "/process/scheduler/nice", "no meaning"),
        ({"/process/scheduler": {"policy": "SCHED_FIFO"}}, "/process/scheduler/priority", "1 to 99"),
        ({"/process/scheduler": {"policy": "SCHED_RR", "priority": 100}}, "/process/scheduler/priority", "1 to 99"),
        ({"/process/scheduler": {"policy": "SCHED_BATCH", "priority": 1}}, "/process/scheduler/priority", "no meaning"),
        (
            {"/process/scheduler": {"policy": "SCHED_OTHER", "runtime": 5000}},
            "/process/scheduler/runtime",
            "no meaning",
        ),
        ({"/process/scheduler": {**DEADLINE, "runtime": 1023}}, "/process/scheduler/runtime", "from 1024 to"),
        ({"/process/scheduler": {**DEADLINE, "deadline": 1999}}, "/process/scheduler/deadline", "from 2000 to"),
        ({"/process/scheduler": {**DEADLINE, "period": 2999}}, "/process/scheduler/period", "from 3000 to"),
        ({"/process/scheduler": {**DEADLINE, "period": 1 << 63}}, "/process/scheduler/period", "from 3000 to"),
        ({"/process/scheduler": {"policy": "SCHED_DEADLINE"}}, "/process/scheduler/runtime", "from 1024 to"),
        ({"/process/execCPUAffinity/initial": "3-1"}, "/process/execCPUAffinity/initial", "run backwards"),
        ({"/process/execCPUAffinity/final": "0,,1"}, "/process/execCPUAffinity/final", "numbers and ranges"),
        ({"/process/execCPUAffinity/final": "8192"}, "/process/execCPUAffinity/final", "up to 8191"),
        ({"/process/execCPUAffinity/final": "0-" + "9" * 5000}, "/process/execCPUAffinity/final", "numbers and ranges"),
        ({"/process/execCPUAffinity/final": "٣"}, "/process/execCPUAffinity/final", "numbers and ranges"),
        # mounts and devices
        (
            {"/mounts": [{"destination": "/a", "uidMappings": MAP}]},
            "/mounts/0/uidMappings",
            "needs gidMappings too",
        ),
        (
            {"/mounts": [{"destination": "/a", "uidMappings": [], "gidMappings": MAP}]},
            "/mounts/0/gidMappings",
            "needs uidMappings too",
        ),
        (
            {"/mounts": [{"destination": "/a", "uidMappings": MAP * 2, "gidMappings": MAP}]},
            "/mounts/0/uidMappings/1/containerID",
            "overlaps",
        ),
        ({"/linux/devices": [{**NODE, "path": "/dev/../x"}]}, "/linux/devices/0/path", "the path of a file"),
        ({"/linux/devices": [{**NODE, "path": "//"}]}, "/linux/devices/0/path", "the path of a file"),
        (
            {"/linux/devices": [{"type": "b", "path": "/x", "major": 1}]},
            "/linux/devices/0/minor",
            "required for type b",
        ),
        (
            {"/linux/devices": [{"type": "u", "path": "/x", "minor": 1}]},
            "/linux/devices/0/major",
            "required for type u",
        ),
        (
            {"/linux/maskedPaths": ["/proc/kcore"], "/linux/namespaces": without("mount")},
            "/linux/maskedPaths",
            "needs a mount namespace",
        ),
        (
            {"/linux/readonlyPaths": ["/proc"], "/linux/namespaces": ABSENT},
            "/linux/readonlyPaths",
            "needs a mount namespace",
        ),
        # namespaces and names
        ({"/linux/namespaces/-": {"type": "pid"}}, "/linux/namespaces/6/type", "pid is given by entry 0 already"),
        ({"/hostname": "a", "/linux/namespaces": without("uts")}, "/hostname", "needs a uts namespace"),
        ({"/hostname": "a", "/linux": ABSENT}, "/hostname", "needs a uts namespace"),
        ({"/domainname": "a", "/linux/namespaces": without("uts")}, "/domainname", "needs a uts namespace"),
        ({"/hostname": "é" * 33}, "/hostname", "has 66 bytes, the kernel takes 64"),
        ({"/linux/timeOffsets": {"boottime": {}}}, "/linux/timeOffsets", "needs a new time namespace"),
        (
            {"/linux/timeOffsets": {"boottime": {}}, "/linux/namespaces/-": {"type": "time", "path": "/t"}},
            "/linux/timeOffsets",
            "needs a new time namespace",
        ),
        (
            {"/linux/timeOffsets": {"realtime": {}}, "/linux/namespaces/-": {"type": "time"}},
            "/linux/timeOffsets",
            "'realtime' is not a clock",
        ),
        # ids
        ({"/linux/uidMappings": MAP}, "/linux/uidMappings", "needs a user namespace"),
        ({"/linux/gidMappings": MAP}, "/linux/gidMappings", "needs a user namespace"),
        ({**USER, "/linux/gidMappings": None}, "/linux/gidMappings", "is required for a new user namespace"),
        ({**USER, "/linux/uidMappings": []}, "/linux/uidMappings", "is required for a new user namespace"),
        ({**USER, "/process/user/uid": 1000}, "/process/user/uid", "1000 is not mapped"),
        ({**USER, "/process/user/gid": 1000}, "/process/user/gid", "1000 is not mapped"),
        ({**USER, "/process/user/additionalGids": [5, 1000]}, "/process/user/additionalGids/1", "1000 is not mapped"),
        (
            {**USER, "/linux/uidMappings": [*MAP, {"containerID": 999, "hostID": 5, "size": 1}]},
            "/linux/uidMappings/1/containerID",
            "overlaps",
        ),
        (
            {**USER, "/linux/gidMappings": [{"containerID": 5000, "hostID": 100999, "size": 7}, *MAP]},
            "/linux/gidMappings/0/hostID",
            "overlaps",
        ),
        (
            {**USER, "/linux/uidMappings": [{"containerID": 0, "hostID": 2, "size": 4294967294}]},
            "/linux/uidMappings/0/size",
            "beyond the last id",
        ),
        (
            {**USER, "/linux/uidMappings": [{"containerID": n, "hostID": n, "size": 1} for n in range(341)]},
            "/linux/uidMappings",
            "has 341 mappings, the kernel takes 340",
        ),
    ],
)
def test_an_error(changes: dict[str, Any], pointer: str, words: str) -> None:
    errors = found(changes)
    assert pointer in errors
    assert words in errors[pointer]
    # One mistake, one line; a pair of mappings has two sides that can overlap.
    assert {place.rsplit("/", 1)[0] for place in errors} == {pointer.rsplit("/", 1)[0]}


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({"/process/capabilities/ambient": ["cap_kill", "CAP_NEW", "CAP_KILL"]}, ["0", "1"]),
        ({"/mounts": [{"destination": "a/b"}]}, ["/mounts/0/destination"]),
        (
            {**USER, "/linux/namespaces/-": {"type": "user", "path": "/proc/5/ns/user"}, "/process/user/uid": 5000},
            ["/linux/uidMappings", "/linux/gidMappings"],
        ),
        ({"/linux/intelRdt": {"l3CacheSchema": "0=f"}}, ["/linux/intelRdt/l3CacheSchema"]),
    ],
    ids=str,
)
def test_a_warning(changes: dict[str, Any], pointers: list[str]) -> None:
    assert found(changes) == {}
    place = "/process/capabilities/ambient/" if "/process/capabilities/ambient" in changes else ""
    assert list(found(changes, warning=True)) == [place + pointer for pointer in pointers]


def test_a_joined_user_namespace_needs_no_mappings() -> None:
    assert check(changed(minimal(), {"/linux/namespaces/-": {"type": "user", "path": "/proc/5/ns/user"}})) == []


def test_groups_are_looked_up_in_the_map_of_groups() -> None:
    narrow = [{"containerID": 0, "hostID": 0, "size": 1}]
    assert found({**USER, "/linux/uidMappings": narrow, "/process/user/additionalGids": [5]}) == {}


def test_capabilities_are_those_of_the_kernel_in_order() -> None:
    assert len(process_rules.CAPABILITIES) == len(set(process_rules.CAPABILITIES)) == 41
    assert process_rules.CAPABILITIES.index("CAP_SYS_ADMIN") == 21
    assert process_rules.CAPABILITIES.index("CAP_CHECKPOINT_RESTORE") == 40


def test_many_entries() -> None:
    """20,000 entries that are all wrong, and a map that is too long: a quadratic rule would take minutes here."""
    limit = {"type": "RLIMIT_CPU", "soft": 1, "hard": 1}
    line = {"containerID": 0, "hostID": 0, "size": 1}
    changes = {**USER, "/process/rlimits": [limit] * 20_000, "/linux/uidMappings": [line] * 20_000}
    assert len(found(changes)) > 100
    assert check(changed(docker(), {"/process/env": [f"A{number}=" for number in range(20_000)]})) == []


@pytest.mark.parametrize("place", ["/linux", "/mounts/0"])
def test_a_map_has_less_than_a_page_of_text(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """map_write() of the kernel refuses more with EINVAL, however few the lines are."""
    monkeypatch.setattr(ids, "PAGE", 4096)
    wide = [{"containerID": 10**9 + at, "hostID": 2 * 10**9 + at, "size": 1} for at in range(300)]
    first = [{"containerID": 0, "hostID": 0, "size": 1}]
    own = {"/mounts/0/uidMappings": first, "/mounts/0/gidMappings": first}

    def found(pointer: str, lines: list[dict[str, int]]) -> dict[str, str]:
        mounts = [{"destination": "/m", "source": "x", "options": ["bind"]}]
        problems = check(changed(minimal(), {**USER, "/mounts": mounts, **own, f"{place}/{pointer}": lines}))
        return {problem.pointer: problem.message for problem in problems}

    words = f"is a text of {24 * 300} bytes for the kernel, which takes 4095"
    for pointer in ("uidMappings", "gidMappings"):
        assert found(pointer, wide) == {f"{place}/{pointer}": words}
    # 6 and 170 times 24 bytes; one more byte is a page.
    assert found("gidMappings", [*first, *wide[:170]]) == {}
    wider = [{"containerID": 0, "hostID": 0, "size": 1}, {"containerID": 5 * 10**8, "hostID": 7, "size": 1}]
    assert list(found("gidMappings", [*wider, *wide[:170]])) == [f"{place}/gidMappings"]
