"""The starter and the pack: what they give, what happens without them or when they are damaged."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from .test_launcher import Probe, _build

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

# Enough of the package for the bootstrap, and where each module came from.
MAIN = """
import fcntl, json, os, sys
from ocirun import part

def main(start):
    modules = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    ours = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "ocirun"}
    loaders = {name: type(module.__loader__).__name__ for name, module in ours.items()}
    with open(os.environ["REPORT"], "w") as file:
        json.dump([part.WORD, modules, loaders, main.__doc__, part.__package__], file)
    return 0
"""


class Packed(Probe):
    """A small package with its starter and pack."""

    def __init__(self, where: Path) -> None:
        super().__init__(where, starts=True)
        self.package = where / "package" / "ocirun"
        (self.package / "part.py").write_text('"""A part."""\nWORD = "first"\n')
        (self.package / "cli" / "main.py").write_text(MAIN)
        self.make()

    def make(self) -> None:
        """Make the pack of the package as it is."""
        _build().Builder(self.where / "build", strict=True).pack(self.pack, self.package, installed=False)

    def seen(self) -> tuple[str, dict[str, str], dict[str, str], str | None, str]:
        """What the command saw."""
        self.report.unlink(missing_ok=True)
        result = self.run()
        assert (result.returncode, result.stderr) == (0, "")
        word, modules, loaders, text, package = json.loads(self.report.read_text())
        return word, modules, loaders, text, package


@pytest.fixture(params=[True, False], ids=["starter", "python"])
def packed(request: pytest.FixtureRequest, tmp_path: Path) -> Packed:
    build = _build()
    if request.param and not build._library():
        pytest.skip("this interpreter has no shared library")
    probe = Packed(tmp_path)
    if not request.param:
        (tmp_path / build.START_NAME).unlink(missing_ok=True)
    return probe


def test_modules_come_from_the_pack(packed: Packed) -> None:
    word, modules, loaders, text, package = packed.seen()
    assert word == "first"
    assert set(loaders.values()) == {"Importer"}
    assert set(loaders) == {"ocirun", "ocirun.cli", "ocirun.cli.main", "ocirun.part"}
    assert modules["ocirun.cli"] == str(packed.package / "cli" / "__init__.py")
    assert package == "ocirun"
    assert text is None
    assert "__future__" not in modules


def test_a_changed_file_is_believed(packed: Packed) -> None:
    file = packed.package / "part.py"
    file.write_text('"""A part."""\nWORD = "other"\n')
    word, _, loaders, _, _ = packed.seen()
    assert word == "other"
    assert loaders["ocirun.part"] == "SourceFileLoader"
    assert loaders["ocirun.cli.main"] == "Importer"
    packed.make()
    assert packed.seen()[2]["ocirun.part"] == "Importer"


def test_a_removed_file_is_missing(packed: Packed) -> None:
    (packed.package / "part.py").unlink()
    result = packed.run()
    assert result.returncode == 1
    assert result.stderr.startswith("ocirun: ocirun is being replaced, or is damaged: cannot import name 'part'")
    assert result.stderr.count("\n") == 1


def test_without_a_pack(packed: Packed) -> None:
    packed.pack.unlink()
    word, _, loaders, _, _ = packed.seen()
    assert word == "first"
    assert set(loaders.values()) == {"SourceFileLoader"}


def test_another_interpreters_pack_is_not_used(packed: Packed) -> None:
    content = packed.pack.read_bytes()
    packed.pack.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    assert set(packed.seen()[2].values()) == {"SourceFileLoader"}


def test_other_codecs(packed: Packed) -> None:
    """The starter's encodings are frozen, but not all of them."""
    (packed.package / "part.py").write_text('import codecs\nWORD = codecs.decode(b"62", "hex").decode("ascii")\n')
    assert packed.seen()[0] == "b"


@pytest.mark.parametrize("kept", [0, 4, 11, 12, 500, 3000])
def test_damaged_pack(packed: Packed, kept: int) -> None:
    """A cut file is an error in one line, or is not a pack at all."""
    os.truncate(packed.pack, kept)
    result = packed.run()
    assert "Traceback" not in result.stderr
    if kept < 4:
        assert (result.returncode, result.stderr) == (0, "")
    else:
        assert result.returncode == 1
        assert result.stderr.startswith("ocirun: ocirun is being replaced, or is damaged: ")
        assert result.stderr.count("\n") == 1


def test_nothing_is_searched(packed: Packed, tmp_path: Path) -> None:
    """No directory is listed for a module that the pack knows."""
    log = tmp_path / "trace"
    command = ["strace", "-e", "trace=openat,execve", "-o", str(log), str(packed.program)]
    subprocess.run(command, env={"REPORT": str(packed.report)}, check=True, capture_output=True)
    listed = [line for line in log.read_text().splitlines() if "O_DIRECTORY" in line and str(packed.where) in line]
    assert listed == []
