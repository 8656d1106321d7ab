"""The two commands of docs/rootless.md give an ordinary user a shell in which they are root."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from .tour import END, ROOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

PAGE = (ROOT / "docs" / "rootless.md").read_text(encoding="utf-8")
NOBODY = 65534


def commands() -> list[str]:
    (block,) = re.findall(rf"^```console\n(.*?)^{END}", PAGE, re.DOTALL | re.MULTILINE)
    return [line.removeprefix("$ ") for line in block.splitlines()]


def test_two_commands(open_program: str, open_directory: Path) -> None:
    if os.geteuid() != 0 or not shutil.which("busybox"):
        pytest.skip("needs root, to become somebody else, and busybox")
    assert len(commands()) == 2
    (open_directory / "rootfs" / "bin").mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "", open_directory / "rootfs" / "bin" / "busybox")
    for name in ("sh", "id"):
        (open_directory / "rootfs" / "bin" / name).symlink_to("busybox")
    for path in (open_directory, *open_directory.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    (open_directory / "bin").mkdir()
    (open_directory / "bin" / "ocirun").symlink_to(open_program)
    env = {"PATH": f"{open_directory}/bin:/usr/bin:/bin", "XDG_RUNTIME_DIR": str(open_directory), "TERM": "dumb"}
    master, slave = os.openpty()
    os.fchown(slave, NOBODY, NOBODY)
    try:
        # The shell of the container reads what stands in the terminal already.
        os.write(master, b"id -u\nexit 7\n")
        ended = subprocess.run(
            ["/bin/sh", "-c", "\n".join(commands())],
            cwd=open_directory,
            env=env,
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            check=False,
            timeout=60,
        )
        os.set_blocking(master, False)
        shown = os.read(master, 65536).decode()
    finally:
        os.close(slave)
        os.close(master)
    assert ended.returncode == 7, shown
    assert "0" in re.split(r"[\r\n]+", shown), shown
