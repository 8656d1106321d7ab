"""docs/doctor.md: its block is what the doctor says."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from .tour import ROOT, shape

PAGE = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
PROGRAM = ROOT / "build" / "bin" / "ocirun"


def test_block() -> None:
    if os.geteuid() != 0 or not PROGRAM.exists():
        pytest.skip("needs root and the program")
    (block,) = re.findall(r"```console\n\$ ocirun doctor\n(.*?)```", PAGE, re.DOTALL)
    said = subprocess.run([PROGRAM, "doctor"], capture_output=True, text=True, check=False).stdout
    wanted = [_shape(line) for line in block.splitlines()]
    assert [_shape(line) for line in said.splitlines()][: len(wanted)] == wanted


def _shape(line: str) -> str:
    return re.sub(r"Linux .*", "Linux", shape(line))
