"""Another process that calls the API, and what it leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

RUNTIME = str(Path(__file__).resolve().parents[2] / "runtime")

# Before a script.  NAME: what the ids of its containers begin with; `left` says what is there that was not at `begin`.
HEAD = """
import asyncio, gc, os, random, signal, sys, threading, time
import ocirun
from ocirun import aio
BUNDLE, ROOT, NAME = {bundle!r}, {root!r}, f"caller-{{os.getpid():07d}}-"

def _now():
    with open(f"/proc/self/task/{{os.getpid()}}/children") as file:
        children = file.read().split()
    yield from (f"child {{pid}}" for pid in children)
    yield from (f"thread {{name}}" for name in os.listdir("/proc/self/task"))
    for top, folders, _ in os.walk("/sys/fs/cgroup"):
        yield from (f"group {{top}}/{{name}}" for name in folders if name.startswith(NAME))
    yield from (f"state {{name}}" for name in (os.listdir(ROOT) if os.path.isdir(ROOT) else ()))
    for fd in os.listdir("/proc/self/fd"):
        try:
            yield f"descriptor {{fd}} of {{os.readlink(f'/proc/self/fd/{{fd}}')}}"
        except FileNotFoundError:  # the one of listdir
            continue

def begin():
    global _before
    _before = set(_now())

def left():
    end = time.monotonic() + 5
    while (found := set(_now()) - _before) and time.monotonic() < end:
        time.sleep(0.01)  # a thread that was joined is about to end
    return sorted(found)
"""


def output(script: str, bundle: str, root: str, *words: str, before: str = "", within: Sequence[str] = ()) -> list[str]:
    """The lines that a script prints, which has to end well and without a word of complaint.

    before   what it does before anything is imported
    within   the words of a command that runs it
    """
    result = subprocess.run(
        [*within, sys.executable, "-c", before + HEAD.format(bundle=bundle, root=root) + script, *words],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": RUNTIME, "PYTHONWARNINGS": "ignore"},
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert not result.stderr, result.stderr
    return result.stdout.splitlines()
