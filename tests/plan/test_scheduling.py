"""Scheduler, I/O priority, personality and CPU lists as numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocirun.errors import ConfigError
from ocirun.plan import constants as c
from ocirun.plan.process import scheduling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def scheduler_problems(block: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        scheduling.scheduler(block)
    return [problem.pointer.removeprefix("/process/scheduler") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("block", "fields"),
    [
        ({"policy": "SCHED_OTHER"}, (0, 0, 0, 0, 0, 0, 0)),
        ({"policy": "SCHED_BATCH", "nice": -20}, (3, 0, -20, 0, 0, 0, 0)),
        ({"policy": "SCHED_IDLE", "nice": 19}, (5, 0, 19, 0, 0, 0, 0)),
        ({"policy": "SCHED_FIFO", "priority": 1}, (1, 0, 0, 1, 0, 0, 0)),
        (
            {"policy": "SCHED_RR", "priority": 99, "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_KEEP_PARAMS"]},
            (2, 0x11, 0, 99, 0, 0, 0),
        ),
        (
            {"policy": "SCHED_DEADLINE", "runtime": 1024, "deadline": 2048, "period": 4096},
            (6, 0, 0, 0, 1024, 2048, 4096),
        ),
        ({"policy": "SCHED_DEADLINE", "runtime": 2048, "deadline": 2048}, (6, 0, 0, 0, 2048, 2048, 0)),
        ({"policy": "SCHED_OTHER", "flags": list(c.SCHEDULER_FLAGS)}, (0, 0x7F, 0, 0, 0, 0, 0)),
    ],
)
def test_scheduler(block: dict[str, Any], fields: tuple[int, ...]) -> None:
    found = scheduling.scheduler(block)
    assert found is not None
    assert found.fields() == fields
    assert found == scheduling.scheduler(block)
    assert hash(found) == hash(scheduling.scheduler(block))
    assert repr(found) == f"Scheduler{fields}"


def test_no_scheduler() -> None:
    assert scheduling.scheduler(None) is None


@pytest.mark.parametrize(
    ("block", "where"),
    [
        ({}, ["/policy"]),
        ({"policy": "OTHER"}, ["/policy"]),
        ({"policy": "SCHED_ISO"}, ["/policy"]),
        ({"policy": "SCHED_OTHER", "nice": 20}, ["/nice"]),
        ({"policy": "SCHED_OTHER", "nice": -21, "priority": 1}, ["/nice", "/priority"]),
        ({"policy": "SCHED_OTHER", "flags": ["RESET_ON_FORK"]}, ["/flags/0"]),
        ({"policy": "SCHED_FIFO"}, ["/priority"]),
        ({"policy": "SCHED_RR", "priority": 100}, ["/priority"]),
        ({"policy": "SCHED_RR", "priority": 1, "runtime": 1, "period": 2}, ["/runtime", "/period"]),
        ({"policy": "SCHED_DEADLINE"}, ["/runtime", "/deadline"]),
        ({"policy": "SCHED_DEADLINE", "runtime": 1023, "deadline": 5000}, ["/runtime"]),
        ({"policy": "SCHED_DEADLINE", "runtime": 5000, "deadline": 4000}, ["/runtime"]),
        ({"policy": "SCHED_DEADLINE", "runtime": 2000, "deadline": 4000, "period": 3000}, ["/deadline"]),
        ({"policy": "SCHED_DEADLINE", "runtime": 2000, "deadline": 2**63}, ["/deadline"]),
    ],
)
def test_bad_scheduler(block: dict[str, Any], where: list[str]) -> None:
    assert scheduler_problems(block) == where


@pytest.mark.parametrize(
    ("name", "level", "word"),
    [("IOPRIO_CLASS_RT", 0, 1 << 13), ("IOPRIO_CLASS_BE", 7, 2 << 13 | 7), ("IOPRIO_CLASS_IDLE", 0, 3 << 13)],
)
def test_io_priority(name: str, level: int, word: int) -> None:
    assert scheduling.io_priority({"class": name, "priority": level}) == (2, word)
    assert scheduling.io_priority(None) is None


@pytest.mark.parametrize(
    ("block", "where"),
    [
        ({"class": "RT", "priority": 1}, ["/class"]),
        ({"class": "IOPRIO_CLASS_RT", "priority": 8}, ["/priority"]),
        ({"class": "IOPRIO_CLASS_NONE", "priority": -1}, ["/class", "/priority"]),
    ],
)
def test_bad_io_priority(block: dict[str, Any], where: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        scheduling.io_priority(block)
    assert [p.pointer for p in caught.value.problems] == ["/process/ioPriority" + tail for tail in where]


def test_personality() -> None:
    assert scheduling.personality(None) is None
    assert scheduling.personality({"domain": "LINUX"}) == 0
    assert scheduling.personality({"domain": "LINUX32", "flags": []}) == 8
    with pytest.raises(ConfigError) as caught:
        scheduling.personality({"domain": "linux", "flags": ["ADDR_NO_RANDOMIZE"]})
    assert [p.pointer for p in caught.value.problems] == ["/linux/personality/domain", "/linux/personality/flags/0"]


CPU_LISTS = {
    "0": 1,
    "0-3,7": 0x8F,
    "7,0-3": 0x8F,
    " 1 , 2\n": 0b110,
    "5-5": 32,
    "0-3,2-4": 0x1F,
}
BAD_CPU_LISTS = ["", ",", "1,", "-1", "1-", "a", "0x1", "1_0", "+1", "\u0661", "\u00a01", "3-1", "1-2-3", "1 2"]
HUGE_CPU_LISTS = ["0-4294967295", "65536", "9" * 5000]


@pytest.mark.parametrize(("text", "mask"), CPU_LISTS.items())
def test_cpu_list(text: str, mask: int) -> None:
    assert scheduling.cpu_list(text, pointer="/x") == mask


@pytest.mark.parametrize("text", BAD_CPU_LISTS + HUGE_CPU_LISTS)
def test_bad_cpu_list(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        scheduling.cpu_list(text, pointer="/process/execCPUAffinity/initial")
    assert caught.value.pointer == "/process/execCPUAffinity/initial"


def test_cpu_list_limit() -> None:
    assert scheduling.cpu_list("65535", pointer="/x") == 1 << 65535
    assert scheduling.cpu_list("0-1023", pointer="/x", limit=1023) == 2**1024 - 1
    with pytest.raises(ConfigError):
        scheduling.cpu_list("1024", pointer="/x", limit=1023)


@given(st.sets(st.integers(0, 200), min_size=1))
def test_cpu_list_reads_what_it_means(cpus: set[int]) -> None:
    assert scheduling.cpu_list(",".join(map(str, cpus)), pointer="/x") == sum(1 << cpu for cpu in cpus)


@given(st.text(max_size=12))
def test_cpu_list_raises_only_config_error(text: str) -> None:
    try:
        mask = scheduling.cpu_list(text, pointer="/x")
    except ConfigError:
        return
    assert mask > 0
