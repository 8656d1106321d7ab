"""The runtime that the engines use: ocirun installed from a wheel of this checkout, or another for comparison."""

from __future__ import annotations

import os
import shutil
import sys

from install import pythons

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


class Runtime:
    """A low-level runtime.

    name  what engines are told to call it
    path  its program
    ours  True for ocirun, which is preloaded as its pages tell
    """

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.path = path
        self.ours = name == "ocirun"

    def preload(self, *options: str) -> str:
        """Call `ocirun preload`; what it says."""
        return pythons.run([self.path, "preload", *options]).stdout


def chosen(wanted: str, home: Path) -> Runtime:
    """The runtime of --engine-runtime: a name to look up, a path, or "ocirun" to install this checkout in `home`.

    As docs/engines/README.md tells users to: in an environment of its own, preloaded.
    """
    if wanted != "ocirun":
        path = shutil.which(wanted)
        if path is None:
            raise AssertionError(f"--engine-runtime {wanted}: no such program")
        return Runtime(os.path.basename(path), os.path.abspath(path))
    python = pythons.environment(sys.executable, home / "env") / "python"
    pythons.wheels(python, home / "wheels")
    pythons.install(python, home / "wheels")
    for where, _, _ in os.walk(home):
        os.chmod(where, 0o755)
    made = Runtime("ocirun", str(home / "env" / "bin" / "ocirun"))
    made.preload()
    return made
