"""A bundle and a state root for the tests of the API."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ocirun
from ocirun import Container, CreateOptions
from ocirun.commands import create
from ocirun.config import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Runner = Callable[..., ocirun.Outcome]
    Make = Callable[..., Container]

# How the program of an ordinary user begins; its arguments are a root file system, a directory of that user's, and the uid.
# All is imported before it becomes somebody else, who may not be able to read the files.
AS_ORDINARY = """
import ctypes, fcntl, grp, hashlib, io, json, os, pkgutil, pwd, re, resource, select, signal, socket, struct, subprocess
import sys, tarfile
import ocirun
for module in pkgutil.walk_packages(ocirun.__path__, "ocirun."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
rootfs, where, user = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.chdir(where)
os.setgroups([])
os.setresgid(user, user, user)
os.setresuid(user, user, user)
ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE, as for who was never root
"""
SAMPLES = Path(__file__).resolve().parents[2] / "bundles"


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A copy of a sample: mount points are made in its root file system."""
    subprocess.run([sys.executable, str(SAMPLES / "make"), "hello"], check=True, capture_output=True)
    copy = tmp_path_factory.mktemp("api") / "bundle"
    shutil.copytree(SAMPLES / "hello", copy, symlinks=True)
    return str(copy)


@pytest.fixture
def rootfs(bundle: str, open_directory: Path) -> str:
    """A root file system of the test's own, which every user can reach, with files for the test to change."""
    copy = open_directory / "rootfs"
    shutil.copytree(Path(bundle) / "rootfs", copy, symlinks=True)
    for name in ("old", "dir"):
        (copy / name).mkdir()
        (copy / name / "one").write_bytes(b"one")
        (copy / name / "two").write_bytes(b"two")
    for name, content in (("letter", b"image"), ("file", b"file"), ("untouched", b"as it was")):
        (copy / name).write_bytes(content)
    return str(copy)


@pytest.fixture
def root(tmp_path: Path) -> str:
    """A state root of the test's own."""
    return str(tmp_path / "root")


@pytest.fixture
def run(bundle: str, root: str) -> Runner:
    """`ocirun.run` in that bundle and root, with the arguments of the program one by one."""

    def call(*args: str, **options: object) -> ocirun.Outcome:
        return ocirun.run(bundle, args=list(args), root=root, **options)  # type: ignore[arg-type]

    return call


def shell(script: str) -> tuple[str, str, str]:
    """The arguments that run a script."""
    return "/bin/sh", "-c", script


@pytest.fixture
def make(bundle: str, root: str) -> Iterator[Make]:
    """Creates containers of a config with another program; they are deleted at the end."""
    made: list[Container] = []
    null = os.open("/dev/null", os.O_RDWR)

    def call(*args: str, **changes: object) -> Container:
        config = load.load(bundle)
        config.data["process"]["args"] = list(args)
        config.raw = json.dumps(config.data).encode()
        name = f"api-{os.getpid()}-{len(made)}"
        options = CreateOptions(bundle=bundle, stdio=(null, null, null), **changes)  # type: ignore[arg-type]
        record, session = create.create(name, root, options, keeps_session=False, config=config)
        session.close()
        made.append(Container(name, root, record))
        return made[-1]

    yield call
    os.close(null)
    for container in made:
        ocirun.delete(container.id, root=root, force=True)


def children() -> set[str]:
    """The pids of all children of this process, the dead that nobody has waited for too."""
    found: set[str] = set()
    for task in os.listdir("/proc/self/task"):
        try:
            found.update(Path(f"/proc/self/task/{task}/children").read_text().split())
        except FileNotFoundError:
            continue  # a thread that has just ended
    return found
