"""The loop of events: when it reports, and when it ends."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time

import pytest

from ocirun.cgroup.driver import Driver
from ocirun.commands import events as stats
from ocirun.errors import UnsupportedError
from ocirun.host import resctrl
from ocirun.state import record as records
from ocirun.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
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

    def usage_now(self) -> dict[str, Any]:
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


def test_figures_of_resctrl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As runc has them, for the groups that the saved config names; without resctrl there are none."""
    top, root = tmp_path / "resctrl", str(tmp_path / "root")
    for name, text in {
        "info/L3/cbm_mask": "7ff\n",
        "info/L3/min_cbm_bits": "1\n",
        "info/L3/num_closids": "16\n",
        "info/MB/bandwidth_gran": "10\n",
        "info/MB/delay_linear": "1\n",
        "schemata": "    MB:0=100;1=100\n    L3:0=7ff;1=7ff\n",
        "c1/schemata": "    MB:0=20;1=100\n    L3:0=f;1=7ff\n",
        "c1/mon_groups/c1/mon_data/mon_L3_00/llc_occupancy": "1000\n",
        "c1/mon_groups/c1/mon_data/mon_L3_00/mbm_total_bytes": "20\n",
        "c1/mon_groups/c1/mon_data/mon_L3_00/mbm_local_bytes": "10\n",
        "c1/mon_groups/c1/mon_data/mon_L3_01/llc_occupancy": "Unavailable\n",
    }.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    config = {"ociVersion": "1.0.0", "root": {"path": "r"}, "linux": {"intelRdt": {"enableMonitoring": True}}}
    os.close(store.reserve(root, "c1"))
    (tmp_path / "root" / "c1" / "config.json").write_text(json.dumps(config))
    record = records.Record(
        "c1", bundle="/b", rootfs="", created="", owner=0, annotations={}, cgroup={}, hooks=[], boot_id=""
    )
    monkeypatch.setattr(resctrl, "mount_point", lambda: "")
    assert stats.rdt_groups(record, root) is None
    monkeypatch.setattr(resctrl, "mount_point", lambda: str(top))
    assert stats.data(Measured(), stats.rdt_groups(record, root))["intel_rdt"] == {
        "l3_cache_info": {"cbm_mask": "7ff", "min_cbm_bits": 1, "num_closids": 16},
        "l3_cache_schema_root": "L3:0=7ff;1=7ff",
        "l3_cache_schema": "L3:0=f;1=7ff",
        "mem_bw_info": {"bandwidth_gran": 10, "delay_linear": 1},
        "mem_bw_schema_root": "MB:0=100;1=100",
        "mem_bw_schema": "MB:0=20;1=100",
        "mbm_stats": [{"mbm_total_bytes": 20, "mbm_local_bytes": 10}],
        "cmt_stats": [{"llc_occupancy": 1000}],
    }
    (tmp_path / "root" / "c1" / "config.json").write_text(json.dumps({**config, "linux": {}}))
    assert stats.rdt_groups(record, root) is None
