"""examples/ci_step.py and examples/pytest_sandbox.py, as programs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from .conftest import ENVIRONMENT, EXAMPLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def checkout(open_directory: Path) -> Path:
    made = open_directory / "checkout"
    made.mkdir()
    (made / "name").write_text("value\n")
    return made


def step(rootfs: str, checkout: Path, script: str, *secrets: str) -> tuple[int, str, str]:
    (checkout.parent / "step.sh").write_text(script)
    arguments = [rootfs, checkout, checkout.parent / "step.sh", checkout.parent / "made", *secrets]
    ran = subprocess.run(
        [sys.executable, EXAMPLES / "ci_step.py", *arguments],
        env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert sorted(os.listdir(checkout.parent)) == ["checkout", *["made"] * (ran.returncode == 0), "step.sh"]
    assert os.listdir(checkout) == ["name"]
    return ran.returncode, ran.stdout, ran.stderr


def test_artifacts(rootfs: str, checkout: Path) -> None:
    script = "mkdir -p /artifacts/below; sed s/v/V/ name >/artifacts/below/name; cat /run/secrets/key; echo $CI >&2; echo >/x"
    assert step(rootfs, checkout, script, "key=k=y") == (0, "k=y", "true\n")
    made = checkout.parent / "made"
    assert [str(path.relative_to(made)) for path in made.rglob("*")] == ["below", "below/name"]
    assert (made / "below/name").read_text() == "Value\n"


def test_a_step_without_artifacts(rootfs: str, checkout: Path) -> None:
    assert step(rootfs, checkout, "echo done") == (0, "done\n", "")
    assert os.listdir(checkout.parent / "made") == []


def test_a_step_that_fails(rootfs: str, checkout: Path) -> None:
    assert step(rootfs, checkout, "mkdir /artifacts; exit 4")[0] == 4
    code, _, said = step(rootfs, checkout, "echo >/src/other")
    assert (code, "Read-only file system" in said) == (1, True)
    code, _, said = step(rootfs, checkout, "cat /dev/zero >/one || cat /dev/zero >/two")
    assert (code, said.splitlines()[-1]) == (1, "ci_step: stopped by the limit of disk")


def test_artifacts_that_lead_elsewhere(rootfs: str, checkout: Path) -> None:
    """A link is copied as one, and never followed."""
    code, _, said = step(rootfs, checkout, "mkdir /artifacts; ln -s /etc/shadow /artifacts/link")
    assert (code, said) == (0, "")
    assert os.readlink(checkout.parent / "made" / "link") == "/etc/shadow"


@pytest.mark.parametrize("script", ["ln -s /etc /artifacts", "ln -s /none /artifacts", "echo x >/artifacts"])
def test_artifacts_that_are_no_directory(rootfs: str, checkout: Path, script: str) -> None:
    assert step(rootfs, checkout, script) == (0, "", "")
    made = checkout.parent / "made"
    assert (made.is_symlink(), os.listdir(made)) == (False, [])


TESTS = """
import pytest
import ocirun

def test_runs(sandboxed):
    assert sandboxed("wc -c", stdin=b"four").stdout == b"4\\n"
    assert sandboxed("cat /given", files={"/given": b"x"}).stdout == b"x"

@pytest.mark.parametrize("number", range(2))
def test_alone(sandboxed, number):
    sandboxed("[ ! -e /x ] && echo >/x")

def test_checked(sandboxed):
    with pytest.raises(ocirun.OutcomeError):
        sandboxed("exit 3")
    assert sandboxed("exit 3", check=False).exit_code == 3
    assert sandboxed("cat /dev/zero >/fill", check=False).limit == "disk"
    assert sandboxed("b() { b | b & b; }; b", check=False, timeout=2.0).exit_code != 0
    assert sandboxed("yes", check=False, output_limit=10, on_output_limit="kill").limit == "output"
"""


@pytest.mark.parametrize("how", ["program", "plugin"])
def test_the_fixture(rootfs: str, open_directory: Path, how: str) -> None:
    (open_directory / "test_given.py").write_text(TESTS)
    command = (
        [EXAMPLES / "pytest_sandbox.py"]
        if how == "program"
        else ["-m", "pytest", "-p", "pytest_sandbox", "--sandbox-rootfs"]
    )
    ran = subprocess.run(
        [sys.executable, *command, rootfs, "-q", "-p", "no:cacheprovider", "test_given.py"],
        cwd=open_directory,
        env={**ENVIRONMENT, "PYTHONPATH": f"{ENVIRONMENT['PYTHONPATH']}:{EXAMPLES}"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert "4 passed" in ran.stdout, ran.stdout + ran.stderr


def test_the_fixture_needs_a_root_file_system(tmp_path: Path) -> None:
    (tmp_path / "test_given.py").write_text("def test_it(sandboxed): pass\n")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "pytest_sandbox", "-p", "no:cacheprovider", "test_given.py"],
        cwd=tmp_path,
        env={**ENVIRONMENT, "PYTHONPATH": f"{ENVIRONMENT['PYTHONPATH']}:{EXAMPLES}"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert "sandboxed needs --sandbox-rootfs" in ran.stdout
