"""How long a command takes that does nothing, for each way in which ocirun starts."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess

from . import runtimes

PRELOADED, STARTER = "_preload", "_start"


def ways(program: str, top: str, runs: int) -> dict[str, float]:
    """Way -> median in milliseconds.  The installation of `program` is not touched: its parts are covered by mounts."""
    directory, suffix = _parts(program)
    found = {}
    hidden: list[str] = []
    try:
        for name, way in ((PRELOADED, "with the preloaded interpreter"), (STARTER, "with the starter and the pack")):
            path = f"{directory}/{name}.{suffix}"
            if os.path.exists(path) and os.path.getsize(path):  # the package has an empty one
                found[way] = _median(program, runs)
                hidden.append(_hide(path, top))
        pack = f"{directory}/_pack.{suffix}"
        hidden.append(_hide(pack, top))
        found["with `python -I -S`"] = _median(program, runs)
    finally:
        for path in hidden:
            subprocess.run(["umount", path], check=True)
    return found


def _parts(program: str) -> tuple[str, str]:
    """The directory and the common suffix of the files of the start, as the program itself sees them."""
    done = subprocess.run(
        ["strace", "-e", "trace=execve", program, "--version"], capture_output=True, text=True, check=True
    )
    last = [line for line in done.stderr.splitlines() if line.startswith("execve(")][-1]
    path = last.partition('"')[2].partition('"')[0]
    directory, _, name = path.rpartition("/")
    return directory, name.partition(".")[2]


def _hide(path: str, top: str) -> str:
    """Cover a file by an empty one that cannot be executed; in the benchmark's own mount namespace."""
    empty = f"{top}/empty"
    with open(empty, "wb"):
        pass
    os.chmod(empty, 0o600)
    subprocess.run([shutil.which("mount") or "mount", "--bind", empty, path], check=True)
    return path


def _median(program: str, runs: int) -> float:
    return statistics.median(runtimes.timed([program, "--version"]) * 1000 for _ in range(runs + 1))
