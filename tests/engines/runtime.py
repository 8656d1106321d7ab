"""The runtime that the engines use: ocirun installed from this checkout, or another for comparison."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from install import pythons

from .machine import Machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Runtime:
    """A low-level runtime.

    name  what engines are told to call it
    path  its program
    root  directory of the system that it is installed in, "" for the host's own
    ours  True for ocirun, which is preloaded as its pages tell
    """

    def __init__(self, name: str, path: str, root: str = "") -> None:
        self.name = name
        self.path = path
        self.root = root
        self.ours = name == "ocirun"

    def forget(self) -> None:
        """Have it as pip has installed it: without a preloaded interpreter, and without a note that none is wanted."""
        home = os.path.dirname(os.path.dirname(self.path))
        (path,) = Path(home).glob("lib/python3*/site-packages/ocirun/_preload.*")
        path.unlink()
        path.touch()

    def preload(self, *options: str) -> str:
        """Call `ocirun preload`; what it says."""
        if self.root:
            with Machine(root=self.root) as machine:
                return machine.run(self.path, "preload", *options).ok().out
        return pythons.run([self.path, "preload", *options]).stdout


@contextlib.contextmanager
def provided(wanted: str, root: str = "") -> Iterator[Runtime]:
    """What `chosen` gives, in a directory that is removed afterwards."""
    home = Path(tempfile.mkdtemp(prefix="ocirun-engines-", dir="/var/tmp"))
    try:
        yield chosen(wanted, home, root)
    finally:
        shutil.rmtree(home)


def chosen(wanted: str, home: Path, root: str = "") -> Runtime:
    """The runtime of --engine-runtime: a name to look up, a path, or "ocirun" to install this checkout in `home`.

    As docs/engines/README.md tells users to: in an environment of its own, preloaded.

    root  the system that it is for; one that is not the host's must be able to compile, and have our requirements
    """
    if wanted != "ocirun":
        path = _found(wanted, root)
        if not path:
            raise AssertionError(f"--engine-runtime {wanted}: no such program")
        return Runtime(os.path.basename(path), path, root)
    if root:
        _install_inside(root, home)
    else:
        python = pythons.environment(sys.executable, home / "env") / "python"
        pythons.wheels(python, home / "wheels")
        pythons.install(python, home / "wheels")
    for where, _, _ in os.walk(home):
        os.chmod(where, 0o755)
    made = Runtime("ocirun", str(home / "env" / "bin" / "ocirun"), root)
    made.preload()
    return made


def _found(name: str, root: str) -> str:
    if root:
        with Machine(root=root) as machine:
            return machine.run("sh", "-c", 'command -v "$1"', "sh", name).out.strip()
    return os.path.abspath(shutil.which(name) or "") if shutil.which(name) else ""


def _install_inside(root: str, home: Path) -> None:
    """As the README of the engines says, but with the requirements that the system has; there is no network."""
    pythons.checkout(home / "src")
    pip = ["-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-index", "--no-build-isolation"]
    with Machine(root=root) as machine:
        machine.run("python3", "-m", "venv", "--system-site-packages", f"{home}/env").ok()
        # A compiler that is newer than ours may warn of more.
        machine.run(f"{home}/env/bin/python", *pip, f"{home}/src", env={"CFLAGS": "-Werror"}).ok()
