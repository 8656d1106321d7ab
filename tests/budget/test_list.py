"""How much `list` asks of the kernel for each container."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from ocirun.state import record, store

from .command import LAUNCHER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


FEW, MANY = 5, 25
# open, read, close of the record, and whether there is a process of that number.
STOPPED = 4
# The same of /proc/PID/stat and of the progress; the container has no cgroup to be asked.
ALIVE = STOPPED + 6


def containers(root: Path, first: int, last: int, *, pid: int) -> None:
    """Records of containers whose process is `pid`, and the file of a program that runs."""
    start_time = record.process_stat(pid)[1]
    phase = record.PHASE_RUNNING.to_bytes(4, "little")
    for number in range(first, last):
        made = record.Record(
            f"c{number}",
            bundle="/b",
            rootfs="/b/rootfs",
            created="2026-01-02T03:04:05Z",
            owner=0,
            annotations={"a": "b"},
            cgroup={"driver": "none"},
            hooks=[],
            boot_id=record.boot_id(),
            late=[[1, "wait_start", "", {"path": ""}]],
            pid=pid,
            start_time=start_time,
        )
        directory = store.reserve(str(root), made.container_id)
        try:
            made.save(directory)
            progress = record.progress_header(0)[:4] + phase
            store.write_file(directory, "progress", progress.ljust(record.PROGRESS_SIZE, b"\0"))
        finally:
            os.close(directory)


def calls(root: Path, where: Path, *words: str) -> int:
    """The number of system calls of a list."""
    output = where / "strace"
    subprocess.run(
        ["strace", "-f", "-c", "-o", str(output), str(LAUNCHER), "--root", str(root), "list", *words],
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=60,
    )
    total = re.search(r"^100\.00\s+[\d.]+\s+\d+\s+(\d+).*total$", output.read_text(), re.MULTILINE)
    assert total
    return int(total[1])


@pytest.mark.parametrize(
    ("words", "alive", "most"),
    [((), False, STOPPED), ((), True, ALIVE), (("-q",), True, 0), (("-f", "json"), True, ALIVE)],
)
def test_calls_for_each_container(built: None, tmp_path: Path, words: tuple[str, ...], alive: bool, most: int) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    root, pid = tmp_path / "root", os.getpid() if alive else ended.pid
    containers(root, 0, FEW, pid=pid)
    few = calls(root, tmp_path, *words)
    containers(root, FEW, MANY, pid=pid)
    # Memory comes from the kernel now and then, and directories in blocks.
    assert calls(root, tmp_path, *words) - few <= most * (MANY - FEW) + 5
