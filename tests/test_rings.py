"""Every test belongs to a ring, and CI runs all of them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import rings

ROOT = rings.TESTS.parent
FILES = sorted(rings.TESTS.rglob("test_*.py"))


def test_every_test_belongs_to_a_ring() -> None:
    found = {rings.ring(path) for path in FILES}
    assert found == set(rings.RINGS)


def test_every_entry_leads_to_tests() -> None:
    for name, entries in rings.RINGS.items():
        for entry in entries:
            assert any(rings.belongs(path, name) for path in FILES if path.is_relative_to(rings.TESTS / entry)), entry


def test_no_entry_stands_twice() -> None:
    entries = [entry for below in rings.RINGS.values() for entry in below]
    assert len(entries) == len(set(entries))


def test_a_folder_that_is_forgotten() -> None:
    with pytest.raises(rings.NoRingError, match=r"tests/new/test_it\.py .* tests/rings\.py"):
        rings.ring(rings.TESTS / "new" / "test_it.py")


def test_the_longer_entry_counts() -> None:
    assert rings.ring(rings.TESTS / "executor" / "test_arm64.py") == "vm"
    assert rings.ring(rings.TESTS / "executor" / "test_fuzz.py") == "live"
    assert rings.belongs(rings.TESTS / "executor", "vm")
    assert not rings.belongs(rings.TESTS / "executor", "fast")


@pytest.mark.parametrize("name", rings.RINGS)
def test_each_file_runs_in_its_ring_and_unless_that_is_apart_in_all(name: str) -> None:
    mine = [path for path in FILES if rings.belongs(path, name)]
    assert mine
    for path in mine:
        assert rings.ring(path) == name
        assert rings.belongs(path, rings.ALL) == (name not in rings.APART)
        for above in (path, *path.parents):
            if above.is_relative_to(rings.TESTS):
                assert rings.belongs(above, name)


def test_files_of_another_ring_are_refused() -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--ring", "fast", "tests/live"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "tests/live is of the ring live, not of fast: ./dev test live tests/live" in result.stderr


def test_ci_and_the_second_command_run_all() -> None:
    assert re.search(r"/dev\" test all( -|$)", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)
    assert "\n    ./dev test all " in (ROOT / "README.md").read_text(encoding="utf-8")


def test_dev_knows_the_rings() -> None:
    text = Path(ROOT, "dev").read_text(encoding="utf-8")
    assert f"{' | '.join(rings.RINGS)} | {rings.ALL})" in text
    assert '--ring "$ring"' in text
