"""The examples as modules and as programs, and a look at what they leave behind."""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ocirun
from ocirun._base import roots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "runtime"), "PYTHONDONTWRITEBYTECODE": "1"}


def load(name: str) -> ModuleType:
    """Import examples/NAME.py."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # what is in there is part of a release
    spec.loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


@pytest.fixture(scope="session")
def rootfs() -> str:
    """The root file system of a sample."""
    subprocess.run([sys.executable, ROOT / "bundles" / "make", "hello"], check=True, capture_output=True)
    return str(ROOT / "bundles" / "hello" / "rootfs")


def held() -> tuple[set[str], set[str]]:
    """What this process has: its children, and its descriptors with what they are."""
    children: set[str] = set()
    for task in os.listdir("/proc/self/task"):
        try:
            children.update(Path(f"/proc/self/task/{task}/children").read_text().split())
        except FileNotFoundError:
            continue  # a thread that has just ended
    descriptors = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            descriptors.add(f"{number} {os.readlink(f'/proc/self/fd/{number}')}")
        except FileNotFoundError:
            continue  # the listing's own
    return children, descriptors


@pytest.fixture(autouse=True)
def leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The test has a state root of its own, and leaves no container, no child, no descriptor."""
    monkeypatch.setattr(roots, "_NAME", f"ocirun-examples-{os.getpid()}")
    before = held()
    yield
    gc.collect()  # a handle that an error's frames refer to
    assert held() == before
    assert ocirun.list_ids() == []
    shutil.rmtree(roots.default_root(os.environ), ignore_errors=True)  # what the filters are kept in
