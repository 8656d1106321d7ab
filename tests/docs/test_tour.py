"""The commands of the README's tour do what it shows."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from .tour import READERS_CHECKOUT, ROOT, shape, steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from .tour import Step

README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAM = ROOT / "build" / "bin" / "ocirun"
# Of a container, in what `state` and `list` show.
OWNER = re.compile(r'(?<="owner": ")root|(?<=\dZ   )root$')


def run(command: str, env: dict[str, str]) -> list[str]:
    """The lines that a command shows on a terminal: some texts are for people only."""
    master, slave = os.openpty()
    try:
        subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=slave,
            stderr=slave,
            check=False,
            timeout=60,
        )
        # What was written is there by now; a container that lives on keeps the terminal open.
        os.set_blocking(master, False)
        text = b""
        while True:
            try:
                part = os.read(master, 65536)
            except BlockingIOError:
                break
            text += part
        return text.decode().replace("\r\n", "\n").splitlines()
    finally:
        os.close(slave)
        os.close(master)


def test_the_tour_is_found() -> None:
    commands = [step.command.split()[:2] for step in steps(README)]
    for word in ("run", "explain", "create", "state", "start", "list", "kill", "delete"):
        assert ["ocirun", word] in commands


def test_shape() -> None:
    assert shape('  "pid": 29264,') == shape('"pid": 7,')
    assert shape("demo      running") == shape("demo running")
    assert shape("running") != shape("stopped")


def test_the_tour(tmp_path: Path) -> None:
    if os.geteuid() != 0 or not PROGRAM.exists() or not shutil.which("busybox"):
        pytest.skip("needs root, the compiled program and busybox")
    subprocess.run([sys.executable, ROOT / "bundles" / "make"], check=True, capture_output=True)
    wrapper = tmp_path / "bin" / "ocirun"
    wrapper.parent.mkdir()
    program, work = shlex.quote(str(PROGRAM)), f"{tmp_path}/work"
    wrapper.write_text(f'#!/bin/sh\nexec {program} --root {shlex.quote(str(tmp_path))}/state "$@"\n')
    wrapper.chmod(0o755)
    env = {"PATH": f"{wrapper.parent}:{os.environ['PATH']}", "TERM": "dumb"}
    # A bundle and cgroups of our own, whatever else runs here.
    name = f"demo{os.getpid()}"
    (ROOT / "bundles" / "hooks" / "rootfs" / "hooks.log").unlink(missing_ok=True)

    def command(text: str) -> str:
        return text.replace("build/demo", shlex.quote(work)).replace("demo", name)

    def shown(text: str) -> str:
        text = text.replace("build/demo", work).replace("demo", name).replace(f"{READERS_CHECKOUT}/{work}", work)
        return OWNER.sub(pwd.getpwuid(0).pw_name, text.replace(READERS_CHECKOUT, str(ROOT)))

    try:
        for step in steps(README):
            check(step, [shown(line) for line in step.output], run(command(step.command), env))
    finally:
        run(f"ocirun delete --force {name}", env)


def check(step: Step, wanted: list[str], found: list[str]) -> None:
    assert [shape(line) for line in found] == [shape(line) for line in wanted], step.command
