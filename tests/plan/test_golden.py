"""Every sample bundle against its golden plan; building one touches nothing."""

from __future__ import annotations

import json
import sys

import pytest

from . import golden
from .samples import NAMES, plan, sample
from .samples import config as sample_config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HOW = "a change that is meant: python3 tests/plan/golden.py"


@pytest.mark.parametrize("name", NAMES)
def test_plan(name: str) -> None:
    assert golden.current(name) == golden.expected(name), HOW


def test_text_of_explain() -> None:
    assert golden.current_text() == (golden.FOLDER / "hello.txt").read_text(encoding="utf-8"), HOW


def test_one_golden_file_for_each_bundle() -> None:
    assert sorted(path.stem for path in golden.FOLDER.glob("*.json")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_golden_files_are_plans(name: str) -> None:
    """Plain values only: what is read back is what the plan says of itself."""
    assert json.loads(golden.expected(name)) == json.loads(json.dumps(sample(name).record()))


@pytest.mark.parametrize("name", NAMES)
def test_plans_are_values(name: str) -> None:
    assert sample(name) == sample(name)
    assert hash(sample(name)) == hash(sample(name))
    assert sample(name) != sample(name, container_id="other")


_heard: list[str] | None = None


def _hear(event: str, args: tuple[Any, ...]) -> None:
    # What os and the other modules report of themselves (sys.audit): files, processes, sockets, C calls.
    if _heard is not None and event.partition(".")[0] in (
        *("open", "os", "subprocess", "socket", "ctypes", "fcntl", "shutil", "glob", "import", "time", "pathlib"),
    ):
        _heard.append(f"{event} {args}")


@pytest.fixture(scope="module")
def audit() -> None:
    """A hook of the interpreter cannot be taken off again; it is quiet outside of `touched`."""
    sys.addaudithook(_hear)


def touched(data: dict[str, Any], **request: Any) -> list[str]:
    global _heard
    plan(data, **request)  # imports, once
    _heard = []
    try:
        plan(data, **request)
        return _heard
    finally:
        _heard = None


@pytest.mark.usefixtures("audit")
@pytest.mark.parametrize("name", NAMES)
def test_building_opens_nothing(name: str) -> None:
    assert not touched(sample_config(name), console_socket="/run/console")


@pytest.mark.usefixtures("audit")
@pytest.mark.parametrize("name", NAMES)
def test_building_leaves_the_config_alone(name: str) -> None:
    data = sample_config(name)
    before = json.dumps(data)
    plan(data)
    assert json.dumps(data) == before
