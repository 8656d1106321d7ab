"""Interpreters of this machine, and virtual environments of them with ocirun installed."""

from __future__ import annotations

import functools
import glob
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_ASK = """
import ensurepip, os, sys, sysconfig, venv
if sys.version_info >= (3, 11) and os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    print("%d.%d" % sys.version_info[:2], os.path.realpath(sys.base_prefix), sys.executable)
"""


class NoPackagesError(Exception):
    """The package index has nothing for an interpreter, or cannot be reached."""


@functools.cache
def interpreters() -> dict[str, str]:
    """Usable interpreters, ``3.11-usr`` -> path; the one that runs the tests comes first."""
    own = os.path.join(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
    candidates = [own if os.path.exists(own) else sys.executable, "/usr/bin/python3"]
    candidates += [path for minor in (11, 12, 13) if (path := shutil.which(f"python3.{minor}"))]
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    candidates += sorted(glob.glob(f"{pyenv}/versions/3.1[1-3].*/bin/python3"))
    found: dict[str, str] = {}
    seen = set()
    for candidate in candidates:
        answer = run([candidate, "-I", "-c", _ASK], fails=True).stdout.split()
        if len(answer) == 3 and tuple(answer[:2]) not in seen:
            seen.add(tuple(answer[:2]))
            found[f"{answer[0]}-{Path(answer[1]).name}"] = answer[2]
    return found


def run(
    command: list[str], *, env: dict[str, str] | None = None, cwd: Path | str | None = None, fails: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a command; unless `fails`, one that fails is an error that shows its output."""
    try:
        result = subprocess.run(
            command,
            env=env,
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=600,
        )
    except OSError as error:
        if fails:
            return subprocess.CompletedProcess(command, 127, "", str(error))
        raise
    if result.returncode and not fails:
        raise AssertionError(f"{command} ended with {result.returncode}\n{result.stdout}{result.stderr}")
    return result


def environment(python: str, where: Path) -> Path:
    """A fresh virtual environment; returns its bin directory."""
    run([python, "-m", "venv", str(where)])
    return where / "bin"


def wheels(python: Path, where: Path) -> Path:
    """Build the wheel of this checkout, and get those it needs, with an environment's pip.

    Raises NoPackagesError when pip finds none for that interpreter.
    """
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--retries", "1"]
    result = run([*pip, "wheel", "-q", "-w", str(where), str(ROOT)], fails=True)
    if "No matching distribution found" in result.stderr:
        raise NoPackagesError(result.stderr.splitlines()[-1])
    assert result.returncode == 0, result.stderr
    return where


def install(python: Path, directory: Path, *options: str, env: dict[str, str] | None = None) -> None:
    """Install ocirun from a directory of wheels."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-index"]
    run([*command, "--find-links", str(directory), *options, "ocirun"], env=env)


def link(source: str, target: str) -> None:
    """Copy a file, or rather give it a second name where the file system is the same."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def checkout(where: Path) -> Path:
    """A copy of the checkout without anything that was built in it."""
    skipped = shutil.ignore_patterns(
        ".git", ".venv", "build", "rootfs", ".rootfs.*", "*.so", "__pycache__", ".*_cache", ".hypothesis"
    )
    shutil.copytree(ROOT, where, ignore=skipped, symlinks=True)
    return where
