"""ocirun for tests in which ordinary users call it, wherever the checkout lies."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from .pythons import ROOT, run

NOBODY = 65534
PROGRAM = ROOT / "build" / "bin" / "ocirun"
PACKAGE = ROOT / "runtime" / "ocirun"


def is_open() -> bool:
    """Everybody can reach the checkout's program, and read what it reads."""
    import _cffi_backend

    files = [PROGRAM, PACKAGE / "__init__.py", *PACKAGE.glob("_native*.so"), Path(_cffi_backend.__file__)]
    return all(path.stat().st_mode & 0o004 for path in files) and all(
        parent.stat().st_mode & 0o001 for path in files for parent in path.resolve().parents
    )


def install(home: Path) -> Path:
    """Put ocirun and what it requires below `home`, as pip puts it into an environment; gives the program.

    Raises AssertionError where ordinary users cannot start it even there.
    """
    tag = sysconfig.get_config_var("SOABI")
    made = ROOT / "build" / "wheel" / tag  # where the hook of the wheel has it, too
    run([sys.executable, str(ROOT / "csrc" / "build.py"), "--out", str(made)])
    site = home / "lib" / f"python{sysconfig.get_config_var('LDVERSION')}" / "site-packages"
    shutil.copytree(PACKAGE, site / "ocirun", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    shutil.copytree(ROOT / "schemas", site / "ocirun" / "schemas")
    for path in made.glob(f"_*.{tag}*"):
        if path.suffix != ".stamp":
            shutil.copy(path, site / "ocirun")
    for path in _required("cffi", "jeepney", "jsonschema"):
        target = site / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(str(path.locate()), target)
    program = home / "bin" / "ocirun"
    program.parent.mkdir()
    shutil.copy(made / "ocirun", program)
    for where, _, files in os.walk(home):
        for path in (where, *(f"{where}/{name}" for name in files)):
            os.chmod(path, os.stat(path).st_mode | 0o444 | (0o111 if os.access(path, os.X_OK) else 0))
    run([str(program), "preload"])
    _try(program)
    return program


def _required(*names: str) -> list[metadata.PackagePath]:
    """The modules of packages and of all that they require here."""
    seen: dict[str, list[metadata.PackagePath]] = {}
    wanted = list(names)
    while wanted:
        name = wanted.pop()
        if name in seen:
            continue
        needs = map(Requirement, metadata.requires(name) or ())
        wanted += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
        seen[name] = [path for path in metadata.files(name) or () if path.suffix in (".py", ".so", ".json")]
    return [path for paths in seen.values() for path in paths if ".." not in path.parts]


def _try(program: Path) -> None:
    """The launcher takes another interpreter of the same version where its own is closed to the caller."""
    tried = subprocess.run(
        [program, "--version"],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert tried.returncode == 0, (
        f"{tried.stderr}ordinary users cannot start {program}: {sys.base_prefix} is closed to them, and there is no "
        f"other Python {version}; remove .venv, and give ./dev an interpreter that they can reach with PYTHON=..."
    )
