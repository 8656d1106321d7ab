"""The fast tests pass in a fresh checkout of an ordinary user's, in which nothing was ever compiled."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from . import pythons

SOMEBODY = 4242


def own(top: Path) -> None:
    """Give a tree to SOMEBODY, but not the files that other trees have, too."""
    for where, _, files in os.walk(top):
        for path in (where, *(f"{where}/{name}" for name in files)):
            if os.path.isdir(path) or os.lstat(path).st_nlink == 1:
                os.chown(path, SOMEBODY, SOMEBODY, follow_symlinks=False)


def interpreter() -> Path | None:
    """One of the version of this one that everybody can start."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for place in (sys.base_prefix, "/usr", "/usr/local"):
        path = Path(place, "bin", name)
        if path.exists() and all(above.stat().st_mode & 1 for above in (path.resolve(), *path.resolve().parents)):
            return path
    return None


def environment(where: Path, python: Path) -> None:
    """A copy of the environment of these tests, for another interpreter of the same version."""
    shutil.copytree(sys.prefix, where, symlinks=True, copy_function=pythons.link)
    for path in (where / "bin").glob("python*"):
        path.unlink()
        path.symlink_to(python)
    (where / "pyvenv.cfg").unlink()
    (where / "wanted").unlink(missing_ok=True)
    (where / "pyvenv.cfg").write_text(f"home = {python.parent}\ninclude-system-site-packages = false\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_fast_ring(open_directory: Path) -> None:
    if not (python := interpreter()):
        pytest.skip(f"{sys.base_prefix} is closed to ordinary users")
    if not (Path(sys.prefix) / "installed-test").exists():
        pytest.skip("needs the environment that ./dev makes")
    closed = open_directory / "closed to others"
    checkout = pythons.checkout(closed / "a checkout")
    environment(checkout / ".venv", python)
    (closed / "for a while").mkdir()
    own(closed)
    closed.chmod(0o700)
    result = subprocess.run(
        ["./dev", "test", "-q", "-p", "no:cacheprovider"],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(closed), "TMPDIR": str(closed / "for a while")},
        cwd=checkout,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        user=SOMEBODY,
        group=SOMEBODY,
        extra_groups=[],
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert not list((checkout / "runtime").rglob("*.so"))
