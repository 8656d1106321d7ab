"""The tour does what it shows, after nothing but the first command of the README."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from .tour import READERS_CHECKOUT, ROOT, alone, first_output, program, shape, steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from .tour import Step

TOUR = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
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
    commands = [step.command.split()[:2] for step in steps(TOUR)]
    for word in ("run", "explain", "create", "state", "start", "list", "kill", "delete"):
        assert ["ocirun", word] in commands


def test_shape() -> None:
    assert shape('  "pid": 29264,') == shape('"pid": 7,')
    assert shape("demo      running") == shape("demo running")
    assert shape("running") != shape("stopped")


def test_the_tour(tmp_path: Path) -> None:
    if os.geteuid() != 0 or not PROGRAM.exists() or not shutil.which("busybox"):
        pytest.skip("needs root, the compiled program and busybox")
    hello = subprocess.run([ROOT / "dev", "hello"], check=True, capture_output=True, text=True).stdout.splitlines()
    assert [shape(line) for line in hello] == [shape(line) for line in first_output(README)]
    work = f"{tmp_path}/work"
    env = alone(tmp_path, PROGRAM)
    # A bundle and cgroups of our own, whatever else runs here.
    name = f"demo{os.getpid()}"
    (ROOT / "bundles" / "hooks" / "rootfs" / "hooks.log").unlink(missing_ok=True)

    def command(text: str) -> str:
        return text.replace("build/demo", shlex.quote(work)).replace("demo", name)

    def shown(text: str) -> str:
        text = text.replace("build/demo", work).replace("demo", name).replace(f"{READERS_CHECKOUT}/{work}", work)
        return OWNER.sub(pwd.getpwuid(0).pw_name, text.replace(READERS_CHECKOUT, str(ROOT)))

    try:
        for step in steps(TOUR):
            check(step, [shown(line) for line in step.output], run(command(step.command), env))
        text, said = program(TOUR)
        for words, ours in (("build/demo", work), ("/run/ocirun", f"{tmp_path}/state"), ('"web"', f'"{name}-web"')):
            assert words in text
            text = text.replace(words, ours)
        # No path variable: the environment that ./dev makes finds the package.
        ran = subprocess.run(
            [sys.executable, "-c", text], cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=60
        )
        assert ran.stdout.split() == said, ran.stderr
    finally:
        run(f"ocirun delete --force {name}; ocirun delete --force {name}-web", env)


def test_the_program_of_the_readme() -> None:
    if os.geteuid() != 0 or not PROGRAM.exists() or not shutil.which("busybox"):
        pytest.skip("needs root, the compiled program and busybox")
    subprocess.run([sys.executable, ROOT / "bundles" / "make", "hello"], check=True, capture_output=True)
    text, said = program(README)
    env = {"PATH": os.environ["PATH"]}
    ran = subprocess.run(
        [sys.executable, "-c", text], cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert said
    assert ran.stdout.split() == said, ran.stderr


def check(step: Step, wanted: list[str], found: list[str]) -> None:
    assert [shape(line) for line in found] == [shape(line) for line in wanted], step.command
