"""What the preloaded interpreter has practised before it was written: the commands as they are, not their failures."""

from __future__ import annotations

import ctypes
import importlib.util
import mmap
import os
import signal
import sys

import pytest

from ocirun.container import Container
from ocirun.errors import StateError
from ocirun.state import record

from .conftest import RUNTIME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any


@pytest.fixture
def preload() -> Any:
    path = os.path.join(os.path.dirname(RUNTIME), "csrc", "start", "preload.py")
    spec = importlib.util.spec_from_file_location("preload", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_its_containers_are_sound(preload: Any, tmp_path: Path) -> None:
    me, root = os.getpid(), str(tmp_path / "root")
    preload._leave_container(str(tmp_path), "stopped", preload.NO_PROCESS, 1)
    preload._leave_container(str(tmp_path), "running", me, record.process_stat(me)[1])
    assert Container.load("stopped", root=root).status() == "stopped"
    running = Container.load("running", root=root)
    assert running.status() == "running"
    running.kill(0)
    with pytest.raises(StateError):
        running.start()
    with pytest.raises(StateError):
        running.delete()
    assert running.status() == "running"


def test_it_leaves_nothing(preload: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    preload.ROUNDS = 1
    before = os.listdir("/proc/self/fd")
    preload.practise(str(tmp_path / "practice"))
    assert os.listdir(tmp_path) == []
    assert os.listdir("/proc/self/fd") == before
    assert capfd.readouterr() == ("", "")


def test_stretches_have_all_pages_and_not_many_more(preload: Any) -> None:
    size = os.sysconf("SC_PAGE_SIZE")
    pages = {7, 8, 10, 100, 1000, 1001, 5000}
    for most, near in ((5, 2), (4, 2), (3, 92), (2, 900), (1, 4000)):
        data = preload.stretches(pages, most)
        numbers = [int.from_bytes(data[at : at + 8], sys.byteorder) for at in range(0, len(data), 8)]
        found = [(start // size, length // size) for start, length in zip(numbers[::2], numbers[1::2], strict=True)]
        covered = {page for first, count in found for page in range(first, first + count)}
        assert len(found) <= most
        assert pages <= covered
        assert all(min(abs(page - other) for other in pages) <= near for page in covered)
    assert preload.stretches(set(), 1) == b""


def test_its_pages_are_those_that_it_has_written_to(preload: Any, tmp_path: Path) -> None:
    """A process that has mapped a file tells the pages that it has written to, and not those that it has read."""
    size, count = os.sysconf("SC_PAGE_SIZE"), 20
    path = tmp_path / "mapped"
    path.write_bytes(b"x" * size * count)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            memory = mmap.mmap(os.open(path, os.O_RDONLY), 0, access=mmap.ACCESS_COPY)
            sum(memory[::size])
            for number in (3, 4, 11):
                memory[number * size] = 1
            start = ctypes.addressof(ctypes.c_char.from_buffer(memory)) // size
            os.write(writer, b"%d\n" % start)
            preload.REPORT = writer
            preload._report_pages()
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, encoding="ascii") as report:
        start, *pages = map(int, report.read().split())
    os.waitpid(pid, 0)
    if not pages:
        pytest.skip("this kernel does not show a process its pages")
    assert {page - start for page in pages if start <= page < start + count} == {3, 4, 11}


def test_it_plans_what_it_cannot_make(preload: Any, tmp_path: Path) -> None:
    """Both plans come to their end, where they do for the user who runs this; nothing is made."""
    place = str(tmp_path / "practice")
    os.mkdir(place)
    preload._set_up(place)
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    try:
        before = sorted(os.listdir(f"{place}/root"))
        if os.geteuid() == 0:
            preload._plan_create(place)
            preload._plan_exec(place)
        else:
            preload.plan(place)
        assert sorted(os.listdir(f"{place}/root")) == before
    finally:
        preload._take_down(place)
    assert [signal.getsignal(number) for number in signal.valid_signals()] == handlers
