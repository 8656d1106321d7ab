"""A command, or a program that has imported ocirun, whose files pip replaces under it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE = Path(__file__).resolve().parents[2] / "runtime" / "ocirun"
SAID = "ocirun is being replaced, or has been since this process began: "
REMEDY = "(call again, or start the program anew that has imported ocirun; if that fails too, install ocirun anew)"
# What is imported by then is the entry of the command line, or the API; the rest when it is needed.
COMMAND = """
import os, sys
sys.path.insert(0, os.environ["HERE"])
from ocirun.cli.main import main
exec(os.environ["MEANWHILE"])
sys.exit(main(["--root", os.environ["HERE"] + "/none", "state", "web"]))
"""
PROGRAM = """
import os, sys
sys.path.insert(0, os.environ["HERE"])
import ocirun
ocirun.explain, ocirun.HostError  # naming them imports where they are defined
exec(os.environ["MEANWHILE"])
try:
    ocirun.explain(os.environ["HERE"])
except ocirun.HostError as error:
    sys.exit(str(error))
"""
# The kernel stamps files by a clock (CLOCK_REALTIME_COARSE) that is behind by a tick at most: what was changed in the same
# tick is not seen to be.
TICK = "import time; begun = time.time()\nwhile time.clock_gettime(5) <= begun: pass\n"
# pip moves the old package away, as a whole or file by file, before it writes the new one.
MOVED = "os.rename(sys.path[0] + '/ocirun', sys.path[0] + '/~cirun')"
HALF = "os.unlink(sys.path[0] + '/ocirun/{0}')"
# A newer version, which has other names.
OTHER = "open(sys.path[0] + '/ocirun/{0}', 'w').write({1!r})"


def ended(script: str, meanwhile: str, where: Path) -> subprocess.CompletedProcess[str]:
    """A process in which files of the package change after it has begun."""
    shutil.copytree(PACKAGE, where / "ocirun", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    return subprocess.run(
        [sys.executable, "-I", "-B", "-c", script],
        env={"HERE": str(where), "MEANWHILE": TICK + meanwhile},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "meanwhile",
    [
        MOVED,
        HALF.format("cli/commands/state.py"),
        HALF.format("cli/commands/state.py") + "; " + HALF.format("cli/log.py"),
        OTHER.format("cli/commands/state.py", "COMMAND = None\n"),
        OTHER.format("cli/call.py", "") + "; sys.modules['ocirun.cli.main'].Call = None",
    ],
    ids=["moved", "half gone", "no log", "another", "misunderstood"],
)
def test_a_command(tmp_path: Path, meanwhile: str) -> None:
    result = ended(COMMAND, meanwhile, tmp_path)
    assert result.returncode == 1
    assert SAID in result.stderr
    assert REMEDY in result.stderr
    assert "internal error" not in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("meanwhile", [MOVED, OTHER.format("plan/build.py", "")], ids=["moved", "another"])
def test_a_program(tmp_path: Path, meanwhile: str) -> None:
    (tmp_path / "config.json").write_text('{"ociVersion": "1.2.0"}')
    result = ended(PROGRAM, meanwhile, tmp_path)
    assert SAID in result.stderr
    assert REMEDY in result.stderr


def _asked(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> Callable[..., object]:
    from ocirun._base import installation

    def refuse(*_: object) -> object:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(installation.os, name, refuse)
    return installation.is_replaced


@pytest.mark.parametrize("number", [1, 12, 13, 24])
def test_no_answer_is_none(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Without memory, or where the way to the files is closed, nothing is known of them."""
    assert _asked(monkeypatch, "stat", number)() is False


INTERNAL = """
import os, sys
sys.path.insert(0, os.environ["HERE"])
exec(os.environ["MEANWHILE"])
from ocirun.cli.main import main
sys.modules["ocirun.cli.main"].Call = None
sys.exit(main(["--root", os.environ["HERE"] + "/none", "state", "web"]))
"""


def test_what_was_installed_by_the_same_process(tmp_path: Path) -> None:
    """Files that are newer than the process, which execve(2) has not begun anew, but not than what it has imported."""
    touched = "[os.utime(os.path.join(top, name)) for top, _, names in os.walk(sys.path[0]) for name in names]"
    result = ended(INTERNAL, touched, tmp_path)
    assert "internal error" in result.stderr
    assert SAID not in result.stderr


def test_what_was_noted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What a preloaded interpreter goes by: the files of its modules, whenever they were changed but in mode or owner."""
    from ocirun._base import installation

    file = tmp_path / "module.py"
    file.write_text("x = 1\n")
    monkeypatch.setattr(installation, "_noted", {})
    monkeypatch.setattr(installation, "_files", lambda: iter([str(file)]))
    monkeypatch.setattr(installation, "_BEGUN", 0.0)
    assert installation.is_replaced()
    installation.note()
    file.chmod(0o600)
    assert not installation.is_replaced()
    other = tmp_path / "other"
    shutil.copy2(file, other)
    os.replace(other, file)
    assert installation.is_replaced()
    installation.note()
    assert not installation.is_replaced()
    file.unlink()
    assert installation.is_replaced()


def test_a_missing_module_of_others() -> None:
    from ocirun._base import installation

    assert installation.is_missing(ModuleNotFoundError("x", name="ocirun.cli.log"))
    assert not installation.is_missing(ModuleNotFoundError("x", name="ocirunner"))
    assert not installation.is_missing(FileNotFoundError(2, "x", "/srv/web/config.json"))
