"""`check` on configs of many megabytes: it needs no gigabytes for them; and on any config at all it ends in order."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from config.test_schema import mutants
from hypothesis import given, settings
from hypothesis import strategies as st

from check.test_audit import base, look
from ocirun.cli.commands.check import report

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
MEMORY = 1 << 30
TMPFS = {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}
SHAPES: dict[str, Callable[[dict[str, Any]], object]] = {
    "mounts": lambda c: c.update(mounts=[{**TMPFS, "destination": f"/t/{number}"} for number in range(200000)]),
    "objects": lambda c: c.update(x={f"k{number}": [] for number in range(900000)}),
    "faults": lambda c: c.update(mounts=[[]] * 3500000),
    "options": lambda c: c.update(mounts=[{**TMPFS, "options": ["nosiud", "colour=red"] * 1500}] * 300),
    "words": lambda c: c.update(mounts=[{**TMPFS, "options": [f"w{number}" for number in range(1000000)]}]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_memory(tmp_path: Path, shape: str) -> None:
    config = base()
    SHAPES[shape](config)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config, separators=(",", ":")))
    assert 7 << 20 < file.stat().st_size < 16 << 20
    done = subprocess.run(
        [sys.executable, "-m", "ocirun", "check", "--json", str(file)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "runtime")},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
    )
    assert done.returncode in (0, 1), done.stderr
    findings = json.loads(done.stdout)["findings"]
    # 200 from each of a few sources.
    assert len(findings) < 1000


@settings(max_examples=200, derandomize=True)
@given(mutants())
def test_any_config(tmp_path_factory: pytest.TempPathFactory, config: Any) -> None:
    result = look(config, tmp_path_factory.getbasetemp())
    assert report(result, colour=False).endswith(("notes\n", "note\n"))
    json.dumps(result.record())


@settings(max_examples=100, derandomize=True)
@given(st.binary(max_size=60))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    assert report(look(content, tmp_path_factory.getbasetemp()), colour=True)
