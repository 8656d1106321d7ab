"""Mount options that the kernel would refuse; where it can be asked, it says the same."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from ocirun.audit import filesystems
from ocirun.audit.findings import ERROR, WARNING
from ocirun.plan.mounts import options

if TYPE_CHECKING:
    from pathlib import Path

# Type, option, severity of the finding.
ROWS = [
    ("tmpfs", "size=lots", ERROR),
    ("tmpfs", "size=", ERROR),
    ("tmpfs", "size=64k", ""),
    ("tmpfs", "size=50%", ""),
    ("tmpfs", "size=0x10000", ""),
    ("tmpfs", "nr_inodes=1k", ""),
    ("tmpfs", "nr_inodes=many", ERROR),
    ("tmpfs", "mode=1777", ""),
    ("tmpfs", "mode=0999", ERROR),
    ("tmpfs", "mode=rwx", ERROR),
    ("tmpfs", "uid=0", ""),
    ("tmpfs", "uid=1x", ERROR),
    ("tmpfs", "huge=maybe", ERROR),
    ("tmpfs", "colour=red", WARNING),
    ("proc", "hidepid=2", ""),
    ("proc", "hidepid=ptraceable", ""),
    ("proc", "hidepid=3", ERROR),
    ("proc", "subset=pid", ""),
    ("proc", "subset=sys", ERROR),
    ("proc", "gid=x", ERROR),
    ("proc", "size=1", WARNING),
    ("devpts", "ptmxmode=0666", ""),
    ("devpts", "ptmxmode=rw", ERROR),
    ("devpts", "newinstance", ""),
    ("devpts", "max=x", ERROR),
    ("mqueue", "size=1", WARNING),
    ("sysfs", "size=1", WARNING),
]  # fmt: skip


def finding(fstype: str, word: str) -> list[str]:
    parsed = options.parse([word], pointer="/mounts/0", fstype=fstype)
    return [one.severity for one in filesystems.findings(fstype, parsed, "/mounts/0")]


@pytest.mark.parametrize(("fstype", "word", "severity"), ROWS)
def test_option(fstype: str, word: str, severity: str) -> None:
    assert finding(fstype, word) == ([severity] if severity else [])


@pytest.mark.parametrize(("fstype", "word", "severity"), ROWS)
def test_the_kernel_says_the_same(tmp_path: Path, fstype: str, word: str, severity: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    command = [
        "unshare",
        "--mount",
        "--pid",
        "--net",
        "--ipc",
        "--fork",
        "mount",
        "-i",
        "-t",
        fstype,
        "-o",
        word,
        "x",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode != 0) == bool(severity), done.stderr


def test_others_are_left_to_the_kernel() -> None:
    assert finding("ext4", "anything=1") == []
    parsed = options.parse(["context=x"], pointer="/mounts/0", fstype="tmpfs")
    assert list(filesystems.findings("tmpfs", parsed, "/mounts/0")) == []
