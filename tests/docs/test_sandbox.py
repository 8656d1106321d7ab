"""The programs of docs/sandbox.md print what they say; its table has the defaults."""

from __future__ import annotations

import inspect
import re

import ocirun

from .tour import ROOT, run_programs

PAGE = (ROOT / "docs" / "sandbox.md").read_text(encoding="utf-8")


def test_the_programs() -> None:
    run_programs(PAGE)


def test_the_table() -> None:
    table = PAGE.partition("## What is safe about it\n")[2].partition("\n\n`None`")[0]
    named = set(re.findall(r"`(\w+)`", "\n".join(line.split("|")[3] for line in table.splitlines() if "|" in line)))
    rest = {"rootfs", "args", "cwd", "cgroup_manager", "missing"}
    assert named | rest == set(inspect.signature(ocirun.sandbox).parameters)
    sizes = {name: parameter.default for name, parameter in inspect.signature(ocirun.sandbox).parameters.items()}
    assert f"tmpfs of {sizes['tmp'] >> 20} MiB on /tmp, one of {sizes['shm'] >> 20} MiB" in table
    assert f"| memory | {sizes['memory'] >> 20} MiB" in table
    assert f"| processes | {sizes['pids']} |" in table
    assert f"| open files | {sizes['open_files']} for" in table
    assert f"| size of a file | {sizes['file_size'] >> 20} MiB;" in table
    assert sizes["cpus"] == 1.0
