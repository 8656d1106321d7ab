"""The build of the wheel: the same bytes wherever it is made, and one line where it cannot be made."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys

import pytest

from . import pythons

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUILD = pythons.ROOT / "csrc" / "build.py"
WHEEL = "ocirun: the C parts did not compile; see the messages above\n"


def built(kind: str, checkout: Path, out: Path, **environ: str) -> dict[str, str]:
    """Archive -> SHA-256, of a build with this environment."""
    words = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(out)]
    pythons.run(words, env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000", **environ}, cwd=checkout)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.iterdir()}


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
@pytest.mark.usefixtures("umask")
def test_built_twice(tmp_path: Path, kind: str) -> None:
    """In two directories, with other modes and times of files, another hash seed and time zone."""
    pytest.importorskip("hatchling")
    one = pythons.checkout(tmp_path / "one")
    other = pythons.checkout(tmp_path / "the other one" / "deeper")
    for path in other.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(path.stat().st_mode & 0o700)
    first = built(kind, one, tmp_path / "a", PYTHONHASHSEED="1")
    assert len(first) == 1
    os.umask(0o022)
    assert built(kind, other, tmp_path / "b", PYTHONHASHSEED="2", TZ="Asia/Tokyo") == first


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        (
            {"CC": "no-such-cc -m64"},
            "cannot run the compiler no-such-cc: No such file or directory (install gcc or clang",
        ),
        ({"CC": "false"}, "cannot compile helper: false "),
    ],
)
def test_without_a_compiler(tmp_path: Path, environ: dict[str, str], line: str) -> None:
    result = pythons.run(
        [sys.executable, str(BUILD), "--out", str(tmp_path)], env={**os.environ, **environ}, fails=True
    )
    assert result.returncode == 1
    assert result.stderr.startswith(f"csrc/build.py: {line}")
    assert result.stderr.count("\n") == 1


def test_without_headers_or_cffi(tmp_path: Path) -> None:
    """Of an interpreter that only has its library."""
    python = pythons.environment(next(iter(pythons.interpreters().values())), tmp_path / "env") / "python"
    result = pythons.run([str(python), "-I", str(BUILD), "--out", str(tmp_path / "out")], fails=True)
    assert result.stderr.startswith(f"csrc/build.py: the package cffi is not installed for {python} ")
    assert result.stderr.count("\n") == 1
    script = "import runpy, sys, sysconfig; sysconfig.get_path = lambda name: '/nowhere'; sys.argv[:] = sys.argv[1:]"
    script += "; sys.path.insert(0, sys.argv[0] + '/..'); runpy.run_path(sys.argv[0], run_name='__main__')"
    words = [sys.executable, "-c", script, str(BUILD), "--out", str(tmp_path / "out")]
    result = pythons.run(words, fails=True)
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    assert result.stderr.startswith(
        f"csrc/build.py: no Python.h of {name} (install its headers: {name}-dev on Debian, "
    )
    assert result.stderr.count("\n") == 1


def test_pip_says_so_too(tmp_path: Path) -> None:
    """Without the trace of the build's own code."""
    pytest.importorskip("hatchling")
    copy = pythons.checkout(tmp_path / "checkout")
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "out")]
    result = pythons.run(words, env={**os.environ, "CC": "no-such-cc"}, cwd=copy, fails=True)
    assert result.returncode == 1
    first, *rest = result.stderr.splitlines(keepends=True)
    assert first.startswith("csrc/build.py: cannot run the compiler no-such-cc: ")
    assert rest == [WHEEL]
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    shutil.rmtree(copy)


def test_interpreter_of_a_free_threaded_environment(tmp_path: Path) -> None:
    """It is there without the t of its version, and is no less the environment's own."""
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python3.14"
    python.symlink_to(sys.executable)
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import target; sys.executable = sys.argv[2] + '/bin/python3.14'; "
        "print(target._interpreter(sys.argv[2], 'python3.14t'), target._interpreter('/none', 'python3.14t'))"
    )
    words = [sys.executable, "-c", program, str(pythons.ROOT / "csrc"), str(tmp_path)]
    assert pythons.run(words).stdout.split() == [str(python), os.path.realpath(sys.executable)]


def test_definitions_that_cffi_has_too() -> None:
    """For a free-threaded interpreter it writes one of them itself, and another one must be in the same words."""
    assert '"-D_CFFI_NO_LIMITED_API=",' in BUILD.read_text(encoding="utf-8")
