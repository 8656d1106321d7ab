"""A wheel that was built on another machine, whose Python is elsewhere or has no shared library."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from . import pythons
from .fresh import copied
from .test_launcher import _build

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Installed
    from .fresh import Fresh

pytestmark = [
    pytest.mark.skipif(not _build()._library(), reason="this interpreter has no shared library"),
    pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace"),
]
# The files of a wheel, compiled as where there is no library to link with, by an interpreter of another place.
SCRIPT = """
import runpy, sys
root, out = sys.argv[1:]
sys.path.insert(0, root + "/csrc")
import target

class Other(target.Target):
    def __init__(self, root=""):
        super().__init__(root)
        for name in ("prefix", "stdlib", "dynload", "zip", "interpreter"):
            setattr(self, name, getattr(self, name).replace(sys.base_prefix, "/opt/another"))

    def library(self):
        return ""

target.Target = Other
sys.argv = ["build.py", "--out", out]
runpy.run_path(root + "/csrc/build.py", run_name="__main__")
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("elsewhere")
    pythons.run([sys.executable, "-c", SCRIPT, str(pythons.ROOT), str(out)])
    return out


@pytest.fixture
def foreign(own: Installed, built: Path, tmp_path: Path) -> Fresh:
    """An environment of this machine, with the files of the other one."""
    made = copied(own.home, tmp_path / "env")
    for path in [*made.package.glob("_start.*"), *made.package.glob("_stage.*"), *made.package.glob("_native.*.so")]:
        shutil.copy(built / path.name, path)
    shutil.copy(built / "ocirun", made.program)
    return made


def test_it_starts_and_is_preloaded(foreign: Fresh, tmp_path: Path) -> None:
    said, program, started = foreign.call(tmp_path)
    assert (said, program) == ("no (not made yet)", "_start")
    assert started > 0
    assert foreign.call(tmp_path) == ("yes", "_preload", 0)
    assert pythons.run([str(foreign.program), "preload", "--force"]).stdout.startswith("made ")
    assert foreign.call(tmp_path) == ("yes", "_preload", 0)


def test_what_it_tells_the_programs(foreign: Fresh) -> None:
    """The starter finds its library by a variable that nobody after it sees; the caller's own stays."""
    script = "import os, sys; print(sys.base_prefix, sys.executable, sys.path[1:3], os.environ, flush=True)"
    (foreign.package / "cli" / "main.py").write_text(f"def main(start):\n    {script}\n    return 0\n")
    (pack,) = foreign.package.glob("_pack.*")
    pack.unlink()
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for env in ({}, {"X": "1", "LD_LIBRARY_PATH": "/none"}):
        words = [foreign.program]
        seen = subprocess.run(words, env=env, capture_output=True, text=True, check=True).stdout
        prefix = os.path.realpath(sys.base_prefix)
        library = f"{prefix}/lib/{python}"
        assert seen == f"{prefix} {prefix}/bin/{python} ['{library}', '{library}/lib-dynload'] environ({env!r})\n"


def test_a_library_of_another_interpreter_is_not_taken(foreign: Fresh, tmp_path: Path) -> None:
    """The environment's own interpreter is executed then, and says what is missing."""
    bare = tmp_path / "bare"
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (bare / "bin").mkdir(parents=True)
    (bare / "lib").mkdir()
    # An installation that has all but the library.
    (bare / "lib" / python).symlink_to(f"{sys.base_prefix}/lib/{python}")
    shutil.copy(os.path.realpath(f"{sys.base_prefix}/bin/{python}"), bare / "bin" / python)
    for path in foreign.home.glob("bin/python*"):
        path.unlink()
    (foreign.home / "bin" / python).symlink_to(bare / "bin" / python)
    said, program, started = foreign.call(tmp_path)
    assert program.startswith("python")
    assert started == 0
    assert said == (
        f"no (its Python needs a shared library: install the package lib{python} (Debian, Ubuntu), {python}-libs or "
        "python3-libs (Fedora, RHEL))"
    )
    result = pythons.run([str(foreign.program), "preload"], fails=True)
    assert result.returncode == 1
    assert f"install the package lib{python} (Debian, Ubuntu)" in result.stderr
