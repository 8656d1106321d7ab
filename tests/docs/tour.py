"""The tour (docs/tour.md) as commands and programs, and what each must print."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MARK = "<!-- tour -->\n```console\n"
END = "```"
# Where the reader of the tour has the checkout.
READERS_CHECKOUT = "/home/ada/ocirun"


PYTHON = "```python\n"


# With a root of its own in the place of the usual one, so that it says what it says to a reader who gives none.
ALONE = """#!/bin/sh
exec unshare --mount sh -c 'mount --bind "$1" /run/ocirun && shift && exec "$@"' sh {state} {program} "$@"
"""


def alone(home: Path, program: Path) -> dict[str, str]:
    """Make a command `ocirun` that sees no container but its own; returns the environment that finds it."""
    (home / "bin").mkdir()
    for root in (home / "state", Path("/run/ocirun")):
        root.mkdir(mode=0o711, exist_ok=True)
    wrapper = home / "bin" / "ocirun"
    wrapper.write_text(ALONE.format(state=shlex.quote(str(home / "state")), program=shlex.quote(str(program))))
    wrapper.chmod(0o755)
    return {"PATH": f"{home / 'bin'}:{os.environ['PATH']}", "TERM": "dumb", "TMPDIR": str(home)}


class Step:
    """One command and the lines under it."""

    __slots__ = ("command", "output")

    def __init__(self, command: str) -> None:
        self.command = command
        self.output: list[str] = []


def steps(text: str) -> list[Step]:
    """The steps of all marked blocks, in order."""
    found: list[Step] = []
    for block in text.split(MARK)[1:]:
        for line in block.partition(END)[0].splitlines():
            if line.startswith("$ "):
                found.append(Step(line[2:]))
            else:
                found[-1].output.append(line)
    return found


def first_output(text: str) -> list[str]:
    """The lines that the README shows of ``./dev hello``."""
    return text.partition("<!-- hello -->\n```console\n")[2].partition(END)[0].splitlines()


def program(text: str) -> tuple[str, list[str]]:
    """All blocks of Python as one program; and the words that its comments say it prints."""
    blocks = [block.partition(END)[0] for block in text.split(PYTHON)[1:]]
    return "\n".join(blocks), [word for said in re.findall(r"  # (.*)", "\n".join(blocks)) for word in said.split()]


def shape(line: str) -> str:
    """A line without what differs from run to run: numbers and the width of columns."""
    return re.sub(r" +", " ", re.sub(r"\d+", "#", line)).strip()


def run_programs(text: str) -> None:
    """Run the Python of a page that uses the sample `hello`: it must print what its comments say."""
    subprocess.run([sys.executable, ROOT / "bundles" / "make", "hello"], check=True, capture_output=True)
    code, said = program(text)
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert said
    assert ran.stdout.split() == said, ran.stderr
