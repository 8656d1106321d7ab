"""The tutorials do what they show, each after the bundle that all begin with."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from .test_tour import PROGRAM, run
from .tour import PYTHON, alone, program
from .tutorials import NUMBERS, PAGES, READERS, READERS_HOST, START, steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

#: What a page is about in other rings: tests/engines has the engines.
ELSEWHERE = {"engines"}


class Reader:
    """Somebody with a directory, a state root and an id of their own."""

    def __init__(self, home: Path) -> None:
        self.work = home / "work"
        self.work.mkdir()
        self.state = home / "state"
        self.id = f"demo{os.getpid()}"
        self.env = alone(home, PROGRAM)

    def own(self, text: str) -> str:
        """A text of a page with our names in place of the reader's."""
        return text.replace("demo", self.id).replace(READERS, str(self.work)).replace(READERS_HOST, os.uname().nodename)

    def follow(self, text: str) -> None:
        for step in steps(text):
            found = run(f"cd {shlex.quote(str(self.work))} && {self.own(step.command)}", self.env)
            assert step.form(found) == step.form(self.own(line) for line in step.output), step.command

    def execute(self, text: str) -> None:
        """Run the Python of a page as one program."""
        code, said = program(text)
        ran = subprocess.run(
            [sys.executable, "-c", self.own(code)],
            cwd=self.work,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert said
        assert ran.stdout.split() == said, ran.stderr

    def leave(self) -> None:
        run(f"ocirun list --quiet | xargs -r -n 1 {self.work.parent}/bin/ocirun delete --force", self.env)


def test_a_command_over_lines() -> None:
    here, after = steps("```console\n$ cat >x <<'END'\n> one\n> END\n$ cat x\n> two\n```\n")
    assert here.command == "cat >x <<'END'\none\nEND" and not here.output
    assert after.command == "cat x" and after.output == ["> two"]


def test_where_numbers_count() -> None:
    exact, loose = steps(f"```console\n$ one\n```\n\n{NUMBERS}```console\n$ two\n```\n")
    assert exact.form(["a  12"]) == ["a 12"] and loose.form(["a  12"]) == ["a #"]


def test_each_has_blocks() -> None:
    for name, text in PAGES.items():
        assert steps(text) or PYTHON in text, name


def test_the_list_is_complete() -> None:
    assert re.findall(r"^\d\. \[[^\]]*\]\(([\w-]+)\.md\)", PAGES[START], re.MULTILINE)
    assert set(re.findall(r"^\d\. \[[^\]]*\]\(([\w-]+)\.md\)", PAGES[START], re.MULTILINE)) == set(PAGES) - {START}


@pytest.mark.parametrize("name", sorted(set(PAGES) - {START} - ELSEWHERE))
def test_what_it_shows(name: str, tmp_path: Path) -> None:
    if os.geteuid() != 0 or not PROGRAM.exists() or not shutil.which("busybox"):
        pytest.skip("needs root, the compiled program and busybox")
    reader = Reader(tmp_path)
    try:
        reader.follow(PAGES[START])
        reader.follow(PAGES[name])
        if PYTHON in PAGES[name]:
            reader.execute(PAGES[name])
        assert not (reader.state.exists() and os.listdir(reader.state)), "the reader has containers left"
    finally:
        reader.leave()
