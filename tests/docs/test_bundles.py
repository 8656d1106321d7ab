"""The blocks of docs/bundles.md do what they show, where the tool is at hand."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess

import pytest

from .test_tour import PROGRAM, check, run
from .tour import ROOT, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = (ROOT / "docs" / "bundles.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"<!-- bundles(?:: ([\w ]+))? -->\n```console\n(.*?)```", re.DOTALL)


def blocks() -> Iterator[tuple[list[str], list[Step]]]:
    """The tools that a block needs, and its steps."""
    for tools, text in BLOCK.findall(PAGE):
        found: list[Step] = []
        for line in text.splitlines():
            if line.startswith("$ "):
                found.append(Step(line[2:]))
            else:
                found[-1].output.append(line)
        yield tools.split(), found


def test_the_blocks_are_found() -> None:
    assert [tools for tools, _ in blocks()] == [[], [], [], ["umoci"], ["umoci", "skopeo"]]
    assert PAGE.count("```console") == 5


@pytest.mark.parametrize("tools", [[], ["umoci"], ["umoci", "skopeo"]], ids=["plain", "umoci", "skopeo"])
def test_what_they_show(tmp_path: Path, tools: list[str]) -> None:
    """Those that need no more than these tools, one behind the other."""
    missing = [tool for tool in tools if not shutil.which(tool)]
    if os.geteuid() != 0 or not PROGRAM.exists() or missing:
        pytest.skip(f"needs root, the compiled program, {', '.join(missing)}")
    if os.uname().machine != "x86_64":
        pytest.skip("the page shows an image for amd64")
    wrapper = tmp_path / "bin" / "ocirun"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {shlex.quote(str(PROGRAM))} --root {shlex.quote(str(tmp_path))}/state "$@"\n')
    wrapper.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    env = {"PATH": f"{wrapper.parent}:{os.environ['PATH']}", "TERM": "dumb", "TMPDIR": str(tmp_path)}
    for needed, steps in blocks():
        if set(needed) <= set(tools):
            for step in steps:
                check(step, step.output, run(f"cd {shlex.quote(str(work))} && {step.command}", env))
    assert not [name for name in os.listdir(tmp_path) if name.startswith("ocirun-")]


def test_a_rootfs_that_is_there(tmp_path: Path) -> None:
    """The last way of the table."""
    if not PROGRAM.exists():
        pytest.skip("needs the compiled program")
    subprocess.run([PROGRAM, "spec", "--bundle", tmp_path], check=True)
    assert os.listdir(tmp_path) == ["config.json"]
