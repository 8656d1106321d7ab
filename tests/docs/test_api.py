"""The programs of docs/api.md run, as they stand there."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import shutil

import pytest

import ocirun

from .tour import END, PYTHON, ROOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
ROOTFS = "/srv/rootfs"
#: Programs that the page calls, and what stands for them in a root file system of busybox.
PROGRAMS = {
    "python3": "exec cat",
    "serve": "exec sleep 1000",
    "check": "exit 0",
    "make": "exit 0",
    "cat": 'busybox cat "$@"; : >/tmp/done',
}
#: Of the container that the page has already when it comes to asyncio: it ends after the `cat` in it.
UNTIL = "until [ -e /tmp/done ]; do sleep 0.01; done; exit 5"


def blocks() -> list[str]:
    return re.findall(rf"^{PYTHON}(.*?)^{END}", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    if os.geteuid() != 0 or not shutil.which("busybox"):
        pytest.skip("needs root and busybox")
    made = tmp_path / "bundle" / "rootfs"
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp"):
        (made / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "", made / "bin" / "busybox")
    for name in ("sh", "sleep", "wc"):
        (made / "bin" / name).symlink_to("busybox")
    for name, text in PROGRAMS.items():
        (made / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (made / "bin" / name).chmod(0o755)
    (made / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
    return made


@pytest.fixture
def names(rootfs: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What the programs of the page have around them."""
    monkeypatch.chdir(rootfs.parent.parent)
    config = ocirun.sandbox(str(rootfs), ["sh", "-c", UNTIL], missing="leave out")
    ocirun.save_config(config | {"root": {"path": "rootfs"}}, str(rootfs.parent))
    container = ocirun.Container.create(f"api{os.getpid()}", config=config)
    container.start()
    yield {
        "ocirun": ocirun,
        "container": container,
        "program": b"one",
        "programs": [b"one", b"two"],
        "answers": [b"a", b"bc"],
    }
    container.delete(force=True)


def test_blocks_are_found() -> None:
    assert len(blocks()) >= 6


def test_the_programs(rootfs: Path, names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    own = f"api-web{os.getpid()}"
    seen = []
    try:
        for block in blocks():
            text = re.sub(r'"(?:web|session)"', f'"{own}"', block.replace(ROOTFS, str(rootfs)))
            code = compile(text, "docs/api.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            waits = eval(code, names)
            if waits is not None:
                asyncio.run(waits)
            if "outcome" in names:
                seen.append(names.pop("outcome"))
    finally:
        ocirun.delete(own, force=True)
    assert (seen[0].exit_code, seen[0].stdout) == (3, b"hello")
    assert seen[1].ok and seen[1].stdout == b"one"
    assert [outcome.stdout for outcome in names["outcomes"]] == [b"one", b"two"]
    assert capsys.readouterr().out.split() == ["b'1\\n'", "b'2\\n'", "b'10\\n'", "True"]
    assert seen[2].stdout == b"127.0.0.1 localhost\n"
    assert names["code"] == 5
