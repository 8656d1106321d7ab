"""`ocirun top`: rows from statistics, rates from two of them, tables that fit."""

from __future__ import annotations

import pytest

from ocirun.cli.top import screen, table
from ocirun.cli.top.sampler import Row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def stats(**more: Any) -> dict[str, Any]:
    """Statistics in the shape of a stats event, as a v1 host gives them."""
    return {
        "cpu": {"usage": {"total": 2_000_000_000}},
        "memory": {"usage": {"limit": 64 << 20, "usage": 20 << 20}, "raw": {"total_inactive_file": 4 << 20}},
        "pids": {"current": 3, "limit": 10},
        "blkio": {
            "ioServiceBytesRecursive": [
                {"major": 8, "op": "Read", "value": 1000},
                {"major": 9, "op": "Read", "value": 24},
                {"major": 8, "op": "Write", "value": 4096},
                {"major": 8, "op": "Total", "value": 5000},
            ]
        },
        **more,
    }


def test_a_row() -> None:
    row = Row("a", "running", 7, stats())
    assert (row.cpu_seconds, row.cpu) == (2.0, None)
    assert (row.memory, row.memory_limit) == (16 << 20, 64 << 20)
    assert (row.pids, row.pids_limit, row.read, row.written) == (3, 10, 1024, 4096)
    assert set(row.record()) == {
        *("id", "status", "pid", "cpuPercent", "cpuSeconds", "memory", "memoryLimit", "pids", "pidsLimit"),
        *("ioRead", "ioWritten", "ioReadRate", "ioWriteRate", "ioCostPercent", "deviceMemory", "misc"),
    }


@pytest.mark.parametrize("limit", [9223372036854771712, 2**64 - 1])
def test_no_limit(limit: int) -> None:
    row = Row("a", "running", 7, stats(memory={"usage": {"limit": limit, "usage": 5}}, pids={"current": 1}))
    assert (row.memory, row.memory_limit, row.pids_limit) == (5, None, None)


def test_what_nobody_counts() -> None:
    row = Row("a", "running", 7, stats(memory={"usage": {"limit": 0}}))
    assert (row.memory, row.memory_limit) == (None, None)
    stopped = Row("a", "stopped", 0, None)
    assert [value for value in stopped.record().values() if value not in ("a", "stopped", 0)] == [None] * 12 + [{}]


def test_what_few_hosts_count() -> None:
    more = stats(dmem={"vram0": {"usage": 1 << 20}, "vram1": {"usage": 1 << 20}}, misc={"sev": {"usage": 2}})
    more["blkio"]["cost"] = [{"major": 8, "minor": 0, "usage": 500_000}, {"major": 8, "minor": 16, "usage": 1_000_000}]
    before, after = Row("a", "running", 7, more), Row("a", "running", 7, more)
    assert (after.io_cost, after.device_memory, after.misc) == (1.5, 2 << 20, {"sev": 2})
    after.io_cost = 2.5
    after.compare(before, 2.0)
    assert after.io_cost_share == 50.0
    head, line, plain = table.lines([after, Row("b", "running", 8, stats())])
    assert head.split()[-6:] == ["IO", "COST", "%", "DEV", "MEM", "MISC"]
    assert line.split()[-4:] == ["50.0", "2.0", "MiB", "sev=2"]
    assert plain.split()[-3:] == ["-", "-", "-"]
    assert "MISC" not in table.lines([Row("b", "running", 8, stats())])[0]


def test_rates() -> None:
    before, after = Row("a", "running", 7, stats()), Row("a", "running", 7, stats())
    after.cpu_seconds, after.read, after.written = 3.0, 3072, 4096
    after.compare(before, 2.0)
    assert (after.cpu, after.read_rate, after.write_rate) == (50.0, 1024.0, 0.0)
    # A counter that was set back is no negative rate.
    before.compare(after, 2.0)
    assert (before.cpu, before.read_rate) == (0.0, 0.0)


def rows() -> list[Row]:
    small, large, gone = (
        Row("small", "running", 1, stats()),
        Row("l" * 40, "paused", 2, stats()),
        Row("gone", "stopped", 0, None),
    )
    small.cpu, small.memory = 99.95, 1 << 20
    large.cpu, large.read_rate, large.pids = 1.0, 5e6, 50
    return [gone, large, small]


@pytest.mark.parametrize(
    ("key", "first"), [("c", "small"), ("m", "l" * 40), ("p", "l" * 40), ("i", "l" * 40), ("n", "l" * 40)]
)
def test_orders(key: str, first: str) -> None:
    names = [row.id for row in table.ordered(rows(), key)]
    assert names[0] == first
    assert names[-1] == "gone"


def test_the_whole_table() -> None:
    head, *body = table.lines(table.ordered(rows(), "c"))
    assert head.split() == [
        "ID",
        "STATUS",
        "CPU",
        "%",
        "MEMORY",
        "LIMIT",
        "MEM",
        "%",
        "PIDS",
        "LIMIT",
        "READ/s",
        "WRITE/s",
    ]
    assert body[0].split() == ["small", "running", "100.0", "1.0", "MiB", "64.0", "MiB", "1.6", "3", "10", "-", "-"]
    assert body[2].split() == ["gone", "stopped", *"--------"]


@pytest.mark.parametrize("width", [1, 5, 10, 20, 40, 60, 79, 80, 100, 200])
def test_every_width(width: int) -> None:
    lines = table.lines(rows(), width=width)
    least = 8 + len("  running")
    assert max(map(len, lines)) <= max(width, least)
    assert len(lines) == 4
    if width >= 20:
        assert "STATUS" in lines[0]


@pytest.mark.parametrize("height", [1, 2, 3, 4, 5, 6, 24])
def test_every_height(height: int) -> None:
    picture = screen.frame(rows(), "c", 80, height)
    assert len(picture) == height
    if height > 4:
        assert any("gone" in line or "more" in line for line in picture)
    many = screen.frame([Row(f"c{number}", "stopped", 0, None) for number in range(50)], "c", 80, 10)
    assert len(many) == 10
    assert many[-2] == "... and 44 more"


def test_nothing_of_a_name_acts_on_the_terminal() -> None:
    line = table.lines([Row("a\x1b[2J", "running", 0, None)])[1]
    assert "\x1b" not in line


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (1024, "1.0 KiB"),
        (99.94 * 1024, "99.9 KiB"),
        (99.96 * 1024, "100 KiB"),
        (999 * 1024, "999 KiB"),
        (1 << 30, "1.0 GiB"),
        (5 << 50, "5120 TiB"),
    ],
)
def test_sizes(value: float | None, text: str) -> None:
    assert table.size(value) == text


def test_summary() -> None:
    text = table.summary(rows(), 4)
    assert text == "3 containers (1 paused, 1 running, 1 stopped), 101.0 % of 400 % CPU, 17.0 MiB memory"
    assert table.summary([], 2).startswith("0 containers, 0.0 %")
