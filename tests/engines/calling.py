"""A program that calls the API inside a container of an engine, and what the container needs for it."""

from __future__ import annotations

import os
import sys
import tarfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from .runtime import Runtime

PROGRAM = """
import os, sys
import ocirun
mode, rootfs = sys.argv[1:]
more = {"cgroup_manager": "disabled"} if mode == "no-cgroup" else {}
try:
    config = ocirun.sandbox(rootfs, ["sh", "-c", "id -u; sed -n 's/^Seccomp:.//p' /proc/self/status"],
                            missing="refuse" if mode == "whole" else "leave out", **more)
    outcome = ocirun.run(config=config, root="/tmp/root", timeout=60, **more)
    print(outcome.exit_code, outcome.stdout.split(), config.get("annotations", {}).get("org.ocirun.sandbox.left-out", ""))
except ocirun.OcirunError as error:
    print(type(error).__name__, error.call, error.errno, error.remedy)
"""
#: What the program says where it works: root inside, with the filter of the sandbox; without limits, or with them.
WITHOUT_LIMITS = "0 [b'0', b'2'] memory pids cpus"
WITH_LIMITS = "0 [b'0', b'2']"


def prepared(busybox: str, runtime: Runtime, where: Path) -> dict[str, str]:
    """Place in the container -> what is bound there, read-only: Python, ocirun, a root file system and the program."""
    with tarfile.open(busybox) as archive:
        archive.extractall(where / "rootfs", filter="data")
    (where / "program.py").write_text(PROGRAM)
    for path in (where, *where.parents):
        if path.parent.is_relative_to("/var/tmp"):  # not that directory itself, which everybody writes to
            path.chmod(0o755)
    environment = os.path.dirname(os.path.dirname(runtime.path))
    same = (environment, sys.base_prefix, str(where))
    return {"/usr": "/usr", "/lib": "/usr/lib", "/lib64": "/usr/lib64", **{path: path for path in same}}


def words(places: dict[str, str]) -> list[str]:
    """The words of an engine's `run` that bind it."""
    return [word for place, source in places.items() for word in ("-v", f"{source}:{place}:ro")]


def program(runtime: Runtime, where: Path, mode: str) -> list[str]:
    """The words of the program."""
    python = os.path.join(os.path.dirname(runtime.path), "python")
    return [python, str(where / "program.py"), mode, str(where / "rootfs")]
