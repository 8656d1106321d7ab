"""A list says what `state` says of each container, with fewer questions."""

from __future__ import annotations

import os
import subprocess

import pytest

from ocirun.container import Container
from ocirun.containers import list_states
from ocirun.errors import OcirunError
from ocirun.state import record, store

from .test_record import made

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "root")


def container(root: str, name: str, phase: int | None, **changes: Any) -> None:
    directory = store.reserve(root, name)
    try:
        made(**changes).save(directory)
        raw = store.read_file(directory, "state.json").replace(b'"c1"', b'"%b"' % name.encode())
        store.write_file(directory, "state.json", raw)
        if phase is not None:
            header = record.progress_header(0)
            header = header[:4] + phase.to_bytes(4, "little") + header[8:]
            store.write_file(directory, "progress", header.ljust(record.PROGRESS_SIZE, b"\0"))
    finally:
        os.close(directory)


def gone() -> int:
    ended = subprocess.Popen(["true"])
    ended.wait()
    return ended.pid


def test_as_state(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for phase in range(1, 7):
        container(root, f"phase{phase}", phase)
    container(root, "stopped", record.PHASE_RUNNING, pid=gone())
    container(root, "other-process", record.PHASE_RUNNING, start_time=1)
    container(root, "other-boot", record.PHASE_RUNNING, boot_id="another")
    container(root, "other-owner", record.PHASE_RUNNING, owner=12345)
    container(root, "not-yet", None, pid=0, start_time=0)
    container(root, "no-progress", None)
    container(root, "host-mounts", record.PHASE_RUNNING, host_mounts=[3])
    container(root, "colon", record.PHASE_RUNNING, annotations={"a": '":'})
    warnings: list[str] = []
    wanted = [Container.load(name, root=root).state(details=False) for name in store.ids(root)]
    assert list_states(root, warn=warnings.append) == wanted
    assert warnings == []
    found = {state["id"]: state["status"] for state in wanted}
    assert [found[f"phase{phase}"] for phase in range(1, 7)] == [
        *("creating", "created", "created", "running", "stopped", "running")
    ]
    assert {found[name] for name in ("stopped", "other-process", "other-boot")} == {"stopped"}
    # Those that are as usual are not parsed whole.
    asked: list[str] = []
    load = record.load
    monkeypatch.setattr(record, "load", lambda fd, name: asked.append(name) or load(fd, name))
    list_states(root, warn=warnings.append)
    assert sorted(asked) == ["colon", "host-mounts", "no-progress", "not-yet"]


def test_damaged_ones_are_told_in_the_words_of_state(root: str) -> None:
    container(root, "good", record.PHASE_RUNNING)
    for name in ("cut", "empty", "missing", "link", "odd"):
        container(root, name, record.PHASE_RUNNING)
    with open(f"{root}/cut/state.json", "r+b") as file:
        file.truncate(100)
    open(f"{root}/empty/state.json", "wb").close()
    os.unlink(f"{root}/missing/state.json")
    os.rename(f"{root}/link", f"{root}/not an id")
    os.symlink("not an id", f"{root}/link")
    with open(f"{root}/odd/state.json", "r+b") as file:
        file.write(b'{"annotations":{"cgroup":3')
    open(f"{root}/file", "wb").close()
    wanted = []
    for name in store.ids(root):
        try:
            Container.load(name, root=root).state(details=False)
        except OcirunError as error:
            wanted.append(f"container {name}: {error.message}")
    warnings: list[str] = []
    assert [state["id"] for state in list_states(root, warn=warnings.append)] == ["good"]
    assert warnings == wanted
    assert len(wanted) == 6


def test_nothing_stays_open(root: str) -> None:
    container(root, "good", record.PHASE_RUNNING)
    before = os.listdir("/proc/self/fd")
    list_states(root, warn=print)
    assert os.listdir("/proc/self/fd") == before
