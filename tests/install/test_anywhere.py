"""The two commands of the README where a checkout and its caller are as awkward as they may be.

The checkout: below a directory that is closed to everybody but its owner, who is not root; a space in its path; files
that only root may read. The caller: interrupt, hangup and broken pipe ignored, no terminal, standard input closed, umask
077, nothing in the environment but PATH and a temporary directory of the same kind, and a root by another name.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from . import pythons

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

SOMEBODY = 4242
# "$1" in place of /etc/passwd, then the command.
SURROUNDINGS = """
mount --bind "$1" /etc/passwd
shift
trap '' INT HUP PIPE
umask 077
exec setsid --wait "$@" <&-
"""
# One for each of these that has hurt a test before, or could.
TESTS = (
    "tests/test_surroundings.py",
    "tests/budget/test_side_doors.py::test_no_side_doors[hello]",
    "tests/cgroup/test_unified.py::test_joining_needs_the_group_above_both",
    "tests/docs/test_tour.py",
    "tests/host/test_procfile.py",
    "tests/execute/test_criu.py::test_conversation",
    "tests/execute/test_hooks.py",
    "tests/live/test_rootless.py::test_ranges_by_newuidmap",
    "tests/live/test_signals_run.py::test_signal_is_passed_on",
    "tests/live/test_stdio_fds.py::test_closed_stdio",
)


class Place:
    """The checkout, and how its commands are started."""

    def __init__(self, base: Path) -> None:
        closed = base / "closed to others"
        self.checkout = pythons.checkout(closed / "a checkout")
        for path in self.checkout.rglob("*"):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & 0o700)
        shutil.copytree(
            sys.prefix,
            self.checkout / ".venv",
            symlinks=True,
            copy_function=pythons.link,
            ignore=shutil.ignore_patterns("wanted"),
        )
        self.temporary = closed / "for a while"
        self.temporary.mkdir()
        self.passwd = base / "passwd"
        self.passwd.write_text("ruler:x:0:0::/:/bin/sh\n" + Path("/etc/passwd").read_text(encoding="utf-8"))
        self.passwd.chmod(0o644)
        os.chown(closed, SOMEBODY, SOMEBODY)
        closed.chmod(0o700)

    def run(self, *command: str) -> str:
        """What a command says that is to succeed."""
        result = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-ec", SURROUNDINGS, "sh", self.passwd, *command],
            env={"PATH": os.environ["PATH"], "TMPDIR": str(self.temporary)},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    if not all((Path(sys.prefix) / f"installed-{name}").exists() for name in ("test", "test-live", "test-engines")):
        pytest.skip("needs the environment that ./dev makes")
    return Place(tmp_path_factory.mktemp("anywhere"))


def test_first_command(place: Place) -> None:
    assert "Hello from inside a container." in place.run(f"{place.checkout}/dev", "hello")


def test_sample_with_a_user_namespace(place: Place) -> None:
    """Its root may not search the directories above its root file system."""
    assert "Inside I am uid=0(root)" in place.run(f"{place.checkout}/dev", "run", "userns")


def test_second_command(place: Place) -> None:
    """The sensitive ones of all tests: none fails, none is skipped."""
    said = place.run(f"{place.checkout}/dev", "test", "all", "-q", "-p", "no:cacheprovider", *TESTS)
    assert re.fullmatch(r"\d+ passed in .*", said.splitlines()[-1]), said
