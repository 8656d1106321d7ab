"""Bundles for the commands that are measured, and the skips where they cannot run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from .command import CHECKOUT, LAUNCHER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="session")
def built() -> None:
    """The launcher and the module are there, and we may run containers."""
    if os.geteuid() != 0:
        pytest.skip("containers of these tests need root")
    if shutil.which("busybox") is None:
        pytest.skip("the sample bundles need busybox")
    if not LAUNCHER.exists():
        subprocess.run([sys.executable, str(CHECKOUT / "csrc" / "build.py"), "--in-tree"], check=True)


@pytest.fixture
def bundle(built: None, tmp_path: Path) -> Callable[..., Path]:
    """Makes a bundle from a sample: a copy of its config, with other arguments, on the sample's rootfs."""

    def make(name: str, *args: str) -> Path:
        subprocess.run(
            [sys.executable, str(CHECKOUT / "bundles" / "make"), name], check=True, stdout=subprocess.DEVNULL
        )
        folder = tmp_path / "bundle"
        folder.mkdir()
        data = json.loads((CHECKOUT / "bundles" / name / "config.json").read_text())
        data["root"]["path"] = str(CHECKOUT / "bundles" / name / "rootfs")
        if (CHECKOUT / "bundles" / name / "shared").exists():
            shutil.copytree(CHECKOUT / "bundles" / name / "shared", folder / "shared")
        if args:
            data["process"]["args"] = list(args)
        (folder / "config.json").write_text(json.dumps(data))
        tmp_path.chmod(0o711)
        return folder

    return make
