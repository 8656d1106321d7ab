"""What the preloaded interpreter has practised before it was written: the commands as they are, not their failures."""

from __future__ import annotations

import importlib.util
import os

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
