"""The C parts compile for arm64 as well, without a warning.  What runs there is tested in a guest, see tests/vm."""

from __future__ import annotations

import importlib.util
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from live import bundles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMPILER = "aarch64-linux-gnu-gcc"
CSRC = Path(__file__).resolve().parents[2] / "csrc"
EM_AARCH64, PT_LOAD, PT_INTERP = 183, 1, 3

pytestmark = pytest.mark.skipif(not shutil.which(COMPILER), reason=f"no {COMPILER}")


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """csrc/build.py's Builder with the compiler for arm64."""
    spec = importlib.util.spec_from_file_location("csrc_build", CSRC / "build.py")
    assert spec is not None and spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", COMPILER)
        spec.loader.exec_module(build)
        return build.Builder(tmp_path_factory.mktemp("arm64"), strict=True)


def programs(path: Path) -> list[tuple[int, ...]]:
    """Type, flags, offset, address, ..., alignment of each segment of a program for arm64."""
    data = path.read_bytes()
    assert data[:6] == b"\x7fELF\x02\x01"
    assert struct.unpack_from("<H", data, 18) == (EM_AARCH64,)
    (start,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    return [struct.unpack_from("<IIQQQQQQ", data, start + size * number) for number in range(count)]


@pytest.mark.parametrize("name", ["helper", "stage", "launcher"])
def test_programs_without_libc(builder: Any, name: str) -> None:
    """Static, and for each size of pages that a kernel of arm64 may have."""
    path = builder.helper() if name == "helper" else getattr(builder, name)(builder.build / name)
    segments = programs(path)
    assert all(segment[0] != PT_INTERP for segment in segments)
    loaded = [segment for segment in segments if segment[0] == PT_LOAD]
    assert loaded
    for segment in loaded:
        assert segment[7] % 65536 == 0
        assert (segment[2] - segment[3]) % 65536 == 0


def test_module_and_preload(builder: Any) -> None:
    """All but what needs Python's headers of that machine."""
    builder.image()
    files = [*sorted((CSRC / "module").glob("*.c")), *(CSRC / "start" / name for name in ("preload.c", "touched.c"))]
    includes = [f"-I{builder.build}", f"-I{CSRC / 'module'}", f"-I{CSRC / 'executor'}"]
    flags = ["-O2", "-std=gnu11", "-fPIC", "-Wall", "-Wextra", "-Werror", *includes]
    result = subprocess.run(
        [COMPILER, *flags, "-c", *map(str, files)], cwd=builder.build, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_starter_of_a_wheel(builder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for libpython, and this machine's pyconfig.h, whose sizes are the same."""
    monkeypatch.setenv("NM", "aarch64-linux-gnu-nm")
    monkeypatch.setattr(builder.target, "library", lambda: "")
    path = builder.starter(builder.build / "start", elsewhere=True)
    assert any(segment[0] == PT_INTERP for segment in programs(path))
    assert f"\0{builder.target.library_name}\0".encode() in path.read_bytes()


def test_programs_of_live_tests(tmp_path: Path) -> None:
    if os.environ.get("OCIRUN_TEST_TOOLS"):
        pytest.skip("they were compiled outside")
    bundles.build_tools(str(tmp_path), COMPILER)
