"""The loop of events: when it reports, and when it ends."""

from __future__ import annotations

import os
import select
import subprocess
import time

import pytest

from ocirun import stats
from ocirun.cgroup.driver import Driver
from ocirun.errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


class Watch:
    """A notice that the test raises."""

    events = select.POLLIN
    ended = False

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.closed = False

    def fileno(self) -> int:
        return self.reader

    def happened(self) -> bool:
        try:
            return bool(os.read(self.reader, 100))
        except BlockingIOError:
            return False

    def close(self) -> None:
        self.closed = True


class Measured(Driver):
    """A driver with something to tell."""

    __slots__ = ("notice",)

    def __init__(self) -> None:
        super().__init__()
        self.notice: Any = Watch()

    def statistics(self) -> dict[str, Any]:
        return {"pids": {"current": 1}}

    def watch(self) -> Any:
        return self.notice


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "100"]) as started:
        yield started
        started.kill()


STATS = {"type": "stats", "id": "c1", "data": {"pids": {"current": 1}, "intel_rdt": {}, "network_interfaces": None}}
OOM = {"type": "oom", "id": "c1"}


def test_stats_come_at_the_interval(process: subprocess.Popen[bytes]) -> None:
    start = time.monotonic()
    events = stats.events("c1", Measured(), os.pidfd_open(process.pid), 0.02)
    assert [next(events), next(events)] == [STATS, STATS]
    assert time.monotonic() - start >= 0.04


def test_the_end_of_the_process_ends_the_events(process: subprocess.Popen[bytes]) -> None:
    driver = Measured()
    process.kill()
    assert list(stats.events("c1", driver, os.pidfd_open(process.pid), 100)) == []
    assert driver.notice.closed


def test_lack_of_memory(process: subprocess.Popen[bytes]) -> None:
    driver = Measured()
    events = stats.events("c1", driver, os.pidfd_open(process.pid), 100)
    os.write(driver.notice.writer, b"x")
    assert next(events) == OOM
    # The last one may come together with the end.
    os.write(driver.notice.writer, b"x")
    process.kill()
    process.wait()
    assert list(events) == [OOM]


def test_a_reader_that_stops_closes_all(process: subprocess.Popen[bytes]) -> None:
    driver = Measured()
    events = stats.events("c1", driver, os.pidfd_open(process.pid), 0.001)
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert driver.notice.closed


def test_without_a_notice(process: subprocess.Popen[bytes]) -> None:
    driver = Measured()
    driver.notice = None
    assert next(stats.events("c1", driver, os.pidfd_open(process.pid), 0.001)) == STATS


def test_a_very_long_interval(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    assert list(stats.events("c1", Measured(), os.pidfd_open(process.pid), 9e9)) == []


def test_a_container_without_a_cgroup(process: subprocess.Popen[bytes]) -> None:
    with pytest.raises(UnsupportedError, match="cannot be measured"):
        next(stats.events("c1", Driver(), os.pidfd_open(process.pid), 1))
