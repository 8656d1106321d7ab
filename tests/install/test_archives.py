"""What is in the wheel and in the source archive, and the editable install."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from . import pythons

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Installed


def test_wheel(installed: Installed) -> None:
    tag = re.fullmatch(r"ocirun-[0-9.]+-cp(\d+)-cp(\d+t?)-linux_\w+\.whl", installed.wheel.name)
    assert tag
    version = installed.wheel.name.split("-")[1]
    assert tag[1] == tag[2].rstrip("t")
    listing = pythons.run([sys.executable, "-m", "zipfile", "-l", str(installed.wheel)]).stdout
    names = [line.split()[0] for line in listing.splitlines()[1:]]
    (module,) = (name for name in names if "_native." in name and not name.endswith(".pyi"))
    assert f"cpython-{tag[2]}-" in module
    end = module.rpartition("_native")[2].removesuffix(".so")
    assert {f"ocirun/_{kind}{end}" for kind in ("pack", "preload", "stage", "start")} <= set(names)
    assert [name.rpartition("/")[2] for name in names if ".data/scripts/" in name] == ["ocirun"]
    assert f"ocirun-{version}.data/data/share/man/man1/ocirun.1" in names
    assert "ocirun/schemas/config.schema.json" in names
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"ocirun"}
    assert not [name for name in names if name.endswith((".c", ".h", ".pyc")) or "tests/" in name]


def test_sdist(tmp_path: Path) -> None:
    """Everything needed to build and test is in the source archive."""
    pytest.importorskip("hatchling")
    copy = pythons.checkout(tmp_path / "checkout")
    out = tmp_path / "dist"
    pythons.run([sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(out)], cwd=copy)
    (archive,) = out.glob("*.tar.gz")
    names = subprocess.run(["tar", "-tzf", archive], capture_output=True, text=True, check=True).stdout.splitlines()
    inside = {name.partition("/")[2] for name in names}
    assert {
        "csrc/launcher.c",
        "csrc/build.py",
        "csrc/helper.c",
        "hatch_build.py",
        "dev",
        "LICENSE",
        *(path.name for path in pythons.ROOT.glob("*.md")),
    } <= inside
    for folder in ("schemas", "bundles", "docs", "csrc/module", "csrc/executor", "tests/install"):
        assert any(name.startswith(folder + "/") for name in inside)
    assert not [name for name in inside if name.endswith((".so", ".pyc")) or "/rootfs/" in name]


def test_editable(tmp_path: Path) -> None:
    """An editable install runs the checkout."""
    python = next(iter(pythons.interpreters().values()))
    copy = pythons.checkout(tmp_path / "checkout")
    scripts = pythons.environment(python, tmp_path / "env")
    pythons.run([str(scripts / "python"), "-m", "pip", "--disable-pip-version-check", "install", "-q", "-e", str(copy)])
    (copy / "runtime" / "ocirun" / "_base" / "version.py").write_text(
        'def text() -> str:\n    return "the checkout\\n"\n'
    )
    assert pythons.run([str(scripts / "ocirun"), "--version"], env={}).stdout.startswith("the checkout\n")
